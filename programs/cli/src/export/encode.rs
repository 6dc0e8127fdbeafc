//! Encodes the rows of a Parquet file in another format.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_ipc::{CompressionType, writer::IpcWriteOptions};
use arrow_schema::SchemaRef;
use flate2::write::GzEncoder;
use neap_file_formats::{FileInput, FileReader, ReadOptions};
use neap_formats::{ArrowFileWriter, Encoder, Format, FormatLimits};
use neap_rows::{
    columnar::{ColumnMapping, LineEncoder, LineRows},
    line_protocol::Precision,
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, GzipLevel, ZstdLevel},
    file::{metadata::ParquetMetaDataReader, properties::WriterProperties},
};

use super::{ExportCompression, ExportError, ExportFormat, ExportResult, part_file::PartFile};

/// The number of rows that are encoded at once.
const BATCH_ROWS: usize = 8192;

/// The size at which a row group of a Parquet file is written, in encoded bytes.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// The size at which lines are written, in bytes.
const LINES_BYTES: usize = 1 << 20;

/// Compression level of Zstandard, as the server uses it.
const ZSTD_LEVEL: i32 = 1;

/// Returns the number of rows of a Parquet file. A file without bytes has none.
pub(super) fn parquet_rows(path: &Path, bytes: u64) -> ExportResult<u64> {
    if bytes == 0 {
        return Ok(0);
    }
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&open(path)?)?;
    let rows = metadata.file_metadata().num_rows();
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// Encodes the rows of a Parquet file. `table` is their table in line protocol.
///
/// # Errors
/// The file can't be read, a row can't be written in the format, or the output can't be written.
pub(super) fn encode(
    from: &Path,
    table: &str,
    format: ExportFormat,
    compression: ExportCompression,
    into: &mut PartFile,
) -> ExportResult {
    match format {
        ExportFormat::Parquet => encode_parquet(from, compression, into),
        ExportFormat::Arrow => encode_arrow(from, compression, into),
        ExportFormat::Csv => {
            encode_text(from, compression, into, |from, out| encode_rows(from, Format::Csv, out))
        }
        ExportFormat::Jsonl => encode_text(from, compression, into, |from, out| {
            encode_rows(from, Format::JsonLines, out)
        }),
        ExportFormat::Lp => {
            encode_text(from, compression, into, |from, out| encode_lines(from, table, out))
        }
    }
}

fn open(path: &Path) -> ExportResult<File> {
    File::open(path).map_err(|error| ExportError::of_file(path, error))
}

/// Returns the columns and the rows of a Parquet file.
fn read(path: &Path) -> ExportResult<(SchemaRef, impl Iterator<Item = ExportResult<RecordBatch>>)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(open(path)?)?;
    let reader = builder.with_batch_size(BATCH_ROWS).build()?;
    let schema = reader.schema();
    let batches = reader.map(|batch| batch.map_err(ExportError::Arrow));
    Ok((schema, batches))
}

fn encode_parquet(
    from: &Path,
    compression: ExportCompression,
    into: &mut PartFile,
) -> ExportResult {
    let (schema, batches) = read(from)?;
    let compression = match compression {
        ExportCompression::None => Compression::UNCOMPRESSED,
        ExportCompression::Snappy => Compression::SNAPPY,
        ExportCompression::Gzip => Compression::GZIP(GzipLevel::default()),
        ExportCompression::Lz4 => Compression::LZ4_RAW,
        ExportCompression::Zstd => Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build();
    let mut writer = ArrowWriter::try_new(into, schema, Some(properties))?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    writer.finish()?;
    Ok(())
}

fn encode_arrow(from: &Path, compression: ExportCompression, into: &mut PartFile) -> ExportResult {
    let (schema, batches) = read(from)?;
    let compression = match compression {
        ExportCompression::Lz4 => Some(CompressionType::LZ4_FRAME),
        ExportCompression::Zstd => Some(CompressionType::ZSTD),
        ExportCompression::None | ExportCompression::Snappy | ExportCompression::Gzip => None,
    };
    let options = IpcWriteOptions::default().try_with_compression(compression)?;
    let mut writer = ArrowFileWriter::new(into, &schema, options)?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    Ok(writer.finish()?)
}

/// Encodes text, and compresses it.
fn encode_text(
    from: &Path,
    compression: ExportCompression,
    into: &mut PartFile,
    encode: impl Fn(&Path, &mut dyn Write) -> ExportResult,
) -> ExportResult {
    let path = into.path().to_owned();
    let failed = |error: io::Error| ExportError::of_file(&path, error);
    match compression {
        ExportCompression::Gzip => {
            let mut out = GzEncoder::new(into, flate2::Compression::default());
            encode(from, &mut out)?;
            out.finish().map(drop).map_err(failed)
        }
        ExportCompression::Zstd => {
            let mut out = zstd::Encoder::new(into, ZSTD_LEVEL).map_err(failed)?;
            encode(from, &mut out)?;
            out.finish().map(drop).map_err(failed)
        }
        ExportCompression::None | ExportCompression::Snappy | ExportCompression::Lz4 => {
            encode(from, into)
        }
    }
}

/// Encodes CSV or JSON lines.
fn encode_rows(from: &Path, format: Format, out: &mut dyn Write) -> ExportResult {
    let (schema, batches) = read(from)?;
    let mut encoder = Encoder::new(format, schema, FormatLimits::default());
    let mut text = Vec::new();
    let mut write = |text: &mut Vec<u8>| {
        let written = out.write_all(text);
        text.clear();
        written.map_err(|error| ExportError::of_file(from, error))
    };
    for batch in batches {
        encoder.write(&batch?, &mut text)?;
        write(&mut text)?;
    }
    encoder.finish(&mut text)?;
    write(&mut text)
}

/// Encodes line protocol. Tags are the columns that the server marks as such.
fn encode_lines(from: &Path, table: &str, out: &mut dyn Write) -> ExportResult {
    let options = ReadOptions {
        format: Some(neap_file_formats::Format::Parquet),
        mapping: ColumnMapping::for_table(table),
        ..ReadOptions::default()
    };
    let mut reader = FileReader::open(FileInput::File(open(from)?), options)?;
    let mut lines = LineRows::default();
    while let Some(part) = reader.next_part()? {
        for numbered in &part.batches {
            let mut encoder = LineEncoder::new(numbered, &part.mapping, Precision::Nanosecond)?;
            let mut has_more = true;
            while has_more {
                has_more = encoder.encode(&mut lines, LINES_BYTES);
                if let Some(error) = lines.errors.pop() {
                    return Err(ExportError::Line {
                        table: table.to_owned(),
                        reason: error.error_message,
                        row: error.original_line,
                    });
                }
                let written = out.write_all(lines.text.as_bytes());
                written.map_err(|error| ExportError::of_file(from, error))?;
                lines = LineRows::default();
            }
        }
    }
    Ok(())
}
