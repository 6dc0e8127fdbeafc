//! Arrow IPC files, for exports.

use std::io::Write;

use arrow::{
    array::RecordBatch,
    datatypes::Schema,
    error::ArrowError,
    ipc::writer::{FileWriter, IpcWriteOptions},
};

use super::plain_columns::PlainColumns;

/// Writes an Arrow IPC file (Feather version 2).
///
/// Dictionaries and views become plain values, because a file has one dictionary for each column, and batches have
/// different ones.
#[derive(derive_more::Debug)]
pub struct ArrowFileWriter<W: Write> {
    #[debug(skip)]
    writer: FileWriter<W>,
    columns: PlainColumns,
}

impl<W: Write> ArrowFileWriter<W> {
    /// Creates a writer of rows with these columns, and writes the start of the file.
    ///
    /// # Errors
    /// A type can't be written, or the output fails.
    pub fn new(out: W, columns: &Schema, options: IpcWriteOptions) -> Result<Self, ArrowError> {
        let columns = PlainColumns::from_columns(columns);
        Ok(Self {
            writer: FileWriter::try_new_with_options(out, columns.schema(), options)?,
            columns,
        })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// The batch has other columns, or the output fails.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.writer.write(&self.columns.convert(batch)?)
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

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, io::Cursor, sync::Arc};

    use arrow::{
        array::{Array, AsArray, DictionaryArray, StringViewArray},
        datatypes::{DataType, Field, Int32Type},
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
