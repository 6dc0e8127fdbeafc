//! `array_values`, `array_shape`, `dim_length` and `array_value`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Builder, Int64Array, Int64Builder, ListBuilder, StringArray,
};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::number_array::NumberArray;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ArrayFunctionKind {
    /// `array_values(array)`: all elements in row-major order, as a list of floats.
    Values,
    /// `array_shape(array)`: the length of each dimension, as a list of integers.
    Shape,
    /// `dim_length(array, dimension)`: the length of one dimension. The first one is 1, as in QuestDB.
    DimensionLength,
    /// `array_value(array, index, …)`: one element. The first one is 1, as in QuestDB.
    Value,
}

impl ArrayFunctionKind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Values, Self::Shape, Self::DimensionLength, Self::Value];
}

/// A function of an array that is stored as text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ArrayFunction {
    kind: ArrayFunctionKind,
    signature: Signature,
}

impl ArrayFunction {
    pub(crate) fn new(kind: ArrayFunctionKind) -> Self {
        Self {
            kind,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ArrayFunction {
    fn name(&self) -> &str {
        match self.kind {
            ArrayFunctionKind::Values => "array_values",
            ArrayFunctionKind::Shape => "array_shape",
            ArrayFunctionKind::DimensionLength => "dim_length",
            ArrayFunctionKind::Value => "array_value",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let Some((text, integers)) = types.split_first() else {
            return plan_err!("{name} takes an array as text");
        };
        if !is_text(text) {
            return plan_err!("the first argument of {name} must be an array as text, not {text}");
        }
        match (self.kind, integers.len()) {
            (ArrayFunctionKind::Values | ArrayFunctionKind::Shape, 0)
            | (ArrayFunctionKind::DimensionLength, 1)
            | (ArrayFunctionKind::Value, 1..) => {}
            (ArrayFunctionKind::Values | ArrayFunctionKind::Shape, _) => {
                return plan_err!("{name} takes one argument");
            }
            (ArrayFunctionKind::DimensionLength, _) => {
                return plan_err!("{name} takes an array and the number of a dimension");
            }
            (ArrayFunctionKind::Value, _) => {
                return plan_err!("{name} takes an array and an index for each dimension");
            }
        }
        for other in integers {
            if !other.is_integer() && !other.is_null() {
                return plan_err!(
                    "the arguments of {name} after the array must be integers, not {other}"
                );
            }
        }
        let integers = integers.iter().map(|_| DataType::Int64);
        Ok([DataType::Utf8].into_iter().chain(integers).collect())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            ArrayFunctionKind::Values => DataType::new_list(DataType::Float64, true),
            ArrayFunctionKind::Shape => DataType::new_list(DataType::Int64, true),
            ArrayFunctionKind::DimensionLength => DataType::Int64,
            ArrayFunctionKind::Value => DataType::Float64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((text, integers)) = args.args.split_first() else {
            return exec_err!("{} takes an array as text", self.name());
        };
        let integers: Vec<IntegerOperand<'_>> =
            integers.iter().map(IntegerOperand::from_value).collect::<Result<_>>()?;
        let is_constant = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        let all_constant = args.args.iter().all(is_constant);
        let mut rows = ArrayRows {
            text: TextOperand::from_value(text)?,
            rows: if all_constant { 1 } else { args.number_rows },
            array: NumberArray::default(),
        };
        let result = match self.kind {
            ArrayFunctionKind::Values => rows.values(),
            ArrayFunctionKind::Shape => rows.shapes(),
            ArrayFunctionKind::DimensionLength => rows.dimension_lengths(&integers),
            ArrayFunctionKind::Value => rows.single_values(&integers),
        };
        Ok(if all_constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The arrays of the rows of a batch.
struct ArrayRows<'a> {
    text: TextOperand<'a>,
    rows: usize,
    /// The array of the current row.
    array: NumberArray,
}

impl ArrayRows<'_> {
    fn values(&mut self) -> ArrayRef {
        let mut lists = ListBuilder::new(Float64Builder::new());
        for row in 0..self.rows {
            let array = self.read(row);
            if let Some(array) = array {
                lists.values().extend(array.elements().iter().copied());
            }
            lists.append(array.is_some());
        }
        Arc::new(lists.finish())
    }

    fn shapes(&mut self) -> ArrayRef {
        let mut lists = ListBuilder::new(Int64Builder::new());
        for row in 0..self.rows {
            let array = self.read(row);
            if let Some(array) = array {
                lists.values().extend(array.shape().map(to_integer));
            }
            lists.append(array.is_some());
        }
        Arc::new(lists.finish())
    }

    fn dimension_lengths(&mut self, dimension: &[IntegerOperand<'_>]) -> ArrayRef {
        let mut lengths = Int64Builder::with_capacity(self.rows);
        for row in 0..self.rows {
            let dimension = dimension.first().and_then(|operand| operand.get(row));
            let index =
                dimension.and_then(|dimension| usize::try_from(dimension).ok()?.checked_sub(1));
            let length = match (self.read(row), index) {
                (Some(array), Some(index)) => array.shape().nth(index).and_then(to_integer),
                _ => None,
            };
            lengths.append_option(length);
        }
        Arc::new(lengths.finish())
    }

    fn single_values(&mut self, indices: &[IntegerOperand<'_>]) -> ArrayRef {
        let mut values = Float64Builder::with_capacity(self.rows);
        for row in 0..self.rows {
            let indices = indices.iter().map(|operand| operand.get(row));
            let value = self.read(row).and_then(|array| array.element(indices));
            values.append_option(value);
        }
        Arc::new(values.finish())
    }

    /// Reads the array of a row; `None` if there is none. A constant is read once.
    fn read(&mut self, row: usize) -> Option<&NumberArray> {
        let text = match self.text {
            TextOperand::Column(column) => column.is_valid(row).then(|| column.value(row))?,
            TextOperand::Constant { is_array, .. } if row > 0 => {
                return is_array.then_some(&self.array);
            }
            TextOperand::Constant { text, .. } => text?,
        };
        let is_array = self.array.read(text);
        if let TextOperand::Constant { is_array: known, .. } = &mut self.text {
            *known = is_array;
        }
        is_array.then_some(&self.array)
    }
}

fn to_integer(length: usize) -> Option<i64> {
    i64::try_from(length).ok()
}

/// An argument that is a text.
enum TextOperand<'a> {
    Column(&'a StringArray),
    Constant {
        text: Option<&'a str>,
        /// Whether the text is an array. Known when the first row is read.
        is_array: bool,
    },
}

impl<'a> TextOperand<'a> {
    fn from_value(value: &'a ColumnarValue) -> Result<Self> {
        let is_array = false;
        match value {
            ColumnarValue::Array(array) => match array.as_string_opt::<i32>() {
                Some(column) => Ok(Self::Column(column)),
                None => exec_err!("an array as text has type {}", array.data_type()),
            },
            ColumnarValue::Scalar(ScalarValue::Utf8(text)) => {
                Ok(Self::Constant { text: text.as_deref(), is_array })
            }
            ColumnarValue::Scalar(other) => {
                exec_err!("an array as text has type {}", other.data_type())
            }
        }
    }
}

/// An argument that is an integer.
enum IntegerOperand<'a> {
    Column(&'a Int64Array),
    Constant(Option<i64>),
}

impl<'a> IntegerOperand<'a> {
    fn from_value(value: &'a ColumnarValue) -> Result<Self> {
        match value {
            ColumnarValue::Array(array) => match array.as_primitive_opt::<Int64Type>() {
                Some(column) => Ok(Self::Column(column)),
                None => exec_err!("an index has type {}", array.data_type()),
            },
            ColumnarValue::Scalar(ScalarValue::Int64(value)) => Ok(Self::Constant(*value)),
            ColumnarValue::Scalar(other) => exec_err!("an index has type {}", other.data_type()),
        }
    }

    fn get(&self, row: usize) -> Option<i64> {
        match self {
            Self::Column(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Constant(value) => *value,
        }
    }
}
