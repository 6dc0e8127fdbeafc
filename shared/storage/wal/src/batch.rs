//! Write and delete requests, and the layout of a batch of requests in segments.

use neap_bucket::{ClockReading, Stamp, StoreTime, WriteOrder};
use neap_row_delete::RowDelete;
use tokio::sync::oneshot;

use crate::{
    DeleteBytes, EncodedRows, ImportProgress, MAX_SEGMENT_BYTES, TailState, WriteError,
    segment::{ENTRY_BYTES, MAX_DELETES_BYTES, SEGMENT_OVERHEAD_BYTES},
};

/// The state of catalogs and manifest that a request was validated against, and its age.
#[derive(Clone, Copy, Debug)]
pub struct FreshnessProof {
    /// The version of the database catalog that contains all tables and columns of the rows.
    pub catalog_version: u64,
    /// The low-water mark of the database's manifest.
    pub mark: Stamp,
    /// The earliest `Date` of the answers that showed the catalogs and the low-water mark to be current.
    pub current_at: StoreTime,
    /// The state of the tail after the last flush, from the same manifest.
    pub tail: Option<TailState>,
    /// The start of the earliest request that showed the catalogs and the low-water mark to be current.
    pub asked: ClockReading,
}

/// The rows of one request and the preconditions of their commit.
#[derive(Debug)]
pub struct WriteRequest {
    /// The arrival time of the request.
    pub arrived: ClockReading,
    /// The rows. Rows of one table are in the order of their lines.
    pub rows: Vec<EncodedRows>,
    /// The state of catalogs and manifest that the request was validated against.
    pub proof: FreshnessProof,
    /// The stamp that the request must be ordered after (`x-neap-stamp`).
    pub after: Option<Stamp>,
    /// The order of the request relative to requests of other instances.
    pub order: WriteOrder,
    /// The number of chained plugin runs that produced these rows; 0 if a client sent them.
    pub depth: u8,
    /// The progress of the import job or site that the rows belong to. There may be none then.
    pub progress: Option<ImportProgress>,
}

/// The row deletes of one request and the preconditions of their commit. Row deletes have strict order.
#[derive(Debug)]
pub struct DeleteRequest {
    /// The arrival time of the request.
    pub arrived: ClockReading,
    /// The deletes; at least one.
    pub deletes: Vec<RowDelete>,
    /// The state of catalogs and manifest that the request was validated against. The catalog contains the tables and
    /// tags of the deletes.
    pub proof: FreshnessProof,
    /// The stamp that the request must be ordered after (`x-neap-stamp`).
    pub after: Option<Stamp>,
    /// The row deletes in the manifest.
    pub recorded: DeleteBytes,
    /// The progress of the site that the deletes belong to.
    pub progress: Option<ImportProgress>,
}

/// An acknowledged write. Every later snapshot contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteReceipt {
    /// The position of the write in the order of all writes.
    pub stamp: Stamp,
}

/// The preconditions that are checked when a request is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitPreconditions {
    pub(crate) arrived: ClockReading,
    pub(crate) proof: FreshnessProof,
    pub(crate) after: Option<Stamp>,
    pub(crate) order: WriteOrder,
    /// Recorded in the segment.
    pub(crate) progress: Option<ImportProgress>,
}

/// A request that waits until its segment is put.
#[derive(Debug)]
pub(crate) struct PendingRequest<R> {
    pub(crate) preconditions: CommitPreconditions,
    reply: Option<oneshot::Sender<Result<WriteReceipt, WriteError>>>,
    /// Held until the request is answered.
    reservation: Option<R>,
}

impl<R> PendingRequest<R> {
    pub(crate) fn new(
        preconditions: CommitPreconditions,
        reply: oneshot::Sender<Result<WriteReceipt, WriteError>>,
        reservation: R,
    ) -> Self {
        Self {
            preconditions,
            reply: Some(reply),
            reservation: Some(reservation),
        }
    }

