//! Writes rows as a section: a Parquet file that stands alone or in a bundle.

mod choice;
mod extent;

use std::{collections::BTreeMap, mem, sync::Arc};

use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use neap_manifest::TagRange;
use neap_points::PointsError;
use neap_schema::TIME_COLUMN;
use neap_section::add_checksums;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{ParquetMetaData, SortingColumn},
        properties::{BloomFilterPosition, EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

use choice::ColumnEncoding;
use extent::{Extent, distinct_values};

/// The most rows that are looked at to choose encodings.
const MAX_SAMPLE_ROWS: usize = 65_536;

/// One row in so many is looked at, so that the trial costs little beside the writing.
const SAMPLE_PART: u64 = 16;

/// The most bytes of a row group before it is compressed, where rows are wide: it is in memory until it is
/// complete.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Rows of a page, the smallest part that a query can skip.
const PAGE_ROWS: usize = 8_192;

/// The share of absent values that a bloom filter lets through.
const BLOOM_FILTER_FPP: f64 = 0.02;

/// The number of values of a row group that a bloom filter has room for; with more it lets more through. The
/// filters of all row groups are in memory, each as large as for so many, until the section is complete.
const BLOOM_FILTER_VALUES: u64 = 8_192;

/// A tag with fewer values among the first rows gets no bloom filter: either it has few values, and every row
/// group has them all, or few series fill a row group, and its statistics tell as much.
const BLOOM_FILTER_MIN_VALUES: usize = 16;

/// How much work goes into a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionProfile {
    /// Little: it is merged again soon.
    Flush,
    /// More: it stays.
    Merge,
}

impl SectionProfile {
    fn zstd_level(self) -> i32 {
        match self {
            Self::Flush => 1,
            Self::Merge => 3,
        }
    }

    /// Rows of a row group: large enough for a footer and for dictionaries to be small beside it, small enough
    /// for several cores to have work on the rows of a day.
    fn row_group_rows(self) -> usize {
        match self {
            Self::Flush => 131_072,
            Self::Merge => 262_144,
        }
    }

    fn has_bloom_filters(self) -> bool {
        self == Self::Merge
    }
}

/// A section before it has a place in a bundle.
#[derive(Debug)]
pub struct EncodedSection {
    /// The Parquet file.
    pub bytes: Vec<u8>,
    /// The number of bytes at its end that hold bloom filters, checksums, page index and Parquet footer.
    pub footer_length: u32,
    /// The CRC-32C of all bytes.
    pub crc32c: u32,
    /// The CRC-32C of these last bytes.
    pub footer_crc32c: u32,
    /// The number of rows.
    pub rows: u64,
    /// The earliest time, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time.
    pub max_time: i64,
    /// The range of each tag that has a value somewhere.
    pub tags: BTreeMap<String, TagRange>,
}

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Parquet refused them.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// They have no time column, or other types than they should.
    #[error(transparent)]
    Points(#[from] PointsError),
}

/// Writes folded rows, sorted by `tags` and time, as a flush does.
pub fn encode_section(tags: &[String], rows: &RecordBatch) -> Result<EncodedSection, EncodeError> {
    let mut writer = SectionWriter::new(tags, rows.schema(), SectionProfile::Flush);
    writer.write(rows)?;
    writer.finish()
}

/// Writes a section row by row. What was written is in memory, compressed; a row group is on top of it.
#[derive(Debug)]
pub struct SectionWriter {
    tags: Vec<String>,
    schema: SchemaRef,
    profile: SectionProfile,
    sample_rows: usize,
    row_group_bytes: usize,
    extent: Extent,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was written: the encodings follow from the first rows. With the memory for the output.
    Empty(Vec<u8>),
    Open(Box<ArrowWriter<Vec<u8>>>),
}

impl SectionWriter {
    /// A writer of rows with exactly these columns, which come sorted by `tags` and time.
    pub fn new(tags: &[String], schema: SchemaRef, profile: SectionProfile) -> Self {
        Self {
            tags: tags.to_vec(),
            schema,
            profile,
            sample_rows: 0,
            row_group_bytes: ROW_GROUP_BYTES,
            extent: Extent::new(tags),
            state: State::Empty(Vec::new()),
        }
    }

    /// For about so many rows that become about so many bytes: the output does not move while it grows, and
    /// as many of the first rows are looked at for good encodings as is worth it.
    #[must_use]
    pub fn with_expectation(self, rows: u64, bytes: usize) -> Self {
        let sample_rows = usize::try_from(rows / SAMPLE_PART).unwrap_or(usize::MAX);
        Self {
            sample_rows: sample_rows.min(MAX_SAMPLE_ROWS),
            state: State::Empty(Vec::with_capacity(bytes)),
            ..self
        }
    }

