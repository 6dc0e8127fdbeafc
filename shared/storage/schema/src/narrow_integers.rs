//! Columns of integers with as few bytes as their values need.
//!
//! The integers of a table are `Int64` or `UInt64`. Most of them are small. Therefore segments have each column in the narrowest of
//! Arrow's types that has all of its values, and tails in memory keep it. Parts of one column may differ in their types.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray,
    cast::AsArray,
    types::{
        Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_buffer::NullBufferBuilder;
use arrow_schema::{ArrowError, DataType};
use arrow_select::{concat::concat, interleave::interleave};
use num_traits::AsPrimitive;

/// Returns a column of `Int64` or `UInt64` with the narrowest type that has all of its values; `None` if that is its own type, or for
/// a column of another type.
///
/// # Examples
///
/// ```
/// use arrow_array::{Array, Int64Array, cast::AsArray, types::Int64Type};
/// use arrow_schema::DataType;
/// use neap_schema::narrow_integers::{narrowed, widened};
///
/// let integers = Int64Array::from(vec![1, -2, 300]);
/// let narrow = narrowed(&integers).ok_or("the values need 64 bits")?;
/// assert_eq!(narrow.data_type(), &DataType::Int16);
/// let wide = widened(&narrow).ok_or("the column is not narrow")?;
/// assert_eq!(wide.as_primitive::<Int64Type>(), &integers);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn narrowed(column: &dyn Array) -> Option<ArrayRef> {
    if let Some(integers) = column.as_primitive_opt::<Int64Type>() {
        // A bit of `value ^ value << 1` says whether the bit of the value differs from the one below.
        let values = integers.values().iter();
        let changes = values.fold(0, |changes, value| changes | (value ^ (value << 1)));
        return Some(match changes.cast_unsigned() {
            0..=0xff => converted::<_, Int8Type>(integers),
            0x100..=0xffff => converted::<_, Int16Type>(integers),
            0x1_0000..=0xffff_ffff => converted::<_, Int32Type>(integers),
            _ => return None,
        });
    }
    let integers = column.as_primitive_opt::<UInt64Type>()?;
    let values = integers.values().iter();
    Some(match values.fold(0, |bits, value| bits | value) {
        0..=0xff => converted::<_, UInt8Type>(integers),
        0x100..=0xffff => converted::<_, UInt16Type>(integers),
        0x1_0000..=0xffff_ffff => converted::<_, UInt32Type>(integers),
        _ => return None,
    })
}

/// Returns a narrow column as `Int64` or `UInt64`; `None` for a column of another type.
pub fn widened(column: &dyn Array) -> Option<ArrayRef> {
    Some(match column.data_type() {
        DataType::Int8 => converted::<_, Int64Type>(column.as_primitive::<Int8Type>()),
        DataType::Int16 => converted::<_, Int64Type>(column.as_primitive::<Int16Type>()),
        DataType::Int32 => converted::<_, Int64Type>(column.as_primitive::<Int32Type>()),
        DataType::UInt8 => converted::<_, UInt64Type>(column.as_primitive::<UInt8Type>()),
        DataType::UInt16 => converted::<_, UInt64Type>(column.as_primitive::<UInt16Type>()),
        DataType::UInt32 => converted::<_, UInt64Type>(column.as_primitive::<UInt32Type>()),
        _ => return None,
    })
}

/// Returns the type that a narrow column has when it is widened, and other types as they are.
pub fn wide_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => &DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => &DataType::UInt64,
        other => other,
    }
}

/// Returns the narrowest type of the integers of a type, and other types as they are.
pub fn narrowest_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Int64 => &DataType::Int8,
        DataType::UInt64 => &DataType::UInt8,
        other => other,
    }
}

/// Returns the values at these places, each of which is a part and a row of it. The parts may be narrow, the result is not.
///
/// # Errors
/// There are no parts, or they have different types besides their widths.
pub fn interleave_parts(
    parts: &[&dyn Array],
    places: &[(usize, usize)],
) -> Result<ArrayRef, ArrowError> {
    if !have_one_type(parts) {
        if let Some(parts) = parts_of(parts, signed_values) {
            return interleave_integers::<Int64Type, _, _, _>(&parts, places);
        }
        if let Some(parts) = parts_of(parts, unsigned_values) {
            return interleave_integers::<UInt64Type, _, _, _>(&parts, places);
        }
    }
    let values = interleave(parts, places)?;
    Ok(widened(&values).unwrap_or(values))
}

/// Returns the values of all parts, one after the other. The result is narrow if all parts have the same narrow type.
///
/// # Errors
/// There are no parts, or they have different types besides their widths.
pub fn concat_parts(parts: &[&dyn Array]) -> Result<ArrayRef, ArrowError> {
    if !have_one_type(parts) {
        if let Some(parts) = parts_of(parts, signed_values) {
            return Ok(concat_integers::<Int64Type, _, _, _>(&parts));
        }
        if let Some(parts) = parts_of(parts, unsigned_values) {
            return Ok(concat_integers::<UInt64Type, _, _, _>(&parts));
        }
    }
    concat(parts)
}

fn have_one_type(parts: &[&dyn Array]) -> bool {
    let mut types = parts.iter().map(|part| part.data_type());
    let first = types.next();
    types.all(|of_part| Some(of_part) == first)
}

