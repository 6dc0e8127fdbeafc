//! The format `parquet`: one file with the Arrow schema embedded.

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// Writes a Parquet file. A result without rows is zero bytes, as in InfluxDB 3.
#[derive(derive_more::Debug)]
#[debug("ParquetWriter {{ open: {:?}, row_group_bytes: {row_group_bytes:?} }}", self.writer.is_some())]
pub(crate) struct ParquetWriter {
    /// Created with the first rows.
    writer: Option<ArrowWriter<Vec<u8>>>,
    row_group_bytes: usize,
}

impl ParquetWriter {
    /// Creates a writer with row groups of about `row_group_bytes` bytes.
    pub(crate) fn new(row_group_bytes: usize) -> Self {
        Self { writer: None, row_group_bytes }
    }

    /// Adds the rows of `batch` and appends the row groups that are complete.
    /// Fails if Parquet does not support a type.
    pub(crate) fn write(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
    ) -> Result<(), ParquetError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(open(batch, self.row_group_bytes)?),
        };
        writer.write(batch)?;
        out.append(writer.inner_mut());
        Ok(())
    }

    /// Appends the last row group and the footer.
    ///
    /// # Errors
    ///
    /// A page could not be compressed.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        if let Some(writer) = self.writer.take() {
            out.append(&mut writer.into_inner()?);
        }
        Ok(())
    }
}

fn open(batch: &RecordBatch, row_group_bytes: usize) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_bytes(Some(row_group_bytes.max(1)))
        .build();
    ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))
}
