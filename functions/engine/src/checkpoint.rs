//! The segments that a trigger has processed, as this instance knows them, and the checkpoint that stores them.
//!
//! ```text
//!   offered ── queued ── running ──┬── done ──── saved
//!      │          ▲                │    a crash before the save: processed again
//!      │          └── put back ────┘
//!      └── processed already: ignored
//! ```
//!
//! A save merges the state of this instance with the state that other instances saved. A trigger whose runs must not
//! overlap runs only under a lease, which is stored in the same register.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{
    Bucket, CommitOutcome, Key, Register, RegisterChange, SegmentName, Stamp, StoreTime,
    VersionedValue,
};
use neap_schema::{DatabaseId, TriggerId};
use neap_wal::{TriggerCheckpoint, TriggerLease};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::error::EngineError;

/// Timeout of a request for the register.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(30);

/// A lease that ends within this time does not allow a run to start.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// Identifies a trigger across all databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TriggerRef {
    pub(crate) database: DatabaseId,
    pub(crate) trigger: TriggerId,
}

impl TriggerRef {
    /// Returns the range of the keys of all triggers of a database.
    pub(crate) fn of_database(database: DatabaseId) -> RangeInclusive<Self> {
        let key = |trigger| Self { database, trigger: TriggerId::new(trigger) };
        key(0)..=key(u32::MAX)
    }
}

/// The change to the lease when a checkpoint is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseAction {
    /// Acquire or extend the lease for this duration, unless another instance holds it.
    Hold(Duration),
    /// Release the lease if this instance holds it.
    Release,
    /// Leave the lease unchanged.
    Unchanged,
}

/// The outcome of offering a segment to a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfferOutcome {
    /// The segment is processed, queued or running already.
    Known,
    /// The segment is queued.
    Queued,
    /// The queue is full; a sweep offers the segment again.
    Full,
}

#[derive(Debug)]
struct FeedState {
    /// The register as last read or written.
    saved: Option<VersionedValue<TriggerCheckpoint>>,
    floor: Stamp,
    mark: Stamp,
    /// Processed segments above the mark.
    done: BTreeSet<SegmentName>,
    /// Processed segments that are not known to be saved.
    unsaved: BTreeSet<SegmentName>,
    /// Whether the mark has passed segments that the register still lists.
    is_mark_unsaved: bool,
    queued: BTreeSet<SegmentName>,
    running: BTreeSet<SegmentName>,
    /// The stamp of the first segment that did not fit into the queue.
    turned_away: Option<Stamp>,
    /// The last segment that was prefetched.
    fetched: SegmentName,
}

impl FeedState {
    fn new(floor: Stamp) -> Self {
        Self {
            saved: None,
            floor,
            mark: Stamp::ZERO,
            done: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            is_mark_unsaved: false,
            queued: BTreeSet::new(),
            running: BTreeSet::new(),
            turned_away: None,
            fetched: SegmentName { stamp: Stamp::ZERO, nonce: 0 },
        }
    }

    fn has_seen(&self, name: SegmentName) -> bool {
        name.stamp <= self.mark.max(self.floor) || self.done.contains(&name)
    }

    fn merge_saved(&mut self, saved: VersionedValue<TriggerCheckpoint>) {
        let checkpoint = Arc::clone(&saved.value);
        self.saved = Some(saved);
        self.raise_mark(checkpoint.mark);
        let mark = self.mark;
        let above = checkpoint.done.iter().filter(|name| name.stamp > mark);
        self.done.extend(above);
        let queued = std::mem::take(&mut self.queued);
        let left = queued.into_iter().filter(|name| !self.has_seen(*name));
        self.queued = left.collect();
    }

    /// Raises the mark. Returns whether processed segments were dropped because the mark passed them.
    fn raise_mark(&mut self, mark: Stamp) -> bool {
        if mark <= self.mark {
            return false;
        }
        self.mark = mark;
        let before = self.done.len();
        self.done.retain(|name| name.stamp > mark);
        self.unsaved.retain(|name| name.stamp > mark);
        self.done.len() < before
    }

    /// Returns the stamp of the first known segment that is not processed.
    fn first_unseen(&self) -> Option<Stamp> {
        let queued = self.queued.first().map(|name| name.stamp);
        let running = self.running.first().map(|name| name.stamp);
        [queued, running, self.turned_away].into_iter().flatten().min()
    }

    fn turn_away(&mut self, stamp: Stamp) {
        let first = self.turned_away.unwrap_or(stamp);
        self.turned_away = Some(first.min(stamp));
    }

    fn lease_of(&self, holder: Ulid) -> Option<TriggerLease> {
        let lease = self.saved.as_ref()?.value.lease;
        lease.filter(|lease| lease.holder == holder)
    }
}

/// The queue of segments of one trigger, with its checkpoint.
#[derive(Debug)]
pub(crate) struct TriggerFeed {
    pub(crate) key: TriggerRef,
    bucket: Bucket,
    register: Register<TriggerCheckpoint>,
    max_queued: usize,
    state: Mutex<FeedState>,
    /// Notified when a segment is queued.
    pub(crate) more: Notify,
    /// Cancelled when the trigger is disabled or deleted.
    pub(crate) closed: CancellationToken,
    /// Held during a request for the register, so that there is one at a time.
    turn: tokio::sync::Mutex<()>,
    /// Held while the trigger's queue is drained.
    pub(crate) draining: tokio::sync::Mutex<()>,
}

