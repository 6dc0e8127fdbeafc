//! Columns whose values take fewer bytes in a stream than in memory.
//!
//! Most integers are small, and most tags have few values. zstd takes about four times as long for small numbers of eight bytes as for
//! the same numbers of one byte, and finds less to compress.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, DictionaryArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions,
    cast::AsArray,
    types::{
        ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use arrow_schema::{ArrowError, DataType, Schema};
use num_traits::AsPrimitive;

/// Returns the columns of a batch with types that are as narrow as their values allow; `None` if no column gets narrower.
///
/// # Errors
/// A dictionary lacks the value of a key.
pub(crate) fn narrowed_columns(batch: &RecordBatch) -> Result<Option<Vec<ArrayRef>>, ArrowError> {
    let columns = batch.columns().iter();
    let narrow: Vec<_> = columns.map(narrowed).collect::<Result<_, _>>()?;
    if narrow.iter().all(Option::is_none) {
        return Ok(None);
    }
    let columns = narrow.into_iter().zip(batch.columns());
    let columns = columns.map(|(narrow, column)| narrow.unwrap_or_else(|| Arc::clone(column)));
    Ok(Some(columns.collect()))
}

/// Returns a column of a narrower type with the same values, if there is one.
fn narrowed(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    if let Some(tags) = column.as_dictionary_opt::<Int32Type>() {
        // The number of a value is below that of the values.
        return match tags.values().len() {
            0..=0x80 => with_keys::<Int32Type, Int8Type>(tags).map(Some),
            0x81..=0x8000 => with_keys::<Int32Type, Int16Type>(tags).map(Some),
            _ => Ok(None),
        };
    }
    if let Some(integers) = column.as_primitive_opt::<Int64Type>() {
        // A bit of `value ^ value << 1` says whether the bit of the value differs from the one below.
        let values = integers.values().iter();
        let changes = values.fold(0, |changes, value| changes | (value ^ (value << 1)));
        return Ok(match changes.cast_unsigned() {
            0..=0xff => Some(converted::<_, Int8Type>(integers)),
            0x100..=0xffff => Some(converted::<_, Int16Type>(integers)),
            0x1_0000..=0xffff_ffff => Some(converted::<_, Int32Type>(integers)),
            _ => None,
        });
    }
    if let Some(integers) = column.as_primitive_opt::<UInt64Type>() {
        let values = integers.values().iter();
        return Ok(match values.fold(0, |bits, value| bits | value) {
            0..=0xff => Some(converted::<_, UInt8Type>(integers)),
            0x100..=0xffff => Some(converted::<_, UInt16Type>(integers)),
            0x1_0000..=0xffff_ffff => Some(converted::<_, UInt32Type>(integers)),
            _ => None,
        });
    }
    Ok(None)
}

/// Returns a batch with the types that columns have in memory.
///
/// # Errors
/// A dictionary lacks the value of a key.
pub(crate) fn widened_batch(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(widened);
    let columns: Vec<_> = columns.collect::<Result<_, _>>()?;
    if columns.iter().all(Option::is_none) {
        return Ok(batch);
    }
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(&columns);
    let fields = fields.map(|(field, wide)| match wide {
        Some(wide) => {
            let field = field.as_ref().clone();
            Arc::new(field.with_data_type(wide.data_type().clone()))
        }
        None => Arc::clone(field),
    });
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
    let columns = columns.into_iter().zip(batch.columns());
    let columns = columns.map(|(wide, column)| wide.unwrap_or_else(|| Arc::clone(column)));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema), columns.collect(), &options)
}

