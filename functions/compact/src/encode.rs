//! Writes rows as a section: a Parquet file that stands alone or in a bundle.

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch, cast::AsArray, types::Int32Type};
use neap_manifest::TagRange;
use neap_points::{PointsError, times};
use neap_schema::TIME_COLUMN;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::SortingColumn,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

/// Rows of a row group: large enough for a footer to be small beside it, small enough for a query of one
/// series to skip most of a day, and for two cores to have work.
const ROW_GROUP_ROWS: usize = 131_072;

/// Rows of a page, the smallest part that a query can skip.
const PAGE_ROWS: usize = 8_192;

/// The zstd level. Levels above 1 cost more CPU time than the bytes they save are worth in a flush, whose
/// output is merged again soon.
const ZSTD_LEVEL: i32 = 1;

/// A section before it has a place in a bundle.
#[derive(Debug)]
pub struct EncodedSection {
    /// The Parquet file.
    pub bytes: Vec<u8>,
    /// The number of bytes at its end that hold page index and footer.
    pub footer_length: u32,
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

/// Writes folded rows, sorted by `tags` and time.
pub fn encode_section(tags: &[String], rows: &RecordBatch) -> Result<EncodedSection, EncodeError> {
    let times = times(rows)?.values();
    let properties = properties(tags, rows)?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties))?;
    writer.write(rows)?;
    let metadata = writer.finish()?;
    drop(writer);
    // Column indexes come first among what follows the data.
    let first_index = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns())
        .flat_map(|column| [column.column_index_offset(), column.offset_index_offset()])
        .flatten()
        .filter_map(|offset| usize::try_from(offset).ok())
        .min();
    let footer_start = first_index.unwrap_or_else(|| bytes.len().saturating_sub(FOOTER_TAIL));
    Ok(EncodedSection {
        footer_length: u32::try_from(bytes.len() - footer_start)
            .map_err(|_| ParquetError::General("a footer of more than 4 GiB".to_owned()))?,
        rows: rows.num_rows() as u64,
        min_time: times.iter().copied().min().unwrap_or(0),
        max_time: times.iter().copied().max().unwrap_or(0),
        tags: tag_ranges(tags, rows),
        bytes,
    })
}

/// The length and the magic at the end of a Parquet file.
const FOOTER_TAIL: usize = 8;

fn properties(tags: &[String], rows: &RecordBatch) -> Result<WriterProperties, ParquetError> {
    let schema = rows.schema();
    let sorting = tags.iter().map(String::as_str).chain([TIME_COLUMN]);
    let sorting = sorting
        .filter_map(|name| i32::try_from(schema.index_of(name).ok()?).ok())
        .map(|column_idx| SortingColumn {
            column_idx,
            descending: false,
            nulls_first: true,
        })
        .collect();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting));
    let time = ColumnPath::from(TIME_COLUMN);
    properties = properties
        .set_column_dictionary_enabled(time.clone(), false)
        .set_column_encoding(time, Encoding::DELTA_BINARY_PACKED);
    Ok(properties.build())
}

fn tag_ranges(tags: &[String], rows: &RecordBatch) -> BTreeMap<String, TagRange> {
    let range = |tag: &String| {
        let column = rows.column_by_name(tag)?.as_dictionary_opt::<Int32Type>()?;
        let values = column.values().as_string_opt::<i32>()?;
        let mut used = vec![false; values.len()];
        for key in column.keys().iter().flatten() {
            if let Some(slot) = usize::try_from(key).ok().and_then(|key| used.get_mut(key)) {
                *slot = true;
            }
        }
        let seen = || {
            used.iter()
                .zip(values)
                .filter(|(used, _)| **used)
                .filter_map(|(_, value)| value)
        };
        let owned = |value: Option<&str>| value.map(str::to_owned);
        let (min, max) = (owned(seen().min()), owned(seen().max()));
        min.is_some().then(|| {
            (
                tag.clone(),
                TagRange {
                    min,
                    max,
                    has_null: column.null_count() > 0,
                },
            )
        })
    };
    tags.iter().filter_map(range).collect()
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
