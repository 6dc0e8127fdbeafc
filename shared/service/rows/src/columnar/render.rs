//! The text of a row in an error.

use arrow_array::{Array, RecordBatch};

use crate::columnar::cast::value_to_string;

/// Maximum length of a row, in characters. The row is cut after the value that exceeds it.
const MAX_ROW_CHARS: usize = 256;

/// Maximum length of a value, in characters.
const MAX_VALUE_CHARS: usize = 64;

/// Returns a row as `column=value` pairs without its nulls. Long values and long rows are cut.
pub(crate) fn render_row(batch: &RecordBatch, row: usize) -> String {
    let mut text = String::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if column.is_null(row) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        if text.len() > MAX_ROW_CHARS {
            text.push_str("...");
            break;
        }
        push_cut(&mut text, field.name());
        text.push('=');
        push_cut(&mut text, &render_value(column.as_ref(), row));
    }
    text
}

/// Returns a value as text; empty if its type has no texts.
pub(crate) fn render_value(column: &dyn Array, row: usize) -> String {
    value_to_string(column, row).unwrap_or_default()
}

fn push_cut(text: &mut String, value: &str) {
    match value.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => {
            text.push_str(value.get(..end).unwrap_or_default());
            text.push_str("...");
        }
        None => text.push_str(value),
    }
}