    /// Returns whether the caller still waits for the answer.
    pub(crate) fn is_open(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    pub(crate) fn answer(&mut self, answer: Result<WriteReceipt, WriteError>) {
        self.reservation = None;
        if let Some(reply) = self.reply.take() {
            // Ignore the error: a caller that is gone needs no answer.
            reply.send(answer).ok();
        }
    }
}

/// The content of a request. It is never divided: a segment contains all of it.
#[derive(Debug)]
pub(crate) enum WritePayload {
    /// Rows. Rows of one table are in the order of their lines.
    Rows(Vec<EncodedRows>),
    /// Row deletes. They get a segment of their own.
    Deletes(Vec<RowDelete>),
}

/// Returns the size of row deletes in bytes, or an error if they do not fit in a segment.
pub(crate) fn checked_deletes_size(deletes: &[RowDelete]) -> Result<usize, WriteError> {
    let limit = MAX_DELETES_BYTES;
    if deletes.is_empty() {
        return Err(WriteError::Empty);
    }
    // Serialising strings and numbers does not fail.
    let bytes = serde_json::to_vec(deletes).map_or(usize::MAX, |text| text.len());
    if bytes > limit {
        return Err(WriteError::DeletesTooLarge { bytes, limit });
    }
    Ok(bytes)
}

/// Returns the size of rows in bytes, or an error if they exceed `limit` or do not fit in a segment.
pub(crate) fn checked_rows_size(rows: &[EncodedRows], limit: usize) -> Result<usize, WriteError> {
    let limit = limit.min(MAX_SEGMENT_BYTES - SEGMENT_OVERHEAD_BYTES);
    if rows.is_empty() {
        return Err(WriteError::Empty);
    }
    let bytes = rows_bytes(rows);
    if bytes > limit {
        return Err(WriteError::TooLarge { bytes, limit });
    }
    Ok(bytes)
}

/// A request in its segment.
#[derive(Debug)]
pub(crate) struct BatchShare {
    /// The position of the request in the batch.
    pub(crate) request: usize,
    /// The content of the request.
    pub(crate) load: WritePayload,
}

/// Returns the bytes that the rows of a request take up in a segment.
fn rows_bytes(rows: &[EncodedRows]) -> usize {
    rows.iter().map(|rows| rows.size_bytes() + ENTRY_BYTES).sum()
}

/// Maximum bytes of the rows of a segment that several requests share. Larger ones would save few PUTs, and all requests in one
/// wait for its PUT.
pub(crate) const SHARED_SEGMENT_BYTES: usize = 16 << 20;

/// Distributes requests over segments, in the order of the requests, each request as a whole: a reader, a flush and a
/// crash see all of a request or nothing, because a segment is one object. Requests share a segment of up to `limit`
/// bytes of rows; a larger request gets one of its own. Deletes get a segment of their own, so that earlier rows have a
/// smaller stamp and later rows a greater one.
pub(crate) fn pack_segments(requests: Vec<WritePayload>, limit: usize) -> Vec<Vec<BatchShare>> {
    let mut segments: Vec<Vec<BatchShare>> = Vec::new();
    let mut free = 0;
    for (request, load) in requests.into_iter().enumerate() {
        let needed = match &load {
            WritePayload::Rows(rows) => Some(rows_bytes(rows)),
            WritePayload::Deletes(_) => None,
        };
        let share = BatchShare { request, load };
        match (needed, segments.last_mut()) {
            (Some(bytes), Some(segment)) if bytes <= free => {
                segment.push(share);
                free -= bytes;
            }
            _ => {
                segments.push(vec![share]);
                free = needed.map_or(0, |bytes| limit.saturating_sub(bytes));
            }
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use neap_row_delete::Condition;
    use neap_schema::TableId;
    use proptest::prelude::*;

    use super::*;
    use crate::test_world::batch_of_times;

    fn rows(number: usize) -> EncodedRows {
        let times: Vec<i64> = (0..i64::try_from(number).unwrap()).map(|i| i * i * i).collect();
        EncodedRows::encode(TableId::new(1), &batch_of_times(&times)).unwrap()
    }

    fn delete(table: u32) -> WritePayload {
        WritePayload::Deletes(vec![RowDelete {
            table: TableId::new(table),
            condition: Condition::EVERYTHING,
        }])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn requests_keep_their_order_and_are_never_divided(
            sizes in proptest::collection::vec(proptest::collection::vec(1_usize..300, 0..5), 1..8),
            limit in 0_usize..6_000,
        ) {
            // An empty list stands for a delete request.
            let requests: Vec<WritePayload> = sizes
                .iter()
                .map(|sizes| match sizes.as_slice() {
                    [] => delete(1),
                    sizes => WritePayload::Rows(sizes.iter().map(|size| rows(*size)).collect()),
                })
                .collect();
            let segments = pack_segments(requests, limit);
            let order: Vec<usize> = segments.iter().flatten().map(|share| share.request).collect();
            prop_assert_eq!(order, (0..sizes.len()).collect::<Vec<_>>());
            for segment in &segments {
                let mut bytes = 0;
                for share in segment {
                    match &share.load {
                        WritePayload::Rows(rows) => {
                            let found: Vec<_> = rows.iter().map(|rows| rows.rows() as usize).collect();
                            prop_assert_eq!(&found, &sizes[share.request]);
                            bytes += rows_bytes(rows);
                        }
                        WritePayload::Deletes(_) => prop_assert_eq!(segment.len(), 1),
                    }
                }
                prop_assert!(segment.len() == 1 || bytes <= limit);
            }
        }
    }

    #[test]
    fn requests_that_fit_share_a_segment() {
        let requests = [vec![rows(1)], vec![rows(2), rows(3)], vec![rows(4)]]
            .into_iter()
            .map(WritePayload::Rows)
            .collect();
        assert_eq!(pack_segments(requests, SHARED_SEGMENT_BYTES).len(), 1);
    }

    #[test]
    fn deletes_separate_earlier_rows_from_later_rows() {
        let requests = vec![
            WritePayload::Rows(vec![rows(1)]),
            delete(1),
            delete(2),
            WritePayload::Rows(vec![rows(2)]),
            WritePayload::Rows(vec![rows(3)]),
        ];
        let segments = pack_segments(requests, SHARED_SEGMENT_BYTES);
        let requests =
            |segment: &Vec<BatchShare>| segment.iter().map(|share| share.request).collect();
        let requests: Vec<Vec<usize>> = segments.iter().map(requests).collect();
        assert_eq!(requests, [vec![0], vec![1], vec![2], vec![3, 4]]);
    }

    #[test]
    fn an_empty_request_is_refused() {
        let sizes = [checked_rows_size(&[], 1 << 20), checked_deletes_size(&[])];
        for size in sizes {
            assert!(matches!(size, Err(WriteError::Empty)));
        }
    }
}
