//! Tracks the segments that this process has written and that are not flushed, as far as it knows.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use neap_bucket::Clock;
use neap_compact::FlushTriggers;
use neap_manifest::SnapshotReader;
use neap_memory::PressureLevel;
use neap_schema::DatabaseId;
use neap_wal::{Segment, SegmentObserver};

use super::{cache_refresh::ChangedDatabases, plugins::EngineHandle};

/// Maximum number of spans tracked per database.
const MAX_SPANS: usize = 1_000;

/// The segments put within one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BacklogSpan {
    second: u64,
    bytes: u64,
    segments: usize,
}

#[derive(Debug, Default)]
struct SegmentBacklog {
    spans: VecDeque<BacklogSpan>,
    /// Earliest time of the next flush after a failure.
    not_before: Duration,
    /// Time of the last flush.
    last_flush: Option<Duration>,
    /// Planned time of the next flush, estimated from the writes of other processes.
    next_flush: Option<Duration>,
}

impl SegmentBacklog {
    fn add(&mut self, second: u64, bytes: u64) {
        let is_full = self.spans.len() >= MAX_SPANS;
        match self.spans.back_mut() {
            Some(last) if last.second == second || is_full => {
                last.bytes += bytes;
                last.segments += 1;
            }
            _ => self.spans.push_back(BacklogSpan { second, bytes, segments: 1 }),
        }
    }

    fn bytes(&self) -> u64 {
        self.spans.iter().map(|span| span.bytes).sum()
    }

    /// Returns the total bytes and segments put before `second`, and the first second.
    fn before(&self, second: u64) -> Option<BacklogSpan> {
        let mut spans = self.spans.iter().take_while(|span| span.second < second);
        let first = *spans.next()?;
        Some(spans.fold(first, |sum, span| BacklogSpan {
            second: sum.second,
            bytes: sum.bytes.saturating_add(span.bytes),
            segments: sum.segments.saturating_add(span.segments),
        }))
    }
}

/// The unflushed tails of the databases that this process writes to.
#[derive(Debug)]
pub(super) struct FlushBacklog {
    clock: Arc<dyn Clock>,
    /// Minimum age of a segment before it can be flushed (rule F), plus one second because spans are rounded to
    /// seconds.
    lag: Duration,
    triggers: FlushTriggers,
    /// One small entry per database that was ever written to.
    piles: Mutex<BTreeMap<DatabaseId, SegmentBacklog>>,
    /// Total bytes of all spans. Modified only while `databases` is locked.
    bytes: AtomicU64,
    /// Databases that are flushed at a smaller age of the oldest segment, and this age.
    early: Mutex<(BTreeSet<DatabaseId>, Duration)>,
}

impl FlushBacklog {
    /// Creates an empty backlog.
    pub(super) fn new(clock: Arc<dyn Clock>, flush_lag: Duration, triggers: FlushTriggers) -> Self {
        Self {
            clock,
            lag: flush_lag + Duration::from_secs(1),
            triggers,
            piles: Mutex::default(),
            bytes: AtomicU64::new(0),
            early: Mutex::new((BTreeSet::new(), triggers.age)),
        }
    }

    /// Sets the databases that are flushed when their oldest segment has this age, if that is before the usual one.
    pub(super) fn flush_early(&self, databases: BTreeSet<DatabaseId>, age: Duration) {
        *self.early.lock().unwrap_or_else(PoisonError::into_inner) = (databases, age);
    }