    /// With row groups of at most about so many bytes before they are compressed, where rows are wide.
    #[must_use]
    pub fn with_row_group_bytes(self, bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            row_group_bytes: bytes.min(ROW_GROUP_BYTES),
            ..self
        }
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.extent.rows
    }

    /// About how many bytes of memory the writer takes, its output among them.
    pub fn size_bytes(&self) -> usize {
        match &self.state {
            State::Empty(_) => 0,
            State::Open(writer) => writer.bytes_written() + writer.memory_size(),
        }
    }

    /// Writes the next rows. The encodings are chosen by the first ones.
    ///
    /// # Errors
    /// `Points`: no time column; `Parquet`: other columns than the writer's, or more than a file can hold.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), EncodeError> {
        self.extent.add(rows)?;
        if let State::Empty(buffer) = &mut self.state {
            let buffer = mem::take(buffer);
            let properties = self.properties(rows)?;
            let schema = Arc::clone(&self.schema);
            let writer = ArrowWriter::try_new(buffer, schema, Some(properties))?;
            self.state = State::Open(Box::new(writer));
        }
        if let State::Open(writer) = &mut self.state {
            writer.write(rows)?;
        }
        Ok(())
    }

    /// Completes the section.
    pub fn finish(mut self) -> Result<EncodedSection, EncodeError> {
        if matches!(self.state, State::Empty(_)) {
            self.write(&RecordBatch::new_empty(Arc::clone(&self.schema)))?;
        }
        let (metadata, bytes) = match self.state {
            State::Open(mut writer) => (writer.finish()?, mem::take(writer.inner_mut())),
            State::Empty(_) => return Err(ParquetError::General("no writer".to_owned()).into()),
        };
        let bytes = add_checksums(bytes, &metadata)?;
        let (data, footer) = bytes.split_at(footer_start(&metadata, bytes.len()));
        let footer_crc32c = crc32c::crc32c(footer);
        Ok(EncodedSection {
            footer_length: u32::try_from(footer.len())
                .map_err(|_| ParquetError::General("a footer of more than 4 GiB".to_owned()))?,
            crc32c: crc32c::crc32c_combine(crc32c::crc32c(data), footer_crc32c, footer.len()),
            footer_crc32c,
            rows: self.extent.rows,
            min_time: self.extent.min_time(),
            max_time: self.extent.max_time(),
            tags: self.extent.into_tag_ranges(),
            bytes,
        })
    }

    fn properties(&self, first: &RecordBatch) -> Result<WriterProperties, ParquetError> {
        let level = ZstdLevel::try_new(self.profile.zstd_level())?;
        let compression = Compression::ZSTD(level);
        let mut properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(self.profile.row_group_rows()))
            .set_max_row_group_bytes(Some(self.row_group_bytes))
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_write_batch_size(PAGE_ROWS)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_bloom_filter_position(BloomFilterPosition::End)
            .set_sorting_columns(Some(self.sorting_columns()));
        let sample = first.slice(0, first.num_rows().min(self.sample_rows));
        for (field, column) in self.schema.fields().iter().zip(sample.columns()) {
            let encoding = ColumnEncoding::choose(field, column, compression)?;
            properties = encoding.apply(field.name(), properties);
        }
        // The first tag is sorted: its statistics tell as much as a filter could.
        let others = self.tags.iter().skip(1);
        for tag in others.filter(|_| self.profile.has_bloom_filters()) {
            let column = first.column_by_name(tag);
            if column.map_or(0, distinct_values) >= BLOOM_FILTER_MIN_VALUES {
                let path = ColumnPath::new(vec![tag.clone()]);
                properties = properties
                    .set_column_bloom_filter_fpp(path.clone(), BLOOM_FILTER_FPP)
                    .set_column_bloom_filter_max_ndv(path, BLOOM_FILTER_VALUES);
            }
        }
        Ok(properties.build())
    }

    fn sorting_columns(&self) -> Vec<SortingColumn> {
        let names = self.tags.iter().map(String::as_str).chain([TIME_COLUMN]);
        names
            .filter_map(|name| i32::try_from(self.schema.index_of(name).ok()?).ok())
            .map(|column_idx| SortingColumn {
                column_idx,
                descending: false,
                nulls_first: true,
            })
            .collect()
    }
}

/// Where the last column chunk ends: what follows is found without reading data.
fn footer_start(metadata: &ParquetMetaData, length: usize) -> usize {
    let columns = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    let ends = columns.map(|column| {
        let (start, size) = column.byte_range();
        start.saturating_add(size)
    });
    let end = ends.max().and_then(|end| usize::try_from(end).ok());
    end.unwrap_or(0).min(length)
}

/// The rows without the fields that have no value anywhere. Tags stay: they are the order of the section.
pub(crate) fn without_empty_fields(
    tags: &[String],
    rows: &RecordBatch,
) -> Result<RecordBatch, PointsError> {
    let schema = rows.schema();
    let stored = |(at, name): &(usize, &String)| {
        let column = rows.column(*at);
        column.null_count() < column.len() || tags.contains(name)
    };
    let names = schema.fields().iter().map(|field| field.name()).enumerate();
    let kept: Vec<usize> = names.filter(stored).map(|(at, _)| at).collect();
    Ok(rows.project(&kept)?)
}
