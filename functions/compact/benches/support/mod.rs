//! Rows for the benchmarks: line protocol files as deduplicated tables.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::{Schema, SchemaRef};
use neap_points::deduplicate;
use neap_rows::line_protocol::{Options, Precision, SchemaView, TableView, parse};
use neap_schema::{COLUMN_TYPE_METADATA_KEY, ColumnType, TIME_COLUMN};

/// Bytes of line protocol that are parsed in one call.
const BODY_BYTES: usize = 8 << 20;

struct EmptySchemaView;

impl SchemaView for EmptySchemaView {
    fn table(&self, _: &str) -> Option<Arc<TableView>> {
        None
    }
}

/// Returns the rows of each table of a line protocol file, deduplicated and sorted by tags and time. Timestamps of ten
/// digits are seconds, others are nanoseconds.
pub(crate) fn load(path: &Path) -> Vec<RecordBatch> {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut parts: BTreeMap<String, (Vec<String>, Vec<RecordBatch>)> = BTreeMap::new();
    let mut rest = text.as_slice();
    while !rest.is_empty() {
        let end = rest.len().min(BODY_BYTES);
        let end = match rest[end..].iter().position(|byte| *byte == b'\n') {
            Some(newline) => end + newline + 1,
            None => rest.len(),
        };
        let (body, after) = rest.split_at(end);
        rest = after;
        let seconds = body.trim_ascii_end().rsplit(|byte| *byte == b' ').next();
        let precision = match seconds.map(<[u8]>::len) {
            Some(10) => Precision::Second,
            _ => Precision::Nanosecond,
        };
        let options = Options::with_precision(precision);
        for table in parse(body, &EmptySchemaView, &options).unwrap().tables {
            let (tags, batches) = parts.entry(table.name).or_default();
            for (name, kind) in table.new_columns {
                if kind == ColumnType::Tag && !tags.contains(&name) {
                    tags.push(name);
                }
            }
            batches.push(table.batch);
        }
    }
    let tables = parts.into_values();
    tables
        .map(|(tags, batches)| deduplicate(&tags, &schema_of(&batches), batches).unwrap())
        .collect()
}

/// Returns all columns of some batches, sorted by name.
fn schema_of(batches: &[RecordBatch]) -> SchemaRef {
    let fields: BTreeMap<String, _> = batches
        .iter()
        .flat_map(|batch| batch.schema_ref().fields().iter().cloned().collect::<Vec<_>>())
        .map(|field| (field.name().clone(), field))
        .collect();
    Arc::new(Schema::new(fields.into_values().collect::<Vec<_>>()))
}

/// Replaces integers with whole-numbered floats, as many collectors send them.
pub(crate) fn with_floats(rows: &RecordBatch) -> RecordBatch {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| match column
        .as_primitive_opt::<Int64Type>(
    ) {
        Some(integers) => {
            let floats: Float64Array = integers.unary(|value| value as f64);
            (ColumnType::Float.arrow_field(field.name()), Arc::new(floats) as ArrayRef)
        }
        None => (Arc::clone(field), Arc::clone(column)),
    });
    let (fields, columns): (Vec<_>, Vec<_>) = columns.unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Returns the column kind of a field, for tables of results.
pub(crate) fn kind_of(field: &arrow_schema::Field) -> &'static str {
    let kind = field.metadata().get(COLUMN_TYPE_METADATA_KEY);
    match kind.and_then(|kind| kind.rsplit("::").next()) {
        Some("tag") => "tag",
        Some("timestamp") => TIME_COLUMN,
        Some("float") => "float",
        Some("integer") => "integer",
        Some("uinteger") => "uinteger",
        Some("boolean") => "boolean",
        _ => "string",
    }
}
