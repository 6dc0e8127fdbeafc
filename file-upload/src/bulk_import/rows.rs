//! The rows of a file in batches, converted to the types of their columns.

use std::fs::File;

use neap_columnar::{ColumnarRows, MappingError, TablePart, batch_bytes};
use neap_file_formats::{FileInput, FileReader, Format, ReadError, ReadOptions};
use tokio::sync::mpsc;

use super::columns::{ColumnError, ColumnTypes};

/// Maximum number of rows of a batch, apart from those of the last part that was read.
const MAX_BATCH_ROWS: usize = 64 << 10;

/// The reason why rows can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportRowsError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Column(#[from] ColumnError),
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The thread that reads has panicked.
    #[error("the file can't be decoded")]
    Panicked,
}

/// Rows to write.
pub(crate) struct ImportBatch {
    pub(crate) rows: ColumnarRows,
    /// The number of rows of the file up to the last one of the batch.
    pub(crate) end_row: u64,
}

/// A message of the thread that reads.
enum ReaderMessage {
    Batch(ImportBatch),
    End,
}

/// A file whose rows a thread reads ahead by one batch.
#[derive(Debug)]
pub(crate) struct ImportRows(mpsc::Receiver<Result<ReaderMessage, ImportRowsError>>);

/// What to read of a file.
#[derive(Clone, Debug)]
pub(crate) struct RowSelection {
    pub(crate) table: String,
    pub(crate) columns: ColumnTypes,
    /// The number of rows to skip.
    pub(crate) skip_rows: usize,
    /// The size at which a batch ends, in bytes.
    pub(crate) batch_bytes: usize,
}

impl std::fmt::Debug for ImportBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportBatch")
            .field("end_row", &self.end_row)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ReaderMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Batch(batch) => batch.fmt(f),
            Self::End => f.write_str("End"),
        }
    }
}

impl ImportRows {
    /// Begins to read a file on a blocking thread.
    pub(crate) fn open(file: File, selection: RowSelection) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            let sent = send_batches(file, &selection, &sender);
            let last = sent.map(|()| ReaderMessage::End);
            // The receiver is gone if the job was stopped.
            sender.blocking_send(last).ok();
        });
        Self(receiver)
    }

    /// Returns the next rows; `None` at the end of the file.
    ///
    /// # Errors
    /// The rest of the file can't be read, or a value is not of the type of its column.
    pub(crate) async fn next(&mut self) -> Result<Option<ImportBatch>, ImportRowsError> {
        match self.0.recv().await {
            Some(Ok(ReaderMessage::Batch(batch))) => Ok(Some(batch)),
            Some(Ok(ReaderMessage::End)) => Ok(None),
            Some(Err(error)) => Err(error),
            None => Err(ImportRowsError::Panicked),
        }
    }
}

fn send_batches(
    file: File,
    selection: &RowSelection,
    sender: &mpsc::Sender<Result<ReaderMessage, ImportRowsError>>,
) -> Result<(), ImportRowsError> {
    let options = ReadOptions {
        format: Some(Format::Parquet),
        skip_rows: selection.skip_rows,
        ..ReadOptions::default()
    };
    let mut reader = FileReader::open(FileInput::File(file), options)?;
    let mut end_row = selection.skip_rows;
    let (mut parts, mut rows, mut bytes) = (Vec::new(), 0, 0);
    loop {
        let part = reader.next_part()?;
        let is_end = part.is_none();
        for part in part.into_iter().map(|part| convert(part, selection)) {
            let part = part?;
            for numbered in &part.batches {
                rows += numbered.batch.num_rows();
                bytes += batch_bytes(&numbered.batch);
                end_row = end_row.saturating_add(numbered.batch.num_rows());
            }
            parts.push(part);
        }
        let is_full = rows >= MAX_BATCH_ROWS || bytes >= selection.batch_bytes;
        if rows > 0 && (is_full || is_end) {
            let batch = ImportBatch {
                rows: ColumnarRows::from_parts(std::mem::take(&mut parts))?,
                end_row: end_row as u64,
            };
            if sender
                .blocking_send(Ok(ReaderMessage::Batch(batch)))
                .is_err()
            {
                return Ok(());
            }
            (rows, bytes) = (0, 0);
        }
        if is_end {
            return Ok(());
        }
    }
}

fn convert(mut part: TablePart, selection: &RowSelection) -> Result<TablePart, ColumnError> {
    for numbered in &mut part.batches {
        let mapping = selection
            .columns
            .mapping(&selection.table, &numbered.batch.schema());
        numbered.batch = selection
            .columns
            .convert(&numbered.batch, numbered.first_row)?;
        part.mapping = mapping;
    }
    Ok(part)
}
