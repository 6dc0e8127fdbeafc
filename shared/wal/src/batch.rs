//! What a write asks for, and how the requests of one put are laid out in segments.

use neap_bucket::{Moment, Stamp, StoreTime};
use tokio::sync::oneshot;

use crate::{
    EncodedRows, MAX_SEGMENT_BYTES, WriteError,
    segment::{ENTRY_BYTES, SEGMENT_OVERHEAD_BYTES},
};

/// What a request knows of catalogs and manifest.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// The version of the database catalog that has all tables and columns of the rows.
    pub catalog_version: u64,
    /// The low-water mark of the database's manifest.
    pub mark: Stamp,
    /// The earliest `Date` of the answers that proved catalogs and mark current.
    pub proven: StoreTime,
}

/// The rows of one request, with what must hold when they are put.
#[derive(Debug)]
pub struct WriteRequest {
    /// When the request arrived.
    pub arrived: Moment,
    /// The rows; those of one table in the order of their lines.
    pub rows: Vec<EncodedRows>,
    /// What the request knows of catalogs and manifest.
    pub proof: Proof,
    /// The stamp after which the request is to be ordered (`x-neap-stamp`).
    pub after: Option<Stamp>,
}

/// A write that every later snapshot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The place of the write in the order of all writes; of a request that took several segments, the last.
    pub stamp: Stamp,
}

/// What must hold of a request when it is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) arrived: Moment,
    pub(crate) proof: Proof,
    pub(crate) after: Option<Stamp>,
}

/// A request that waits for its segments.
#[derive(Debug)]
pub(crate) struct Pending<R> {
    pub(crate) terms: Terms,
    reply: Option<oneshot::Sender<Result<Acknowledged, WriteError>>>,
    parts_left: usize,
    stamp: Option<Stamp>,
    /// Held until the request is answered.
    reservation: Option<R>,
}

impl<R> Pending<R> {
    pub(crate) fn new(
        terms: Terms,
        parts: usize,
        reply: oneshot::Sender<Result<Acknowledged, WriteError>>,
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

    /// Whether anyone still waits for an answer.
    pub(crate) fn is_open(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    /// Notes that some parts of the request are put and acknowledged, and answers when they were the last.
    pub(crate) fn acknowledge(&mut self, parts: usize, stamp: Stamp) {
        self.stamp = Some(stamp);
        self.parts_left = self.parts_left.saturating_sub(parts);
        if self.parts_left == 0 {
            self.answer(Ok(Acknowledged { stamp }));
        }
    }

    /// Answers with an error; what is left of the request will not be put.
    pub(crate) fn fail(&mut self, error: WriteError) {
        let stamp = self.stamp;
        self.answer(Err(error.after_part(stamp)));
    }

    fn answer(&mut self, answer: Result<Acknowledged, WriteError>) {
        self.reservation = None;
        if let Some(reply) = self.reply.take() {
            // A client that has gone away needs no answer.
            reply.send(answer).ok();
        }
    }
}

/// What one segment holds of a request.
#[derive(Debug)]
pub(crate) struct Share {
    /// The position of the request in the batch.
    pub(crate) request: usize,
    /// At least one.
    pub(crate) parts: Vec<EncodedRows>,
}

fn part_bytes(rows: &EncodedRows) -> usize {
    rows.size_bytes() + ENTRY_BYTES
}

/// What the parts of a segment may take up together.
pub(crate) const SEGMENT_PARTS_BYTES: usize = MAX_SEGMENT_BYTES - SEGMENT_OVERHEAD_BYTES;

/// The bytes that a request takes up, and an error if one of its parts does not fit a segment.
pub(crate) fn measure(rows: &[EncodedRows]) -> Result<usize, WriteError> {
    let limit = SEGMENT_PARTS_BYTES;
    let largest = rows.iter().map(part_bytes).max();
    let bytes = largest.ok_or(WriteError::Empty)?;
    if bytes > limit {
        return Err(WriteError::TooLarge { bytes, limit });
    }
    Ok(rows.iter().map(part_bytes).sum())
}

/// Lays requests out in segments: in their order, each request in one segment if it fits one.
pub(crate) fn lay_out(requests: Vec<Vec<EncodedRows>>, limit: usize) -> Vec<Vec<Share>> {
    let mut segments: Vec<Vec<Share>> = Vec::new();
    let mut left = 0;
    for (request, rows) in requests.into_iter().enumerate() {
        let whole: usize = rows.iter().map(part_bytes).sum();
        if whole > left && whole <= limit {
            // A request that fits a segment of its own is not torn apart.
            left = 0;
        }
        for part in rows {
            let bytes = part_bytes(&part);
            if bytes > left {
                segments.push(Vec::new());
                left = limit;
            }
            left = left.saturating_sub(bytes);
            let Some(segment) = segments.last_mut() else {
                continue;
            };
            match segment.last_mut() {
                Some(share) if share.request == request => share.parts.push(part),
                _ => segment.push(Share {
                    request,
                    parts: vec![part],
                }),
            }
        }
    }
    segments
}

#[cfg(test)]
mod tests {
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

    proptest! {
        #[test]
        fn requests_keep_their_order_and_fit_their_segments(
            sizes in proptest::collection::vec(proptest::collection::vec(1_usize..300, 1..5), 1..8),
            spare in 0_usize..3000,
        ) {
            let requests: Vec<Vec<_>> =
                sizes.iter().map(|sizes| sizes.iter().map(|size| rows(*size)).collect()).collect();
            let limit = requests.iter().flatten().map(part_bytes).max().unwrap() + spare;
            let whole: Vec<usize> =
                requests.iter().map(|rows| rows.iter().map(part_bytes).sum()).collect();
            let segments = lay_out(requests, limit);
            let flat: Vec<_> = segments
                .iter()
                .flatten()
                .flat_map(|share| share.parts.iter().map(|part| (share.request, part.rows() as usize)))
                .collect();
            let expected: Vec<_> = sizes
                .iter()
                .enumerate()
                .flat_map(|(request, sizes)| sizes.iter().map(move |size| (request, *size)))
                .collect();
            prop_assert_eq!(flat, expected);
            for (request, whole) in whole.iter().enumerate() {
                let number = segments.iter().flatten().filter(|share| share.request == request).count();
                prop_assert!(*whole > limit || number == 1);
            }
            for segment in &segments {
                prop_assert!(!segment.is_empty());
                let parts = segment.iter().flat_map(|share| &share.parts);
                prop_assert!(parts.map(part_bytes).sum::<usize>() <= limit);
            }
        }
    }

    #[test]
    fn requests_that_fit_share_a_segment() {
        let requests = vec![vec![rows(1)], vec![rows(2), rows(3)], vec![rows(4)]];
        assert_eq!(lay_out(requests, SEGMENT_PARTS_BYTES).len(), 1);
    }

    #[test]
    fn a_request_without_rows_is_refused() {
        assert!(matches!(measure(&[]), Err(WriteError::Empty)));
    }
}
