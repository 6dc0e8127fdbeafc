//! Selects the rows of a segment for a trigger.

use arrow_array::RecordBatch;
use neap_catalog::{DatabaseCatalog, TriggerSpecification};
use neap_manifest::named_rows;
use neap_wal::{Segment, SegmentError};

/// Returns the rows of the tables that a trigger is for, in the order of the segment; empty if the segment has none.
/// Tables and columns that are unknown to the catalog or dropped are left out.
pub(crate) fn tables_for(
    segment: &Segment,
    catalog: &DatabaseCatalog,
    specification: &TriggerSpecification,
) -> Result<Vec<(String, Vec<RecordBatch>)>, SegmentError> {
    let mut tables = Vec::new();
    let mut seen = Vec::new();
    for entry in segment.directory() {
        if seen.contains(&entry.table) {
            continue;
        }
        seen.push(entry.table);
        let Some(table) = catalog.table_by_id(entry.table) else {
            continue;
        };
        let is_wanted = match specification {
            TriggerSpecification::SingleTableWalWrite { table_name } => table.is_named(table_name),
            TriggerSpecification::AllTablesWalWrite => true,
            TriggerSpecification::Schedule { .. }
            | TriggerSpecification::Every { .. }
            | TriggerSpecification::RequestPath { .. } => false,
        };
        if is_wanted && table.deletion().is_none() {
            tables.push((table.name().to_owned(), named_rows(segment, table)?));
        }
    }
    Ok(tables)
}
