//! CSV files: plain ones with a header, and those with the annotations of InfluxDB 2.
//!
//! ```text
//! file     = *section
//! section  = *annotation header *row
//! ```
//!
//! An annotation after a row begins a new section. A file without annotations is one section.

mod annotated;
mod annotations;
mod chunk;
mod dialect;
mod plain;

pub use dialect::{CsvDialect, CsvOptionError};

use std::{
    io::{self, Read},
    str,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow_array::builder::StringBuilder;
use arrow_schema::ArrowError;
use csv::{ByteRecord, StringRecord};
use neap_rows::columnar::{ColumnMapping, TablePart, UnreadableRow};

use crate::{
    ReadError,
    csv::{
        annotated::AnnotatedSection, annotations::Annotations, chunk::Chunk, plain::PlainSection,
    },
    input::CountingReader,
    limits::{MAX_BATCH_ROWS, MAX_PART_BYTES, check_columns},
    part_source::PartSource,
};

/// Maximum length of a row, in bytes. A quote that is never closed would otherwise take the rest of the file.
const MAX_ROW_BYTES: usize = 16 << 20;

pub(crate) struct CsvFile {
    reader: csv::Reader<RowLimit<CountingReader>>,
    row_bytes: Arc<AtomicUsize>,
    mapping: ColumnMapping,
    dialect: CsvDialect,
    record: ByteRecord,
    /// Whether the record is read, but belongs to the next section.
    is_pending: bool,
    section: Option<Section>,
    /// The number of rows that are read.
    rows: usize,
}

enum Section {
    Plain(PlainSection),
    Annotated(AnnotatedSection),
}

/// Fails when a row is too long.
struct RowLimit<R> {
    reader: R,
    /// The number of bytes that were read since the last row.
    row_bytes: Arc<AtomicUsize>,
}

impl<R: Read> Read for RowLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let bytes = self.row_bytes.fetch_add(read, Ordering::Relaxed) + read;
        if bytes > MAX_ROW_BYTES {
            Err(io::Error::other(format!(
                "the next row is longer than {MAX_ROW_BYTES} bytes: is a quote not closed?"
            )))
        } else {
            Ok(read)
        }
    }
}

impl CsvFile {
    pub(crate) fn new(input: CountingReader, mapping: ColumnMapping, dialect: CsvDialect) -> Self {
        let row_bytes = Arc::new(AtomicUsize::new(0));
        let limited = RowLimit { reader: input, row_bytes: Arc::clone(&row_bytes) };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(dialect.delimiter)
            .buffer_capacity(1 << 16)
            .from_reader(limited);
        Self {
            reader,
            row_bytes,
            mapping,
            dialect,
            record: ByteRecord::new(),
            is_pending: false,
            section: None,
            rows: 0,
        }
    }

    /// Reads the next record. Returns whether there is one.
    fn read_record(&mut self) -> Result<bool, ReadError> {
        if std::mem::take(&mut self.is_pending) {
            return Ok(true);
        }
        self.row_bytes.store(0, Ordering::Relaxed);
        let row = self.rows;
        let is_read = self
            .reader
            .read_byte_record(&mut self.record)
            .map_err(|error| ReadError::Csv { row, error })?;
        check_columns(self.record.len())?;
        Ok(is_read)
    }

    fn annotation_error(&self, message: String) -> ReadError {
        ReadError::Annotation {
            line: self.record.position().map_or(0, csv::Position::line),
            message,
        }
    }

