//! A column of points while rows are added to it.

use std::sync::Arc;

use arrow_array::{
    ArrayRef,
    types::{Float64Type, Int64Type, UInt64Type},
};
use arrow_schema::ArrowError;
use neap_schema::ColumnType;

use super::tags::{FinishedTags, PointTag, PointTagValue};
use crate::{
    columnar::tag_dictionary::TagKeys,
    field_values::{BooleanValues, PrimitiveValues, TextValues},
};

/// The memory of a column besides its values, in bytes.
pub(super) const COLUMN_BYTES: usize = 512;

/// A value of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum PointValue<'a> {
    Tag(PointTagValue),
    Float(f64),
    Integer(i64),
    UInteger(u64),
    String(&'a str),
    Boolean(bool),
}

impl PointValue<'_> {
    #[inline]
    pub(super) fn column_type(self) -> ColumnType {
        match self {
            Self::Tag(_) => ColumnType::Tag,
            Self::Float(_) => ColumnType::Float,
            Self::Integer(_) => ColumnType::Integer,
            Self::UInteger(_) => ColumnType::UInteger,
            Self::String(_) => ColumnType::String,
            Self::Boolean(_) => ColumnType::Boolean,
        }
    }
}

/// The values of a column by row. Absent values are added only when the column gets its next value.
#[derive(Debug)]
pub(super) struct PointColumn {
    pub(super) name: Arc<str>,
    /// The memory that the dictionary of a tag takes, in bytes.
    pub(super) dictionary_bytes: usize,
    values: PointValues,
}

#[derive(Debug)]
enum PointValues {
    Tag(PointTag, TagKeys),
    Float(PrimitiveValues<Float64Type>),
    Integer(PrimitiveValues<Int64Type>),
    UInteger(PrimitiveValues<UInt64Type>),
    String(TextValues),
    Boolean(BooleanValues),
}

impl PointColumn {
    /// Creates a column without rows for values like the first one. It has room for this number of rows, except for strings
    /// and booleans.
    pub(super) fn new(name: Arc<str>, first: PointValue<'_>, rows: usize) -> Self {
        let values = match first {
            PointValue::Tag(value) => PointValues::Tag(value.tag, TagKeys::with_capacity(rows)),
            PointValue::Float(_) => PointValues::Float(PrimitiveValues::with_capacity(rows)),
            PointValue::Integer(_) => PointValues::Integer(PrimitiveValues::with_capacity(rows)),
            PointValue::UInteger(_) => PointValues::UInteger(PrimitiveValues::with_capacity(rows)),
            PointValue::String(_) => PointValues::String(TextValues::new()),
            PointValue::Boolean(_) => PointValues::Boolean(BooleanValues::new()),
        };
        Self { name, dictionary_bytes: 0, values }
    }

    /// Returns the tag whose values the column has; `None` if it is a field.
    #[inline]
    pub(super) fn tag(&self) -> Option<PointTag> {
        match &self.values {
            PointValues::Tag(tag, _) => Some(*tag),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn column_type(&self) -> ColumnType {
        match &self.values {
            PointValues::Tag(..) => ColumnType::Tag,
            PointValues::Float(_) => ColumnType::Float,
            PointValues::Integer(_) => ColumnType::Integer,
            PointValues::UInteger(_) => ColumnType::UInteger,
            PointValues::String(_) => ColumnType::String,
            PointValues::Boolean(_) => ColumnType::Boolean,
        }
    }

    /// Returns whether the last row has a value of a tag.
    #[inline]
    pub(super) fn ends_with(&self, value: PointTagValue) -> bool {
        match &self.values {
            PointValues::Tag(tag, keys) => *tag == value.tag && keys.ends_with(value.key),
            _ => false,
        }
    }

    /// Returns the number of rows up to the last one that has a value.
    #[inline]
    pub(super) fn len(&self) -> usize {
        match &self.values {
            PointValues::Tag(_, keys) => keys.len(),
            PointValues::Float(values) => values.len(),
            PointValues::Integer(values) => values.len(),
            PointValues::UInteger(values) => values.len(),
            PointValues::String(values) => values.len(),
            PointValues::Boolean(values) => values.len(),
        }
    }

    /// Sets the value of a row after all others. Returns the bytes of the text of a field, or `None` if the column has another
    /// type.
    #[inline]
    pub(super) fn set(&mut self, row: usize, value: PointValue<'_>) -> Option<usize> {
        match (&mut self.values, value) {
            (PointValues::Tag(_, keys), PointValue::Tag(value)) => {
                keys.push_nulls(row.saturating_sub(keys.len()));
                keys.push(value.key);
            }
            (PointValues::Float(values), PointValue::Float(value)) => values.set(row, value),
            (PointValues::Integer(values), PointValue::Integer(value)) => values.set(row, value),
            (PointValues::UInteger(values), PointValue::UInteger(value)) => values.set(row, value),
            (PointValues::String(values), PointValue::String(value)) => {
                values.set_with(row, |bytes| bytes.extend_from_slice(value.as_bytes()));
                return Some(value.len());
            }
            (PointValues::Boolean(values), PointValue::Boolean(value)) => values.set(row, value),
            _ => return None,
        }
        Some(0)
    }

    /// Removes the values from a row on.
    pub(super) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            PointValues::Tag(_, keys) => keys.truncate(rows),
            PointValues::Float(values) => values.truncate(rows),
            PointValues::Integer(values) => values.truncate(rows),
            PointValues::UInteger(values) => values.truncate(rows),
            PointValues::String(values) => values.truncate(rows),
            PointValues::Boolean(values) => values.truncate(rows),
        }
    }

    /// Builds an array of this number of rows.
    pub(super) fn finish(
        self,
        rows: usize,
        tags: &mut FinishedTags,
    ) -> Result<ArrayRef, ArrowError> {
        match self.values {
            PointValues::Tag(tag, mut keys) => {
                keys.push_nulls(rows.saturating_sub(keys.len()));
                tags.column(tag, keys)
            }
            PointValues::Float(values) => values.finish(rows),
            PointValues::Integer(values) => values.finish(rows),
            PointValues::UInteger(values) => values.finish(rows),
            PointValues::String(values) => values.finish(rows),
            PointValues::Boolean(values) => Ok(values.finish(rows)),
        }
    }
}
