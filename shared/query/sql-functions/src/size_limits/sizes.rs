//! Sizes of values in bytes.

use arrow::array::{Array, AsArray, ByteView};
use arrow::datatypes::{
    BinaryType, BinaryViewType, ByteArrayType, ByteViewType, DataType, LargeBinaryType,
    LargeUtf8Type, StringViewType, Utf8Type,
};
use arrow::downcast_dictionary_array;

/// Returns the fixed bytes per value of a type, independent of its content.
pub(super) fn width(data_type: &DataType) -> u64 {
    match data_type {
        DataType::Null | DataType::Boolean => 1,
        DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(..) => 4,
        DataType::LargeUtf8 | DataType::LargeBinary | DataType::LargeList(_) => 8,
        DataType::FixedSizeBinary(bytes) => u64::try_from(*bytes).unwrap_or(0),
        DataType::FixedSizeList(field, length) => {
            width(field.data_type()).saturating_mul(u64::try_from(*length).unwrap_or(0))
        }
        DataType::Struct(fields) => {
            fields.iter().map(|field| width(field.data_type())).fold(0, u64::saturating_add)
        }
        DataType::Dictionary(keys, _) => width(keys),
        other => other.primitive_width().unwrap_or(16) as u64,
    }
}

/// Returns the bytes that these values would take in an array of their own.
pub(super) fn bytes(array: &dyn Array, from: usize, length: usize) -> u64 {
    let fixed = width(array.data_type()).saturating_mul(length as u64);
    let content = match array.data_type() {
        DataType::Utf8 => text_bytes::<Utf8Type>(array, from, length),
        DataType::LargeUtf8 => text_bytes::<LargeUtf8Type>(array, from, length),
        DataType::Binary => text_bytes::<BinaryType>(array, from, length),
        DataType::LargeBinary => text_bytes::<LargeBinaryType>(array, from, length),
        DataType::Utf8View => view_bytes::<StringViewType>(array, from, length),
        DataType::BinaryView => view_bytes::<BinaryViewType>(array, from, length),
        DataType::List(_) | DataType::LargeList(_) | DataType::Map(..) => {
            let (from, length) = elements(array, from, length);
            child(array).map_or(0, |values| bytes(values, from, length))
        }
        DataType::FixedSizeList(..) => {
            let (from, length) = elements(array, from, length);
            return child(array).map_or(0, |values| bytes(values, from, length));
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            return columns.map(|column| bytes(column, from, length)).fold(0, u64::saturating_add);
        }
        DataType::Dictionary(..) => dictionary_bytes(array, from, length),
        DataType::Union(..)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => array.get_array_memory_size() as u64,
        _ => 0,
    };
    fixed.saturating_add(content)
}

/// Returns the elements of the lists in a part of an array: the index of the first one, and their number.
pub(super) fn elements(array: &dyn Array, from: usize, length: usize) -> (usize, usize) {
    let between = |start: usize, end: usize| (start, end.saturating_sub(start));
    let to = from + length;
    match array.data_type() {
        DataType::List(_) => {
            let offsets = array.as_list::<i32>().value_offsets();
            between(offset(offsets, from), offset(offsets, to))
        }
        DataType::LargeList(_) => {
            let offsets = array.as_list::<i64>().value_offsets();
            between(offset(offsets, from), offset(offsets, to))
        }
        DataType::Map(..) => {
            let offsets = array.as_map().value_offsets();
            between(offset(offsets, from), offset(offsets, to))
        }
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            between(from.saturating_mul(size), to.saturating_mul(size))
        }
        _ => (0, 0),
    }
}

/// Returns the array of the elements of a list array.
pub(super) fn child(array: &dyn Array) -> Option<&dyn Array> {
    Some(match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().values(),
        DataType::LargeList(_) => array.as_list::<i64>().values(),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().values(),
        DataType::Map(..) => array.as_map().entries(),
        _ => return None,
    })
}

fn offset<T: Copy + TryInto<usize>>(offsets: &[T], index: usize) -> usize {
    let offset = offsets.get(index).copied();
    offset.and_then(|offset| offset.try_into().ok()).unwrap_or(0)
}

fn text_bytes<T: ByteArrayType>(array: &dyn Array, from: usize, length: usize) -> u64
where
    T::Offset: TryInto<usize>,
{
    let offsets = array.as_bytes::<T>().value_offsets();
    offset(offsets, from + length).saturating_sub(offset(offsets, from)) as u64
}

fn view_bytes<T: ByteViewType>(array: &dyn Array, from: usize, length: usize) -> u64 {
    let views = array.as_byte_view::<T>().views().iter();
    views
        .skip(from)
        .take(length)
        .map(|view| u64::from(ByteView::from(*view).length))
        .fold(0, u64::saturating_add)
}

fn dictionary_bytes(array: &dyn Array, from: usize, length: usize) -> u64 {
    let entries = (from..from + length).filter_map(|index| entry(array, index));
    entries
        .map(|(values, index)| bytes(values, index, 1))
        .fold(0, u64::saturating_add)
}

/// Returns the values array of a dictionary array and the position in it for an index; `None` if the value is null.
pub(super) fn entry(array: &dyn Array, index: usize) -> Option<(&dyn Array, usize)> {
    downcast_dictionary_array!(
        array => {
            let key = array.key(index).filter(|key| *key < array.values().len())?;
            let values: &dyn Array = array.values();
            Some((values, key))
        },
        _ => None,
    )
}
