//! The runs of rows with equal keys.

use arrow::{
    array::{
        Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray,
        make_comparator,
    },
    buffer::NullBuffer,
    compute::SortOptions,
    datatypes::{
        DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt64Type,
    },
};

/// Returns the first rows of the runs of equal keys of `rows` rows. Two runs that follow each other may have the same keys.
pub(super) fn starts_of_runs(keys: &[ArrayRef], rows: usize) -> Vec<u32> {
    let mut is_start = vec![false; rows];
    if let Some((first, others)) = is_start.split_first_mut() {
        *first = true;
        for key in keys {
            mark_changes(key, others);
        }
    }
    let starts = (0_u32..).zip(is_start).filter(|(_, is_start)| *is_start);
    starts.map(|(row, _)| row).collect()
}

/// Marks the rows from the second one whose key differs from that of the row before.
fn mark_changes(key: &ArrayRef, is_start: &mut [bool]) {
    match key.data_type() {
        // Equal codes are equal texts.
        DataType::Dictionary(codes, _) if **codes == DataType::Int32 => {
            mark_values(key.as_dictionary::<Int32Type>().keys(), is_start);
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            mark_values(key.as_primitive::<TimestampNanosecondType>(), is_start);
        }
        DataType::Int64 => mark_values(key.as_primitive::<Int64Type>(), is_start),
        DataType::UInt64 => mark_values(key.as_primitive::<UInt64Type>(), is_start),
        DataType::Float64 => mark_values(key.as_primitive::<Float64Type>(), is_start),
        DataType::Utf8 => {
            let texts = key.as_string::<i32>();
            for (row, is_start) in is_start.iter_mut().enumerate() {
                *is_start |= texts.value(row) != texts.value(row + 1);
            }
            mark_nulls(texts.nulls(), is_start);
        }
        _ => match make_comparator(key, key, SortOptions::default()) {
            Ok(compare) => {
                for (row, is_start) in is_start.iter_mut().enumerate() {
                    *is_start = *is_start || compare(row, row + 1).is_ne();
                }
            }
            Err(_) => is_start.fill(true),
        },
    }
}

fn mark_values<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, is_start: &mut [bool]) {
    let (all, later) = (values.values(), values.values().get(1..));
    let pairs = all.iter().zip(later.unwrap_or_default());
    for (is_start, (before, value)) in is_start.iter_mut().zip(pairs) {
        *is_start |= before.is_ne(*value);
    }
    mark_nulls(values.nulls(), is_start);
}

fn mark_nulls(nulls: Option<&NullBuffer>, is_start: &mut [bool]) {
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
        return;
    };
    for (row, is_start) in is_start.iter_mut().enumerate() {
        *is_start |= nulls.is_valid(row) != nulls.is_valid(row + 1);
    }
}
