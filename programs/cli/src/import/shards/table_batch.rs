//! Rows of a table as columns, built from many series.

use std::{collections::HashMap, ops::Range, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampNanosecondArray, UInt64Array, types::Int32Type,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Field, Schema};
use neap_tsm::{ValueType, Values};

/// The key of a row without the tag.
const NO_TAG: i32 = -1;

/// Rows of a table.
#[derive(Debug, Default)]
pub(super) struct TableBatch {
    times: Vec<i64>,
    tags: Vec<TagColumn>,
    tag_indices: HashMap<String, usize>,
    fields: Vec<FieldBuilder>,
    field_indices: HashMap<(String, ValueType), usize>,
    text_bytes: usize,
}

/// A tag with its dictionary.
#[derive(Debug)]
struct TagColumn {
    name: String,
    values: Vec<String>,
    keys_by_value: HashMap<String, i32>,
    keys: Vec<i32>,
}

#[derive(Debug)]
struct FieldBuilder {
    name: String,
    values: Values,
    /// Whether each row has a value; `None` while all have one.
    present: Option<Vec<bool>>,
}

/// The values of a column to append to a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnRows<'a> {
    pub(super) name: &'a str,
    pub(super) values: &'a Values,
    /// Whether each row has a value; `None` if all have one.
    pub(super) present: Option<&'a [bool]>,
}

impl TableBatch {
    /// Returns the number of rows.
    pub(super) fn rows(&self) -> usize {
        self.times.len()
    }

    /// Returns an estimate of the size as an Arrow stream in bytes.
    pub(super) fn bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(|field| field.values.memory_bytes()).sum();
        let keys = (self.tags.len() * 4 + 8) * self.rows();
        fields + keys + self.text_bytes
    }

    /// Appends a range of rows of a series.
    pub(super) fn push(
        &mut self,
        tags: &[(&str, &str)],
        times: &[i64],
        columns: &[ColumnRows<'_>],
        range: Range<usize>,
    ) {
        let before = self.rows();
        let count = range.len();
        self.times.extend_from_slice(times.get(range.clone()).unwrap_or_default());
        for (name, value) in tags {
            self.push_tag(name, value, before, count);
        }
        for column in columns {
            let index = self.field_index(column, before);
            if let Some(field) = self.fields.get_mut(index) {
                field.push(column, range.clone(), before);
            }
        }
        let rows = self.rows();
        self.tags.iter_mut().for_each(|tag| tag.keys.resize(rows, NO_TAG));
        self.fields.iter_mut().for_each(|field| field.pad(rows));
    }

    fn push_tag(&mut self, name: &str, value: &str, before: usize, count: usize) {
        let index = match self.tag_indices.get(name) {
            Some(index) => *index,
            None => {
                let index = self.tags.len();
                self.tag_indices.insert(name.to_owned(), index);
                self.tags.push(TagColumn {
                    name: name.to_owned(),
                    values: Vec::new(),
                    keys_by_value: HashMap::new(),
                    keys: vec![NO_TAG; before],
                });
                index
            }
        };
        if let Some(tag) = self.tags.get_mut(index) {
            self.text_bytes += tag.push(value, before + count);
        }
    }

    /// Returns the index of the field of a column. Adds the field if it is new.
    fn field_index(&mut self, column: &ColumnRows<'_>, before: usize) -> usize {
        let value_type = column.values.value_type();
        let key = (column.name.to_owned(), value_type);
        *self.field_indices.entry(key).or_insert_with(|| {
            let mut field = FieldBuilder {
                name: column.name.to_owned(),
                values: Values::new(value_type),
                present: None,
            };
            field.pad(before);
            self.fields.push(field);
            self.fields.len() - 1
        })
    }

    /// Takes the rows as a record batch. Tags are dictionaries.
    ///
    /// # Errors
    ///
    /// Two columns have the same name.
    pub(super) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let batch = std::mem::take(self);
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut add = |name: String, array: ArrayRef| {
            fields.push(Field::new(name, array.data_type().clone(), true));
            columns.push(array);
        };
        for tag in batch.tags {
            add(tag.name.clone(), Arc::new(tag.into_array()?));
        }
        for field in batch.fields {
            let (name, array) = field.into_array()?;
            add(name, array);
        }
        let times = TimestampNanosecondArray::new(ScalarBuffer::from(batch.times), None);
        add("time".to_owned(), Arc::new(times));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}