/// Returns a narrow column with the type that it has in memory; `None` if it has it already.
fn widened(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    Ok(Some(match column.data_type() {
        DataType::Int8 => converted::<_, Int64Type>(column.as_primitive::<Int8Type>()),
        DataType::Int16 => converted::<_, Int64Type>(column.as_primitive::<Int16Type>()),
        DataType::Int32 => converted::<_, Int64Type>(column.as_primitive::<Int32Type>()),
        DataType::UInt8 => converted::<_, UInt64Type>(column.as_primitive::<UInt8Type>()),
        DataType::UInt16 => converted::<_, UInt64Type>(column.as_primitive::<UInt16Type>()),
        DataType::UInt32 => converted::<_, UInt64Type>(column.as_primitive::<UInt32Type>()),
        DataType::Dictionary(key, _) => match key.as_ref() {
            DataType::Int8 => with_keys::<_, Int32Type>(column.as_dictionary::<Int8Type>())?,
            DataType::Int16 => with_keys::<_, Int32Type>(column.as_dictionary::<Int16Type>())?,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

/// Returns integers as those of another type that has all of them.
fn converted<From, To>(integers: &PrimitiveArray<From>) -> ArrayRef
where
    From: ArrowPrimitiveType<Native: AsPrimitive<To::Native>>,
    To: ArrowPrimitiveType,
{
    Arc::new(integers.unary::<_, To>(AsPrimitive::as_))
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
    use arrow_array::{Int32Array, Int64Array, StringArray, UInt64Array};
    use arrow_schema::Field;
    use proptest::prelude::*;

    use super::*;

    fn batch(columns: &[ArrayRef]) -> RecordBatch {
        let fields = columns.iter().enumerate().map(|(at, column)| {
            let metadata = [("of".to_owned(), at.to_string())].into();
            Field::new(at.to_string(), column.data_type().clone(), true).with_metadata(metadata)
        });
        let schema = Schema::new(fields.collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.to_vec()).unwrap()
    }

    /// Narrows a column, checks that the wide one is as before, and returns the narrow type.
    fn narrow_type(column: ArrayRef) -> DataType {
        let batch = batch(&[column]);
        let Some(narrow) = narrowed_columns(&batch).unwrap() else {
            return batch.column(0).data_type().clone();
        };
        let field = batch.schema().field(0).clone();
        let field = field.with_data_type(narrow[0].data_type().clone());
        let of_stream = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), narrow).unwrap();
        assert_eq!(widened_batch(of_stream.clone()).unwrap(), batch);
        of_stream.column(0).data_type().clone()
    }

    fn signed(values: &[i64]) -> DataType {
        narrow_type(Arc::new(Int64Array::from(values.to_vec())))
    }

    fn unsigned(values: &[u64]) -> DataType {
        narrow_type(Arc::new(UInt64Array::from(values.to_vec())))
    }

    fn tags(values: usize, keys: Vec<Option<i32>>) -> DataType {
        let values: StringArray = (0..values).map(|value| Some(value.to_string())).collect();
        let tags = DictionaryArray::try_new(Int32Array::from(keys), Arc::new(values));
        match narrow_type(Arc::new(tags.unwrap())) {
            DataType::Dictionary(key, _) => *key,
            other => other,
        }
    }

    #[test]
    fn integers_get_the_narrowest_type_that_has_all_of_them() {
        let types = [
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
        ];
        for (bits, at) in [(7, 0), (8, 1), (15, 1), (16, 2), (31, 2), (32, 3), (63, 3)] {
            let below = (1_u64 << bits).cast_signed().wrapping_sub(1);
            for values in [[below, 0], [-1 - below, 1], [below, -1 - below]] {
                assert_eq!(signed(&values), types[at], "{values:?}");
            }
        }
        assert_eq!(signed(&[]), DataType::Int8);
        assert_eq!(unsigned(&[0, 255]), DataType::UInt8);
        assert_eq!(unsigned(&[256, 0]), DataType::UInt16);
        assert_eq!(unsigned(&[0xffff, 1]), DataType::UInt16);
        assert_eq!(unsigned(&[0x1_0000]), DataType::UInt32);
        assert_eq!(unsigned(&[u64::from(u32::MAX)]), DataType::UInt32);
        assert_eq!(unsigned(&[1 << 32]), DataType::UInt64);
        assert_eq!(unsigned(&[u64::MAX]), DataType::UInt64);
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
            assert_eq!(tags(values, vec![Some(last), None, Some(0)]), key);
        }
        assert_eq!(tags(0, vec![None]), DataType::Int8);
    }

    proptest! {
        #[test]
        fn values_and_nulls_survive(
            values in proptest::collection::vec((any::<i64>(), 0_u32..64, any::<bool>()), 0..50),
            start in 0_usize..10,
        ) {
            let number = |(value, shift, is_valid): &(i64, u32, bool)| is_valid.then_some(value >> shift);
            let numbers: Int64Array = values.iter().map(number).collect();
            let unsigned: UInt64Array = values
                .iter()
                .map(|it| number(it).map(i64::cast_unsigned))
                .collect();
            let start = start.min(values.len());
            narrow_type(Arc::new(numbers.slice(start, values.len() - start)));
            narrow_type(Arc::new(unsigned.slice(start, values.len() - start)));
        }
    }

    #[test]
    fn a_batch_without_integers_and_tags_stays_as_it_is() {
        let floats: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![1.0]));
        let batch = batch(&[floats]);
        assert!(narrowed_columns(&batch).unwrap().is_none());
        assert_eq!(widened_batch(batch.clone()).unwrap(), batch);
    }
}
