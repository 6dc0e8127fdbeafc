//! Builds the bundle of a flush: the rows of its segments as sections, table by table.
//!
//! A flush with one section writes it as a standalone Parquet file.

use std::{ops::RangeInclusive, sync::Arc};

use arrow_array::RecordBatch;
use neap_bucket::Stamp;
use neap_catalog::{DatabaseCatalog, Table};
use neap_manifest::{PendingObject, Section};
use neap_points::{SortedPoints, TableChange, apply_deletes};
use neap_row_delete::RowDelete;
use neap_schema::TableId;
use neap_wal::Segment;

use crate::{
    CompactError,
    caches::{IntervalLayers, MaterializedCaches},
    encode::{EncodeError, EncodedSection, encode_section, without_empty_fields},
    removal::is_being_removed,
    split_by_days,
};

/// The sections of an interval in their bundle.
pub(crate) struct Bundle {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sections: Vec<Section>,
    /// Cache contents of these rows, for the caches of their tables.
    pub(crate) interval: IntervalLayers,
}

/// Builds the bundle of all sections, with their offsets in it.
pub(crate) fn bundle(
    catalog: &DatabaseCatalog,
    segments: &[Arc<Segment>],
    object: PendingObject,
    (above, upto): (Stamp, Stamp),
    kept: &MaterializedCaches,
) -> Result<Bundle, CompactError> {
    let mut tables: Vec<TableId> = segments
        .iter()
        .flat_map(|segment| segment.tables())
        .map(|rows| rows.table)
        .collect();
    tables.sort_unstable();
    tables.dedup();
    let mut bundle = Vec::new();
    let mut sections = Vec::new();
    let mut interval = IntervalLayers::default();
    for id in tables {
        // The rows of a table whose data is being removed are dropped, too.
        let table = catalog.table_by_id(id);
        let Some(table) = table.filter(|table| !is_being_removed(table.deletion())) else {
            continue;
        };
        let parts = deduplicate_table(table, segments)?;
        interval.take_in(kept, table, parts.iter().map(|part| &part.rows));
        for DayRangeRows { days, rows } in parts {
            let encoded = encode_part(table, rows)?;
            sections.push(Section {
                object: object.ulid,
                offset: bundle.len() as u64,
                in_bundle: false,
                length: encoded.bytes.len() as u64,
                footer_length: encoded.footer_length,
                table: id,
                first_day: *days.start(),
                last_day: *days.end(),
                above,
                upto,
                cleaned: Stamp::ZERO,
                added: 0,
                dropped: None,
                origin: None,
                rows: encoded.rows,
                min_time: encoded.min_time,
                max_time: encoded.max_time,
                tags: encoded.tags,
                crc32c: Some(encoded.crc32c),
                footer_crc32c: Some(encoded.footer_crc32c),
            });
            bundle.extend_from_slice(&encoded.bytes);
        }
    }
    let in_bundle = sections.len() > 1;
    for section in &mut sections {
        section.in_bundle = in_bundle;
    }
    Ok(Bundle {
        bytes: bundle,
        sections,
        interval,
    })
}

/// Returns the row deletes of segments, with their stamps.
pub(crate) fn deletes_of<'a>(
    segments: impl Iterator<Item = &'a Arc<Segment>>,
) -> Vec<(Stamp, RowDelete)> {
    let of_segment = |segment: &'a Arc<Segment>| {
        let stamp = segment.name().stamp;
        let deletes = segment.deletes().iter();
        deletes.map(move |delete| (stamp, delete.clone()))
    };
    segments.flat_map(of_segment).collect()
}

/// Rows of one section.
struct DayRangeRows {
    /// The first and the last day, in days since the Unix epoch.
    days: RangeInclusive<i32>,
    /// The deduplicated rows, sorted by tag set and time.
    rows: RecordBatch,
}

/// Returns the deduplicated rows of one table, without deleted rows, for each of its sections.
fn deduplicate_table(
    table: &Table,
    segments: &[Arc<Segment>],
) -> Result<Vec<DayRangeRows>, CompactError> {
    let mut history = Vec::new();
    for segment in segments {
        let rows = segment.rows(table.id())?.into_iter();
        history.extend(rows.map(TableChange::Rows));
        let deletes = segment.deletes().iter();
        let deletes = deletes.filter(|delete| delete.table == table.id());
        history.extend(deletes.map(|delete| TableChange::Delete(&delete.condition)));
    }
    let points = SortedPoints::new(&table.tag_names(), apply_deletes(history)?)?;
    let ranges = split_by_days(points.times()).into_iter();
    let (days, rows): (Vec<_>, Vec<_>) = ranges
        .map(|range| (range.first_day..=range.last_day, range.rows))
        .unzip();
    let batches = points.into_batches(&table.arrow_schema(), rows)?;
    let parts = days.into_iter().zip(batches);
    Ok(parts
        .map(|(days, rows)| DayRangeRows { days, rows })
        .collect())
}

/// Encodes the rows of one section.
fn encode_part(table: &Table, rows: RecordBatch) -> Result<EncodedSection, CompactError> {
    let tags = table.tag_names();
    let encoded = without_empty_fields(&tags, &rows)
        .map_err(EncodeError::from)
        .and_then(|rows| encode_section(&tags, &rows));
    encoded.map_err(|error| match error {
        EncodeError::Points(error) => CompactError::Points(error),
        EncodeError::Parquet(source) => CompactError::Encode {
            table: table.name().to_owned(),
            source,
        },
    })
}
