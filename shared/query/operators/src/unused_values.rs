//! Releases what columns have besides the values of their rows, as operators such as filters leave it behind.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    error::ArrowError,
};
use arrow_select::dictionary::garbage_collect_any_dictionary;

/// Drops the values of dictionaries and views that no row refers to.
///
/// # Errors
/// A dictionary is malformed.
pub fn release_unused_values(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (schema, columns, rows) = batch.into_parts();
    let columns = columns
        .into_iter()
        .map(release_unused_column_values)
        .collect::<Result<Vec<_>, ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

/// Drops the values of a dictionary or of views that no row refers to.
/// Fails if a dictionary is malformed.
pub(crate) fn release_unused_column_values(column: ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(if let Some(dictionary) = column.as_any_dictionary_opt() {
        garbage_collect_any_dictionary(dictionary)?
    } else if let Some(views) = column.as_string_view_opt() {
        Arc::new(views.gc())
    } else if let Some(views) = column.as_binary_view_opt() {
        Arc::new(views.gc())
    } else {
        column
    })
}
