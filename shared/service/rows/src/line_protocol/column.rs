//! The columns of a table while rows are added to it.

use std::{borrow::Cow, sync::Arc};

use ahash::RandomState;
use arrow_array::{
    ArrayRef, DictionaryArray, PrimitiveArray,
    types::{Float64Type, Int32Type, Int64Type, UInt64Type},
};
use arrow_buffer::{NullBufferBuilder, ScalarBuffer};
use arrow_schema::ArrowError;
use hashbrown::HashTable;
use neap_schema::ColumnType;

use crate::{
    field_values::{BooleanValues, PrimitiveValues, TextBuffer, TextValues},
    line_protocol::{
        number::FieldValue,
        scan::{Token, TokenKind},
    },
};

/// A column that occurs in the body.
#[derive(Debug)]
pub(crate) struct ColumnBuilder<'a> {
    pub(crate) name: Cow<'a, [u8]>,
    pub(crate) column_type: ColumnType,
    /// The position of the column in the catalog's order; `None` if it is new.
    pub(crate) position: Option<usize>,
    /// The number of the last line that named the column.
    pub(crate) seen_in_line: usize,
    data: ColumnData,
}

/// The values so far. A column is padded with nulls only when it gets its next value.
#[derive(Debug)]
enum ColumnData {
    Tag(TagColumn),
    Float(PrimitiveValues<Float64Type>),
    Integer(PrimitiveValues<Int64Type>),
    UInteger(PrimitiveValues<UInt64Type>),
    Text(TextValues),
    Boolean(BooleanValues),
}

impl<'a> ColumnBuilder<'a> {
    pub(crate) fn new(
        name: Cow<'a, [u8]>,
        column_type: ColumnType,
        position: Option<usize>,
    ) -> Self {
        let data = match column_type {
            ColumnType::Tag => ColumnData::Tag(TagColumn::default()),
            ColumnType::Float => ColumnData::Float(PrimitiveValues::with_capacity(0)),
            // The timestamps of a table are not kept here, and no other column has their type.
            ColumnType::Integer | ColumnType::Time => {
                ColumnData::Integer(PrimitiveValues::with_capacity(0))
            }
            ColumnType::UInteger => ColumnData::UInteger(PrimitiveValues::with_capacity(0)),
            ColumnType::String => ColumnData::Text(TextValues::new()),
            ColumnType::Boolean => ColumnData::Boolean(BooleanValues::new()),
        };
        Self { name, column_type, position, seen_in_line: 0, data }
    }

    /// Sets the value of a field in a row. The value has the type of the column, because lines are validated before
    /// they are stored.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, value: FieldValue<'_>) {
        match (&mut self.data, value) {
            (ColumnData::Float(column), FieldValue::Float(value)) => column.set(row, value),
            (ColumnData::Integer(column), FieldValue::Integer(value)) => column.set(row, value),
            (ColumnData::UInteger(column), FieldValue::UInteger(value)) => column.set(row, value),
            (ColumnData::Text(column), FieldValue::String(token)) => {
                column.set_with(row, |bytes| token.unescape_into(TokenKind::Text, bytes));
            }
            (ColumnData::Boolean(column), FieldValue::Boolean(value)) => column.set(row, value),
            (ColumnData::Text(column), value) => set_text_of(column, row, value),
            (data, value) => debug_assert!(false, "{value:?} is not validated for {data:?}"),
        }
    }

    /// Sets the value of a tag in a tag set.
    pub(crate) fn set_tag(&mut self, tag_set: usize, value: Token<'_>) {
        match &mut self.data {
            ColumnData::Tag(column) => column.set(tag_set, value),
            data => debug_assert!(false, "a tag is not validated for {data:?}"),
        }
    }

    /// Returns whether the column is a tag that a tag set has.
    pub(crate) fn has_tag(&self, tag_set: u32) -> bool {
        let position = usize::try_from(tag_set).unwrap_or(usize::MAX);
        match &self.data {
            ColumnData::Tag(column) => {
                column.key_in_tag_set.get(position).is_some_and(|key| *key != ABSENT)
            }
            _ => false,
        }
    }

    /// Builds the array of the column, with one value for each row. Tags are looked up by the row's tag set.
    pub(crate) fn finish(self, tag_set_of_row: &[u32]) -> Result<ArrayRef, ArrowError> {
        let rows = tag_set_of_row.len();
        Ok(match self.data {
            ColumnData::Tag(column) => column.finish(tag_set_of_row)?,
            ColumnData::Float(column) => column.finish(rows)?,
            ColumnData::Integer(column) => column.finish(rows)?,
            ColumnData::UInteger(column) => column.finish(rows)?,
            ColumnData::Text(column) => column.finish(rows)?,
            ColumnData::Boolean(column) => column.finish(rows),
        })
    }
}

