//! Decodes the segments of a tail on several threads: after a start, the first query needs all of them.

use std::{collections::VecDeque, sync::Arc, thread};

use arrow::array::RecordBatch;
use neap_schema::TableId;
use neap_wal::{Segment, SegmentError};

/// Maximum number of segments that are decoded at once.
const MAX_AT_ONCE: usize = 16;

/// Maximum size of these segments, in bytes, unless it is one. The rows take several times as much.
const MAX_BYTES_AT_ONCE: usize = 4 << 20;

/// Minimum size of segments that are decoded on several threads, in bytes. Fewer are decoded before a thread starts.
const MIN_PARALLEL_BYTES: usize = 64 << 10;

/// The rows of a table in a segment.
type DecodedRows = Result<Vec<RecordBatch>, SegmentError>;

/// Iterates over segments with their rows.
pub(super) struct DecodedSegments<'a> {
    segments: std::slice::Iter<'a, Arc<Segment>>,
    table: TableId,
    /// The rows of the next segments.
    decoded: VecDeque<DecodedRows>,
}

impl<'a> DecodedSegments<'a> {
    pub(super) fn new(segments: &'a [Arc<Segment>], table: TableId) -> Self {
        Self {
            segments: segments.iter(),
            table,
            decoded: VecDeque::new(),
        }
    }

    /// Decodes the next segments, each thread every n-th of them.
    fn decode(&mut self) {
        let next = self.segments.as_slice();
        let mut bytes = 0;
        let fits = next.iter().take(MAX_AT_ONCE).take_while(|segment| {
            bytes += segment.size_bytes();
            bytes <= MAX_BYTES_AT_ONCE
        });
        let next = next.get(..fits.count().max(1)).unwrap_or(next);
        let threads = match bytes < MIN_PARALLEL_BYTES {
            true => 1,
            false => thread::available_parallelism().map_or(1, usize::from),
        };
        let (threads, table) = (threads.min(next.len()), self.table);
        if threads <= 1 {
            self.decoded
                .extend(next.first().map(|segment| segment.rows(table)));
            return;
        }
        let mut decoded: Vec<VecDeque<DecodedRows>> = thread::scope(|scope| {
            let of_thread = |thread: usize| {
                let segments = next.iter().skip(thread).step_by(threads);
                scope.spawn(move || segments.map(|segment| segment.rows(table)).collect())
            };
            let running: Vec<_> = (0..threads).map(of_thread).collect();
            running
                .into_iter()
                .map(|thread| match thread.join() {
                    Ok(decoded) => decoded,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        });
        for at in 0..next.len() {
            let of_thread = decoded.get_mut(at % threads);
            self.decoded.extend(of_thread.and_then(VecDeque::pop_front));
        }
    }
}

impl<'a> Iterator for DecodedSegments<'a> {
    type Item = (&'a Arc<Segment>, DecodedRows);

    fn next(&mut self) -> Option<Self::Item> {
        if self.decoded.is_empty() {
            self.decode();
        }
        let rows = self.decoded.pop_front()?;
        Some((self.segments.next()?, rows))
    }
}
