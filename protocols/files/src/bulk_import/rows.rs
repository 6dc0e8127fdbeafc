//! The rows of a file in batches, converted to the types of their columns.

use std::{collections::VecDeque, fs::File};

use arrow_array::RecordBatch;
use neap_file_formats::{FileInput, FileReader, Format, ReadError, ReadOptions};
use neap_rows::columnar::{ColumnarRows, MappingError, NumberedBatch, TablePart, batch_bytes};
use tokio::task::JoinHandle;

use super::columns::{ColumnError, ColumnTypes};

/// The number of rows at which a batch ends.
const MAX_BATCH_ROWS: usize = 64 << 10;

/// Maximum bytes of a stored value, besides those of texts.
const VALUE_BYTES: usize = 9;

/// The reason why rows can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportRowsError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Column(#[from] ColumnError),
    #[error(transparent)]
    Mapping(#[from] MappingError),
    #[error("the file can't be decoded")]
    Panicked,
}

/// Rows to write.
#[derive(derive_more::Debug)]
pub(crate) struct ImportBatch {
    #[debug(skip)]
    pub(crate) rows: ColumnarRows,
    /// The number of rows of the file up to the last one of the batch.
    pub(crate) end_row: u64,
}

/// A file of which a blocking thread reads the next batch while the one before is written. No thread waits for the writer.
#[derive(Debug)]
pub(crate) struct ImportRows(Option<JoinHandle<BatchRead>>);

/// The next batch, and the reader of those after it.
type BatchRead = (BatchReader, Result<Option<ImportBatch>, ImportRowsError>);

/// What to read of a file.
#[derive(Clone, Debug)]
pub(crate) struct RowSelection {
    pub(crate) table: String,
    pub(crate) columns: ColumnTypes,
    /// The number of rows to skip.
    pub(crate) skip_rows: usize,
    /// Maximum size of a batch of several rows, in bytes.
    pub(crate) batch_bytes: usize,
}

/// A file whose rows are not read yet.
#[derive(Debug)]
pub(crate) struct OpenedImport {
    reader: FileReader,
    selection: RowSelection,
}

impl OpenedImport {
    /// Opens a file on a blocking thread.
    pub(crate) async fn open(file: File, selection: RowSelection) -> Result<Self, ImportRowsError> {
        let opened = tokio::task::spawn_blocking(move || {
            let options = ReadOptions {
                format: Some(Format::Parquet),
                skip_rows: selection.skip_rows,
                ..ReadOptions::default()
            };
            let reader = FileReader::open(FileInput::File(file), options)?;
            Ok(Self { reader, selection })
        });
        opened.await.unwrap_or(Err(ImportRowsError::Panicked))
    }

    /// Returns the memory that reading takes besides the batches, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.reader.memory_bytes()
    }

    /// Begins to read the rows on a blocking thread.
    pub(crate) fn read(self) -> ImportRows {
        let reader = BatchReader {
            next: PendingBatch::new(self.selection.skip_rows),
            opened: self,
            parts: VecDeque::new(),
        };
        ImportRows(Some(reader.start()))
    }
}

/// Reads batches of a file.
#[derive(Debug)]
struct BatchReader {
    opened: OpenedImport,
    /// Rows that are read, and belong to no batch yet.
    parts: VecDeque<TablePart>,
    next: PendingBatch,
}

impl BatchReader {
    /// Reads a batch on a blocking thread.
    fn start(mut self) -> JoinHandle<BatchRead> {
        tokio::task::spawn_blocking(move || {
            let batch = self.next_batch();
            (self, batch)
        })
    }

    fn next_batch(&mut self) -> Result<Option<ImportBatch>, ImportRowsError> {
        let limit = self.opened.selection.batch_bytes;
        loop {
            while let Some(part) = self.parts.pop_front() {
                let bytes = part_bytes(&part);
                let full = if self.next.has_room(bytes, limit) {
                    None
                } else {
                    self.next.take()?
                };
                self.next.add(part, bytes);
                if full.is_some() {
                    return Ok(full);
                }
            }
            let Some(part) = self.opened.reader.next_part()? else {
                return self.next.take();
            };
            let part = convert(part, &self.opened.selection)?;
            self.parts = split(part, limit).into();
        }
    }
}