/// A segment that is being processed. If it is dropped without [`finish`](Self::finish), the segment is queued again.
#[derive(Debug)]
pub(crate) struct InFlightSegment<'a> {
    feed: &'a TriggerFeed,
    pub(crate) name: SegmentName,
}

impl InFlightSegment<'_> {
    /// Marks the segment as processed.
    pub(crate) fn finish(self) {
        let mut state = self.feed.state();
        state.running.remove(&self.name);
        if self.name.stamp > state.mark {
            state.done.insert(self.name);
            state.unsaved.insert(self.name);
        }
    }
}

impl Drop for InFlightSegment<'_> {
    fn drop(&mut self) {
        let mut state = self.feed.state();
        if state.running.remove(&self.name) && !state.has_seen(self.name) {
            state.queued.insert(self.name);
        }
    }
}

/// The components of a [`TriggerFeed`].
#[derive(Debug)]
pub(crate) struct TriggerFeedParts {
    pub(crate) bucket: Bucket,
    pub(crate) key: TriggerRef,
    /// Segments up to this stamp are not delivered.
    pub(crate) floor: Stamp,
    pub(crate) recent_put_ids: usize,
    pub(crate) max_queued: usize,
    pub(crate) closed: CancellationToken,
}

impl TriggerFeed {
    /// Creates an empty feed whose checkpoint is not loaded.
    pub(crate) fn new(parts: TriggerFeedParts) -> Self {
        let name = Key::Checkpoint(parts.key.database, parts.key.trigger);
        Self {
            key: parts.key,
            register: Register::new(parts.bucket.clone(), name, parts.recent_put_ids),
            bucket: parts.bucket,
            max_queued: parts.max_queued,
            state: Mutex::new(FeedState::new(parts.floor)),
            more: Notify::new(),
            closed: parts.closed,
            turn: tokio::sync::Mutex::default(),
            draining: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a segment unless it is known. Does not block.
    pub(crate) fn offer(&self, name: SegmentName) -> OfferOutcome {
        let mut state = self.state();
        if state.has_seen(name) || state.running.contains(&name) || state.queued.contains(&name) {
            return OfferOutcome::Known;
        }
        if state.queued.len() >= self.max_queued {
            state.turn_away(name.stamp);
            return OfferOutcome::Full;
        }
        state.queued.insert(name);
        self.more.notify_one();
        OfferOutcome::Queued
    }

    /// Records that segments from this stamp on were not offered.
    pub(crate) fn turn_away(&self, stamp: Stamp) {
        self.state().turn_away(stamp);
    }

    /// Returns the segments to prefetch: `name` and queued segments, oldest first, at most `number`. Empty if `name`
    /// was prefetched before.
    pub(crate) fn prefetch(&self, name: SegmentName, number: usize) -> Vec<SegmentName> {
        let mut state = self.state();
        if name <= state.fetched {
            return Vec::new();
        }
        let waiting = state.queued.iter().take(number.saturating_sub(1));
        let names: Vec<SegmentName> = [name].into_iter().chain(waiting.copied()).collect();
        state.fetched = names.iter().max().copied().unwrap_or(name);
        names
    }

    /// Prepares for a sweep, which offers all segments again: forgets which segments did not fit.
    pub(crate) fn begin_sweep(&self) {
        self.state().turned_away = None;
    }

    /// Takes the oldest queued segment.
    pub(crate) fn take(&self) -> Option<InFlightSegment<'_>> {
        let mut state = self.state();
        let name = state.queued.pop_first()?;
        state.running.insert(name);
        Some(InFlightSegment { feed: self, name })
    }

    /// Returns whether a segment is processed and that is saved.
    pub(crate) fn has_saved(&self, name: SegmentName) -> bool {
        let state = self.state();
        state.has_seen(name) && !state.unsaved.contains(&name)
    }

    /// Raises the mark, when all segments up to `mark` that may be acknowledged are known. The mark stays below the
    /// first segment that is not processed.
    pub(crate) fn advance(&self, mark: Stamp) {
        let mut state = self.state();
        let below = |stamp: Stamp| Stamp::from_u64(stamp.as_u64().saturating_sub(1));
        let mark = state.first_unseen().map_or(mark, |first| mark.min(below(first)));
        if state.raise_mark(mark) {
            state.is_mark_unsaved = true;
        }
    }

    /// Returns the stamp up to which a sweep need not look.
    pub(crate) fn low(&self) -> Stamp {
        let state = self.state();
        state.mark.max(state.floor)
    }

    /// Returns the number of processed segments above the mark.
    pub(crate) fn done(&self) -> usize {
        self.state().done.len()
    }

    /// Returns the number of segments that wait or run, and the stamp of the oldest.
    pub(crate) fn pending(&self) -> (usize, Option<Stamp>) {
        let state = self.state();
        (state.queued.len() + state.running.len(), state.first_unseen())
    }

    /// Returns whether the checkpoint was read.
    pub(crate) fn is_loaded(&self) -> bool {
        self.state().saved.is_some()
    }

    /// Returns whether there are segments that were not offered or did not fit into the queue.
    pub(crate) fn has_overflow(&self) -> bool {
        self.state().turned_away.is_some()
    }

    /// Returns whether a save is due: for processed segments, to release the lease, or to extend it.
    pub(crate) fn is_unsaved(&self, holder: Ulid, lease: Duration) -> bool {
        let state = self.state();
        if !state.unsaved.is_empty() || state.is_mark_unsaved {
            return true;
        }
        let Some(held) = state.lease_of(holder) else {
            return false;
        };
        let is_idle = state.queued.is_empty() && state.running.is_empty();
        let left = self.bucket.clock().now().map(|now| held.until.since(now));
        is_idle || left.is_none_or(|left| left < lease * 2 / 3)
    }

    /// Returns whether this instance holds the lease, including an expired one.
    pub(crate) fn has_lease(&self, holder: Ulid) -> bool {
        self.state().lease_of(holder).is_some()
    }

    /// Returns whether no segment waits or runs.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        state.queued.is_empty() && state.running.is_empty()
    }

