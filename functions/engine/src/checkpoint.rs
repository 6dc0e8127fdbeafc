//! What a trigger has seen, as this instance knows it, and how that is saved.
//!
//! ```text
//!   offered ── queued ── running ──┬── done ──── saved
//!      │          ▲                │    a crash before it is saved: seen once more
//!      │          └── put back ────┘
//!      └── seen already: nothing
//! ```
//!
//! What is saved is united with what others have saved. A trigger whose runs must not overlap runs only under a lease,
//! which lies in the same register.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{
    Bucket, Change, Commit, Key, Register, SegmentName, Stamp, StoreTime, Versioned,
};
use neap_schema::{DatabaseId, TriggerId};
use neap_wal::{Checkpoint, Lease};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::error::EngineError;

/// After this time a register counts as unanswered.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// A lease is not relied on when it ends so soon.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// Which trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FeedKey {
    pub(crate) database: DatabaseId,
    pub(crate) trigger: TriggerId,
}

impl FeedKey {
    /// The keys of all triggers of a database.
    pub(crate) fn of_database(database: DatabaseId) -> RangeInclusive<Self> {
        let key = |trigger| Self {
            database,
            trigger: TriggerId::new(trigger),
        };
        key(0)..=key(u32::MAX)
    }
}

/// What is to become of the lease when a checkpoint is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseWish {
    /// It is taken, or kept for longer, unless another instance has it.
    Hold(Duration),
    /// It is given back if this instance has it.
    Release,
    /// It stays as it is.
    Leave,
}

/// What was done with a segment that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It need not run, or is on its way.
    Known,
    /// It waits.
    Queued,
    /// There is no room; a sweep finds it again.
    Full,
}

#[derive(Debug)]
struct State {
    /// The register as it was read or put last.
    saved: Option<Versioned<Checkpoint>>,
    floor: Stamp,
    mark: Stamp,
    /// Seen, above the mark.
    done: BTreeSet<SegmentName>,
    /// Seen, and not known to be saved.
    unsaved: BTreeSet<SegmentName>,
    /// Whether the mark has passed what the register lists.
    is_mark_unsaved: bool,
    queued: BTreeSet<SegmentName>,
    running: BTreeSet<SegmentName>,
    /// The first segment that there was no room for.
    turned_away: Option<Stamp>,
    /// The last segment that was fetched before it was needed.
    fetched: SegmentName,
}

impl State {
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
            fetched: SegmentName {
                stamp: Stamp::ZERO,
                nonce: 0,
            },
        }
    }

    fn has_seen(&self, name: SegmentName) -> bool {
        name.stamp <= self.mark.max(self.floor) || self.done.contains(&name)
    }

    fn take_in(&mut self, saved: Versioned<Checkpoint>) {
        let checkpoint = Arc::clone(&saved.value);
        self.saved = Some(saved);
        self.rise_to(checkpoint.mark);
        let mark = self.mark;
        let above = checkpoint.done.iter().filter(|name| name.stamp > mark);
        self.done.extend(above);
        let queued = std::mem::take(&mut self.queued);
        let left = queued.into_iter().filter(|name| !self.has_seen(*name));
        self.queued = left.collect();
    }

    /// Whether something is forgotten for it.
    fn rise_to(&mut self, mark: Stamp) -> bool {
        if mark <= self.mark {
            return false;
        }
        self.mark = mark;
        let before = self.done.len();
        self.done.retain(|name| name.stamp > mark);
        self.unsaved.retain(|name| name.stamp > mark);
        self.done.len() < before
    }

    /// The first segment that is known and not seen.
    fn first_unseen(&self) -> Option<Stamp> {
        let queued = self.queued.first().map(|name| name.stamp);
        let running = self.running.first().map(|name| name.stamp);
        [queued, running, self.turned_away]
            .into_iter()
            .flatten()
            .min()
    }

    fn turn_away(&mut self, stamp: Stamp) {
        let first = self.turned_away.unwrap_or(stamp);
        self.turned_away = Some(first.min(stamp));
    }

    fn lease_of(&self, holder: Ulid) -> Option<Lease> {
        let lease = self.saved.as_ref()?.value.lease;
        lease.filter(|lease| lease.holder == holder)
    }
}

