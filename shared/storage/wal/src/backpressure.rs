//! Backpressure: the length of a database's tail, as far as writers know it without a request of their own.
//!
//! ```text
//!   flusher                          manifest                       writer
//!     |-- TailState: n segments left --> |                            |
//!     |                                  | <-- read for the proof --- |   at most every 5 s
//!     |                                  |       n + its own puts since then: slow down, or refuse
//! ```
//!
//! A writer also counts its own PUTs above the mark, so that it stops even if no flusher runs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use neap_bucket::{Stamp, StoreTime};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::{TailListing, WriteError};

/// Maximum number of time spans in which the PUTs of a database are counted separately.
const MAX_SPANS: usize = 1_000;

/// The initial length of a span.
const SPAN: Duration = Duration::from_secs(1);

/// The state of a database's tail after a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailState {
    /// The number of segments above the mark. A lower bound for a very long tail, because a flusher lists only a part
    /// of it.
    pub segments: u64,
    /// The time of the oldest stamp among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<StoreTime>,
    /// The time of the listing, by the store's clock. Later PUTs are not counted.
    pub listed: StoreTime,
}

impl TailListing {
    /// Returns the state of the tail above a mark; `None` if the listing has no `Date`.
    pub fn state_above(&self, mark: Stamp) -> Option<TailState> {
        let first = self.segments.partition_point(|one| one.name.stamp <= mark);
        let above = self.segments.get(first..).unwrap_or_default();
        Some(TailState {
            segments: above.len() as u64,
            oldest: above.first().map(|one| one.name.stamp.time()),
            listed: self.first_page_date?,
        })
    }
}

/// The backpressure level of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backpressure {
    /// Compaction keeps up.
    #[default]
    None,
    /// Writers double their flush interval and use no burst, so that segments are fewer and larger.
    Slow,
    /// Writes are refused until the tail is shorter.
    Stop,
}

/// The lengths of a tail above which writers slow down or stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackpressureLimits {
    /// Writers slow down above this number of segments.
    pub slow: u64,
    /// Writers refuse writes above this number of segments.
    pub stop: u64,
}

impl BackpressureLimits {
    /// 3,000 and 10,000 segments.
    pub const DEFAULT: Self = Self { slow: 3_000, stop: 10_000 };

    /// Returns the pressure of a tail with this number of segments.
    pub fn pressure_of(&self, segments: u64) -> Backpressure {
        if segments > self.stop {
            Backpressure::Stop
        } else if segments > self.slow {
            Backpressure::Slow
        } else {
            Backpressure::None
        }
    }
}

