//! Reads the rows of a section, and collects their statistics and defects.

use std::{cmp::Ordering, collections::BTreeMap};

use arrow_array::{
    Array, DictionaryArray, RecordBatch, StringArray,
    cast::AsArray,
    types::{Int32Type, TimestampNanosecondType},
};
use bytes::Bytes;
use neap_catalog::Table;
use neap_manifest::{Section, TagRange};
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_section::{SectionFooter, SeriesDigest};
use parquet::{
    arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    file::metadata::PageIndexPolicy,
};

use crate::FindingKind;

/// Number of rows in a decoded batch.
const BATCH_ROWS: usize = 8_192;

/// The statistics of a section, computed from its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SectionContent {
    pub(crate) rows: u64,
    /// The earliest and latest time; `None` without rows.
    pub(crate) times: Option<(i64, i64)>,
    pub(crate) tags: BTreeMap<String, TagRange>,
    /// The digest of the series; `None` if there are too many.
    pub(crate) series: Option<String>,
    /// Bytes at the end of the file that are needed to plan reads and to verify pages.
    pub(crate) footer_bytes: u64,
    /// The CRC-32C of the footer, which is at least these bytes.
    pub(crate) footer_crc32c: u32,
    /// The defects of the rows.
    pub(crate) flaws: Vec<SectionDefect>,
}

/// A defect of rows or columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SectionDefect {
    pub(crate) kind: FindingKind,
    pub(crate) message: String,
}

/// Reads a section. The error describes the damage.
pub(crate) fn read(
    bytes: &Bytes,
    section: &Section,
    table: &Table,
) -> Result<SectionContent, String> {
    if section.crc32c != crc32c::crc32c(bytes) {
        return Err("its checksum does not match".to_owned());
    }
    let damaged = |error: &dyn std::fmt::Display| format!("it can't be decoded: {error}");
    let length = bytes.len() as u64;
    let footer = SectionFooter::decode(bytes, length, PageIndexPolicy::Optional)
        .map_err(|error| damaged(&error))?;
    footer.verify_all(bytes).map_err(|error| error.to_string())?;
    let footer_bytes = footer_bytes(&footer, length);
    let footer_start = length.saturating_sub(footer_bytes.max(section.footer_length.into()));
    let footer = usize::try_from(footer_start)
        .map(|start| bytes.slice(start..))
        .map_err(|error| damaged(&error))?;
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options)
        .map_err(|error| damaged(&error))?;
    let mut content = SectionContent {
        rows: 0,
        times: None,
        tags: BTreeMap::new(),
        series: None,
        footer_bytes,
        footer_crc32c: crc32c::crc32c(&footer),
        flaws: unknown_columns(builder.schema(), table),
    };
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| damaged(&error))?;
    let mut order = RowOrderCheck::new(table);
    let mut series = SeriesDigest::default();
    for batch in reader {
        let batch = batch.map_err(|error| damaged(&error))?;
        let first_row = content.rows;
        content.count(&batch, &order.tags)?;
        order.take(&batch, first_row)?;
        add_series(&mut series, &batch);
    }
    content.series = series.finish();
    content.flaws.extend(order.flaws());
    content.tags.retain(|_, range| range.min.is_some());
    Ok(content)
}

/// Returns the number of bytes at the end of the file with its checksums, page index and metadata.
fn footer_bytes(footer: &SectionFooter, length: u64) -> u64 {
    let groups = footer.metadata().row_groups().iter();
    let columns = groups.flat_map(|group| group.columns());
    let ends = columns.map(|column| {
        let (start, size) = column.byte_range();
        start.saturating_add(size)
    });
    ends.max().map_or(0, |end| length.saturating_sub(end))
}

/// Adds the series of the next rows, in the order of the columns, as the section was encoded.
fn add_series(series: &mut SeriesDigest, rows: &RecordBatch) {
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        if ColumnType::is_tag_type(field.data_type()) {
            series.add_tag(field.name(), column);
        }
    }
    series.end_rows();
}

/// Returns the columns that the catalog lacks or has with another type.
fn unknown_columns(schema: &arrow_schema::Schema, table: &Table) -> Vec<SectionDefect> {
    let flaw = |message: String| SectionDefect { kind: FindingKind::UnknownColumn, message };
    let fields = schema.fields().iter();
    fields
        .filter_map(|field| match table.column(field.name()) {
            None if table.is_dropped_name(field.name()) => None,
            None => {
                Some(flaw(format!("it has a column '{}' that the catalog lacks", field.name())))
            }
            Some(column) if !column.stores(field.data_type()) => Some(flaw(format!(
                "its column '{}' is {}, and {} in the catalog",
                field.name(),
                field.data_type(),
                column.column_type.data_type()
            ))),
            Some(_) => None,
        })
        .collect()
}

