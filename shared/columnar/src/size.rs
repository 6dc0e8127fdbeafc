//! The memory of batches.

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::DataType;

/// Returns the memory of the values of a batch, in bytes. A text counts as often as it occurs, because fields do not
/// share their texts as the rows of a dictionary or of a view do.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|column| column_bytes(column.as_ref()))
        .fold(0, usize::saturating_add)
}

fn column_bytes(column: &dyn Array) -> usize {
    let rows = column.len();
    match column.data_type() {
        DataType::Utf8View => sum(text_lengths(column)).saturating_add(rows * size_of::<u128>()),
        DataType::Dictionary(..) => dictionary_bytes(column),
        _ => column
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| column.get_array_memory_size()),
    }
}

fn dictionary_bytes(column: &dyn Array) -> usize {
    let Some(dictionary) = column.as_any_dictionary_opt() else {
        return column.get_array_memory_size();
    };
    let keys = column.len() * size_of::<u32>();
    let values = dictionary.values();
    if values.is_empty() {
        return keys;
    }
    let lengths = text_lengths(values.as_ref());
    let lengths = dictionary
        .normalized_keys()
        .into_iter()
        .map(|key| lengths.get(key).copied().unwrap_or(size_of::<u64>()));
    lengths.fold(keys, usize::saturating_add)
}

/// Returns the length of each text in bytes; empty if the column contains no texts.
fn text_lengths(column: &dyn Array) -> Vec<usize> {
    let length = |text: Option<&str>| text.map_or(0, str::len);
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().map(length).collect(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().map(length).collect(),
        DataType::Utf8View => column.as_string_view().iter().map(length).collect(),
        _ => Vec::new(),
    }
}

fn sum(lengths: Vec<usize>) -> usize {
    lengths.into_iter().fold(0, usize::saturating_add)
}
