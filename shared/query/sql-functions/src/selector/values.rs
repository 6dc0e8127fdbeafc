//! One value per group, stored in a form that suits its type.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{ArrowNativeTypeOp, ArrowPrimitiveType, DataType};
use datafusion::common::{Result, ScalarValue, exec_err};

/// The values that a selector has selected, indexed by group.
pub(super) trait SelectedValues: Debug + Default + Send + Sync + 'static {
    /// The input column type.
    type Column: Array;

    /// Converts `array` to the input column type.
    fn column(array: &ArrayRef) -> Result<Self::Column>;

    /// Resizes to `groups` groups. New groups hold an arbitrary value.
    fn grow(&mut self, groups: usize);

    /// Compares the value at `row` of `column` with the value of `group`.
    fn compare(&self, column: &Self::Column, row: usize, group: usize) -> Ordering;

    /// Replaces the value of `group` with the value at `row` of `column`.
    fn keep(&mut self, column: &Self::Column, row: usize, group: usize) -> Result<()>;

    /// Returns the values of the first `kept.len()` groups; NULL where `kept` is false.
    fn array(&self, kept: &[bool], data_type: &DataType) -> Result<ArrayRef>;

    /// Removes the first `groups` groups.
    fn drop_first(&mut self, groups: usize);

    /// Returns the allocated bytes.
    fn size(&self) -> usize;
}

/// Numbers. Floats are compared in their total order: NaN is the largest value.
#[derive(Debug)]
pub(super) struct SelectedPrimitives<T: ArrowPrimitiveType>(Vec<T::Native>);

impl<T: ArrowPrimitiveType> Default for SelectedPrimitives<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: ArrowPrimitiveType + Debug> SelectedValues for SelectedPrimitives<T> {
    type Column = PrimitiveArray<T>;

    fn column(array: &ArrayRef) -> Result<Self::Column> {
        match array.as_primitive_opt::<T>() {
            Some(column) => Ok(column.clone()),
            None => exec_err!("a selector of {} cannot take {}", T::DATA_TYPE, array.data_type()),
        }
    }

    fn grow(&mut self, groups: usize) {
        self.0.resize(groups, T::Native::default());
    }

    fn compare(&self, column: &Self::Column, row: usize, group: usize) -> Ordering {
        ArrowNativeTypeOp::compare(column.value(row), self.0[group])
    }

    fn keep(&mut self, column: &Self::Column, row: usize, group: usize) -> Result<()> {
        self.0[group] = column.value(row);
        Ok(())
    }

    fn array(&self, kept: &[bool], data_type: &DataType) -> Result<ArrayRef> {
        let values = self.0[..kept.len()].to_vec().into();
        let array = PrimitiveArray::<T>::try_new(values, Some(NullBuffer::from(kept)))?;
        Ok(Arc::new(array.with_data_type(data_type.clone())))
    }

    fn drop_first(&mut self, groups: usize) {
        self.0.drain(..groups);
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<T::Native>()
    }
}

/// Booleans, false before true.
#[derive(Debug, Default)]
pub(super) struct SelectedBooleans(Vec<bool>);

impl SelectedValues for SelectedBooleans {
    type Column = BooleanArray;

    fn column(array: &ArrayRef) -> Result<Self::Column> {
        match array.as_boolean_opt() {
            Some(column) => Ok(column.clone()),
            None => exec_err!("a selector of booleans cannot take {}", array.data_type()),
        }
    }

    fn grow(&mut self, groups: usize) {
        self.0.resize(groups, false);
    }

    fn compare(&self, column: &Self::Column, row: usize, group: usize) -> Ordering {
        column.value(row).cmp(&self.0[group])
    }

    fn keep(&mut self, column: &Self::Column, row: usize, group: usize) -> Result<()> {
        self.0[group] = column.value(row);
        Ok(())
    }

