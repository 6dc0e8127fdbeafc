//! Parquet files.

use std::{
    fs::File,
    io::Seek,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use neap_columnar::{ColumnMapping, NumberedBatch, TablePart};
use parquet::{
    arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    file::{metadata::ParquetMetaData, reader::ChunkReader},
};

use crate::{
    ReadError,
    input::FileInput,
    reader::{MAX_BATCH_ROWS, PartSource},
};

/// A Parquet file.
pub(crate) struct ParquetFile {
    reader: ParquetRecordBatchReader,
    mapping: ColumnMapping,
    /// The number of rows that are read or skipped.
    rows: usize,
    total_rows: usize,
    bytes: u64,
    consumed: Arc<AtomicU64>,
}

impl ParquetFile {
    /// Opens a file after its first rows.
    pub(crate) fn open(
        input: FileInput,
        mapping: ColumnMapping,
        skip_rows: usize,
        max_decoded_bytes: Option<u64>,
        consumed: Arc<AtomicU64>,
    ) -> Result<Self, ReadError> {
        let (reader, total_rows, bytes) = match input {
            FileInput::File(mut file) => {
                let bytes = file.metadata()?.len();
                file.rewind()?;
                build::<File>(file, skip_rows, max_decoded_bytes, bytes)?
            }
            FileInput::Bytes(contents) => {
                let bytes = contents.len() as u64;
                build::<Bytes>(contents, skip_rows, max_decoded_bytes, bytes)?
            }
            FileInput::Stream(_) => return Err(ReadError::NeedsFile),
        };
        Ok(Self {
            reader,
            mapping,
            rows: skip_rows.min(total_rows),
            total_rows,
            bytes,
            consumed,
        })
    }
}

fn build<R: ChunkReader + 'static>(
    input: R,
    skip_rows: usize,
    max_decoded_bytes: Option<u64>,
    bytes: u64,
) -> Result<(ParquetRecordBatchReader, usize, u64), ReadError> {
    let failed = |error| ReadError::Parquet { row: 0, error };
    let builder = ParquetRecordBatchReaderBuilder::try_new(input).map_err(failed)?;
    let metadata = Arc::clone(builder.metadata());
    if let Some(limit) = max_decoded_bytes
        && decoded_bytes(&metadata) > limit
    {
        return Err(ReadError::TooLarge { limit });
    }
    let rows = metadata.file_metadata().num_rows();
    let reader = builder
        .with_batch_size(MAX_BATCH_ROWS)
        .with_offset(skip_rows)
        .build()
        .map_err(failed)?;
    Ok((reader, usize::try_from(rows).unwrap_or_default(), bytes))
}

/// Returns the size that the file states for its decompressed columns, in bytes.
fn decoded_bytes(metadata: &ParquetMetaData) -> u64 {
    let columns = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    columns
        .map(|column| u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add)
}

impl PartSource for ParquetFile {
    fn read_parts(&mut self) -> Result<Vec<TablePart>, ReadError> {
        let Some(batch) = self.reader.next() else {
            return Ok(Vec::new());
        };
        let batch = batch.map_err(|error| ReadError::Arrow {
            row: self.rows,
            error,
        })?;
        let first_row = self.rows + 1;
        self.rows += batch.num_rows();
        let share = u128::from(self.bytes) * self.rows as u128 / self.total_rows.max(1) as u128;
        let share = u64::try_from(share).unwrap_or(self.bytes).min(self.bytes);
        self.consumed.store(share, Ordering::Relaxed);
        Ok(vec![TablePart {
            mapping: self.mapping.clone(),
            batches: vec![NumberedBatch {
                first_row,
                batch,
                refused: Vec::new(),
                has_tag_dictionaries: false,
            }],
        }])
    }
}
