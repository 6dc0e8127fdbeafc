//! Builds the bundle of a flush: the rows of its segments as sections, table by table.
//!
//! A flush with one section writes it as a standalone Parquet file.

use std::{collections::BTreeMap, sync::Arc};

use neap_bucket::Stamp;
use neap_catalog::DatabaseCatalog;
use neap_manifest::{PendingObject, Section};
use neap_row_delete::RowDelete;
use neap_schema::TableId;
use neap_wal::Segment;

use crate::{
    CompactError,
    caches::{IntervalLayers, MaterializedCaches},
    flush_plan::memory_of,
    removal::is_being_removed,
    table_sections::TableRows,
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
    // The memory of the rows of each table.
    let mut tables: BTreeMap<TableId, u64> = BTreeMap::new();
    for rows in segments.iter().flat_map(|segment| segment.tables()) {
        let bytes = tables.entry(rows.table).or_default();
        *bytes = bytes.saturating_add(memory_of(&rows, catalog));
    }
    let mut bundle = Vec::new();
    let mut sections = Vec::new();
    let mut interval = IntervalLayers::default();
    for (id, bytes) in tables {
        // The rows of a table whose data is being removed are dropped, too.
        let table = catalog.table_by_id(id);
        let Some(table) = table.filter(|table| !is_being_removed(table.deletion())) else {
            continue;
        };
        let stored = table.stored();
        let rows = TableRows::new(&stored, segments, bytes);
        for (days, encoded) in rows.encode(kept, &mut interval)? {
            sections.push(Section {
                offset: bundle.len() as u64,
                ..encoded.describe(object, id, days, (above, upto))
            });
            if bundle.is_empty() {
                bundle = encoded.bytes;
            } else {
                bundle.extend_from_slice(&encoded.bytes)
            }
        }
    }
    let in_bundle = sections.len() > 1;
    for section in &mut sections {
        section.in_bundle = in_bundle;
    }
    Ok(Bundle { bytes: bundle, sections, interval })
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