    fn array(&self, kept: &[bool], _data_type: &DataType) -> Result<ArrayRef> {
        let values = BooleanBuffer::from(&self.0[..kept.len()]);
        Ok(Arc::new(BooleanArray::new(values, Some(NullBuffer::from(kept)))))
    }

    fn drop_first(&mut self, groups: usize) {
        self.0.drain(..groups);
    }

    fn size(&self) -> usize {
        self.0.capacity()
    }
}

/// Strings of any layout, including dictionaries, compared bytewise.
#[derive(Debug, Default)]
pub(super) struct SelectedStrings {
    texts: Vec<String>,
    /// The total capacity of the strings, in bytes.
    bytes: usize,
}

impl SelectedValues for SelectedStrings {
    type Column = StringArray;

    fn column(array: &ArrayRef) -> Result<Self::Column> {
        Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
    }

    fn grow(&mut self, groups: usize) {
        self.texts.resize(groups, String::new());
    }

    fn compare(&self, column: &Self::Column, row: usize, group: usize) -> Ordering {
        column.value(row).cmp(&self.texts[group])
    }

    fn keep(&mut self, column: &Self::Column, row: usize, group: usize) -> Result<()> {
        let text = &mut self.texts[group];
        self.bytes -= text.capacity();
        text.clear();
        text.push_str(column.value(row));
        self.bytes += text.capacity();
        Ok(())
    }

    fn array(&self, kept: &[bool], data_type: &DataType) -> Result<ArrayRef> {
        let texts = self.texts.iter().zip(kept).map(|(text, kept)| kept.then_some(text.as_str()));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        Ok(cast(&texts, data_type)?)
    }

    fn drop_first(&mut self, groups: usize) {
        self.bytes -= self.texts.drain(..groups).map(|text| text.capacity()).sum::<usize>();
    }

    fn size(&self) -> usize {
        self.texts.capacity() * size_of::<String>() + self.bytes
    }
}

/// Values of any other type. Values that cannot be compared count as equal.
#[derive(Debug, Default)]
pub(super) struct SelectedScalars {
    scalars: Vec<ScalarValue>,
    /// The total size of the scalars, in bytes.
    bytes: usize,
}

impl SelectedValues for SelectedScalars {
    type Column = ArrayRef;

    fn column(array: &ArrayRef) -> Result<Self::Column> {
        Ok(Arc::clone(array))
    }

    fn grow(&mut self, groups: usize) {
        let new = groups.saturating_sub(self.scalars.len());
        self.bytes += new * ScalarValue::Null.size();
        self.scalars.resize(groups, ScalarValue::Null);
    }

    fn compare(&self, column: &Self::Column, row: usize, group: usize) -> Ordering {
        let value = ScalarValue::try_from_array(column, row).ok();
        value
            .and_then(|value| value.partial_cmp(&self.scalars[group]))
            .unwrap_or(Ordering::Equal)
    }

    fn keep(&mut self, column: &Self::Column, row: usize, group: usize) -> Result<()> {
        let mut scalar = ScalarValue::try_from_array(column, row)?;
        // Without this, a scalar of a nested type would keep the whole column in memory.
        scalar.compact();
        self.bytes += scalar.size();
        self.bytes -= self.scalars[group].size();
        self.scalars[group] = scalar;
        Ok(())
    }

    fn array(&self, kept: &[bool], data_type: &DataType) -> Result<ArrayRef> {
        let null = ScalarValue::try_from(data_type)?;
        if kept.is_empty() {
            return null.to_array_of_size(0);
        }
        let scalars = self.scalars.iter().zip(kept);
        ScalarValue::iter_to_array(
            scalars.map(|(scalar, kept)| if *kept { scalar.clone() } else { null.clone() }),
        )
    }

    fn drop_first(&mut self, groups: usize) {
        self.bytes -= self.scalars.drain(..groups).map(|scalar| scalar.size()).sum::<usize>();
    }

    fn size(&self) -> usize {
        self.bytes
    }
}