/// The rows of the next batch.
#[derive(Debug)]
struct PendingBatch {
    parts: Vec<TablePart>,
    rows: usize,
    bytes: usize,
    /// The number of rows of the file up to the last one of the parts.
    end_row: usize,
}

impl PendingBatch {
    fn new(end_row: usize) -> Self {
        Self { parts: Vec::new(), rows: 0, bytes: 0, end_row }
    }

    /// Whether rows of a size can be added to a batch with at most `limit` bytes.
    fn has_room(&self, bytes: usize, limit: usize) -> bool {
        self.rows < MAX_BATCH_ROWS && self.bytes.saturating_add(bytes) <= limit
    }

    fn add(&mut self, part: TablePart, bytes: usize) {
        let rows: usize = part.batches.iter().map(|numbered| numbered.batch.num_rows()).sum();
        self.rows = self.rows.saturating_add(rows);
        self.end_row = self.end_row.saturating_add(rows);
        self.bytes = self.bytes.saturating_add(bytes);
        self.parts.push(part);
    }

    /// Returns the rows, and leaves none; `None` if there are none.
    fn take(&mut self) -> Result<Option<ImportBatch>, ImportRowsError> {
        let end_row = self.end_row;
        let taken = std::mem::replace(self, Self::new(end_row));
        if taken.rows == 0 {
            return Ok(None);
        }
        Ok(Some(ImportBatch {
            rows: ColumnarRows::from_parts(taken.parts)?,
            end_row: end_row as u64,
        }))
    }
}

impl ImportRows {
    /// Returns the next rows; `None` at the end of the file.
    ///
    /// # Errors
    /// The rest of the file can't be read, or a value is not of the type of its column.
    pub(crate) async fn next(&mut self) -> Result<Option<ImportBatch>, ImportRowsError> {
        let Some(reading) = self.0.take() else {
            return Ok(None);
        };
        let (reader, batch) = reading.await.map_err(|_| ImportRowsError::Panicked)?;
        if matches!(batch, Ok(Some(_))) {
            self.0 = Some(reader.start());
        }
        batch
    }
}

fn convert(mut part: TablePart, selection: &RowSelection) -> Result<TablePart, ColumnError> {
    for numbered in &mut part.batches {
        let mapping = selection.columns.mapping(&selection.table, &numbered.batch.schema());
        numbered.batch = selection.columns.convert(&numbered.batch, numbered.first_row)?;
        part.mapping = mapping;
    }
    Ok(part)
}

/// Divides a part into parts of at most `limit` bytes, or one row.
fn split(part: TablePart, limit: usize) -> Vec<TablePart> {
    let mapping = part.mapping;
    let mut parts = Vec::new();
    for numbered in part.batches {
        let mut start = 0;
        let total = numbered.batch.num_rows();
        while start < total {
            let mut rows = total - start;
            while rows > 1 && stored_bytes(&numbered.batch.slice(start, rows)) > limit {
                rows /= 2;
            }
            parts.push(TablePart {
                mapping: mapping.clone(),
                batches: vec![NumberedBatch {
                    first_row: numbered.first_row.saturating_add(start),
                    batch: numbered.batch.slice(start, rows),
                    refused: Vec::new(),
                    has_tag_dictionaries: false,
                }],
            });
            start += rows;
        }
    }
    parts
}

fn part_bytes(part: &TablePart) -> usize {
    let batches = part.batches.iter();
    batches
        .map(|numbered| stored_bytes(&numbered.batch))
        .fold(0, usize::saturating_add)
}

/// Returns the maximum bytes of rows in a segment.
fn stored_bytes(batch: &RecordBatch) -> usize {
    let values = batch.num_rows().saturating_mul(batch.num_columns());
    batch_bytes(batch).saturating_add(values.saturating_mul(VALUE_BYTES))
}
