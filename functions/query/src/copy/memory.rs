//! Estimates of the memory that encoding takes.

use arrow::array::{AnyDictionaryArray, Array, AsArray, RecordBatch};

/// The text of a number or time with its separators, in bytes.
const NUMBER_TEXT_BYTES: usize = 32;

/// Returns the memory of a batch with plain values in place of dictionaries, in bytes.
pub(super) fn plain_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns.fold(0, |sum, column| sum.saturating_add(column_bytes(column)))
}

/// Returns an estimate of the memory of a batch as text, in bytes. Half of the characters of a text may need an escape.
pub(super) fn text_bytes(batch: &RecordBatch) -> usize {
    let schema = batch.schema_ref();
    let names = schema.fields().iter().map(|field| field.name().len());
    let row =
        names.fold(0_usize, |sum, name| sum.saturating_add(name).saturating_add(NUMBER_TEXT_BYTES));
    let rows = row.saturating_mul(batch.num_rows());
    let plain = plain_bytes(batch);
    rows.saturating_add(plain.saturating_add(plain / 2))
}

fn column_bytes(column: &dyn Array) -> usize {
    if let Some(dictionary) = column.as_any_dictionary_opt() {
        return dictionary_bytes(dictionary);
    }
    if let Some(views) = column.as_string_view_opt() {
        // The texts of many batches may share a buffer, so its size says little.
        let lengths = views.lengths().map(|length| length as usize);
        return lengths.fold(0, usize::saturating_add);
    }
    let slice = column.to_data().get_slice_memory_size();
    slice.unwrap_or_else(|_| column.get_array_memory_size())
}

fn dictionary_bytes(dictionary: &dyn AnyDictionaryArray) -> usize {
    let values = dictionary.values();
    if values.is_empty() {
        return 0;
    }
    let keys = dictionary.normalized_keys();
    match values.as_string_opt::<i32>() {
        Some(texts) => keys.iter().fold(0, |sum: usize, &key| {
            let length = texts.value_length(key);
            sum.saturating_add(usize::try_from(length).unwrap_or_default())
        }),
        None => {
            let mean = column_bytes(values) / values.len();
            mean.saturating_mul(keys.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, DictionaryArray, Int64Array, StringViewArray},
        datatypes::Int32Type,
    };

    use super::*;

    #[test]
    fn a_text_of_a_dictionary_counts_once_for_each_row() {
        let long = "x".repeat(1000);
        let tags: DictionaryArray<Int32Type> = std::iter::repeat_n(long.as_str(), 100).collect();
        let none: DictionaryArray<Int32Type> = std::iter::repeat_n(None, 100).collect();
        let views = StringViewArray::from_iter_values(std::iter::repeat_n(&long, 100));
        let columns: [(&str, ArrayRef); 4] = [
            ("tag", Arc::new(tags)),
            ("none", Arc::new(none)),
            ("view", Arc::new(views)),
            ("number", Arc::new(Int64Array::from(vec![1; 100]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(plain_bytes(&batch), 200_800);
        assert!(text_bytes(&batch) > 300_000);
        let slice = batch.slice(10, 1);
        assert_eq!(plain_bytes(&slice), 2008);
    }
}
