//! The format `arrow`: an Arrow IPC stream.

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
    ipc::writer::StreamWriter,
};

use super::plain_columns::PlainColumns;

/// Writes an Arrow IPC stream. A result without rows is the schema and the end of the stream.
///
/// Dictionaries and views become plain values, because readers in browsers do not know all of them.
#[derive(derive_more::Debug)]
#[debug("ArrowStreamWriter {{ columns: {columns:?}, open: {:?} }}", self.writer.is_some())]
pub(crate) struct ArrowStreamWriter {
    columns: PlainColumns,
    /// Created with the first rows, because the schema may have types that can't be written.
    writer: Option<StreamWriter<Vec<u8>>>,
}

impl ArrowStreamWriter {
    /// Creates a writer of rows with these columns.
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        Self { columns: PlainColumns::from_columns(schema), writer: None }
    }

    /// Appends the rows of `batch` as one message, after the schema if they are the first.
    /// Fails if a type can't be written.
    pub(crate) fn write(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
    ) -> Result<(), ArrowError> {
        let plain = self.columns.convert(batch)?;
        let writer = opened(&mut self.writer, self.columns.schema())?;
        writer.write(&plain)?;
        out.append(writer.get_mut());
        Ok(())
    }

    /// Appends the end of the stream.
    /// Fails if a type can't be written.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let writer = opened(&mut self.writer, self.columns.schema())?;
        writer.finish()?;
        out.append(writer.get_mut());
        Ok(())
    }
}

fn opened<'a>(
    writer: &'a mut Option<StreamWriter<Vec<u8>>>,
    schema: &Schema,
) -> Result<&'a mut StreamWriter<Vec<u8>>, ArrowError> {
    match writer {
        Some(writer) => Ok(writer),
        none => Ok(none.insert(StreamWriter::try_new(Vec::new(), schema)?)),
    }
}
