//! Encodes the rows of a `COPY` statement, with their number and the checksum of the file.

use arrow::{array::RecordBatch, datatypes::SchemaRef, ipc::writer::IpcWriteOptions};
use neap_formats::{ArrowFileWriter, Encoder, Format, FormatError, FormatLimits};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use sha2::{Digest, Sha256};

use super::{
    memory::{plain_bytes, text_bytes},
    target::CopyFormat,
};

/// The size at which a row group of a Parquet file is written, in encoded bytes.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// The totals of an encoded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileTotals {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// The SHA-256 of the file as hexadecimal digits.
    pub(crate) sha256: String,
}

/// Encodes rows as a file.
#[derive(derive_more::Debug)]
#[debug("FileEncoder {{ rows: {rows:?}, bytes: {bytes:?}, .. }}")]
pub(crate) struct FileEncoder {
    writer: FileFormatWriter,
    rows: u64,
    bytes: u64,
    hash: Sha256,
}

enum FileFormatWriter {
    Text(Box<Encoder>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Arrow(Box<ArrowFileWriter<Vec<u8>>>),
}

impl FileEncoder {
    /// Creates an encoder of rows with these columns.
    /// Fails if the format does not support a type.
    pub(crate) fn new(format: CopyFormat, schema: SchemaRef) -> Result<Self, FormatError> {
        let text = |format, schema| {
            let encoder = Encoder::new(format, schema, FormatLimits::default());
            FileFormatWriter::Text(Box::new(encoder))
        };
        let writer = match format {
            CopyFormat::Csv => text(Format::Csv, schema),
            CopyFormat::JsonLines => text(Format::JsonLines, schema),
            CopyFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
                    .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
                    .build();
                let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
                FileFormatWriter::Parquet(Box::new(writer))
            }
            CopyFormat::Arrow => {
                let writer = ArrowFileWriter::new(Vec::new(), &schema, IpcWriteOptions::default())?;
                FileFormatWriter::Arrow(Box::new(writer))
            }
        };
        Ok(Self { writer, rows: 0, bytes: 0, hash: Sha256::new() })
    }

    /// Adds rows, and returns the part of the file that can be written now, which may be empty.
    /// Fails if a value can't be encoded.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, FormatError> {
        let mut out = Vec::new();
        match &mut self.writer {
            FileFormatWriter::Text(encoder) => encoder.write(batch, &mut out)?,
            FileFormatWriter::Parquet(writer) => {
                writer.write(batch)?;
                out.append(writer.inner_mut());
            }
            FileFormatWriter::Arrow(writer) => {
                writer.write(batch)?;
                out.append(writer.get_mut());
            }
        }
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        self.count(&out);
        Ok(out)
    }

    /// Returns the end of the file, and the totals.
    /// Fails if a page could not be compressed.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, FileTotals), FormatError> {
        let mut out = Vec::new();
        match &mut self.writer {
            FileFormatWriter::Text(encoder) => encoder.finish(&mut out)?,
            FileFormatWriter::Parquet(writer) => {
                writer.finish()?;
                out.append(writer.inner_mut());
            }
            FileFormatWriter::Arrow(writer) => {
                writer.finish()?;
                out.append(writer.get_mut());
            }
        }
        self.count(&out);
        let totals = FileTotals {
            rows: self.rows,
            bytes: self.bytes,
            sha256: hex::encode(self.hash.finalize()),
        };
        Ok((out, totals))
    }

    /// The memory of rows that are not written yet, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.writer {
            FileFormatWriter::Parquet(writer) => writer.memory_size(),
            FileFormatWriter::Text(_) | FileFormatWriter::Arrow(_) => 0,
        }
    }

    /// Returns an estimate of the memory that [`write`](Self::write) takes for a batch in addition, in bytes.
    pub(crate) fn encoding_bytes(&self, batch: &RecordBatch) -> usize {
        match &self.writer {
            FileFormatWriter::Text(_) => text_bytes(batch),
            FileFormatWriter::Parquet(_) => plain_bytes(batch),
            // Plain columns, and the encoded copy of them.
            FileFormatWriter::Arrow(_) => plain_bytes(batch).saturating_mul(2),
        }
    }

    fn count(&mut self, out: &[u8]) {
        self.bytes = self.bytes.saturating_add(out.len() as u64);
        self.hash.update(out);
    }
}
