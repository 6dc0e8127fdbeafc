//! Reads a file of any format.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use neap_rows::columnar::{ColumnMapping, NumberedBatch, TablePart, UnreadableRow, batch_bytes};

use crate::{
    Format, ReadError,
    arrow_file::ArrowFile,
    arrow_limits::check_arrow_limits,
    csv::{CsvDialect, CsvFile},
    input::{FileInput, LimitExceeded},
    json_lines::JsonLinesFile,
    parquet_file::ParquetFile,
    part_source::PartSource,
};

/// Options of reading a file.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The format; `None` is that of the first bytes.
    pub format: Option<Format>,
    /// The table and the roles of the columns. Annotated CSV has them itself, but its table only if it has a column or
    /// a constant for it.
    pub mapping: ColumnMapping,
    /// How CSV without annotations is written.
    pub csv: CsvDialect,
    /// The number of rows to skip.
    pub skip_rows: usize,
    /// Maximum number of bytes of the decompressed file, and of its decoded rows.
    pub max_decoded_bytes: Option<u64>,
}

/// Reads the rows of a file in parts.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use neap_file_formats::{FileInput, FileReader, Format, ReadOptions};
/// use neap_rows::columnar::ColumnMapping;
///
/// let input = FileInput::Bytes(Bytes::from_static(b"host,load\na,0.5\nb,0.75\n"));
/// let options = ReadOptions {
///     format: Some(Format::Csv),
///     mapping: ColumnMapping {
///         table: "cpu".to_owned(),
///         ..ColumnMapping::default()
///     },
///     ..ReadOptions::default()
/// };
/// let mut reader = FileReader::open(input, options)?;
/// let part = reader.next_part()?.ok_or("the file has no rows")?;
/// assert_eq!(part.batches[0].batch.num_rows(), 2);
/// assert!(reader.next_part()?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(derive_more::Debug)]
#[debug("FileReader {{ consumed: {:?}, .. }}", self.consumed_bytes())]
pub struct FileReader {
    rows: Box<dyn PartSource>,
    parts: VecDeque<TablePart>,
    skip_rows: usize,
    consumed: Arc<AtomicU64>,
    max_decoded_bytes: Option<u64>,
    decoded_bytes: u64,
}

impl FileReader {
    /// Opens a file.
    ///
    /// # Errors
    /// The format is not recognized, or the start of the file is invalid.
    pub fn open(input: FileInput, options: ReadOptions) -> Result<Self, ReadError> {
        let limit = options.max_decoded_bytes;
        let consumed = Arc::new(AtomicU64::new(0));
        let mut input = input.decompress(&consumed, limit)?;
        let start = input.peek().map_err(|error| limit_error(error.into()))?;
        let format = options
            .format
            .or_else(|| Format::sniff(&start))
            .ok_or(ReadError::UnknownFormat)?;
        if let (FileInput::Stream(_), Some(_), Format::Parquet | Format::Arrow) =
            (&input, limit, format)
        {
            // The sizes that these formats state are checked before the rows are read.
            input = input.into_bytes().map_err(|error| limit_error(error.into()))?;
        }
        let mapping = options.mapping;
        let mut skip_rows = options.skip_rows;
        // The bytes of a compressed input are counted before they are decompressed.
        let counter = match consumed.load(Ordering::Relaxed) {
            0 => Arc::clone(&consumed),
            _ => Arc::default(),
        };
        let rows: Box<dyn PartSource> = match format {
            Format::Csv => {
                let input = input.into_counted(&counter);
                Box::new(CsvFile::new(input, mapping, options.csv))
            }
            Format::JsonLines => {
                Box::new(JsonLinesFile::new(input.into_counted(&counter), mapping))
            }
            Format::Parquet => {
                let skipped = std::mem::take(&mut skip_rows);
                Box::new(ParquetFile::open(input, mapping, skipped, limit, counter)?)
            }
            Format::Arrow => {
                if let (FileInput::Bytes(bytes), Some(limit)) = (&input, limit) {
                    check_arrow_limits(bytes, limit)?;
                }
                Box::new(ArrowFile::open(input.into_counted(&counter), mapping)?)
            }
        };
        Ok(Self {
            rows,
            parts: VecDeque::new(),
            skip_rows,
            consumed,
            max_decoded_bytes: limit,
            decoded_bytes: 0,
        })
    }

    /// Returns the number of bytes of the input that are read so far. For Parquet, it is an estimate by rows.
    pub fn consumed_bytes(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    /// Returns the memory that reading takes besides the parts, in bytes; 0 if parts limit it.
    pub fn memory_bytes(&self) -> u64 {
        self.rows.memory_bytes()
    }

    /// Reads the next rows; `None` at the end of the file.
    ///
    /// # Errors
    /// The rest of the file cannot be read, or it is larger than the limit.
    pub fn next_part(&mut self) -> Result<Option<TablePart>, ReadError> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                match self.without_skipped_rows(part) {
                    Some(part) => return Ok(Some(part)),
                    None => continue,
                }
            }
            let parts = self.rows.read_parts().map_err(limit_error)?;
            if parts.is_empty() {
                return Ok(None);
            }
            self.count(&parts)?;
            self.parts = parts.into();
        }
    }

    fn count(&mut self, parts: &[TablePart]) -> Result<(), ReadError> {
        let Some(limit) = self.max_decoded_bytes else {
            return Ok(());
        };
        let batches = parts.iter().flat_map(|part| &part.batches);
        let bytes: usize = batches.map(|numbered| batch_bytes(&numbered.batch)).sum();
        self.decoded_bytes = self.decoded_bytes.saturating_add(bytes as u64);
        if self.decoded_bytes > limit {
            Err(ReadError::TooLarge { limit })
        } else {
            Ok(())
        }
    }

    /// Removes the rows to skip from the start of a part. Returns `None` if no rows are left.
    fn without_skipped_rows(&self, mut part: TablePart) -> Option<TablePart> {
        let batches = std::mem::take(&mut part.batches).into_iter();
        part.batches =
            batches.filter_map(|numbered| skip_rows_of(numbered, self.skip_rows)).collect();
        (!part.batches.is_empty()).then_some(part)
    }
}

fn skip_rows_of(numbered: NumberedBatch, skip_rows: usize) -> Option<NumberedBatch> {
    let rows = numbered.batch.num_rows();
    let skipped = (skip_rows + 1).saturating_sub(numbered.first_row);
    if skipped == 0 {
        return Some(numbered);
    }
    if skipped >= rows {
        return None;
    }
    let refused = numbered.refused.into_iter().filter_map(|row| {
        Some(UnreadableRow { index: row.index.checked_sub(skipped)?, message: row.message })
    });
    Some(NumberedBatch {
        first_row: numbered.first_row + skipped,
        batch: numbered.batch.slice(skipped, rows - skipped),
        refused: refused.collect(),
        has_tag_dictionaries: false,
    })
}

/// Replaces the error of a stream that exceeds the limit.
fn limit_error(error: ReadError) -> ReadError {
    let cause = match &error {
        ReadError::Io(cause) => Some(cause),
        ReadError::Csv { error, .. } => match error.kind() {
            csv::ErrorKind::Io(cause) => Some(cause),
            _ => None,
        },
        _ => None,
    };
    let exceeded = cause
        .and_then(|cause| cause.get_ref())
        .and_then(|cause| cause.downcast_ref::<LimitExceeded>());
    match exceeded {
        Some(exceeded) => ReadError::TooLarge { limit: exceeded.limit },
        None => error,
    }
}
