//! Write and delete requests, and the layout of a batch of requests in segments.

use neap_bucket::{ClockReading, Stamp, StoreTime, WriteOrder};
use neap_row_delete::RowDelete;
use tokio::sync::oneshot;

use crate::{
    EncodedRows, MAX_SEGMENT_BYTES, TailState, WriteError,
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
    pub proven: StoreTime,
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
    /// The number of row deletes in the manifest that are not applied yet.
    pub recorded: u64,
}

/// An acknowledged write. Every later snapshot contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteReceipt {
    /// The position of the write in the order of all writes. If the request took several segments, the stamp of the
    /// last one.
    pub stamp: Stamp,
}

/// The preconditions that are checked when a request is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitPreconditions {
    pub(crate) arrived: ClockReading,
    pub(crate) proof: FreshnessProof,
    pub(crate) after: Option<Stamp>,
    pub(crate) order: WriteOrder,
}

/// A request that waits until its segments are put.
#[derive(Debug)]
pub(crate) struct PendingRequest<R> {
    pub(crate) terms: CommitPreconditions,
    reply: Option<oneshot::Sender<Result<WriteReceipt, WriteError>>>,
    parts_left: usize,
    stamp: Option<Stamp>,
    /// Held until the request is answered.
    reservation: Option<R>,
}

impl<R> PendingRequest<R> {
    pub(crate) fn new(
        terms: CommitPreconditions,
        parts: usize,
        reply: oneshot::Sender<Result<WriteReceipt, WriteError>>,
        reservation: R,
    ) -> Self {
        Self {
            terms,
            reply: Some(reply),
            parts_left: parts,
            stamp: None,
            reservation: Some(reservation),
        }
    }

    /// Returns whether the caller still waits for the answer.
    pub(crate) fn is_open(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    /// Records that parts of the request are put and acknowledged. Answers the request after its last part.
    pub(crate) fn acknowledge(&mut self, parts: usize, stamp: Stamp) {
        self.stamp = Some(stamp);
        self.parts_left = self.parts_left.saturating_sub(parts);
        if self.parts_left == 0 {
            self.answer(Ok(WriteReceipt { stamp }));
        }
    }

    /// Answers with an error. The remaining parts of the request are not put.
    pub(crate) fn fail(&mut self, error: WriteError) {
        let stamp = self.stamp;
        self.answer(Err(error.into_partial(stamp)));
    }

    fn answer(&mut self, answer: Result<WriteReceipt, WriteError>) {
        self.reservation = None;
        if let Some(reply) = self.reply.take() {
            // Ignore the error: a caller that is gone needs no answer.
            reply.send(answer).ok();
        }
    }
}

/// The content of a request, or a part of it.
#[derive(Debug)]
pub(crate) enum WritePayload {
    /// Rows. Rows of one table are in the order of their lines.
    Rows(Vec<EncodedRows>),
    /// Row deletes. They get a segment of their own.
    Deletes(Vec<RowDelete>),
}

impl WritePayload {
    /// Returns the number of parts. The deletes of a request are one part.
    pub(crate) fn parts(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Deletes(_) => 1,
        }
    }

    /// Returns the number of row deletes.
    pub(crate) fn deletes(&self) -> u64 {
        match self {
            Self::Rows(_) => 0,
            Self::Deletes(deletes) => deletes.len() as u64,
        }
    }

