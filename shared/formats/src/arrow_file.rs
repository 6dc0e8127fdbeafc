//! Arrow IPC files, for exports.

use std::{io::Write, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
    ipc::writer::{FileWriter, IpcWriteOptions},
};

/// Writes an Arrow IPC file (Feather version 2).
///
/// Dictionaries become plain values, because a file has one dictionary for each column, and batches have different ones.
/// The metadata of the columns still tells which are tags. Views become plain values, too, because not all readers know
/// them.
pub struct ArrowFileWriter<W: Write> {
    writer: FileWriter<W>,
    schema: SchemaRef,
}

impl<W: Write> ArrowFileWriter<W> {
    /// Creates a writer of rows with these columns, and writes the start of the file.
    ///
    /// # Errors
    /// A type can't be written, or the output fails.
    pub fn new(out: W, columns: &Schema, options: IpcWriteOptions) -> Result<Self, ArrowError> {
        let fields: Vec<_> = columns.fields().iter().map(plain_field).collect();
        let schema = Schema::new_with_metadata(fields, columns.metadata().clone());
        Ok(Self {
            writer: FileWriter::try_new_with_options(out, &schema, options)?,
            schema: Arc::new(schema),
        })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// The batch has other columns, or the output fails.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns =
            columns.map(
                |(column, field)| match column.data_type() == field.data_type() {
                    true => Ok(Arc::clone(column)),
                    false => cast(column, field.data_type()),
                },
            );
        let columns = columns.collect::<Result<_, _>>()?;
        let plain = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.writer.write(&plain)
    }

    /// Writes the end of the file.
    ///
    /// # Errors
    /// The output fails.
    pub fn finish(&mut self) -> Result<(), ArrowError> {
        self.writer.finish()
    }

    /// The output.
    pub fn get_mut(&mut self) -> &mut W {
        self.writer.get_mut()
    }
}

impl<W: Write> std::fmt::Debug for ArrowFileWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArrowFileWriter")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let plain = plain_type(field.data_type());
    match plain == *field.data_type() {
        true => Arc::clone(field),
        false => Arc::new(Field::clone(field).with_data_type(plain)),
    }
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) => DataType::List(plain_field(field)),
        DataType::LargeList(field) => DataType::LargeList(plain_field(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(plain_field(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, io::Cursor};

    use arrow::{
        array::{Array, AsArray, DictionaryArray, StringViewArray},
        datatypes::Int32Type,
        ipc::reader::FileReader,
    };

    use super::*;

    fn batch(tags: &[&str]) -> RecordBatch {
        let tag: DictionaryArray<Int32Type> = tags.iter().copied().collect();
        let view = StringViewArray::from_iter_values(tags);
        let mark = HashMap::from([("mark".to_owned(), "tag".to_owned())]);
        let fields = vec![
            Field::new("tag", tag.data_type().clone(), true).with_metadata(mark),
            Field::new("view", DataType::Utf8View, true),
        ];
        let schema = Arc::new(Schema::new(fields));
        RecordBatch::try_new(schema, vec![Arc::new(tag), Arc::new(view)]).unwrap()
    }

    #[test]
    fn batches_with_different_dictionaries_become_one_file() {
        let batches = [batch(&["a", "b"]), batch(&["c", "a"])];
        let options = IpcWriteOptions::default();
        let columns = batches[0].schema();
        let mut writer = ArrowFileWriter::new(Vec::new(), &columns, options).unwrap();
        for batch in &batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
        let file = std::mem::take(writer.get_mut());
        let reader = FileReader::try_new(Cursor::new(file), None).unwrap();
        assert_eq!(reader.schema().field(0).metadata()["mark"], "tag");
        let mut texts = Vec::new();
        for batch in reader {
            let batch = batch.unwrap();
            for column in batch.columns() {
                let column = column.as_string::<i32>().iter().flatten();
                texts.extend(column.map(str::to_owned));
            }
        }
        assert_eq!(texts, ["a", "b", "a", "b", "c", "a", "c", "a"]);
    }
}
