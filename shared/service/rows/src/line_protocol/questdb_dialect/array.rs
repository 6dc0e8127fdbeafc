//! Arrays of doubles, and their text: JSON.

use std::io::Write;

use crate::line_protocol::{error::LineRefusal, scan::MAX_STRING_BYTES};

/// The element type of doubles.
const DOUBLE_ELEMENTS: u8 = 10;

/// The element type of a null array.
const NULL_ELEMENTS: u8 = 33;

/// Maximum number of dimensions, as in QuestDB.
const MAX_DIMENSIONS: u8 = 32;

/// The bytes before the shape: type, type of elements, number of dimensions.
const HEADER_BYTES: usize = 3;

/// The bytes of one dimension in the shape.
const DIMENSION_BYTES: usize = 4;

const VALUE_BYTES: usize = 8;

/// Maximum bytes of the text of a value with its comma. The longest is `-1.2345678901234568e-300`.
const VALUE_TEXT_BYTES: usize = 25;

/// Maximum bytes of the brackets and the comma of an array.
const BRACKETS_BYTES: usize = 3;

/// An array of doubles, as sent, with the byte for its type. It is complete, and has no infinite values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ArrayBytes<'a>(&'a [u8]);

impl<'a> ArrayBytes<'a> {
    /// Returns the length of the array at the start of `input`; `None` if `input` ends before the end of its shape.
    pub(super) fn length(input: &[u8]) -> Result<Option<usize>, LineRefusal> {
        match input.get(1) {
            None => return Ok(None),
            Some(&NULL_ELEMENTS) => return Ok(Some(2)),
            Some(&DOUBLE_ELEMENTS) => {}
            Some(other) => return Err(LineRefusal::ArrayElements(*other)),
        }
        match input.get(2) {
            None => return Ok(None),
            Some(0) => return Ok(Some(HEADER_BYTES)),
            Some(1..=MAX_DIMENSIONS) => {}
            Some(dimensions) => return Err(LineRefusal::ArrayDimensions(*dimensions)),
        }
        let Some(shape) = Shape::scan(input) else {
            return Ok(None);
        };
        let size = shape.size().ok_or(LineRefusal::ArrayTooLarge)?;
        Ok(Some(HEADER_BYTES + shape.0.as_flattened().len() + size.values * VALUE_BYTES))
    }

    /// Returns the array in `bytes`, which have the length of an array; `None` if it is null.
    pub(super) fn scan(bytes: &'a [u8]) -> Result<Option<Self>, LineRefusal> {
        if bytes.len() <= HEADER_BYTES {
            return Ok(None);
        }
        let array = Self(bytes);
        if array.values().any(f64::is_infinite) {
            return Err(LineRefusal::Infinity);
        }
        Ok(Some(array))
    }

    /// Returns the maximum bytes of the text.
    pub(super) fn text_bytes(self) -> usize {
        let size = Shape::scan(self.0).and_then(Shape::size);
        size.map_or(0, |size| size.text_bytes)
    }

    /// Appends the text: JSON without spaces. Numbers have the shortest text that identifies the double.
    pub(crate) fn write_json(self, text: &mut Vec<u8>) {
        match Shape::scan(self.0) {
            Some(shape) if !shape.is_empty() => {
                write_array(shape.0, &mut self.values(), text);
            }
            _ => text.extend_from_slice(b"[]"),
        }
    }

    fn values(self) -> impl Iterator<Item = f64> + use<'a> {
        let shape = Shape::scan(self.0).unwrap_or_default();
        let values = self.0.get(HEADER_BYTES + shape.0.as_flattened().len()..);
        let (values, _) = values.unwrap_or_default().as_chunks::<VALUE_BYTES>();
        values.iter().map(|bytes| f64::from_le_bytes(*bytes))
    }
}

/// The lengths of an array in each of its dimensions, little-endian.
#[derive(Clone, Copy, Debug, Default)]
struct Shape<'a>(&'a [[u8; DIMENSION_BYTES]]);

#[derive(Clone, Copy, Debug, Default)]
struct ArraySize {
    values: usize,
    /// Maximum bytes of the text.
    text_bytes: usize,
}

impl<'a> Shape<'a> {
    /// Returns the shape of the array at the start of `input`; `None` if it is not complete.
    fn scan(input: &'a [u8]) -> Option<Self> {
        let dimensions = usize::from(*input.get(2)?);
        let end = HEADER_BYTES + dimensions * DIMENSION_BYTES;
        let (shape, _) = input.get(HEADER_BYTES..end)?.as_chunks();
        Some(Self(shape))
    }

    fn lengths(self) -> impl Iterator<Item = usize> + use<'a> {
        let length = |bytes: &[u8; DIMENSION_BYTES]| usize::try_from(u32::from_le_bytes(*bytes));
        self.0.iter().map(move |bytes| length(bytes).unwrap_or(usize::MAX))
    }

    /// Returns whether an array of this shape has no values.
    fn is_empty(self) -> bool {
        self.lengths().any(|length| length == 0)
    }

    /// Returns the size of an array of this shape; `None` if its text can be longer than a string.
    fn size(self) -> Option<ArraySize> {
        if self.is_empty() {
            return Some(ArraySize::default());
        }
        let mut values: usize = 1;
        let mut brackets = 0;
        for length in self.lengths() {
            // At most MAX_STRING_BYTES in each of at most 32 iterations.
            brackets += values;
            values = values
                .checked_mul(length)
                .filter(|values| *values <= MAX_STRING_BYTES / VALUE_TEXT_BYTES)?;
        }
        let text_bytes = brackets * BRACKETS_BYTES + values * VALUE_TEXT_BYTES;
        (text_bytes <= MAX_STRING_BYTES).then_some(ArraySize { values, text_bytes })
    }
}

