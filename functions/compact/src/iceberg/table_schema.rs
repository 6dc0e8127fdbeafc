//! The schema of a published table: Iceberg's types for the columns, and the names that they have in the files.
//!
//! | column | Iceberg | |
//! |---|---|---|
//! | `time` | `timestamp` or `long` | version 2 of the format has no timestamps in nanoseconds |
//! | tag, text | `string` | |
//! | float | `double` | |
//! | integer | `long` | |
//! | unsigned integer | none | no type of Iceberg can be read from 64-bit unsigned integers of Parquet |
//! | float that was an integer | none | no type of Iceberg can be read from integers and floats |
//! | boolean | `boolean` | |
//!
//! Sections have no field ids, so the name mapping of the table assigns them by name. It also names columns without a
//! type and dropped columns, because some readers refuse files with columns that it lacks.

use std::collections::BTreeMap;

use neap_catalog::{Column, DroppedColumn, Table};
use neap_schema::{ColumnId, ColumnType};
use serde_json::{Value, json};

use super::PublishedTimeType;

/// The id of a column `time` of type `long`, above the ids of all other columns. A column of another type is another
/// column.
const LONG_TIME_FIELD: u32 = 1 << 17;

/// The schema of a published table.
#[derive(Debug)]
pub(super) struct TableSchema {
    fields: Vec<SchemaField>,
    /// The ids of tags by their names in the files.
    tags: BTreeMap<String, u32>,
    /// The ids of columns that were dropped, with their names in the files.
    dropped: Vec<(u32, String)>,
    time: PublishedTimeType,
    schema_id: usize,
}

/// A column.
#[derive(Debug)]
struct SchemaField {
    id: u32,
    name: String,
    name_in_files: String,
    /// The type; `None` if Iceberg has none.
    iceberg_type: Option<&'static str>,
    is_time: bool,
}

fn field_id(column: &Column, time: PublishedTimeType) -> u32 {
    match (column.column_type, time) {
        (ColumnType::Time, PublishedTimeType::Long) => LONG_TIME_FIELD,
        _ => field_id_of(column.id),
    }
}

/// Returns the id of a column. Iceberg's ids start at 1.
fn field_id_of(column: ColumnId) -> u32 {
    u32::from(column.get()) + 1
}

fn iceberg_type(column_type: ColumnType, time: PublishedTimeType) -> Option<&'static str> {
    match column_type {
        ColumnType::Time => Some(match time {
            PublishedTimeType::Timestamp => "timestamp",
            PublishedTimeType::Long => "long",
        }),
        ColumnType::Tag | ColumnType::String => Some("string"),
        ColumnType::Float => Some("double"),
        ColumnType::Integer => Some("long"),
        ColumnType::Boolean => Some("boolean"),
        ColumnType::UInteger => None,
    }
}

impl TableSchema {
    pub(super) fn new(table: &Table, time: PublishedTimeType) -> Self {
        let fields = table.columns().iter().map(|column| SchemaField {
            id: field_id(column, time),
            name: column.name.clone(),
            name_in_files: column.stored_name().to_owned(),
            iceberg_type: iceberg_type(column.column_type, time).filter(|_| !column.is_widened()),
            is_time: column.column_type == ColumnType::Time,
        });
        let tags = table.tags().map(|tag| (tag.stored_name().to_owned(), field_id(tag, time)));
        let name_of = |it: &DroppedColumn| (field_id_of(it.id), it.stored_name.clone());
        let dropped = table.dropped_columns().iter().map(name_of);
        let version = usize::try_from(table.columns_version()).unwrap_or(usize::MAX);
        Self {
            fields: fields.collect(),
            tags: tags.collect(),
            dropped: dropped.collect(),
            time,
            schema_id: version.saturating_sub(1),
        }
    }

    /// Returns the id of the schema. It grows with each change of the columns of the table.
    pub(super) fn schema_id(&self) -> usize {
        self.schema_id
    }

    /// Returns the highest id of a column, including those that were dropped.
    pub(super) fn last_column_id(&self) -> u32 {
        let ids = self.fields.iter().map(|field| field.id);
        let dropped = self.dropped.iter().map(|(id, _)| *id);
        ids.chain(dropped).max().unwrap_or_default()
    }

    /// Returns the id of the column `time`.
    pub(super) fn time_field(&self) -> u32 {
        let time = self.fields.iter().find(|field| field.is_time);
        time.map_or(1, |field| field.id)
    }

    /// Returns the id of a tag by its name in the files.
    pub(super) fn tag_field(&self, name: &str) -> Option<u32> {
        self.tags.get(name).copied()
    }

    /// Returns bounds of times in the unit of the column `time`. `first` and `last` are in nanoseconds since the Unix
    /// epoch. Some readers round nanoseconds and others truncate them, so the bounds hold for both.
    pub(super) fn time_bounds(&self, first: i64, last: i64) -> (i64, i64) {
        match self.time {
            PublishedTimeType::Long => (first, last),
            PublishedTimeType::Timestamp => {
                (first.div_euclid(1_000), last.div_euclid(1_000).saturating_add(1))
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let fields = self.fields.iter().filter_map(|field| {
            Some(json!({
                "id": field.id,
                "name": field.name,
                "required": field.is_time,
                "type": field.iceberg_type?,
            }))
        });
        json!({
            "type": "struct",
            "schema-id": self.schema_id(),
            "fields": fields.collect::<Vec<_>>(),
        })
    }

    /// Returns the name mapping as JSON: the ids of all columns by their names in the files.
    pub(super) fn name_mapping(&self) -> Value {
        let fields = self.fields.iter().map(|field| (field.id, &field.name_in_files));
        let dropped = self.dropped.iter().map(|(id, name)| (*id, name));
        let mapped = fields.chain(dropped);
        Value::Array(mapped.map(|(id, name)| json!({ "field-id": id, "names": [name] })).collect())
    }

    /// Returns the names of the columns that are not published, as a JSON array.
    pub(super) fn omitted_columns(&self) -> Option<Value> {
        let omitted = self.fields.iter().filter(|field| field.iceberg_type.is_none());
        let names: Vec<_> = omitted.map(|field| json!(field.name)).collect();
        (!names.is_empty()).then_some(Value::Array(names))
    }
}
