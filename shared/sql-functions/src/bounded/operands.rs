//! The arguments of a call, row by row.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::sizes;

/// One argument: a value per row, or one for all.
struct Operand {
    array: ArrayRef,
    constant: bool,
}

/// The arguments of a call.
pub(super) struct Args {
    operands: Vec<Operand>,
    /// The rows to look at: at most one when all arguments are constants.
    rows: usize,
    /// How many rows of the batch each of them stands for.
    times: u64,
}

impl Args {
    pub(super) fn new(call: &ScalarFunctionArgs) -> Result<Self> {
        let operand = |value: &ColumnarValue| {
            Ok(match value {
                ColumnarValue::Array(array) => Operand {
                    array: ArrayRef::clone(array),
                    constant: false,
                },
                ColumnarValue::Scalar(scalar) => Operand {
                    array: scalar.to_array_of_size(1)?,
                    constant: true,
                },
            })
        };
        let operands: Vec<Operand> = call.args.iter().map(operand).collect::<Result<_>>()?;
        let lengths = operands.iter().filter(|operand| !operand.constant);
        let rows = lengths.map(|operand| operand.array.len()).min();
        let (rows, times) = match rows {
            Some(rows) => (rows, 1),
            None => (call.number_rows.min(1), call.number_rows as u64),
        };
        Ok(Self {
            operands,
            rows,
            times,
        })
    }

    /// The values of an argument, and which of them belongs to a row.
    pub(super) fn column(&self, argument: usize) -> Option<(&ArrayRef, impl Fn(usize) -> usize)> {
        let operand = self.operands.get(argument)?;
        let constant = operand.constant;
        Some((&operand.array, move |row| if constant { 0 } else { row }))
    }

    /// The different texts of an argument that has one for every row; none of a constant.
    pub(super) fn different(&self, argument: usize) -> HashSet<&str> {
        let constant = |operand: &Operand| operand.constant;
        if self.operands.get(argument).is_none_or(constant) {
            return HashSet::new();
        }
        let rows = (0..self.rows).map(|row| Row { args: self, row });
        rows.filter_map(|row| row.text(argument)).collect()
    }

    /// What all rows make, from what one makes.
    pub(super) fn sum(&self, amount: impl Fn(&Row) -> u64) -> u64 {
        let rows = (0..self.rows).map(|row| amount(&Row { args: self, row }));
        rows.fold(0, u64::saturating_add).saturating_mul(self.times)
    }

    /// The bytes of all arguments of all rows.
    pub(super) fn total(&self) -> u64 {
        let rows = (self.rows as u64).saturating_mul(self.times);
        let one = |operand: &Operand| {
            let bytes = sizes::bytes(&operand.array, 0, operand.array.len());
            match operand.constant {
                true => bytes.saturating_mul(rows),
                false => bytes,
            }
        };
        self.operands.iter().map(one).fold(0, u64::saturating_add)
    }
}

/// The arguments for one row.
pub(super) struct Row<'a> {
    args: &'a Args,
    row: usize,
}

impl<'a> Row<'a> {
    /// Which row this is.
    pub(super) fn number(&self) -> usize {
        self.row
    }

    /// How many arguments there are.
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

    /// The bytes that a value takes; none if it is null.
    pub(super) fn bytes(&self, argument: usize) -> u64 {
        self.value(argument)
            .map_or(0, |(array, index)| sizes::bytes(array, index, 1))
    }

    /// A text.
    pub(super) fn text(&self, argument: usize) -> Option<&'a str> {
        let (array, index) = self.value(argument)?;
        match array.data_type() {
            DataType::Utf8 => Some(array.as_string::<i32>().value(index)),
            DataType::LargeUtf8 => Some(array.as_string::<i64>().value(index)),
            DataType::Utf8View => Some(array.as_string_view().value(index)),
            _ => None,
        }
    }

    /// The bytes of a text, or of bytes.
    pub(super) fn length(&self, argument: usize) -> u64 {
        self.value(argument).map_or(0, |(array, index)| {
            let taken = sizes::bytes(array, index, 1);
            taken.saturating_sub(sizes::width(array.data_type()))
        })
    }

    /// A count: negative ones are nothing.
    pub(super) fn count(&self, argument: usize) -> u64 {
        let count = self.primitive::<Int64Type>(argument);
        count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
    }

    /// A value of this type.
    pub(super) fn primitive<T: ArrowPrimitiveType>(&self, argument: usize) -> Option<T::Native> {
        let (array, index) = self.value(argument)?;
        let values = array.as_primitive_opt::<T>()?;
        Some(values.value(index))
    }

    /// The number of elements of a list.
    pub(super) fn elements(&self, argument: usize) -> u64 {
        self.value(argument).map_or(0, |(array, index)| {
            sizes::elements(array, index, 1).1 as u64
        })
    }

    /// The bytes that an element of a list takes without its content, as when it is null.
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