/// Writes the next array of this shape. It is at most [`MAX_DIMENSIONS`] deep.
fn write_array(
    shape: &[[u8; DIMENSION_BYTES]],
    values: &mut impl Iterator<Item = f64>,
    text: &mut Vec<u8>,
) {
    let Some((length, inner)) = shape.split_first() else {
        return;
    };
    text.push(b'[');
    for index in 0..u32::from_le_bytes(*length) {
        if index > 0 {
            text.push(b',');
        }
        if inner.is_empty() {
            write_value(values.next().unwrap_or(f64::NAN), text);
        } else {
            write_array(inner, values, text);
        }
    }
    text.push(b']');
}

fn write_value(value: f64, text: &mut Vec<u8>) {
    if value.is_nan() {
        text.extend_from_slice(b"null");
    } else {
        // The debug format has an exponent for large and small numbers. Writing to a vector does not fail.
        write!(text, "{value:?}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, num::f64::NORMAL, prelude::*};
    use serde_json::Value;

    use super::*;
    use crate::line_protocol::questdb_dialect::binary::ARRAY;

    fn encode_array(shape: &[u32], values: &[f64]) -> Vec<u8> {
        let dimensions = u8::try_from(shape.len()).unwrap();
        let mut bytes = vec![ARRAY, DOUBLE_ELEMENTS, dimensions];
        bytes.extend(shape.iter().flat_map(|length| length.to_le_bytes()));
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    fn json(bytes: &[u8]) -> String {
        assert_eq!(ArrayBytes::length(bytes).unwrap(), Some(bytes.len()));
        let array = ArrayBytes::scan(bytes).unwrap().unwrap();
        let mut text = Vec::new();
        array.write_json(&mut text);
        assert!(text.len() <= array.text_bytes().max(2));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn arrays_are_nested_as_their_shape() {
        for (shape, values, text) in [
            (&[3][..], &[1.0, 2.5, f64::NAN][..], "[1.0,2.5,null]"),
            (&[2, 2], &[1.0, 2.0, 3.0, 4.0], "[[1.0,2.0],[3.0,4.0]]"),
            (&[1, 2, 1], &[-0.0, 1e-300], "[[[-0.0],[1e-300]]]"),
            (&[1], &[-1.234_567_890_123_456_8e-300], "[-1.2345678901234568e-300]"),
            (&[2], &[1e15, 1e300], "[1000000000000000.0,1e300]"),
            (&[0], &[], "[]"),
            (&[2, 0], &[], "[]"),
            (&[u32::MAX, 0, u32::MAX], &[], "[]"),
        ] {
            assert_eq!(json(&encode_array(shape, values)), text);
        }
        assert_eq!(
            json(&encode_array(&[1; 32], &[1.0])),
            format!("{}1.0{}", "[".repeat(32), "]".repeat(32))
        );
    }

    #[test]
    fn null_arrays_have_no_value() {
        for bytes in [&[ARRAY, NULL_ELEMENTS][..], &[ARRAY, DOUBLE_ELEMENTS, 0]] {
            assert_eq!(ArrayBytes::length(bytes).unwrap(), Some(bytes.len()));
            assert_eq!(ArrayBytes::scan(bytes).unwrap(), None);
        }
    }

    #[test]
    fn shapes_that_do_not_fit_a_string_are_refused_before_their_values_arrive() {
        for shape in [
            &[41_943][..],
            &[u32::MAX],
            &[u32::MAX, u32::MAX, u32::MAX],
            &[1, 1, 50_000],
            &[20_000, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        ] {
            let length = ArrayBytes::length(&encode_array(shape, &[]));
            assert_eq!(length, Err(LineRefusal::ArrayTooLarge), "{shape:?}");
        }
        let largest = ArrayBytes::length(&encode_array(&[41_942], &[])).unwrap();
        assert_eq!(largest, Some(7 + 41_942 * 8));
    }

    /// Returns the shape of a JSON array. Checks that its sub-arrays have the same shape.
    fn shape_of(value: &Value) -> Vec<usize> {
        let Value::Array(items) = value else {
            return Vec::new();
        };
        let inner = items.first().map(shape_of).unwrap_or_default();
        assert!(items.iter().all(|item| shape_of(item) == inner));
        [vec![items.len()], inner].concat()
    }

    /// Returns the bits of the numbers of a JSON array; `None` is null.
    fn bits_of(text: &str) -> Vec<Option<u64>> {
        let items = text.split(['[', ']', ',']).filter(|item| !item.is_empty());
        items.map(|item| item.parse::<f64>().ok().map(f64::to_bits)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn json_has_the_shape_and_the_exact_values(
            shape in vec(1u32..4, 1..4),
            values in vec(prop_oneof![NORMAL, Just(f64::NAN), Just(0.1), Just(-0.0), any::<i32>().prop_map(f64::from)], 27),
        ) {
            let count = shape.iter().product::<u32>() as usize;
            let values = &values[..count];
            let text = json(&encode_array(&shape, values));
            let shape: Vec<usize> = shape.iter().map(|length| *length as usize).collect();
            prop_assert_eq!(shape_of(&serde_json::from_str(&text).unwrap()), shape);
            let bits = values.iter().map(|value| (!value.is_nan()).then_some(value.to_bits()));
            prop_assert_eq!(bits_of(&text), bits.collect::<Vec<_>>(), "{}", text);
        }
    }
}
