//! Encodes rows as a section: a Parquet file, stored alone or in a bundle.

mod column_encoding;
mod column_writer;
mod section_stats;

use std::{collections::BTreeMap, mem, ops::RangeInclusive, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use neap_bucket::Stamp;
use neap_manifest::{PendingObject, Section, TagRange};
use neap_points::PointsError;
use neap_schema::{TIME_COLUMN, TableId};
use neap_section::{MAX_ROW_GROUP_ROWS, add_checksums};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{ParquetMetaData, SortingColumn},
        properties::{
            BloomFilterPosition, EnabledStatistics, WriterProperties, WriterPropertiesBuilder,
        },
    },
    schema::types::ColumnPath,
};

use column_encoding::ColumnStorage;
use section_stats::{SectionStatsBuilder, distinct_values};

pub(crate) use column_writer::ColumnwiseWriter;
pub use column_writer::encode_section;

/// Maximum number of sample rows for the choice of encodings in a merge.
const MAX_SAMPLE_ROWS: usize = 65_536;

/// Maximum number of sample rows in a flush, which only chooses the columns to compress.
const MAX_FLUSH_SAMPLE_ROWS: usize = 8_192;

/// One row of this number is sampled, so that the trial is cheap compared to the encoding.
const SAMPLE_DIVISOR: u64 = 16;

/// Maximum bytes of a row group before compression. Limits row groups of wide rows, because a row group stays in memory
/// until it is complete.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Rows of a page, the smallest unit that a query can skip.
const PAGE_ROWS: usize = 8_192;

/// False-positive rate of a bloom filter.
const BLOOM_FILTER_FPP: f64 = 0.02;

/// Number of distinct values of a row group for which a bloom filter is sized. More values raise its false-positive
/// rate. The filters of all row groups, each of this size, stay in memory until the section is complete.
const BLOOM_FILTER_VALUES: u64 = 8_192;

/// Minimum number of distinct values among the first rows for a bloom filter on a tag. With fewer values, either the
/// tag has few values and every row group contains all of them, or few series fill a row group and its statistics prune
/// as well.
const BLOOM_FILTER_MIN_VALUES: usize = 16;

/// Encoding effort for a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionProfile {
    /// Low effort, because the section is merged again soon.
    Flush,
    /// Higher effort, because the section stays.
    Merge,
}

impl SectionProfile {
    fn compression(self) -> Result<Compression, ParquetError> {
        let level = match self {
            Self::Flush => 1,
            Self::Merge => 3,
        };
        Ok(Compression::ZSTD(ZstdLevel::try_new(level)?))
    }

    /// Returns the properties of all columns, before their encodings are chosen.
    fn properties(self) -> Result<WriterPropertiesBuilder, ParquetError> {
        Ok(WriterProperties::builder()
            .set_compression(self.compression()?)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_write_batch_size(PAGE_ROWS)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_bloom_filter_position(BloomFilterPosition::End))
    }

    /// Returns the number of rows of a row group: large enough that footer and dictionaries are small in proportion,
    /// and small enough that several cores can share the rows of a day.
    fn row_group_rows(self) -> usize {
        match self {
            Self::Flush => 131_072,
            Self::Merge => MAX_ROW_GROUP_ROWS,
        }
    }

    /// Returns how many of `rows` rows are the sample for the choice of encodings and compression.
    fn sample_rows(self, rows: u64) -> usize {
        let part = usize::try_from(rows / SAMPLE_DIVISOR).unwrap_or(usize::MAX);
        part.min(match self {
            Self::Flush => MAX_FLUSH_SAMPLE_ROWS,
            Self::Merge => MAX_SAMPLE_ROWS,
        })
    }

    /// Returns how many encodings are tried for a column.
    fn max_candidates(self) -> usize {
        match self {
            Self::Flush => 1,
            Self::Merge => usize::MAX,
        }
    }

    fn has_bloom_filters(self) -> bool {
        self == Self::Merge
    }
}

