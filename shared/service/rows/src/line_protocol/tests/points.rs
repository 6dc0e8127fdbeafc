//! Converts rows to points, and points to line protocol.

use std::{collections::BTreeMap, fmt::Write};

use arrow_array::{
    Array, BooleanArray, DictionaryArray, Float64Array, Int64Array, StringArray,
    TimestampNanosecondArray, UInt64Array, types::Int32Type,
};
use neap_schema::COLUMN_TYPE_METADATA_KEY;

use crate::line_protocol::TableRows;

/// The content of a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) table: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) fields: BTreeMap<String, Field>,
    pub(super) time: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field {
    Float(f64),
    Integer(i64),
    UInteger(u64),
    String(String),
    Boolean(bool),
}

/// Returns the rows of a table as points. Checks that the batch is consistent.
pub(super) fn of_table(table: &TableRows) -> Vec<Point> {
    let batch = &table.batch;
    let time: &TimestampNanosecondArray =
        batch.column(batch.num_columns() - 1).as_any().downcast_ref().unwrap();
    let mut points: Vec<_> = time
        .values()
        .iter()
        .map(|time| Point {
            table: table.name.clone(),
            tags: BTreeMap::new(),
            fields: BTreeMap::new(),
            time: *time,
        })
        .collect();
    let schema = batch.schema();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        assert_eq!(column.len(), points.len());
        assert!(column.null_count() < points.len(), "{} does not occur", field.name());
        let kind = field.metadata().get(COLUMN_TYPE_METADATA_KEY).unwrap();
        assert!(kind.starts_with("iox::column_type::"));
        for (row, point) in points.iter_mut().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            if field.name() == "time" {
                continue;
            }
            match value(column.as_ref(), row) {
                Ok(field_value) => point.fields.insert(field.name().clone(), field_value).is_none(),
                Err(tag) => point.tags.insert(field.name().clone(), tag).is_none(),
            };
        }
    }
    points
}

/// Returns the value of a field as `Ok`, or of a tag as `Err`.
fn value(column: &dyn Array, row: usize) -> Result<Field, String> {
    let column = column.as_any();
    if let Some(tags) = column.downcast_ref::<DictionaryArray<Int32Type>>() {
        let values: &StringArray = tags.values().as_any().downcast_ref().unwrap();
        return Err(values.value(tags.key(row).unwrap()).to_owned());
    }
    Ok(if let Some(column) = column.downcast_ref::<Float64Array>() {
        Field::Float(column.value(row))
    } else if let Some(column) = column.downcast_ref::<Int64Array>() {
        Field::Integer(column.value(row))
    } else if let Some(column) = column.downcast_ref::<UInt64Array>() {
        Field::UInteger(column.value(row))
    } else if let Some(column) = column.downcast_ref::<StringArray>() {
        Field::String(column.value(row).to_owned())
    } else {
        Field::Boolean(column.downcast_ref::<BooleanArray>().unwrap().value(row))
    })
}

impl Point {
    /// Returns the point as a line with the necessary escapes. `is_free` decides on each optional escape.
    pub(super) fn to_line(&self, mut is_free: impl FnMut() -> bool) -> String {
        let mut line = String::new();
        escape(&mut line, &self.table, ", ", "", &mut is_free);
        for (key, value) in &self.tags {
            line.push(',');
            escape(&mut line, key, ",= ", "", &mut is_free);
            line.push('=');
            escape(&mut line, value, ", ", "=", &mut is_free);
        }
        for (number, (key, value)) in self.fields.iter().enumerate() {
            line.push(if number == 0 { ' ' } else { ',' });
            escape(&mut line, key, ",= ", "", &mut is_free);
            line.push('=');
            match value {
                Field::Float(value) => write!(line, "{value}").unwrap(),
                Field::Integer(value) => write!(line, "{value}i").unwrap(),
                Field::UInteger(value) => write!(line, "{value}u").unwrap(),
                Field::Boolean(value) => write!(line, "{value}").unwrap(),
                Field::String(value) => {
                    line.push('"');
                    escape(&mut line, value, "\"", "", &mut is_free);
                    line.push('"');
                }
            }
        }
        write!(line, " {}", self.time).unwrap();
        line
    }
}

/// Appends a text with a backslash before each `special` character, and before `optional` characters if `is_free` says
/// so. A backslash is doubled where it would be read as an escape or end the text, and elsewhere if `is_free` says so.
/// It is not doubled before characters that are part of a name only with a backslash before them, because that
/// backslash is part of the name.
fn escape(
    line: &mut String,
    text: &str,
    special: &str,
    optional: &str,
    is_free: &mut impl FnMut() -> bool,
) {
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_escaped = match (character, characters.peek()) {
            ('\\', None | Some('\\' | ',' | '=' | ' ' | '"')) => true,
            ('\\', Some('\t' | '\n' | '\0')) => false,
            ('\\', _) => is_free(),
            _ => special.contains(character) || (optional.contains(character) && is_free()),
        };
        if is_escaped {
            line.push('\\');
        }
        line.push(character);
    }
}
