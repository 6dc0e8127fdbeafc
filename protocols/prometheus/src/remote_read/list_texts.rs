//! The texts of lists.

use std::collections::BTreeSet;

use arrow_array::{Array, RecordBatch, StringArray, cast::AsArray};
use arrow_cast::cast;
use arrow_schema::DataType;

use crate::remote_read::failure::{ReadFailure, ReadResult};

/// Maximum memory of a list, in bytes.
pub(crate) const MAX_LIST_BYTES: usize = 64 << 20;

/// The memory of an entry of a list besides its texts, in bytes.
pub(crate) const ENTRY_BYTES: usize = 64;

/// Texts within a limit of memory.
#[derive(Debug, Default)]
pub(crate) struct TextSet {
    texts: BTreeSet<String>,
    bytes: usize,
}

impl TextSet {
    /// Adds a text.
    ///
    /// # Errors
    /// The texts take too much memory.
    pub(crate) fn insert(&mut self, text: &str) -> ReadResult {
        if self.texts.contains(text) {
            return Ok(());
        }
        self.bytes += text.len() + ENTRY_BYTES;
        if self.bytes > MAX_LIST_BYTES {
            return Err(ReadFailure::TooLarge(MAX_LIST_BYTES));
        }
        self.texts.insert(text.to_owned());
        Ok(())
    }

    pub(crate) fn into_texts(self) -> BTreeSet<String> {
        self.texts
    }
}

/// Returns a column as texts; empty if it does not exist.
pub(crate) fn text_column(batch: &RecordBatch, name: &str) -> ReadResult<StringArray> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(StringArray::new_null(batch.num_rows()));
    };
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Returns a text of a column; empty if it is null.
pub(crate) fn text(column: &StringArray, row: usize) -> &str {
    if column.is_valid(row) {
        column.value(row)
    } else {
        ""
    }
}