/// An encoded section that is not yet placed in a bundle.
#[derive(Debug)]
pub struct EncodedSection {
    /// The Parquet file.
    pub bytes: Vec<u8>,
    /// Number of bytes at the end of the file that hold bloom filters, checksums, page index and Parquet footer.
    pub footer_length: u32,
    /// The CRC-32C of all bytes.
    pub crc32c: u32,
    /// The CRC-32C of these footer bytes.
    pub footer_crc32c: u32,
    /// The number of rows.
    pub rows: u64,
    /// The earliest time, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time.
    pub max_time: i64,
    /// The range of each tag that has a value somewhere.
    pub tags: BTreeMap<String, TagRange>,
    /// The digest of the series; `None` if it is unknown, because there are too many.
    pub series: Option<String>,
}

impl EncodedSection {
    /// Describes the section for the manifest: alone in its object, with the row deletes of its own segments applied.
    /// `stamps` are the bounds of these segments, the first one exclusive.
    pub fn describe(
        &self,
        object: PendingObject,
        table: TableId,
        days: RangeInclusive<i32>,
        stamps: (Stamp, Stamp),
    ) -> Section {
        let (above, upto) = stamps;
        Section {
            object: object.ulid,
            length: self.bytes.len() as u64,
            footer_length: self.footer_length,
            table,
            first_day: *days.start(),
            last_day: *days.end(),
            above,
            upto,
            rows: self.rows,
            min_time: self.min_time,
            max_time: self.max_time,
            tags: self.tags.clone(),
            series: self.series.clone(),
            crc32c: self.crc32c,
            footer_crc32c: self.footer_crc32c,
            ..Section::default()
        }
    }
}

/// Reason why rows could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The Parquet writer rejected the rows.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// The rows have no time column, or unexpected types.
    #[error(transparent)]
    Points(#[from] PointsError),
}

/// Encodes a section incrementally. The compressed output and the current row group are in memory.
#[derive(Debug)]
pub struct SectionWriter {
    tags: Vec<String>,
    schema: SchemaRef,
    profile: SectionProfile,
    sample_rows: usize,
    row_group_bytes: usize,
    extent: SectionStatsBuilder,
    state: WriterState,
}

#[derive(Debug)]
enum WriterState {
    /// No rows were written; the first rows determine the encodings. Holds the output buffer.
    Empty(Vec<u8>),
    Open(Box<ArrowWriter<Vec<u8>>>),
}

impl SectionWriter {
    /// Creates a writer for rows with exactly these columns, sorted by `tags` and time.
    pub fn new(tags: &[String], schema: SchemaRef, profile: SectionProfile) -> Self {
        Self {
            tags: tags.to_vec(),
            schema,
            profile,
            sample_rows: 0,
            row_group_bytes: ROW_GROUP_BYTES,
            extent: SectionStatsBuilder::new(tags),
            state: WriterState::Empty(Vec::new()),
        }
    }

    /// Sets the expected number of rows and output bytes. Preallocates the output, and samples the first rows for the
    /// choice of encodings and compression in proportion to the size.
    #[must_use]
    pub fn with_expectation(self, rows: u64, bytes: usize) -> Self {
        Self {
            sample_rows: self.profile.sample_rows(rows),
            state: WriterState::Empty(Vec::with_capacity(bytes)),
            ..self
        }
    }

    /// Limits row groups to about `bytes` bytes before compression, for wide rows.
    #[must_use]
    pub fn with_row_group_bytes(self, bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self { row_group_bytes: bytes.min(ROW_GROUP_BYTES), ..self }
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.extent.rows
    }

    /// Returns the approximate memory of the writer in bytes, including its output.
    pub fn size_bytes(&self) -> usize {
        match &self.state {
            WriterState::Empty(_) => 0,
            WriterState::Open(writer) => writer.bytes_written() + writer.memory_size(),
        }
    }

