//! Decodes the segments of a tail on several threads: after a start, the first query needs all of them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use arrow::array::RecordBatch;
use neap_schema::TableId;
use neap_wal::{Segment, SegmentError};

/// Maximum size of the segments that are decoded and whose rows are not taken yet, in bytes. A larger segment is decoded alone.
/// The rows take several times as much.
const MAX_BYTES_AT_ONCE: usize = 4 << 20;

/// Minimum size of segments that are decoded on several threads, in bytes. Fewer are decoded before a thread starts.
const MIN_PARALLEL_BYTES: usize = 64 << 10;

/// The rows of a table in a segment, with integers as they are in it.
pub(super) type DecodedRows = Result<Vec<RecordBatch>, SegmentError>;

/// Decodes the columns of a table with these names, and calls `take` with the rows of each segment, one after the other, until
/// it fails. Other threads decode the next segments meanwhile.
pub(super) fn decode_segments<E>(
    segments: &[Arc<Segment>],
    table: TableId,
    columns: &BTreeSet<String>,
    mut take: impl FnMut(&Segment, DecodedRows) -> Result<(), E>,
) -> Result<(), E> {
    let decode = |segment: &Segment| segment.narrow_columns(table, &|name| columns.contains(name));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    // Each thread has the rows of one segment, and the caller as well.
    let is_small = |segment: &Segment| segment.size_bytes() <= MAX_BYTES_AT_ONCE / (threads + 1);
    for part in segments.chunk_by(|one, other| is_small(one) == is_small(other)) {
        let bytes: usize = part.iter().map(|segment| segment.size_bytes()).sum();
        let is_parallel = part.len() > 1 && bytes >= MIN_PARALLEL_BYTES;
        if is_parallel && part.iter().all(|segment| is_small(segment)) {
            decode_ahead(part, threads.min(part.len()), &decode, &mut take)?
        } else {
            part.iter().try_for_each(|segment| take(segment, decode(segment)))?
        }
    }
    Ok(())
}

/// Decodes segments on so many threads, at least one, which wait until their rows are taken.
fn decode_ahead<E>(
    segments: &[Arc<Segment>],
    threads: usize,
    decode: &(impl Fn(&Segment) -> DecodedRows + Sync),
    take: &mut impl FnMut(&Segment, DecodedRows) -> Result<(), E>,
) -> Result<(), E> {
    thread::scope(|scope| {
        let start = |thread: usize| -> Receiver<DecodedRows> {
            let (sender, receiver) = sync_channel(0);
            let mut segments = segments.iter().skip(thread).step_by(threads);
            scope.spawn(move || segments.all(|segment| sender.send(decode(segment)).is_ok()));
            receiver
        };
        let receivers: Vec<_> = (0..threads).map(start).collect();
        for (segment, receiver) in segments.iter().zip(receivers.iter().cycle()) {
            let Ok(rows) = receiver.recv() else {
                // The thread has panicked, which the end of the scope passes on.
                break;
            };
            take(segment, rows)?;
        }
        Ok(())
    })
}
