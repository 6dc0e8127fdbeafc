//! Row-by-row access to the arguments of a call.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::sizes;

/// One argument: a value per row, or one constant for all rows.
struct Operand {
    array: ArrayRef,
    constant: bool,
}

pub(super) struct CallArguments {
    operands: Vec<Operand>,
    /// The number of rows evaluated; at most one if all arguments are constants.
    rows: usize,
    /// The number of rows of the batch that each evaluated row stands for.
    times: u64,
}

impl CallArguments {
    pub(super) fn new(call: &ScalarFunctionArgs) -> Result<Self> {
        let operand = |value: &ColumnarValue| {
            Ok(match value {
                ColumnarValue::Array(array) => {
                    Operand { array: ArrayRef::clone(array), constant: false }
                }
                ColumnarValue::Scalar(scalar) => {
                    Operand { array: scalar.to_array_of_size(1)?, constant: true }
                }
            })
        };
        let operands: Vec<Operand> = call.args.iter().map(operand).collect::<Result<_>>()?;
        let lengths = operands.iter().filter(|operand| !operand.constant);
        let rows = lengths.map(|operand| operand.array.len()).min();
        let (rows, times) = match rows {
            Some(rows) => (rows, 1),
            None => (call.number_rows.min(1), call.number_rows as u64),
        };
        Ok(Self { operands, rows, times })
    }

    /// Returns the values of an argument, and a function from a row to the index of its value.
    pub(super) fn column(&self, argument: usize) -> Option<(&ArrayRef, impl Fn(usize) -> usize)> {
        let operand = self.operands.get(argument)?;
        let constant = operand.constant;
        Some((&operand.array, move |row| if constant { 0 } else { row }))
    }

    /// Returns the distinct texts of an argument. The result is empty if the argument is a constant.
    pub(super) fn distinct_texts(&self, argument: usize) -> HashSet<&str> {
        let constant = |operand: &Operand| operand.constant;
        if self.operands.get(argument).is_none_or(constant) {
            return HashSet::new();
        }
        let rows = (0..self.rows).map(|row| ArgumentRow { args: self, row });
        rows.filter_map(|row| row.text(argument)).collect()
    }

    /// Sums an amount over all rows.
    pub(super) fn sum(&self, amount: impl Fn(&ArgumentRow) -> u64) -> u64 {
        let rows = (0..self.rows).map(|row| amount(&ArgumentRow { args: self, row }));
        rows.fold(0, u64::saturating_add).saturating_mul(self.times)
    }

    /// Returns the bytes of all arguments of all rows.
    pub(super) fn total(&self) -> u64 {
        let rows = (self.rows as u64).saturating_mul(self.times);
        let one = |operand: &Operand| {
            let bytes = sizes::bytes(&operand.array, 0, operand.array.len());
            if operand.constant {
                bytes.saturating_mul(rows)
            } else {
                bytes
            }
        };
        self.operands.iter().map(one).fold(0, u64::saturating_add)
    }
}

/// The arguments of one row.
pub(super) struct ArgumentRow<'a> {
    args: &'a CallArguments,
    row: usize,
}

impl<'a> ArgumentRow<'a> {
    /// Returns the index of this row.
    pub(super) fn number(&self) -> usize {
        self.row
    }

    pub(super) fn len(&self) -> usize {
        self.args.operands.len()
    }

    fn value(&self, argument: usize) -> Option<(&'a dyn Array, usize)> {
        let operand = self.args.operands.get(argument)?;
        let index = if operand.constant { 0 } else { self.row };
        let array: &dyn Array = &operand.array;
        let (array, index) = match array.data_type() {
            _ if index >= array.len() => return None,
            DataType::Dictionary(..) => sizes::entry(array, index)?,
            _ => (array, index),
        };
        array.is_valid(index).then_some((array, index))
    }

    /// Returns the bytes of a value; zero if it is null.
    pub(super) fn bytes(&self, argument: usize) -> u64 {
        self.value(argument).map_or(0, |(array, index)| sizes::bytes(array, index, 1))
    }

    pub(super) fn text(&self, argument: usize) -> Option<&'a str> {
        let (array, index) = self.value(argument)?;
        match array.data_type() {
            DataType::Utf8 => Some(array.as_string::<i32>().value(index)),
            DataType::LargeUtf8 => Some(array.as_string::<i64>().value(index)),
            DataType::Utf8View => Some(array.as_string_view().value(index)),
            _ => None,
        }
    }

    /// Returns the content bytes of a string or binary value.
    pub(super) fn length(&self, argument: usize) -> u64 {
        self.value(argument).map_or(0, |(array, index)| {
            let taken = sizes::bytes(array, index, 1);
            taken.saturating_sub(sizes::width(array.data_type()))
        })
    }

    /// Returns a count; zero if the value is negative.
    pub(super) fn count(&self, argument: usize) -> u64 {
        let count = self.primitive::<Int64Type>(argument);
        count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
    }

    pub(super) fn primitive<T: ArrowPrimitiveType>(&self, argument: usize) -> Option<T::Native> {
        let (array, index) = self.value(argument)?;
        let values = array.as_primitive_opt::<T>()?;
        Some(values.value(index))
    }

    /// Returns the number of elements of a list.
    pub(super) fn elements(&self, argument: usize) -> u64 {
        self.value(argument)
            .map_or(0, |(array, index)| sizes::elements(array, index, 1).1 as u64)
    }

    /// Returns the fixed bytes per list element, as taken by a null element.
    pub(super) fn element_width(&self, argument: usize) -> u64 {
        let operand = self.args.operands.get(argument);
        operand.map_or(0, |operand| match operand.array.data_type() {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::FixedSizeList(field, _) => sizes::width(field.data_type()),
            _ => 0,
        })
    }
}