    /// Reads the annotations and the header of a section. Returns `None` at the end of the file.
    fn read_section(&mut self) -> Result<Option<Section>, ReadError> {
        let mut annotations = Annotations::default();
        while self.read_record()? {
            let record = StringRecord::from_byte_record(self.record.clone()).map_err(|error| {
                self.annotation_error(format!("the header is not UTF-8: {error}"))
            })?;
            if is_annotation(&self.record)
                && annotations.read(&record).map_err(|message| self.annotation_error(message))?
            {
                continue;
            }
            let header: Vec<&str> =
                record.iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
            if annotated::is_annotated(&header, &annotations) {
                let section = AnnotatedSection::new(&header, annotations, &self.mapping)
                    .map_err(|message| self.annotation_error(message))?;
                return Ok(Some(Section::Annotated(section)));
            }
            let mut declared = self.dialect.types.iter();
            if let Some((name, _)) = declared.find(|(name, _)| !header.contains(&name.as_str())) {
                let name = name.clone();
                return Err(ReadError::NoColumn { name });
            }
            return Ok(Some(Section::Plain(PlainSection::new(
                &header,
                self.mapping.clone(),
                &self.dialect,
            ))));
        }
        Ok(None)
    }

    /// Reads rows of a section with `width` columns, until an annotation begins the next section.
    fn read_chunk(&mut self, width: usize, has_annotations: bool) -> Result<Chunk, ReadError> {
        let mut columns: Vec<StringBuilder> = vec![];
        columns.resize_with(width, || StringBuilder::with_capacity(0, 0));
        let mut chunk = Chunk {
            first_row: self.rows + 1,
            rows: 0,
            columns: Vec::new(),
            refused: Vec::new(),
        };
        let mut bytes = 0;
        while chunk.rows < MAX_BATCH_ROWS && bytes < MAX_PART_BYTES {
            if !self.read_record()? {
                break;
            }
            if has_annotations && is_annotation(&self.record) {
                self.is_pending = true;
                break;
            }
            bytes += self.record.as_slice().len();
            if let Err(message) = append(&self.record, &mut columns, &self.dialect) {
                chunk.refused.push(UnreadableRow { index: chunk.rows, message });
                for column in &mut columns {
                    column.append_null();
                }
            }
            chunk.rows += 1;
            self.rows += 1;
        }
        chunk.columns = columns.into_iter().map(|mut column| column.finish()).collect();
        Ok(chunk)
    }
}

/// Returns whether a row starts with `#`.
fn is_annotation(record: &ByteRecord) -> bool {
    record.get(0).is_some_and(|first| first.starts_with(b"#"))
}

/// Adds the cells of a row to the columns.
fn append(
    record: &ByteRecord,
    columns: &mut [StringBuilder],
    dialect: &CsvDialect,
) -> Result<(), String> {
    if record.len() != columns.len() {
        return Err(format!(
            "the row has {} columns, but the header has {}",
            record.len(),
            columns.len()
        ));
    }
    let text = str::from_utf8(record.as_slice())
        .map_err(|error| format!("the row is not UTF-8: {error}"))?;
    let mut start = 0;
    for (cell, column) in record.iter().zip(columns) {
        let end = start + cell.len();
        match text.get(start..end) {
            Some(cell) if !dialect.is_null(cell) => column.append_value(cell),
            _ => column.append_null(),
        }
        start = end;
    }
    Ok(())
}

impl PartSource for CsvFile {
    fn read_parts(&mut self) -> Result<Vec<TablePart>, ReadError> {
        loop {
            if self.section.is_none() {
                self.section = self.read_section()?;
            }
            let (width, has_annotations) = match &self.section {
                None => return Ok(Vec::new()),
                Some(Section::Plain(section)) => (section.width(), false),
                Some(Section::Annotated(section)) => (section.width(), true),
            };
            let chunk = self.read_chunk(width, has_annotations)?;
            if chunk.rows == 0 {
                self.section = None;
                if self.is_pending {
                    continue;
                }
                return Ok(Vec::new());
            }
            let row = chunk.first_row - 1;
            let converted = match &mut self.section {
                Some(Section::Plain(section)) => section.convert(chunk),
                Some(Section::Annotated(section)) => section.convert(chunk),
                None => Ok(Vec::new()),
            };
            let parts = converted.map_err(|error: ArrowError| ReadError::Arrow { row, error })?;
            if self.is_pending {
                self.section = None;
            }
            if !parts.is_empty() {
                return Ok(parts);
            }
        }
    }
}
