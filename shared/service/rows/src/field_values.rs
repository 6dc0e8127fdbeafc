//! The values of a field by row. Absent values are added only when the field gets its next value.

use std::sync::Arc;

use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

#[derive(Debug)]
pub(crate) struct PrimitiveValues<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> PrimitiveValues<T> {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows),
            nulls: NullBufferBuilder::new(rows),
        }
    }

    /// Returns the number of rows up to the last one that has a value.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Sets the value of a row after all others.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, value: T::Native) {
        self.pad(row);
        self.values.push(value);
        self.nulls.append_non_null();
    }

    #[inline]
    fn pad(&mut self, rows: usize) {
        if self.values.len() < rows {
            self.nulls.append_n_nulls(rows - self.values.len());
            self.values.resize(rows, T::Native::default());
        }
    }

    /// Removes the values from a row on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if rows < self.values.len() {
            self.values.truncate(rows);
            self.nulls.truncate(rows);
        }
    }

    /// Builds an array of this number of rows.
    pub(crate) fn finish(mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.pad(rows);
        let values = ScalarBuffer::from(self.values);
        let array = PrimitiveArray::<T>::try_new(values, self.nulls.finish())?;
        Ok(Arc::new(array))
    }
}

#[derive(Debug)]
pub(crate) struct BooleanValues {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl BooleanValues {
    pub(crate) fn new() -> Self {
        Self {
            values: BooleanBufferBuilder::new(0),
            nulls: NullBufferBuilder::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn set(&mut self, row: usize, value: bool) {
        self.pad(row);
        self.values.append(value);
        self.nulls.append_non_null();
    }

    fn pad(&mut self, rows: usize) {
        if self.values.len() < rows {
            let missing = rows - self.values.len();
            self.nulls.append_n_nulls(missing);
            self.values.append_n(missing, false);
        }
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        if rows < self.values.len() {
            self.values.truncate(rows);
            self.nulls.truncate(rows);
        }
    }

    pub(crate) fn finish(mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        let (values, nulls) = (self.values.finish(), self.nulls.finish());
        Arc::new(BooleanArray::new(values, nulls))
    }
}

/// Texts, concatenated in one buffer.
#[derive(Debug)]
pub(crate) struct TextBuffer {
    bytes: Vec<u8>,
    /// The end of each text, after a leading 0. The offsets can't overflow, because the sizes of a body and of the
    /// texts of its binary values are limited, and `PointBatches::into_rows` checks the size of all texts before they
    /// are used.
    offsets: Vec<i32>,
}

impl TextBuffer {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), offsets: vec![0] }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Adds the text that `append` appends to the bytes of all texts.
    #[inline]
    pub(crate) fn push_with(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.bytes);
        self.offsets.push(self.end());
    }

    fn end(&self) -> i32 {
        i32::try_from(self.bytes.len()).unwrap_or(i32::MAX)
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let offset =
            |at: usize| self.offsets.get(at).and_then(|offset| usize::try_from(*offset).ok());
        match (offset(index), offset(index + 1)) {
            (Some(start), Some(end)) => self.bytes.get(start..end).unwrap_or_default(),
            _ => b"",
        }
    }

    pub(crate) fn finish(self, nulls: &mut NullBufferBuilder) -> Result<StringArray, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        StringArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls.finish())
    }
}

#[derive(Debug)]
pub(crate) struct TextValues {
    texts: TextBuffer,
    nulls: NullBufferBuilder,
}

impl TextValues {
    pub(crate) fn new() -> Self {
        Self { texts: TextBuffer::new(), nulls: NullBufferBuilder::new(0) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Sets the text of a row after all others. `append` appends it to the bytes of all texts.
    #[inline]
    pub(crate) fn set_with(&mut self, row: usize, append: impl FnOnce(&mut Vec<u8>)) {
        self.pad(row);
        self.texts.push_with(append);
        self.nulls.append_non_null();
    }

    fn pad(&mut self, rows: usize) {
        if self.len() < rows {
            self.nulls.append_n_nulls(rows - self.len());
            self.texts.offsets.resize(rows + 1, self.texts.end());
        }
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        if rows < self.len() {
            self.texts.offsets.truncate(rows + 1);
            let end = self.texts.offsets.last().copied().unwrap_or_default();
            self.texts.bytes.truncate(usize::try_from(end).unwrap_or_default());
            self.nulls.truncate(rows);
        }
    }

    pub(crate) fn finish(mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.pad(rows);
        Ok(Arc::new(self.texts.finish(&mut self.nulls)?))
    }
}