/// The segments of one trigger on their way.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) key: FeedKey,
    bucket: Bucket,
    register: Register<Checkpoint>,
    max_queued: usize,
    state: Mutex<State>,
    /// Wakes whoever runs the trigger.
    pub(crate) more: Notify,
    /// The trigger is disabled or deleted.
    pub(crate) closed: CancellationToken,
    /// One request for the register at a time.
    turn: tokio::sync::Mutex<()>,
    /// Whoever runs the trigger.
    pub(crate) draining: tokio::sync::Mutex<()>,
}

/// A segment that runs. Unless it is finished, it waits again when this is dropped, whatever the reason.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    feed: &'a Feed,
    pub(crate) name: SegmentName,
}

impl Taken<'_> {
    /// The segment is seen.
    pub(crate) fn finish(self) {
        let mut state = self.feed.state();
        state.running.remove(&self.name);
        if self.name.stamp > state.mark {
            state.done.insert(self.name);
            state.unsaved.insert(self.name);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.feed.state();
        if state.running.remove(&self.name) && !state.has_seen(self.name) {
            state.queued.insert(self.name);
        }
    }
}

/// What a [`Feed`] is made of.
#[derive(Debug)]
pub(crate) struct FeedParts {
    pub(crate) bucket: Bucket,
    pub(crate) key: FeedKey,
    /// What is not after this need not be seen.
    pub(crate) floor: Stamp,
    pub(crate) recent_put_ids: usize,
    pub(crate) max_queued: usize,
    pub(crate) closed: CancellationToken,
}

impl Feed {
    /// A feed of which nothing is known yet.
    pub(crate) fn new(parts: FeedParts) -> Self {
        let name = Key::Checkpoint(parts.key.database, parts.key.trigger);
        Self {
            key: parts.key,
            register: Register::new(parts.bucket.clone(), name, parts.recent_put_ids),
            bucket: parts.bucket,
            max_queued: parts.max_queued,
            state: Mutex::new(State::new(parts.floor)),
            more: Notify::new(),
            closed: parts.closed,
            turn: tokio::sync::Mutex::default(),
            draining: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a segment. It does not wait.
    pub(crate) fn offer(&self, name: SegmentName) -> Offered {
        let mut state = self.state();
        if state.has_seen(name) || state.running.contains(&name) || state.queued.contains(&name) {
            return Offered::Known;
        }
        if state.queued.len() >= self.max_queued {
            state.turn_away(name.stamp);
            return Offered::Full;
        }
        state.queued.insert(name);
        self.more.notify_one();
        Offered::Queued
    }

    /// There are segments from this one on that are not offered.
    pub(crate) fn turn_away(&self, stamp: Stamp) {
        self.state().turn_away(stamp);
    }

    /// The segments that wait, the oldest first, if they are above what was fetched ahead the last time.
    pub(crate) fn fetch_ahead(&self, name: SegmentName, number: usize) -> Vec<SegmentName> {
        let mut state = self.state();
        if name <= state.fetched {
            return Vec::new();
        }
        let waiting = state.queued.iter().take(number.saturating_sub(1));
        let names: Vec<SegmentName> = [name].into_iter().chain(waiting.copied()).collect();
        state.fetched = names.iter().max().copied().unwrap_or(name);
        names
    }

    /// Before all segments are offered once more: nothing counts as turned away.
    pub(crate) fn begin_sweep(&self) {
        self.state().turned_away = None;
    }

    /// The oldest segment that waits.
    pub(crate) fn take(&self) -> Option<Taken<'_>> {
        let mut state = self.state();
        let name = state.queued.pop_first()?;
        state.running.insert(name);
        Some(Taken { feed: self, name })
    }

    /// Whether a segment is seen, and that is saved.
    pub(crate) fn has_saved(&self, name: SegmentName) -> bool {
        let state = self.state();
        state.has_seen(name) && !state.unsaved.contains(&name)
    }

    /// Everything up to `mark` that may be acknowledged is known: the mark rises as far as all is seen.
    pub(crate) fn advance(&self, mark: Stamp) {
        let mut state = self.state();
        let below = |stamp: Stamp| Stamp::from_u64(stamp.as_u64().saturating_sub(1));
        let mark = state
            .first_unseen()
            .map_or(mark, |first| mark.min(below(first)));
        if state.rise_to(mark) {
            state.is_mark_unsaved = true;
        }
    }

    /// The stamp up to which nothing is looked for.
    pub(crate) fn low(&self) -> Stamp {
        let state = self.state();
        state.mark.max(state.floor)
    }

    /// How many segments above the mark are seen.
    pub(crate) fn done(&self) -> usize {
        self.state().done.len()
    }

    /// How many segments wait or run, and the stamp of the oldest.
    pub(crate) fn pending(&self) -> (usize, Option<Stamp>) {
        let state = self.state();
        (
            state.queued.len() + state.running.len(),
            state.first_unseen(),
        )
    }

    /// Whether the checkpoint was read.
    pub(crate) fn is_loaded(&self) -> bool {
        self.state().saved.is_some()
    }

    /// Whether there are segments that were not offered, or that there was no room for.
    pub(crate) fn has_turned_away(&self) -> bool {
        self.state().turned_away.is_some()
    }

    /// Whether there is something to save: what was seen, or a lease that is to be given back or needed for longer.
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

    /// Whether this instance has the lease, whatever it is worth.
    pub(crate) fn has_lease(&self, holder: Ulid) -> bool {
        self.state().lease_of(holder).is_some()
    }

    /// Whether nothing waits or runs.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        state.queued.is_empty() && state.running.is_empty()
    }

