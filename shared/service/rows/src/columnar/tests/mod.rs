//! Tests of the crate as a whole, with a database as a schema.

mod aliases;
mod conversions;
mod equivalence;
mod mappings;
mod times;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use neap_schema::ColumnType;

use crate::{
    columnar::{ColumnMapping, ColumnarRows, TagColumns, TimeColumn},
    line_protocol::{Options, ParsedBody, RowSource, SchemaView, TableView},
    test_database::TestDatabase,
};

/// Returns a mapping to the table `m`.
fn mapping(tags: TagColumns, time: TimeColumn) -> ColumnMapping {
    ColumnMapping { table: "m".to_owned(), tags, time }
}

fn named_tags(names: &[&str]) -> TagColumns {
    TagColumns::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

/// Creates a batch of nullable columns.
fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Validates a batch with the default mapping to the table `m`.
fn validate(columns: Vec<(&str, ArrayRef)>, database: &TestDatabase) -> ParsedBody {
    let mapping = mapping(TagColumns::ByType, TimeColumn::default());
    validate_with(mapping, columns, database)
}

fn validate_with(
    mapping: ColumnMapping,
    columns: Vec<(&str, ArrayRef)>,
    database: &TestDatabase,
) -> ParsedBody {
    let rows = ColumnarRows::new(mapping, vec![batch(columns)]).unwrap();
    let options = Options { default_time_ns: 42, ..Options::default() };
    rows.validate(database, &options).unwrap()
}

/// Returns the numbers and messages of the refused rows.
fn messages(parsed: &ParsedBody) -> Vec<(usize, &str)> {
    let errors = parsed.errors.iter();
    errors.map(|error| (error.line_number, error.error_message.as_str())).collect()
}

/// Returns a column of the only table.
fn column(parsed: &ParsedBody, name: &str) -> ArrayRef {
    let batch = &parsed.tables[0].batch;
    Arc::clone(batch.column_by_name(name).unwrap())
}
