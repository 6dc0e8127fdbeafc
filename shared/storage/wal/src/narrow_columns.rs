//! Columns whose values take fewer bytes in a stream than in memory.
//!
//! Most integers are small, and most tags have few values. zstd takes about four times as long for small numbers of eight bytes as for
//! the same numbers of one byte, and finds less to compress.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, RecordBatch, RecordBatchOptions,
    cast::AsArray,
    types::{ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type},
};
use arrow_schema::{ArrowError, DataType, Schema};
use neap_schema::narrow_integers;
use num_traits::AsPrimitive;

/// Returns the columns of a batch with types that are as narrow as their values allow; `None` if no column gets narrower.
/// Fails if a dictionary lacks the value of a key.
pub(crate) fn narrowed_columns(batch: &RecordBatch) -> Result<Option<Vec<ArrayRef>>, ArrowError> {
    let columns = batch.columns().iter();
    let narrow: Vec<_> = columns.map(narrowed).collect::<Result<_, _>>()?;
    if narrow.iter().all(Option::is_none) {
        return Ok(None);
    }
    let columns = narrow
        .into_iter()
        .zip(batch.columns())
        .map(|(narrow, column)| narrow.unwrap_or_else(|| Arc::clone(column)));
    Ok(Some(columns.collect()))
}

/// Returns a column of a narrower type with the same values, if there is one.
fn narrowed(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    let Some(tags) = column.as_dictionary_opt::<Int32Type>() else {
        return Ok(narrow_integers::narrowed(column));
    };
    // The number of a value is below that of the values.
    match tags.values().len() {
        0..=0x80 => with_keys::<Int32Type, Int8Type>(tags).map(Some),
        0x81..=0x8000 => with_keys::<Int32Type, Int16Type>(tags).map(Some),
        _ => Ok(None),
    }
}

/// Returns a batch with the types that tags have in memory.
/// Fails if a dictionary lacks the value of a key.
pub(crate) fn with_wide_keys(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(with_wide_keys_of).collect::<Result<Vec<_>, _>>()?;
    with_columns(batch, columns)
}

/// Returns a batch with the types that integers have in tables.
/// Fails if Arrow can't create the batch.
pub(crate) fn with_wide_integers(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| narrow_integers::widened(column)).collect();
    with_columns(batch, columns)
}

/// Replaces the columns of a batch that have another one.
fn with_columns(
    batch: RecordBatch,
    columns: Vec<Option<ArrayRef>>,
) -> Result<RecordBatch, ArrowError> {
    if columns.iter().all(Option::is_none) {
        return Ok(batch);
    }
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(&columns).map(|(field, wide)| match wide {
        Some(wide) => {
            let field = field.as_ref().clone();
            Arc::new(field.with_data_type(wide.data_type().clone()))
        }
        None => Arc::clone(field),
    });
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
    let columns = columns
        .into_iter()
        .zip(batch.columns())
        .map(|(wide, column)| wide.unwrap_or_else(|| Arc::clone(column)));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema), columns.collect(), &options)
}

/// Returns a tag with the keys that it has in memory; `None` if it has them already, or for a column that is no tag.
fn with_wide_keys_of(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    let DataType::Dictionary(key, _) = column.data_type() else {
        return Ok(None);
    };
    match key.as_ref() {
        DataType::Int8 => with_keys::<_, Int32Type>(column.as_dictionary::<Int8Type>()).map(Some),
        DataType::Int16 => with_keys::<_, Int32Type>(column.as_dictionary::<Int16Type>()).map(Some),
        _ => Ok(None),
    }
}

/// Returns a dictionary with keys of another type.
fn with_keys<From, To>(dictionary: &DictionaryArray<From>) -> Result<ArrayRef, ArrowError>
where
    From: ArrowDictionaryKeyType<Native: AsPrimitive<To::Native>>,
    To: ArrowDictionaryKeyType,
{
    let keys = dictionary.keys().unary::<_, To>(AsPrimitive::as_);
    let values = Arc::clone(dictionary.values());
    Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int32Array, Int64Array, StringArray};
    use arrow_schema::Field;

    use super::*;

    fn batch(columns: &[ArrayRef]) -> RecordBatch {
        let fields = columns.iter().enumerate().map(|(at, column)| {
            let metadata = [("of".to_owned(), at.to_string())].into();
            Field::new(at.to_string(), column.data_type().clone(), true).with_metadata(metadata)
        });
        let schema = Schema::new(fields.collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.to_vec()).unwrap()
    }

    /// Returns a batch with the columns that it has in a stream, if they are narrower.
    fn narrow(batch: &RecordBatch) -> Option<RecordBatch> {
        let columns = narrowed_columns(batch).unwrap()?.into_iter().map(Some).collect();
        Some(with_columns(batch.clone(), columns).unwrap())
    }

    fn tags(values: usize, keys: Vec<Option<i32>>) -> ArrayRef {
        let values: StringArray = (0..values).map(|value| Some(value.to_string())).collect();
        let tags = DictionaryArray::try_new(Int32Array::from(keys), Arc::new(values));
        Arc::new(tags.unwrap())
    }

    #[test]
    fn tags_get_the_narrowest_keys_that_have_all_values() {
        for (values, key) in [
            (1, DataType::Int8),
            (128, DataType::Int8),
            (129, DataType::Int16),
            (32_768, DataType::Int16),
            (32_769, DataType::Int32),
        ] {
            let last = i32::try_from(values - 1).unwrap();
            let wide = batch(&[tags(values, vec![Some(last), None, Some(0)])]);
            let narrow = narrow(&wide).unwrap_or_else(|| wide.clone());
            let DataType::Dictionary(found, _) = narrow.column(0).data_type() else {
                panic!("no tag");
            };
            assert_eq!(**found, key);
            assert_eq!(with_wide_keys(narrow).unwrap(), wide);
        }
        let without_values = batch(&[tags(0, vec![None])]);
        let narrow = narrow(&without_values).unwrap();
        assert_eq!(with_wide_keys(narrow).unwrap(), without_values);
    }

    #[test]
    fn tags_and_integers_are_widened_separately() {
        let wide = batch(&[
            tags(2, vec![Some(1), None]),
            Arc::new(Int64Array::from(vec![None, Some(-7)])),
            Arc::new(Float64Array::from(vec![1.0, 2.0])),
        ]);
        let narrow = narrow(&wide).unwrap();
        let types = |batch: &RecordBatch| {
            let columns = batch.columns().iter();
            columns.map(|column| column.data_type().clone()).collect::<Vec<_>>()
        };
        let with_tags = with_wide_keys(narrow).unwrap();
        let [tag, _, float] = types(&wide).try_into().unwrap();
        assert_eq!(types(&with_tags), [tag, DataType::Int8, float]);
        assert_eq!(with_wide_integers(with_tags).unwrap(), wide);
        assert_eq!(with_wide_keys(wide.clone()).unwrap(), wide);
    }

    #[test]
    fn a_batch_without_integers_and_tags_stays_as_it_is() {
        let floats = batch(&[Arc::new(Float64Array::from(vec![1.0]))]);
        assert!(narrowed_columns(&floats).unwrap().is_none());
        assert_eq!(with_wide_keys(floats.clone()).unwrap(), floats);
        assert_eq!(with_wide_integers(floats.clone()).unwrap(), floats);
    }
}