impl TagColumn {
    /// Fills the rows up to `rows` with a value. Returns the bytes that the dictionary grows.
    fn push(&mut self, value: &str, rows: usize) -> usize {
        let (key, added) = match self.keys_by_value.get(value) {
            Some(key) => (*key, 0),
            None => {
                // A batch has fewer rows than keys, because its size is limited.
                let key = i32::try_from(self.values.len()).unwrap_or(i32::MAX);
                self.keys_by_value.insert(value.to_owned(), key);
                self.values.push(value.to_owned());
                (key, value.len() + 4)
            }
        };
        self.keys.resize(rows, key);
        added
    }

    fn into_array(self) -> Result<DictionaryArray<Int32Type>, ArrowError> {
        let present = self.keys.iter().map(|key| *key != NO_TAG);
        let nulls = NullBuffer::new(BooleanBuffer::from_iter(present));
        let keys = self.keys.into_iter().map(|key| key.max(0));
        let keys = Int32Array::new(keys.collect(), Some(nulls));
        let values = StringArray::from_iter_values(self.values);
        DictionaryArray::try_new(keys, Arc::new(values))
    }
}

impl FieldBuilder {
    /// Appends values for the rows from `before` on.
    fn push(&mut self, column: &ColumnRows<'_>, range: Range<usize>, before: usize) {
        let count = range.len();
        self.values.extend_from(column.values, range.clone());
        match (&mut self.present, column.present) {
            (None, None) => {}
            (Some(present), None) => present.resize(before + count, true),
            (present, Some(added)) => present
                .get_or_insert_with(|| vec![true; before])
                .extend_from_slice(added.get(range).unwrap_or_default()),
        }
    }

    /// Adds rows without a value until there are `rows`.
    fn pad(&mut self, rows: usize) {
        let before = self.values.len();
        if before < rows {
            self.values.push_default(rows - before);
            let present = self.present.get_or_insert_with(|| vec![true; before]);
            present.resize(rows, false);
        }
    }

    fn into_array(self) -> Result<(String, ArrayRef), ArrowError> {
        let nulls = self.present.map(NullBuffer::from);
        let array: ArrayRef = match self.values {
            Values::Float(list) => Arc::new(Float64Array::new(ScalarBuffer::from(list), nulls)),
            Values::Integer(list) => Arc::new(Int64Array::new(ScalarBuffer::from(list), nulls)),
            Values::Unsigned(list) => Arc::new(UInt64Array::new(ScalarBuffer::from(list), nulls)),
            Values::Boolean(list) => Arc::new(BooleanArray::new(BooleanBuffer::from(list), nulls)),
            Values::String(strings) => {
                let (text, lengths) = strings.into_parts();
                let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
                let bytes = Buffer::from_vec(text.into_bytes());
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
        };
        Ok((self.name, array))
    }
}

/// Encodes a batch as an Arrow stream.
pub(super) fn encode_stream(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut stream = Vec::with_capacity(batch.get_array_memory_size());
    let mut writer = StreamWriter::try_new(&mut stream, batch.schema_ref())?;
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use neap_tsm::Strings;

    use super::*;

    #[test]
    fn series_with_different_tags_and_fields_are_one_batch() {
        let mut batch = TableBatch::default();
        let floats = Values::Float(vec![0.5, 1.5, 2.5]);
        let mut texts = Strings::default();
        ["x", "", "z"].iter().for_each(|text| texts.push(text));
        let texts = Values::String(texts);
        let column = |name, values| ColumnRows { name, values, present: None };
        batch.push(&[("host", "a")], &[1, 2, 3], &[column("f", &floats)], 1..3);
        let partial = ColumnRows { present: Some(&[true, false, true]), ..column("s", &texts) };
        batch.push(
            &[("host", "b"), ("rack", "r")],
            &[4, 5, 6],
            &[column("f", &floats), partial],
            0..3,
        );
        batch.push(&[], &[7, 8, 9], &[column("s", &texts)], 0..1);
        assert_eq!(batch.rows(), 6);
        let finished = batch.finish().unwrap();
        assert_eq!(batch.rows(), 0);
        insta::assert_snapshot!(pretty_format_batches(&[finished]).unwrap(), @"
        +------+------+-----+---+-------------------------------+
        | host | rack | f   | s | time                          |
        +------+------+-----+---+-------------------------------+
        | a    |      | 1.5 |   | 1970-01-01T00:00:00.000000002 |
        | a    |      | 2.5 |   | 1970-01-01T00:00:00.000000003 |
        | b    | r    | 0.5 | x | 1970-01-01T00:00:00.000000004 |
        | b    | r    | 1.5 |   | 1970-01-01T00:00:00.000000005 |
        | b    | r    | 2.5 | z | 1970-01-01T00:00:00.000000006 |
        |      |      |     | x | 1970-01-01T00:00:00.000000007 |
        +------+------+-----+---+-------------------------------+
        ");
    }
}