    /// Reads the checkpoint, and drops queued segments that other instances have processed.
    pub(crate) async fn load(&self) -> Result<(), EngineError> {
        let _turn = self.turn.lock().await;
        let known = self.state().saved.clone();
        let read = self.register.read(known.as_ref());
        let read = self.bucket.world().timeout(REGISTER_TIMEOUT, read).await;
        let saved = read.ok_or_else(unanswered)??;
        self.state().merge_saved(saved);
        Ok(())
    }

    /// Saves the processed segments and changes the lease.
    pub(crate) async fn save(&self, holder: Ulid, wish: LeaseAction) -> Result<(), EngineError> {
        let _turn = self.turn.lock().await;
        let (base, mark, unsaved) = {
            let state = self.state();
            (state.saved.clone(), state.mark, state.unsaved.clone())
        };
        let change = |base: &VersionedValue<TriggerCheckpoint>| {
            let mut next = TriggerCheckpoint::clone(&base.value);
            next.merge(mark, unsaved.iter().copied());
            let now = self.bucket.clock().now();
            next.lease = lease_after(next.lease, holder, wish, now);
            Ok::<_, Infallible>(if next == *base.value {
                RegisterChange::Keep(())
            } else {
                RegisterChange::Put(next, ())
            })
        };
        let commit = self.register.commit(base, change);
        let commit = self.bucket.world().timeout(REGISTER_TIMEOUT, commit).await;
        let current = match commit.ok_or_else(unanswered)?? {
            CommitOutcome::Committed { current, .. } => current,
            CommitOutcome::Refused(never) => match never {},
            CommitOutcome::Unknown { reason } => return Err(EngineError::Unsettled { reason }),
        };
        let mut state = self.state();
        state.is_mark_unsaved &= state.mark > mark;
        state.unsaved.retain(|name| !unsaved.contains(name));
        state.merge_saved(current);
        Ok(())
    }

    /// Acquires the lease unless this instance holds it. Returns whether only this instance may run the trigger now.
    pub(crate) async fn hold(&self, holder: Ulid, lease: Duration) -> Result<bool, EngineError> {
        if self.holds(holder) {
            return Ok(true);
        }
        if self.is_held_elsewhere(holder) {
            self.load().await?;
            if self.is_held_elsewhere(holder) {
                return Ok(false);
            }
        }
        self.save(holder, LeaseAction::Hold(lease)).await?;
        Ok(self.holds(holder))
    }

    fn holds(&self, holder: Ulid) -> bool {
        let lease = self.state().lease_of(holder);
        let now = self.bucket.clock().now();
        lease.zip(now).is_some_and(|(lease, now)| lease.until > now.plus(LEASE_MARGIN))
    }

    fn is_held_elsewhere(&self, holder: Ulid) -> bool {
        let lease = self.state().saved.as_ref().and_then(|saved| saved.value.lease);
        let now = self.bucket.clock().now();
        lease.is_some_and(|lease| lease.holder != holder && now.is_none_or(|now| lease.until > now))
    }
}

/// Computes the lease after a commit.
fn lease_after(
    lease: Option<TriggerLease>,
    holder: Ulid,
    wish: LeaseAction,
    now: Option<StoreTime>,
) -> Option<TriggerLease> {
    let is_mine = lease.is_some_and(|lease| lease.holder == holder);
    match (wish, now) {
        (LeaseAction::Release, _) if is_mine => None,
        (LeaseAction::Hold(duration), Some(now)) => {
            let is_free = lease.is_none_or(|lease| lease.until <= now);
            let own = TriggerLease { holder, until: now.plus(duration) };
            if is_mine || is_free { Some(own) } else { lease }
        }
        _ => lease,
    }
}

fn unanswered() -> EngineError {
    EngineError::Unsettled {
        reason: format!("no answer within {} s", REGISTER_TIMEOUT.as_secs()),
    }
}