    /// Returns the size in bytes, or an error if a part does not fit in a segment.
    pub(crate) fn checked_size(&self) -> Result<usize, WriteError> {
        match self {
            Self::Rows(rows) => checked_rows_size(rows),
            Self::Deletes(deletes) => {
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
        }
    }
}

/// Returns the size of rows in bytes, or an error if a part does not fit in a segment.
pub(crate) fn checked_rows_size(rows: &[EncodedRows]) -> Result<usize, WriteError> {
    let limit = SEGMENT_PARTS_BYTES;
    let largest = rows.iter().map(part_bytes).max();
    let bytes = largest.ok_or(WriteError::Empty)?;
    if bytes > limit {
        return Err(WriteError::TooLarge { bytes, limit });
    }
    Ok(rows.iter().map(part_bytes).sum())
}

/// The part of a request that goes into one segment.
#[derive(Debug)]
pub(crate) struct BatchShare {
    /// The position of the request in the batch.
    pub(crate) request: usize,
    /// At least one part.
    pub(crate) load: WritePayload,
}

fn part_bytes(rows: &EncodedRows) -> usize {
    rows.size_bytes() + ENTRY_BYTES
}

/// Maximum size of all parts of one segment, in bytes.
pub(crate) const SEGMENT_PARTS_BYTES: usize = MAX_SEGMENT_BYTES - SEGMENT_OVERHEAD_BYTES;

/// Distributes requests over segments, in the order of the requests. A request that fits in one segment is not split.
/// Deletes get a segment of their own, so that earlier rows have a smaller stamp and later rows a greater one.
pub(crate) fn pack_segments(requests: Vec<WritePayload>, limit: usize) -> Vec<Vec<BatchShare>> {
    let mut segments: Vec<Vec<BatchShare>> = Vec::new();
    let mut left = 0;
    for (request, load) in requests.into_iter().enumerate() {
        match load {
            WritePayload::Rows(rows) => pack_rows(&mut segments, &mut left, request, rows, limit),
            deletes @ WritePayload::Deletes(_) => {
                let load = deletes;
                segments.push(vec![BatchShare { request, load }]);
                left = 0;
            }
        }
    }
    segments
}

/// Appends the rows of one request. `left` is the free space of the last segment, in bytes.
fn pack_rows(
    segments: &mut Vec<Vec<BatchShare>>,
    left: &mut usize,
    request: usize,
    rows: Vec<EncodedRows>,
    limit: usize,
) {
    let whole: usize = rows.iter().map(part_bytes).sum();
    if whole > *left && whole <= limit {
        // Start a new segment, because a request that fits in one segment is not split.
        *left = 0;
    }
    for part in rows {
        let bytes = part_bytes(&part);
        if bytes > *left {
            segments.push(Vec::new());
            *left = limit;
        }
        *left = left.saturating_sub(bytes);
        let Some(segment) = segments.last_mut() else {
            continue;
        };
        match segment.last_mut() {
            Some(BatchShare {
                request: of,
                load: WritePayload::Rows(parts),
            }) if *of == request => parts.push(part),
            _ => segment.push(BatchShare {
                request,
                load: WritePayload::Rows(vec![part]),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use neap_row_delete::Condition;
    use neap_schema::TableId;
    use proptest::prelude::*;

    use super::*;
    use crate::test_world::batch_of_times;

    fn rows(number: usize) -> EncodedRows {
        let times: Vec<i64> = (0..i64::try_from(number).unwrap())
            .map(|i| i * i * i)
            .collect();
        EncodedRows::encode(TableId::new(1), &batch_of_times(&times)).unwrap()
    }

    fn delete(table: u32) -> WritePayload {
        WritePayload::Deletes(vec![RowDelete {
            table: TableId::new(table),
            condition: Condition::EVERYTHING,
        }])
    }

    /// Returns the bytes that a load takes up in a segment of rows.
    fn row_bytes(load: &WritePayload) -> usize {
        match load {
            WritePayload::Rows(rows) => rows.iter().map(part_bytes).sum(),
            WritePayload::Deletes(_) => 0,
        }
    }

    /// Returns the parts of a load: the number of rows of each, or `None` for deletes.
    fn parts(load: &WritePayload) -> Vec<Option<usize>> {
        match load {
            WritePayload::Rows(rows) => {
                rows.iter().map(|part| Some(part.rows() as usize)).collect()
            }
            WritePayload::Deletes(_) => vec![None],
        }
    }

    proptest! {
        #[test]
        fn requests_keep_their_order_and_fit_their_segments(
            sizes in proptest::collection::vec(proptest::collection::vec(1_usize..300, 0..5), 1..8),
            spare in 0_usize..3000,
        ) {
            // An empty list stands for a delete request.
            let requests: Vec<WritePayload> = sizes
                .iter()
                .map(|sizes| match sizes.as_slice() {
                    [] => delete(1),
                    sizes => WritePayload::Rows(sizes.iter().map(|size| rows(*size)).collect()),
                })
                .collect();
            let largest = requests.iter().filter_map(|load| match load {
                WritePayload::Rows(rows) => rows.iter().map(part_bytes).max(),
                WritePayload::Deletes(_) => None,
            });
            let limit = largest.max().unwrap_or(0) + spare;
            let whole: Vec<usize> = requests.iter().map(row_bytes).collect();
            let expected: Vec<_> = requests
                .iter()
                .enumerate()
                .flat_map(|(request, load)| parts(load).into_iter().map(move |part| (request, part)))
                .collect();
            let segments = pack_segments(requests, limit);
            let flat: Vec<_> = segments
                .iter()
                .flatten()
                .flat_map(|share| parts(&share.load).into_iter().map(|part| (share.request, part)))
                .collect();
            prop_assert_eq!(flat, expected);
            for (request, whole) in whole.iter().enumerate() {
                let number = segments.iter().flatten().filter(|share| share.request == request).count();
                prop_assert!(*whole > limit || number == 1);
            }
            for segment in &segments {
                prop_assert!(!segment.is_empty());
                let has_delete = segment.iter().any(|share| matches!(share.load, WritePayload::Deletes(_)));
                prop_assert!(!has_delete || segment.len() == 1);
                prop_assert!(segment.iter().map(|share| row_bytes(&share.load)).sum::<usize>() <= limit);
            }
        }
    }

    #[test]
    fn requests_that_fit_share_a_segment() {
        let requests = vec![vec![rows(1)], vec![rows(2), rows(3)], vec![rows(4)]];
        let requests = requests.into_iter().map(WritePayload::Rows).collect();
        assert_eq!(pack_segments(requests, SEGMENT_PARTS_BYTES).len(), 1);
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
        let segments = pack_segments(requests, SEGMENT_PARTS_BYTES);
        let requests =
            |segment: &Vec<BatchShare>| segment.iter().map(|share| share.request).collect();
        let requests: Vec<Vec<usize>> = segments.iter().map(requests).collect();
        assert_eq!(requests, [vec![0], vec![1], vec![2], vec![3, 4]]);
    }

    #[test]
    fn an_empty_request_is_refused() {
        for nothing in [
            WritePayload::Rows(Vec::new()),
            WritePayload::Deletes(Vec::new()),
        ] {
            assert!(matches!(nothing.checked_size(), Err(WriteError::Empty)));
        }
    }
}