    /// Writes the next rows. The first rows determine the encodings.
    ///
    /// # Errors
    /// `Points` if there is no time column; `Parquet` if the columns differ from the writer's, or the file would be too
    /// large.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), EncodeError> {
        self.extent.add(rows)?;
        if let WriterState::Empty(buffer) = &mut self.state {
            let buffer = mem::take(buffer);
            let properties = self.properties(rows)?;
            let schema = Arc::clone(&self.schema);
            let writer = ArrowWriter::try_new(buffer, schema, Some(properties))?;
            self.state = WriterState::Open(Box::new(writer));
        }
        if let WriterState::Open(writer) = &mut self.state {
            writer.write(rows)?;
        }
        Ok(())
    }

    /// Completes the section.
    pub fn finish(mut self) -> Result<EncodedSection, EncodeError> {
        if matches!(self.state, WriterState::Empty(_)) {
            self.write(&RecordBatch::new_empty(Arc::clone(&self.schema)))?;
        }
        let (metadata, bytes) = match self.state {
            WriterState::Open(mut writer) => (writer.finish()?, mem::take(writer.inner_mut())),
            WriterState::Empty(_) => {
                return Err(ParquetError::General("no writer".to_owned()).into());
            }
        };
        encoded_section(bytes, &metadata, self.extent)
    }

    fn properties(&self, first: &RecordBatch) -> Result<WriterProperties, ParquetError> {
        let compression = self.profile.compression()?;
        let mut properties = self
            .profile
            .properties()?
            .set_max_row_group_row_count(Some(self.profile.row_group_rows()))
            .set_max_row_group_bytes(Some(self.row_group_bytes))
            .set_sorting_columns(Some(sorting_columns(&self.tags, &self.schema)));
        let sample = first.slice(0, first.num_rows().min(self.sample_rows));
        for (field, column) in self.schema.fields().iter().zip(sample.columns()) {
            let candidates = self.profile.max_candidates();
            // The texts of the rows that follow are not known.
            let storage = ColumnStorage::choose(field, column, None, candidates, compression)?;
            properties = storage.apply(field.name(), properties);
        }
        // The first tag is sorted, so its statistics prune as well as a filter could.
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
}

/// Returns the columns by which the rows of a section are sorted.
fn sorting_columns(tags: &[String], schema: &Schema) -> Vec<SortingColumn> {
    let names = tags.iter().map(String::as_str).chain([TIME_COLUMN]);
    names
        .filter_map(|name| i32::try_from(schema.index_of(name).ok()?).ok())
        .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true })
        .collect()
}

/// Adds the checksums to a Parquet file.
fn encoded_section(
    file: Vec<u8>,
    metadata: &ParquetMetaData,
    extent: SectionStatsBuilder,
) -> Result<EncodedSection, EncodeError> {
    let bytes = add_checksums(file, metadata)?;
    let (data, footer) = bytes.split_at(footer_start(metadata, bytes.len()));
    let footer_crc32c = crc32c::crc32c(footer);
    let (rows, min_time, max_time) = (extent.rows, extent.min_time(), extent.max_time());
    let (tags, series) = extent.into_tags_and_series();
    Ok(EncodedSection {
        footer_length: u32::try_from(footer.len())
            .map_err(|_| ParquetError::General("a footer of more than 4 GiB".to_owned()))?,
        crc32c: crc32c::crc32c_combine(crc32c::crc32c(data), footer_crc32c, footer.len()),
        footer_crc32c,
        rows,
        min_time,
        max_time,
        tags,
        series,
        bytes,
    })
}

/// Returns the end of the last column chunk. The bytes after it can be read without reading data.
fn footer_start(metadata: &ParquetMetaData, length: usize) -> usize {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let ends = columns.map(|column| {
        let (start, size) = column.byte_range();
        start.saturating_add(size)
    });
    let end = ends.max().and_then(|end| usize::try_from(end).ok());
    end.unwrap_or(0).min(length)
}