    fn databases(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, SegmentBacklog>> {
        self.piles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the second before which a segment must have been put to be flushed now.
    fn flushable_before(&self) -> u64 {
        self.clock.monotonic().saturating_sub(self.lag).as_secs()
    }

    /// Adds a segment.
    pub(super) fn add(&self, database: DatabaseId, bytes: u64) {
        let second = self.clock.monotonic().as_secs();
        let mut piles = self.databases();
        piles.entry(database).or_default().add(second, bytes);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the databases that exceed a flush trigger.
    pub(super) fn due(&self) -> Vec<DatabaseId> {
        let now = self.clock.monotonic();
        let ripe = self.flushable_before();
        let FlushTriggers { bytes, segments, age } = self.triggers;
        let (early, early_age) = {
            let early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            early.clone()
        };
        let is_due = |database: &DatabaseId, pile: &SegmentBacklog| {
            let age = if early.contains(database) {
                age.min(early_age)
            } else {
                age
            };
            let is_worth = pile.before(ripe).is_some_and(|span| {
                let is_old = now.saturating_sub(Duration::from_secs(span.second)) >= age;
                span.bytes >= bytes || span.segments >= segments || is_old
            });
            let is_time = pile.next_flush.is_some_and(|next| next <= now);
            (is_worth || is_time) && pile.not_before <= now
        };
        let piles = self.databases();
        let due = piles.iter().filter(|(database, pile)| is_due(database, pile));
        due.map(|(database, _)| *database).collect()
    }

    /// Returns the databases to flush at a level of memory pressure: above low, all that can be flushed.
    pub(super) fn due_at(&self, level: PressureLevel) -> Vec<DatabaseId> {
        if level == PressureLevel::Low {
            self.due()
        } else {
            self.flushable()
        }
    }

    /// Returns the databases with at least one segment that can be flushed.
    pub(super) fn flushable(&self) -> Vec<DatabaseId> {
        let ripe = self.flushable_before();
        let piles = self.databases();
        let ripe = piles.iter().filter(|(_, pile)| pile.before(ripe).is_some());
        ripe.map(|(database, _)| *database).collect()
    }

    /// Returns the start time of a flush, to be passed to [`Self::flushed`] after it.
    pub(super) fn now(&self) -> FlushStart {
        FlushStart(self.flushable_before())
    }

    /// Removes the segments that could be flushed at `begin`.
    pub(super) fn flushed(&self, database: DatabaseId, begin: FlushStart) {
        if let Some(pile) = self.databases().get_mut(&database) {
            let before = pile.bytes();
            pile.spans.retain(|span| span.second >= begin.0);
            let gone = before - pile.bytes();
            self.bytes.fetch_sub(gone, Ordering::Relaxed);
        }
    }

    /// Returns the number of segments of this process that can be flushed now.
    pub(super) fn flushable_segments(&self, database: DatabaseId) -> usize {
        let ripe = self.flushable_before();
        let piles = self.databases();
        let pile = piles.get(&database).and_then(|pile| pile.before(ripe));
        pile.map_or(0, |span| span.segments)
    }

    /// Returns the bytes of segments of this process that can be flushed now.
    pub(super) fn flushable_bytes(&self, database: DatabaseId) -> u64 {
        let ripe = self.flushable_before();
        let piles = self.databases();
        let pile = piles.get(&database).and_then(|pile| pile.before(ripe));
        pile.map_or(0, |span| span.bytes)
    }

    /// Plans the next flush of a database whose last flush included `taken` segments of other processes: at the time
    /// when the same rate reaches a flush trigger again. `most` is the time after which the database is flushed in any
    /// case.
    pub(super) fn plan_next(&self, database: DatabaseId, taken: usize, most: Duration) {
        let now = self.clock.monotonic();
        let mut piles = self.databases();
        let pile = piles.entry(database).or_default();
        let since = pile.last_flush.map(|last| now.saturating_sub(last));
        pile.last_flush = Some(now);
        let worth = u32::try_from(self.triggers.segments).unwrap_or(u32::MAX);
        pile.next_flush = u32::try_from(taken).ok().filter(|taken| *taken > worth).map(|taken| {
            let wait = since.unwrap_or(most).min(most).saturating_mul(worth) / taken;
            now + wait.max(self.lag)
        });
    }

    /// Plans a flush for the time when a segment that was just put can be flushed.
    fn flush_soon(&self, database: DatabaseId) {
        let due = self.clock.monotonic() + self.lag;
        let mut piles = self.databases();
        let pile = piles.entry(database).or_default();
        pile.next_flush = Some(pile.next_flush.map_or(due, |next| next.min(due)));
    }

    /// Postpones the next flush by `pause` after a failed one, regardless of which process wrote the segments.
    pub(super) fn postpone(&self, database: DatabaseId, pause: Duration) {
        let not_before = self.clock.monotonic() + pause;
        let mut piles = self.databases();
        let pile = piles.entry(database).or_default();
        pile.not_before = not_before;
        pile.next_flush = Some(not_before);
    }

    /// Returns the number of unflushed segments per database.
    pub(super) fn segments(&self) -> Vec<(DatabaseId, usize)> {
        let piles = self.databases();
        let sum = |pile: &SegmentBacklog| pile.spans.iter().map(|span| span.segments).sum();
        piles.iter().map(|(database, pile)| (*database, sum(pile))).collect()
    }

    /// Returns the age of the oldest unflushed segment.
    pub(super) fn oldest(&self) -> Option<Duration> {
        let piles = self.databases();
        let spans = piles.values().filter_map(|pile| pile.spans.front());
        let second = spans.map(|span| span.second).min()?;
        let now = self.clock.monotonic();
        Some(now.saturating_sub(Duration::from_secs(second)))
    }

    /// Returns the bytes of all unflushed segments.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Start time of a flush.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlushStart(u64);

/// Passes the writer's segments to the snapshot reader and the triggers of this process, and adds them to the backlog.
#[derive(Debug)]
pub(super) struct SegmentDispatcher {
    /// Serves them to queries.
    pub(super) snapshots: Arc<SnapshotReader>,
    /// Plans flushes.
    pub(super) backlog: Arc<FlushBacklog>,
    /// Requests cache refreshes; `None` if a refresh costs a LIST over the network.
    pub(super) changed: Option<Arc<ChangedDatabases>>,
    /// Starts triggers.
    pub(super) triggers: Arc<EngineHandle>,
}

impl SegmentObserver for SegmentDispatcher {
    fn segment_put(&self, database: DatabaseId, segment: Arc<Segment>) {
        self.backlog.add(database, segment.size_bytes() as u64);
        if segment.progress().iter().any(|import| import.rows == 0) {
            self.backlog.flush_soon(database);
        }
        self.triggers.segment_put(database, Arc::clone(&segment));
        self.snapshots.segment_put(database, segment);
        if let Some(changed) = &self.changed {
            changed.mark(database);
        }
    }

    fn put_unknown(&self, database: DatabaseId) {
        self.snapshots.put_unknown(database);
        self.triggers.put_unknown(database);
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;

    /// A clock that a test sets.
    #[derive(Debug, Default)]
    struct SettableClock(Mutex<Duration>);

    impl SettableClock {
        fn to(&self, seconds: u64) {
            *self.0.lock().unwrap() = Duration::from_secs(seconds);
        }
    }

    impl Clock for SettableClock {
        fn wall_micros(&self) -> i64 {
            0
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    fn backlog() -> (Arc<SettableClock>, FlushBacklog, DatabaseId) {
        let clock = Arc::new(SettableClock::default());
        clock.to(1000);
        let triggers = FlushTriggers { bytes: 100, segments: 10, age: Duration::from_secs(60) };
        let backlog = FlushBacklog::new(Arc::clone(&clock) as _, Duration::from_secs(4), triggers);
        (clock, backlog, DatabaseId::new(7))
    }

    #[test]
    fn a_flush_is_due_by_bytes_once_they_are_old_enough() {
        let (clock, backlog, database) = backlog();
        backlog.add(database, 99);
        clock.to(1010);
        assert_eq!(backlog.due(), []);
        assert_eq!(backlog.flushable(), [database]);
        backlog.add(database, 1);
        assert_eq!(backlog.due(), []);
        clock.to(1016);
        assert_eq!(backlog.due(), [database]);
    }

    #[test]
    fn databases_with_views_are_flushed_early() {
        let (clock, backlog, database) = backlog();
        backlog.add(database, 1);
        clock.to(1020);
        assert_eq!(backlog.due(), []);
        backlog.flush_early(BTreeSet::from([database]), Duration::from_secs(20));
        assert_eq!(backlog.due(), [database]);
        backlog.flush_early(BTreeSet::from([database]), Duration::from_secs(600));
        assert_eq!(backlog.due(), []);
        clock.to(1060);
        assert_eq!(backlog.due(), [database]);
    }

    #[test]
    fn a_flush_is_due_by_number_and_by_age() {
        let (clock, backlog, database) = backlog();
        for _ in 0..10 {
            backlog.add(database, 1);
        }
        clock.to(1010);
        assert_eq!(backlog.due(), [database]);
        backlog.flushed(database, backlog.now());
        assert_eq!(backlog.segments(), [(database, 0)]);
        backlog.add(database, 1);
        clock.to(1069);
        assert_eq!(backlog.due(), []);
        clock.to(1070);
        assert_eq!(backlog.due(), [database]);
    }

    #[test]
    fn under_memory_pressure_a_flush_is_due_as_soon_as_segments_are_old_enough() {
        use PressureLevel::{Critical, Full, High, Low};
        let (clock, backlog, database) = backlog();
        backlog.add(database, 1);
        clock.to(1005);
        for level in [High, Critical, Full] {
            assert_eq!(backlog.due_at(level), []);
        }
        clock.to(1006);
        for level in [High, Critical, Full] {
            assert_eq!(backlog.due_at(level), [database]);
        }
        assert_eq!(backlog.due_at(Low), []);
    }

    #[test]
    fn segments_put_during_a_flush_remain() {
        let (clock, backlog, database) = backlog();
        backlog.add(database, 100);
        clock.to(1010);
        let begin = backlog.now();
        backlog.add(database, 5);
        backlog.flushed(database, begin);
        assert_eq!(backlog.bytes(), 5);
        assert_eq!(backlog.segments(), [(database, 1)]);
    }

    #[test]
    fn a_failed_flush_is_retried_later() {
        let (clock, backlog, database) = backlog();
        backlog.add(database, 100);
        clock.to(1010);
        backlog.postpone(database, Duration::from_secs(30));
        assert_eq!(backlog.due(), []);
        clock.to(1040);
        assert_eq!(backlog.due(), [database]);
    }

    #[test]
    fn a_failed_flush_of_segments_of_other_processes_is_retried_later() {
        let (clock, backlog, database) = backlog();
        backlog.postpone(database, Duration::from_secs(30));
        clock.to(1029);
        assert_eq!(backlog.due(), []);
        clock.to(1040);
        assert_eq!(backlog.due(), [database]);
    }

    #[test]
    fn flushes_follow_the_write_rate_of_other_processes() {
        let (clock, backlog, database) = backlog();
        let most = Duration::from_secs(600);
        // Ten times as many segments in ten minutes: the next flush is in one minute.
        backlog.plan_next(database, 100, most);
        clock.to(1059);
        assert_eq!(backlog.due(), []);
        clock.to(1060);
        assert_eq!(backlog.due(), [database]);
        backlog.plan_next(database, 20, most);
        clock.to(1089);
        assert_eq!(backlog.due(), []);
        clock.to(1090);
        assert_eq!(backlog.due(), [database]);
        // Never before the segments are old enough.
        backlog.plan_next(database, 4_000, most);
        clock.to(1094);
        assert_eq!(backlog.due(), []);
        clock.to(1095);
        assert_eq!(backlog.due(), [database]);
        backlog.plan_next(database, 10, most);
        clock.to(2000);
        assert_eq!(backlog.due(), []);
    }

    #[test]
    fn an_unflushed_backlog_is_bounded() {
        let (clock, backlog, database) = backlog();
        for second in 0..5_000 {
            clock.to(second);
            backlog.add(database, 1);
        }
        assert_eq!(backlog.databases()[&database].spans.len(), MAX_SPANS);
        assert_eq!(backlog.segments(), [(database, 5_000)]);
    }
}