/// Returns integers as those of another type that has all of them.
fn converted<From, To>(integers: &PrimitiveArray<From>) -> ArrayRef
where
    From: ArrowPrimitiveType<Native: AsPrimitive<To::Native>>,
    To: ArrowPrimitiveType,
{
    Arc::new(integers.unary::<_, To>(AsPrimitive::as_))
}

/// A part of a column, and its values.
struct IntegerPart<'a, A, B, C, D> {
    array: &'a dyn Array,
    values: IntegerValues<'a, A, B, C, D>,
}

/// The values of a part, by their width in bytes.
enum IntegerValues<'a, A, B, C, D> {
    One(&'a [A]),
    Two(&'a [B]),
    Four(&'a [C]),
    Eight(&'a [D]),
}

impl<A, B, C, D> IntegerValues<'_, A, B, C, D>
where
    A: AsPrimitive<D>,
    B: AsPrimitive<D>,
    C: AsPrimitive<D>,
    D: Copy + 'static,
{
    /// Returns the integer of a row.
    fn get(&self, row: usize) -> Option<D> {
        match self {
            Self::One(values) => values.get(row).map(|value| value.as_()),
            Self::Two(values) => values.get(row).map(|value| value.as_()),
            Self::Four(values) => values.get(row).map(|value| value.as_()),
            Self::Eight(values) => values.get(row).copied(),
        }
    }

    /// Appends all integers.
    fn append_to(&self, all: &mut Vec<D>) {
        match self {
            Self::One(values) => all.extend(values.iter().map(|value| value.as_())),
            Self::Two(values) => all.extend(values.iter().map(|value| value.as_())),
            Self::Four(values) => all.extend(values.iter().map(|value| value.as_())),
            Self::Eight(values) => all.extend_from_slice(values),
        }
    }
}

/// Returns the parts with the values that `values_of` reads; `None` if a part has others.
fn parts_of<'a, A, B, C, D>(
    arrays: &[&'a dyn Array],
    values_of: impl Fn(&'a dyn Array) -> Option<IntegerValues<'a, A, B, C, D>>,
) -> Option<Vec<IntegerPart<'a, A, B, C, D>>> {
    let part_of = |array: &&'a dyn Array| {
        let values = values_of(*array)?;
        Some(IntegerPart { array: *array, values })
    };
    arrays.iter().map(part_of).collect()
}

fn signed_values(array: &dyn Array) -> Option<IntegerValues<'_, i8, i16, i32, i64>> {
    Some(match array.data_type() {
        DataType::Int8 => IntegerValues::One(array.as_primitive::<Int8Type>().values()),
        DataType::Int16 => IntegerValues::Two(array.as_primitive::<Int16Type>().values()),
        DataType::Int32 => IntegerValues::Four(array.as_primitive::<Int32Type>().values()),
        DataType::Int64 => IntegerValues::Eight(array.as_primitive::<Int64Type>().values()),
        _ => return None,
    })
}

fn unsigned_values(array: &dyn Array) -> Option<IntegerValues<'_, u8, u16, u32, u64>> {
    Some(match array.data_type() {
        DataType::UInt8 => IntegerValues::One(array.as_primitive::<UInt8Type>().values()),
        DataType::UInt16 => IntegerValues::Two(array.as_primitive::<UInt16Type>().values()),
        DataType::UInt32 => IntegerValues::Four(array.as_primitive::<UInt32Type>().values()),
        DataType::UInt64 => IntegerValues::Eight(array.as_primitive::<UInt64Type>().values()),
        _ => return None,
    })
}

fn interleave_integers<T, A, B, C>(
    parts: &[IntegerPart<'_, A, B, C, T::Native>],
    places: &[(usize, usize)],
) -> Result<ArrayRef, ArrowError>
where
    T: ArrowPrimitiveType,
    A: AsPrimitive<T::Native>,
    B: AsPrimitive<T::Native>,
    C: AsPrimitive<T::Native>,
{
    let value = |(part, row): &(usize, usize)| parts.get(*part)?.values.get(*row);
    let values = places.iter().map(value).collect::<Option<Vec<_>>>().ok_or_else(|| {
        ArrowError::InvalidArgumentError("a place is outside of the parts".to_owned())
    })?;
    let is_valid = |(part, row): &(usize, usize)| {
        let nulls = parts.get(*part).and_then(|part| part.array.nulls());
        nulls.is_none_or(|nulls| nulls.is_valid(*row))
    };
    let has_nulls = parts.iter().any(|part| part.array.nulls().is_some());
    let nulls = has_nulls.then(|| places.iter().map(is_valid).collect());
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?))
}

fn concat_integers<T, A, B, C>(parts: &[IntegerPart<'_, A, B, C, T::Native>]) -> ArrayRef
where
    T: ArrowPrimitiveType,
    A: AsPrimitive<T::Native>,
    B: AsPrimitive<T::Native>,
    C: AsPrimitive<T::Native>,
{
    let rows = parts.iter().map(|part| part.array.len()).sum();
    let mut values = Vec::with_capacity(rows);
    let mut nulls = NullBufferBuilder::new(rows);
    for part in parts {
        part.values.append_to(&mut values);
        match part.array.nulls() {
            Some(of_part) => nulls.append_buffer(of_part),
            None => nulls.append_n_non_nulls(part.array.len()),
        }
    }
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls.finish()))
}

#[cfg(test)]
mod tests;