impl Default for BackpressureLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The row deletes in a manifest that clients requested, by their size ([`neap_row_delete::RowDelete::stored_bytes`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteBytes {
    /// Bytes of the deletes that sections still need. Queries evaluate them.
    pub pending: u64,
    /// Bytes of the deletes that are applied to all sections. Only queries of earlier states need them.
    pub applied: u64,
}

impl DeleteBytes {
    /// Adds a delete.
    pub fn add(&mut self, bytes: u64, is_applied: bool) {
        let sum = if is_applied {
            &mut self.applied
        } else {
            &mut self.pending
        };
        *sum = sum.saturating_add(bytes);
    }
}

/// The limits on the row deletes of a database above which further deletes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteLimits {
    /// Maximum bytes of deletes that wait to be applied, in the manifest, in the tail and in flight.
    pub pending_bytes: u64,
    /// Maximum bytes of applied deletes in the manifest. They are part of every commit until the time-travel period ends.
    pub applied_bytes: u64,
}

impl DeleteLimits {
    /// 4 MiB, which is about 15,000 deletes of a tag and a time range, and 16 MiB.
    pub const DEFAULT: Self = Self { pending_bytes: 4 << 20, applied_bytes: 16 << 20 };
}

/// The PUTs of one writer within a time span.
#[derive(Clone, Copy, Debug)]
struct PutSpan {
    first: StoreTime,
    last: StoreTime,
    segments: u64,
    delete_bytes: u64,
}

/// The PUTs of one writer to a database that are above the low-water mark.
#[derive(Debug)]
struct UnflushedPuts {
    spans: VecDeque<PutSpan>,
    length: Duration,
}

impl Default for UnflushedPuts {
    fn default() -> Self {
        Self { spans: VecDeque::new(), length: SPAN }
    }
}

impl UnflushedPuts {
    fn add(&mut self, time: StoreTime, delete_bytes: u64) {
        let length = self.length;
        match self.spans.back_mut() {
            Some(span) if time.since(span.first) < length => {
                span.last = span.last.max(time);
                span.segments += 1;
                span.delete_bytes += delete_bytes;
            }
            _ => {
                self.spans
                    .push_back(PutSpan { first: time, last: time, segments: 1, delete_bytes })
            }
        }
        if self.spans.len() > MAX_SPANS {
            self.halve();
        }
    }

    /// Merges each pair of adjacent spans, and doubles the length of a span.
    fn halve(&mut self) {
        self.length = self.length.saturating_mul(2);
        let spans: Vec<_> = self.spans.drain(..).collect();
        let joined = spans.chunks(2).filter_map(|pair| {
            let (first, rest) = pair.split_first()?;
            Some(rest.iter().fold(*first, |sum, span| PutSpan {
                first: sum.first,
                last: sum.last.max(span.last),
                segments: sum.segments.saturating_add(span.segments),
                delete_bytes: sum.delete_bytes.saturating_add(span.delete_bytes),
            }))
        });
        self.spans.extend(joined);
    }

    fn remove_up_to(&mut self, mark: StoreTime) {
        while self.spans.front().is_some_and(|span| span.last <= mark) {
            self.spans.pop_front();
        }
        if self.spans.is_empty() {
            self.length = SPAN;
        }
    }

    fn segments_since(&self, time: StoreTime) -> u64 {
        let since = self.spans.iter().filter(|span| span.last >= time);
        since.map(|span| span.segments).sum()
    }

    fn delete_bytes(&self) -> u64 {
        self.spans.iter().map(|span| span.delete_bytes).sum()
    }
}

/// The tail of a database as known to a writer.
#[derive(Debug, Default)]
struct KnownTail {
    mark: Stamp,
    published: Option<TailState>,
    own: UnflushedPuts,
    /// Bytes of the row deletes of requests that are not answered yet.
    delete_bytes_in_flight: Arc<AtomicU64>,
}

impl KnownTail {
    fn observe(&mut self, mark: Stamp, published: Option<TailState>) {
        let order = |mark, state: Option<TailState>| (mark, state.map(|state| state.listed));
        if order(mark, published) < order(self.mark, self.published) {
            return;
        }
        (self.mark, self.published) = (mark, published);
        self.own.remove_up_to(mark.time());
    }

    fn segments(&self) -> u64 {
        let published = self.published.map_or(0, |state| state.segments);
        let listed = self.published.map(|state| state.listed);
        published.saturating_add(self.own.segments_since(listed.unwrap_or_default()))
    }
}

/// The tails of all databases that a writer writes to: a small entry for each.
#[derive(Debug)]
pub(crate) struct KnownTails {
    limits: BackpressureLimits,
    tails: Mutex<BTreeMap<DatabaseId, KnownTail>>,
}

impl KnownTails {
    pub(crate) fn new(limits: BackpressureLimits) -> Self {
        Self { limits, tails: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, KnownTail>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the low-water mark of a manifest and the state published in it, unless they are older than the known
    /// ones. Returns the pressure.
    pub(crate) fn observe(
        &self,
        database: DatabaseId,
        mark: Stamp,
        published: Option<TailState>,
    ) -> Backpressure {
        let mut tails = self.lock();
        let tail = tails.entry(database).or_default();
        tail.observe(mark, published);
        self.limits.pressure_of(tail.segments())
    }

    pub(crate) fn pressure(&self, database: DatabaseId) -> Backpressure {
        let tails = self.lock();
        let segments = tails.get(&database).map_or(0, KnownTail::segments);
        self.limits.pressure_of(segments)
    }

    /// Counts a segment that this writer has put or may have put.
    pub(crate) fn record_put(&self, database: DatabaseId, stamp: Stamp, delete_bytes: u64) {
        let mut tails = self.lock();
        let tail = tails.entry(database).or_default();
        if stamp > tail.mark {
            tail.own.add(stamp.time(), delete_bytes);
        }
    }

    /// Reserves the bytes of row deletes until their request is answered.
    ///
    /// # Errors
    ///
    /// The deletes `recorded` in the manifest, together with those in the tail or in flight, exceed a limit.
    pub(crate) fn reserve_deletes(
        &self,
        database: DatabaseId,
        bytes: u64,
        recorded: DeleteBytes,
        limits: DeleteLimits,
    ) -> Result<DeleteReservation, WriteError> {
        let mut tails = self.lock();
        let tail = tails.entry(database).or_default();
        let in_flight = tail.delete_bytes_in_flight.load(Ordering::Relaxed);
        let pending = [recorded.pending, tail.own.delete_bytes(), in_flight]
            .into_iter()
            .fold(0, u64::saturating_add);
        if pending > limits.pending_bytes {
            return Err(WriteError::TooManyDeletes { bytes: pending, limit: limits.pending_bytes });
        }
        if recorded.applied > limits.applied_bytes {
            return Err(WriteError::TooManyAppliedDeletes {
                bytes: recorded.applied,
                limit: limits.applied_bytes,
            });
        }
        tail.delete_bytes_in_flight.fetch_add(bytes, Ordering::Relaxed);
        Ok(DeleteReservation { bytes, of: Arc::clone(&tail.delete_bytes_in_flight) })
    }
}

/// The reserved bytes of the row deletes of a request that is not answered yet.
#[derive(Debug)]
pub(crate) struct DeleteReservation {
    bytes: u64,
    of: Arc<AtomicU64>,
}

impl Drop for DeleteReservation {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "pressure_tests.rs"]
mod tests;
