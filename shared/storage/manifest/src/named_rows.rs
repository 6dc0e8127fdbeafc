//! The rows of a segment with the present names of their columns.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{FieldRef, Schema};
use neap_bucket::Key;
use neap_catalog::Table;
use neap_wal::{Segment, SegmentError};

/// Returns the rows of a table in a segment, one batch for each stream, with the names of its columns. Columns that are unknown
/// to the catalog or dropped are left out.
///
/// # Errors
/// A stream of the table is damaged.
pub fn named_rows(segment: &Segment, table: &Table) -> Result<Vec<RecordBatch>, SegmentError> {
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
