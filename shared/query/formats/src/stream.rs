//! Turns a stream of record batches into a stream of body chunks.

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::stream::{self, Fuse, Stream, StreamExt, TryStreamExt};

use super::encoder::{Encoder, FormatLimits};
use super::error::FormatError;
use super::format::Format;

/// The size at which a chunk is sent, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// The maximum size of a chunk, in bytes.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// The number of rows in the first chunk, which is sent as soon as they are written.
const FIRST_ROWS: usize = 256;

/// Encodes `batches`, which have the columns of `schema`, in `format`, as chunks of at most 1 MiB.
///
/// JSON, JSON lines, CSV and Arrow are sent while `batches` is read, the first rows at once and the others in chunks of
/// about 256 KiB. An error ends the stream. If it is the first item, nothing of the answer has been sent and the caller can
/// still choose a status.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use futures::{TryStreamExt, stream};
/// use neap_formats::{Format, FormatError, FormatLimits};
///
/// let counts: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
/// let batch = RecordBatch::try_from_iter([("count", counts)])?;
/// let schema = batch.schema();
/// let batches = stream::iter([Ok::<_, FormatError>(batch)]);
/// let body = neap_formats::stream(Format::Json, schema, batches, FormatLimits::default());
/// let chunks: Vec<_> = body.try_collect().await?;
/// assert_eq!(chunks.concat(), br#"[{"count":1},{"count":2}]"#);
/// # Ok(())
/// # }
/// ```
pub fn stream<S, E>(
    format: Format,
    schema: SchemaRef,
    batches: S,
    limits: FormatLimits,
) -> impl Stream<Item = Result<Bytes, E>>
where
    S: Stream<Item = Result<RecordBatch, E>>,
    E: From<FormatError>,
{
    let body = ChunkStream {
        batches: Box::pin(batches.fuse()),
        row_wise: format.is_row_wise(),
        is_sliced: format.is_row_wise() || format == Format::Arrow,
        encoder: Encoder::new(format, schema, limits),
        unwritten: None,
        rows_written: 0,
        bytes_written: 0,
        out: Vec::new(),
        ready: Bytes::new(),
        finished: false,
    };
    stream::try_unfold(body, |mut body| async move {
        let chunk = body.next_chunk().await?;
        Ok(chunk.map(|chunk| (chunk, body)))
    })
}

struct ChunkStream<S> {
    batches: Pin<Box<Fuse<S>>>,
    row_wise: bool,
    /// Whether the encoder gets only as many rows at once as a chunk needs. A message of Arrow has all of them.
    is_sliced: bool,
    encoder: Encoder,
    /// The rows of the current batch that are not written yet.
    unwritten: Option<RecordBatch>,
    rows_written: usize,
    /// The encoded size of `rows_written`, in bytes.
    bytes_written: usize,
    out: Vec<u8>,
    /// Encoded bytes that do not fit into one chunk.
    ready: Bytes,
    finished: bool,
}

impl<S, E> ChunkStream<S>
where
    S: Stream<Item = Result<RecordBatch, E>>,
    E: From<FormatError>,
{
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, E> {
        loop {
            if self.ready.is_empty() && (self.out.len() >= self.enough() || self.finished) {
                self.ready = Bytes::from(std::mem::take(&mut self.out));
            }
            if !self.ready.is_empty() {
                return Ok(Some(self.ready.split_to(self.ready.len().min(MAX_CHUNK_BYTES))));
            }
            if self.finished {
                return Ok(None);
            }
            if let Some(batch) = self.unwritten.take() {
                self.write_some(batch)?;
            } else {
                self.unwritten = self.batches.try_next().await?;
                if self.unwritten.is_none() {
                    self.encoder.finish(&mut self.out)?;
                    self.finished = true;
                }
            }
        }
    }

    /// The number of bytes that make a chunk worth sending.
    fn enough(&self) -> usize {
        if self.bytes_written == self.out.len() {
            1
        } else {
            CHUNK_BYTES
        }
    }

    /// Writes the estimated number of rows that fill the chunk.
    fn write_some(&mut self, batch: RecordBatch) -> Result<(), FormatError> {
        let rows = if self.is_sliced {
            self.rows_to_fill_chunk().min(batch.num_rows())
        } else {
            batch.num_rows()
        };
        if self.row_wise && self.out.capacity() == 0 {
            self.out.reserve(CHUNK_BYTES + CHUNK_BYTES / 8);
        }
        let before = self.out.len();
        self.encoder.write(&batch.slice(0, rows), &mut self.out)?;
        self.bytes_written += self.out.len() - before;
        self.rows_written += rows;
        let left = batch.num_rows() - rows;
        self.unwritten = (left > 0).then(|| batch.slice(rows, left));
        Ok(())
    }

    /// Estimates the number of rows that fit into the chunk, from those written so far; at least one.
    fn rows_to_fill_chunk(&self) -> usize {
        match self.bytes_written.checked_div(self.rows_written) {
            Some(row_bytes) => {
                // The rest of a chunk would be too small for a message.
                let used = if self.row_wise { self.out.len() } else { 0 };
                let room = CHUNK_BYTES.saturating_sub(used);
                (room / row_bytes.max(1)).max(1)
            }
            None => FIRST_ROWS,
        }
    }
}