/// Sets a value that is stored as a text.
#[cold]
fn set_text_of(column: &mut TextValues, row: usize, value: FieldValue<'_>) {
    column.set_with(row, |bytes| match value {
        FieldValue::Array(array) => array.write_json(bytes),
        FieldValue::BinaryDecimal(decimal) => decimal.write(bytes),
        FieldValue::TextDecimal(decimal) => decimal.write(bytes),
        FieldValue::Long256(number) => number.write(bytes),
        value => debug_assert!(false, "{value:?} is not validated for a text"),
    });
}

/// The key of a tag that is absent from a tag set.
const ABSENT: i32 = -1;

/// A tag column: a dictionary of its values, and the key of the value in each tag set of the table.
#[derive(Debug)]
struct TagColumn {
    values: TextBuffer,
    keys_by_value: HashTable<i32>,
    hasher: RandomState,
    key_in_tag_set: Vec<i32>,
}

impl Default for TagColumn {
    fn default() -> Self {
        Self {
            values: TextBuffer::new(),
            keys_by_value: HashTable::new(),
            hasher: RandomState::new(),
            key_in_tag_set: Vec::new(),
        }
    }
}

impl TagColumn {
    fn set(&mut self, tag_set: usize, value: Token<'_>) {
        self.key_in_tag_set.resize(tag_set, ABSENT);
        let key = self.key(&value.unescape(TokenKind::TagValue));
        self.key_in_tag_set.push(key);
    }

    /// Returns the key of a value in the dictionary. Adds the value if it is new.
    fn key(&mut self, value: &[u8]) -> i32 {
        let Self { values, keys_by_value, hasher, .. } = self;
        let text_of = |key: &i32| values.get(usize::try_from(*key).unwrap_or(usize::MAX));
        let hash = hasher.hash_one(value);
        if let Some(key) = keys_by_value.find(hash, |key| text_of(key) == value) {
            return *key;
        }
        let key = i32::try_from(values.len()).unwrap_or(i32::MAX);
        keys_by_value.insert_unique(hash, key, |key| hasher.hash_one(text_of(key)));
        values.push_with(|bytes| bytes.extend_from_slice(value));
        key
    }

    fn finish(self, tag_set_of_row: &[u32]) -> Result<ArrayRef, ArrowError> {
        let key_of = |tag_set: &u32| {
            let index = usize::try_from(*tag_set).unwrap_or(usize::MAX);
            self.key_in_tag_set.get(index).copied().unwrap_or(ABSENT)
        };
        let mut keys: Vec<i32> = tag_set_of_row.iter().map(key_of).collect();
        let mut nulls = NullBufferBuilder::new(keys.len());
        if keys.contains(&ABSENT) {
            for key in &mut keys {
                nulls.append(*key != ABSENT);
                *key = (*key).max(0);
            }
        }
        let keys = PrimitiveArray::<Int32Type>::try_new(ScalarBuffer::from(keys), nulls.finish())?;
        let values = self.values.finish(&mut NullBufferBuilder::new(0))?;
        Ok(Arc::new(DictionaryArray::try_new(keys, Arc::new(values))?))
    }
}