    /// Reads what is saved, and drops what others have seen meanwhile.
    pub(crate) async fn load(&self) -> Result<(), EngineError> {
        let _turn = self.turn.lock().await;
        let known = self.state().saved.clone();
        let read = self.register.read(known.as_ref());
        let read = self.bucket.world().timeout(REQUEST_LIMIT, read).await;
        let saved = read.ok_or_else(unanswered)??;
        self.state().take_in(saved);
        Ok(())
    }

    /// Saves what is seen.
    pub(crate) async fn save(&self, holder: Ulid, wish: LeaseWish) -> Result<(), EngineError> {
        let _turn = self.turn.lock().await;
        let (base, mark, unsaved) = {
            let state = self.state();
            (state.saved.clone(), state.mark, state.unsaved.clone())
        };
        let change = |base: &Versioned<Checkpoint>| {
            let mut next = Checkpoint::clone(&base.value);
            next.unite(mark, unsaved.iter().copied());
            let now = self.bucket.clock().now();
            next.lease = lease_after(next.lease, holder, wish, now);
            Ok::<_, Infallible>(if next == *base.value {
                Change::Keep(())
            } else {
                Change::Put(next, ())
            })
        };
        let commit = self.register.commit(base, change);
        let commit = self.bucket.world().timeout(REQUEST_LIMIT, commit).await;
        let current = match commit.ok_or_else(unanswered)?? {
            Commit::Committed { current, .. } => current,
            Commit::Refused(never) => match never {},
            Commit::Unknown { reason } => return Err(EngineError::Unsettled { reason }),
        };
        let mut state = self.state();
        state.is_mark_unsaved &= state.mark > mark;
        state.unsaved.retain(|name| !unsaved.contains(name));
        state.take_in(current);
        Ok(())
    }

    /// Whether this instance alone may run the trigger now, asking for the lease if it does not have it.
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
        self.save(holder, LeaseWish::Hold(lease)).await?;
        Ok(self.holds(holder))
    }

    fn holds(&self, holder: Ulid) -> bool {
        let lease = self.state().lease_of(holder);
        let now = self.bucket.clock().now();
        lease
            .zip(now)
            .is_some_and(|(lease, now)| lease.until > now.plus(LEASE_MARGIN))
    }

    fn is_held_elsewhere(&self, holder: Ulid) -> bool {
        let lease = self
            .state()
            .saved
            .as_ref()
            .and_then(|saved| saved.value.lease);
        let now = self.bucket.clock().now();
        lease.is_some_and(|lease| lease.holder != holder && now.is_none_or(|now| lease.until > now))
    }
}

/// The lease after a commit.
fn lease_after(
    lease: Option<Lease>,
    holder: Ulid,
    wish: LeaseWish,
    now: Option<StoreTime>,
) -> Option<Lease> {
    let is_mine = lease.is_some_and(|lease| lease.holder == holder);
    match (wish, now) {
        (LeaseWish::Release, _) if is_mine => None,
        (LeaseWish::Hold(duration), Some(now)) => {
            let is_free = lease.is_none_or(|lease| lease.until <= now);
            let own = Lease {
                holder,
                until: now.plus(duration),
            };
            if is_mine || is_free { Some(own) } else { lease }
        }
        _ => lease,
    }
}

fn unanswered() -> EngineError {
    EngineError::Unsettled {
        reason: format!("no answer within {} s", REQUEST_LIMIT.as_secs()),
    }
}