impl SectionContent {
    fn count(&mut self, batch: &RecordBatch, tags: &[String]) -> Result<(), String> {
        if let Some((first, last)) = time_range(batch)? {
            self.times = Some(match self.times {
                None => (first, last),
                Some((min, max)) => (min.min(first), max.max(last)),
            });
        }
        for tag in tags {
            let Some((keys, values)) = tag_column(batch, tag) else {
                continue;
            };
            let range = self.tags.entry(tag.clone()).or_default();
            range.has_null |= keys.null_count() > 0;
            let mut seen = vec![false; values.len()];
            for key in keys.keys().iter().flatten() {
                if let Some(slot) = usize::try_from(key).ok().and_then(|key| seen.get_mut(key)) {
                    *slot = true;
                }
            }
            let seen = seen.iter().zip(values).filter(|(seen, _)| **seen);
            for value in seen.filter_map(|(_, value)| value) {
                if range.min.as_deref().is_none_or(|min| value < min) {
                    range.min = Some(value.to_owned());
                }
                if range.max.as_deref().is_none_or(|max| value > max) {
                    range.max = Some(value.to_owned());
                }
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }
}

fn times(batch: &RecordBatch) -> Result<&[i64], String> {
    let times = batch
        .column_by_name(TIME_COLUMN)
        .and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    match times {
        Some(times) if times.null_count() == 0 => Ok(times.values()),
        Some(_) => Err("a row has no time".to_owned()),
        None => Err("it has no column 'time'".to_owned()),
    }
}

fn time_range(batch: &RecordBatch) -> Result<Option<(i64, i64)>, String> {
    let times = times(batch)?;
    Ok(times.iter().min().copied().zip(times.iter().max().copied()))
}

fn tag_column<'a>(
    batch: &'a RecordBatch,
    tag: &str,
) -> Option<(&'a DictionaryArray<Int32Type>, &'a StringArray)> {
    let column = batch.column_by_name(tag)?.as_dictionary_opt::<Int32Type>()?;
    Some((column, column.values().as_string_opt::<i32>()?))
}

/// Checks that rows are sorted by the series key, tag by tag with a missing tag first, then by time, and that no point
/// occurs twice.
struct RowOrderCheck {
    tags: Vec<String>,
    /// The last row of the previous batch.
    last: Option<(Vec<Option<String>>, i64)>,
    unsorted: Option<u64>,
    twice: Option<u64>,
}

impl RowOrderCheck {
    fn new(table: &Table) -> Self {
        Self {
            tags: table.tag_names(),
            last: None,
            unsorted: None,
            twice: None,
        }
    }

    fn take(&mut self, batch: &RecordBatch, first_row: u64) -> Result<(), String> {
        let times = times(batch)?;
        let columns: Vec<_> = self.tags.iter().map(|tag| tag_column(batch, tag)).collect();
        let value = |tag: usize, row: usize| -> Option<&str> {
            let (keys, values) = (*columns.get(tag)?)?;
            let key = usize::try_from(keys.keys().is_valid(row).then(|| keys.keys().value(row))?)
                .ok()
                .filter(|key| *key < values.len())?;
            values.is_valid(key).then(|| values.value(key))
        };
        let is_same_key = |tag: usize, row: usize| match columns.get(tag) {
            Some(Some((keys, _))) => {
                let keys = keys.keys();
                keys.is_valid(row - 1)
                    && keys.is_valid(row)
                    && keys.value(row - 1) == keys.value(row)
            }
            _ => true,
        };
        for (row, time) in times.iter().enumerate() {
            let series = (0..self.tags.len()).map(|tag| match (row, &self.last) {
                (0, None) => Ordering::Less,
                (0, Some((last, _))) => {
                    let before = last.get(tag).and_then(Option::as_deref);
                    before.cmp(&value(tag, row))
                }
                _ if is_same_key(tag, row) => Ordering::Equal,
                _ => value(tag, row - 1).cmp(&value(tag, row)),
            });
            let before = match row {
                0 => self.last.as_ref().map(|(_, time)| *time),
                _ => times.get(row - 1).copied(),
            };
            let ordering = series
                .fold(Ordering::Equal, Ordering::then)
                .then_with(|| before.map_or(Ordering::Less, |before| before.cmp(time)));
            let number = first_row + row as u64;
            match ordering {
                Ordering::Less => {}
                Ordering::Equal => self.twice = self.twice.or(Some(number)),
                Ordering::Greater => self.unsorted = self.unsorted.or(Some(number)),
            }
        }
        if let Some(last) = times.len().checked_sub(1) {
            let tags =
                (0..self.tags.len()).map(|tag| value(tag, last).map(str::to_owned)).collect();
            self.last = times.last().map(|time| (tags, *time));
        }
        Ok(())
    }

    fn flaws(self) -> impl Iterator<Item = SectionDefect> {
        let unsorted = self.unsorted.map(|row| SectionDefect {
            kind: FindingKind::Unsorted,
            message: format!("row {row} sorts before its predecessor"),
        });
        let twice = self.twice.map(|row| SectionDefect {
            kind: FindingKind::DuplicatePoint,
            message: format!("row {row} is the same point as its predecessor"),
        });
        unsorted.into_iter().chain(twice)
    }
}
