//! Reads the rows of a file as line protocol in bodies of bounded length.

use bytes::Bytes;
use neap_file_formats::{FileReader, ReadError};
use neap_rows::{
    columnar::{EncodeError, LineEncoder, LineRows},
    line_protocol::{LineError, Precision},
};

/// Number of refused rows after which a batch ends, even if it has few lines.
const MAX_REFUSED_ROWS: usize = 1_000;

/// A file of rows: CSV, JSON lines, Parquet or Arrow.
#[derive(derive_more::Debug)]
#[debug("FileRows({name:?})")]
pub(crate) struct FileRows {
    /// Display name.
    pub(crate) name: String,
    pub(crate) reader: FileReader,
    /// Unit of times that are integers without a unit.
    pub(crate) precision: Precision,
}

/// Error of reading the rows of a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileRowsError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("row {row} is longer than the {limit} bytes that a request may have")]
    RowTooLong {
        /// Number of the row, from 1.
        row: u64,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Rows of a file as lines.
#[derive(Debug)]
pub(crate) struct RowBatch {
    /// The lines.
    pub(crate) body: Bytes,
    /// Number of the first row.
    pub(crate) first_row: u64,
    /// Number of the row of each line.
    pub(crate) rows: Vec<u64>,
    /// Rows that can't be written as lines.
    pub(crate) refused: Vec<LineError>,
    /// Bytes of the file that were read for this batch.
    pub(crate) file_bytes: u64,
}

impl FileRows {
    /// Passes all rows to `send` in batches of at most `limit` bytes, until it returns false. The rows before an
    /// unreadable part are passed, too.
    ///
    /// # Errors
    ///
    /// The file can't be read to its end, or contains a row longer than the limit.
    pub(crate) fn encode(
        mut self,
        limit: usize,
        mut send: impl FnMut(RowBatch) -> bool,
    ) -> Result<(), FileRowsError> {
        let mut lines = LineRows::default();
        let mut sent_bytes = 0;
        let read = self.encode_parts(&mut lines, limit, &mut sent_bytes, &mut send);
        if matches!(read, Ok(false)) {
            return Ok(());
        }
        let file_bytes = self.reader.consumed_bytes().saturating_sub(sent_bytes);
        let last = batch(&mut lines, limit, file_bytes)?;
        if !last.body.is_empty() || !last.refused.is_empty() {
            send(last);
        }
        read.map(drop)
    }

    /// Passes all full batches to `send` and leaves the rest in `lines`. Returns false once `send` does.
    fn encode_parts(
        &mut self,
        lines: &mut LineRows,
        limit: usize,
        sent_bytes: &mut u64,
        send: &mut impl FnMut(RowBatch) -> bool,
    ) -> Result<bool, FileRowsError> {
        while let Some(part) = self.reader.next_part()? {
            let read_bytes = self.reader.consumed_bytes();
            for numbered in &part.batches {
                let mut encoder = LineEncoder::new(numbered, &part.mapping, self.precision)?;
                let mut has_more = true;
                while has_more {
                    has_more = encoder.encode(lines, limit);
                    let is_full = has_more || lines.errors.len() >= MAX_REFUSED_ROWS;
                    if is_full && !send(batch(lines, limit, read_bytes - *sent_bytes)?) {
                        return Ok(false);
                    }
                    if is_full {
                        *sent_bytes = read_bytes;
                    }
                }
            }
        }
        Ok(true)
    }
}

impl RowBatch {
    /// Returns the number of the last row.
    pub(crate) fn last_row(&self) -> u64 {
        let refused = self.refused.iter().map(|error| error.line_number as u64);
        let rows = self.rows.iter().copied();
        rows.chain(refused).max().unwrap_or_default()
    }
}

/// Takes the lines as a batch.
fn batch(lines: &mut LineRows, limit: usize, file_bytes: u64) -> Result<RowBatch, FileRowsError> {
    let LineRows { text, rows, errors } = std::mem::take(lines);
    if text.len() > limit
        && let Some(row) = rows.last()
    {
        return Err(FileRowsError::RowTooLong { row: *row as u64, limit });
    }
    let refused = errors.iter().map(|error| error.line_number);
    let first_row = rows.iter().copied().chain(refused).min();
    Ok(RowBatch {
        body: text.into(),
        first_row: first_row.unwrap_or_default() as u64,
        rows: rows.into_iter().map(|row| row as u64).collect(),
        refused: errors,
        file_bytes,
    })
}

#[cfg(test)]
mod tests {
    use neap_file_formats::{FileInput, Format, ReadOptions};
    use neap_rows::columnar::ColumnMapping;

    use super::*;

    /// Returns the batches and the error after them.
    fn read(csv: &str, limit: usize) -> (Vec<RowBatch>, Option<FileRowsError>) {
        let options = ReadOptions {
            format: Some(Format::Csv),
            mapping: ColumnMapping::for_table("m"),
            ..ReadOptions::default()
        };
        let input = FileInput::Bytes(csv.to_owned().into());
        let rows = FileRows {
            name: String::new(),
            reader: FileReader::open(input, options).unwrap(),
            precision: Precision::Auto,
        };
        let mut batches = Vec::new();
        let read = rows.encode(limit, |batch| {
            batches.push(batch);
            true
        });
        (batches, read.err())
    }

    #[test]
    fn rows_are_split_into_batches_that_know_their_numbers() {
        let (batches, error) = read("v\n1\n2\n3,x\n4\n", 12);
        assert!(error.is_none());
        let shown: Vec<_> = batches
            .iter()
            .map(|batch| {
                let body = std::str::from_utf8(&batch.body).unwrap();
                (body, batch.first_row, &batch.rows[..], batch.refused.len())
            })
            .collect();
        assert_eq!(
            shown,
            [("m v=1i\n", 1, &[1][..], 0), ("m v=2i\n", 2, &[2], 1), ("m v=4i\n", 4, &[4], 0)]
        );
        let bytes: u64 = batches.iter().map(|batch| batch.file_bytes).sum();
        assert_eq!(bytes, 12);
    }

    #[test]
    fn a_row_longer_than_a_request_is_an_error() {
        let (batches, error) = read("v\n1\n123456\n", 10);
        assert_eq!(batches.len(), 1);
        assert_eq!(
            error.unwrap().to_string(),
            "row 2 is longer than the 10 bytes that a request may have"
        );
    }

    #[test]
    fn the_rows_before_an_unreadable_part_are_passed() {
        let csv = "#datatype measurement,long\nm,v\na,1\na,2\n#concat,x\n";
        let (batches, error) = read(csv, 100);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].body, "a v=1i\na v=2i\n");
        assert_eq!(batches[0].last_row(), 2);
        assert!(matches!(error, Some(FileRowsError::Read(_))));
    }
}
