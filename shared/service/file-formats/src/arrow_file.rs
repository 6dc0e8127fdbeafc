//! Arrow IPC files and streams.

use std::io::{self, BufReader, Chain, Cursor, Read};

use arrow_ipc::reader::StreamReader;
use neap_rows::columnar::{ColumnMapping, NumberedBatch, TablePart};

use crate::{
    ReadError,
    input::CountingReader,
    limits::{MAX_BATCH_ROWS, check_columns},
    part_source::PartSource,
};

/// The start and the end of a file, which a stream lacks. The start is followed by zeros to a multiple of [`ALIGNMENT_BYTES`].
const FILE_MAGIC: &[u8] = b"ARROW1";
const ALIGNMENT_BYTES: usize = 8;

/// A file or a stream. A file is a stream between a start and an index, which is not needed to read all rows.
pub(crate) struct ArrowFile {
    reader: StreamReader<BufReader<Chain<Cursor<Vec<u8>>, CountingReader>>>,
    mapping: ColumnMapping,
    /// The number of rows that are read.
    rows: usize,
    /// Whether the end of a file must follow the stream.
    needs_end: bool,
}

/// Returns the stream in a file, or the stream itself.
pub(crate) fn skip_file_start(contents: &[u8]) -> &[u8] {
    if !contents.starts_with(FILE_MAGIC) {
        return contents;
    }
    let chunks = contents.chunks(ALIGNMENT_BYTES).skip(1);
    let zeros = chunks.take_while(|chunk| is_zero(chunk)).count();
    let start = (1 + zeros) * ALIGNMENT_BYTES;
    contents.get(start..).unwrap_or_default()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Reads [`ALIGNMENT_BYTES`], or fewer at the end.
fn read_chunk(input: &mut CountingReader) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(ALIGNMENT_BYTES);
    input.take(ALIGNMENT_BYTES as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

impl ArrowFile {
    pub(crate) fn open(
        mut input: CountingReader,
        mapping: ColumnMapping,
    ) -> Result<Self, ReadError> {
        let mut start = read_chunk(&mut input)?;
        let needs_end = start.starts_with(FILE_MAGIC);
        if needs_end {
            start = read_chunk(&mut input)?;
            while start.len() == ALIGNMENT_BYTES && is_zero(&start) {
                start = read_chunk(&mut input)?;
            }
        }
        let stream = BufReader::new(Cursor::new(start).chain(input));
        let reader = StreamReader::try_new(stream, None)
            .map_err(|error| ReadError::Arrow { row: 0, error })?;
        check_columns(reader.schema().fields().len())?;
        Ok(Self { reader, mapping, rows: 0, needs_end })
    }

    /// Reads the rest of the input, which has the checksum of a compressed one, and checks that a file has its end after
    /// the marker of the end of the stream. The reader also ends if the input does, without the marker: nothing follows
    /// then.
    fn check_end(&mut self) -> Result<(), ReadError> {
        let mut end = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let read = match self.reader.get_mut().read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            end.extend_from_slice(chunk.get(..read).unwrap_or_default());
            end.drain(..end.len().saturating_sub(FILE_MAGIC.len()));
        }
        if std::mem::take(&mut self.needs_end) && end != FILE_MAGIC {
            return Err(ReadError::CutOff { row: self.rows });
        }
        Ok(())
    }
}

impl PartSource for ArrowFile {
    fn read_parts(&mut self) -> Result<Vec<TablePart>, ReadError> {
        loop {
            let Some(batch) = self.reader.next() else {
                self.check_end()?;
                return Ok(Vec::new());
            };
            let batch = batch.map_err(|error| ReadError::Arrow { row: self.rows, error })?;
            let mut parts = Vec::new();
            let mut from = 0;
            while from < batch.num_rows() {
                let rows = (batch.num_rows() - from).min(MAX_BATCH_ROWS);
                parts.push(TablePart {
                    mapping: self.mapping.clone(),
                    batches: vec![NumberedBatch {
                        first_row: self.rows + 1,
                        batch: batch.slice(from, rows),
                        refused: Vec::new(),
                        has_tag_dictionaries: false,
                    }],
                });
                from += rows;
                self.rows += rows;
            }
            if !parts.is_empty() {
                return Ok(parts);
            }
        }
    }
}
