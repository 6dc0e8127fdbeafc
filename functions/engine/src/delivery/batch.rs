//! Selects the rows of a segment for a trigger.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{FieldRef, Schema};
use neap_bucket::Key;
use neap_catalog::{DatabaseCatalog, Table, TriggerSpecification};
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
            tables.push((table.name().to_owned(), shown_rows(segment, table)?));
        }
    }
    Ok(tables)
}

/// Returns the rows of a table in a segment with the names of its columns.
fn shown_rows(segment: &Segment, table: &Table) -> Result<Vec<RecordBatch>, SegmentError> {
    if table.has_stored_names() && table.dropped_columns().is_empty() {
        return segment.rows(table.id());
    }
    let stored = |name: &str| {
        let mut columns = table.columns().iter();
        columns.find(|column| column.stored_name() == name)
    };
    let batches = segment.columns(table.id(), &|name| stored(name).is_some())?.into_iter();
    let shown = batches.map(|rows| {
        let fields = rows.schema_ref().fields().iter().map(|field| {
            let name = stored(field.name()).map_or(field.name(), |column| &column.name);
            FieldRef::new(field.as_ref().clone().with_name(name))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        RecordBatch::try_new(schema, rows.columns().to_vec()).map_err(|error| SegmentError::Rows {
            key: Key::Segment(segment.database(), segment.name()).to_string(),
            table: table.id(),
            reason: error.to_string(),
        })
    });
    shown.collect()
}
