//! The state that a snapshot reader retains for each database: the last snapshot and, if this process is the only
//! writer, the segments that its writer put.
//!
//! ```text
//!   untrusted --- a listing begins ---> gathering --- it ends, without distrust -------> trusted
//!       ^                                   |                                               |
//!       +---- distrust: an unanswered put, too many bytes, another writer ------------------+
//! ```
//!
//! In the gathering state, new segments are kept while the listing runs; segments put before it began are in the
//! listing. In the trusted state, the segments in memory are the whole tail, and no listing is needed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use neap_bucket::{SegmentName, Stamp, VersionedValue};
use neap_schema::DatabaseId;
use neap_wal::Segment;

use crate::{Manifest, Snapshot, SnapshotError};

/// Maximum number of databases with retained state.
const MAX_DATABASES: usize = 1_000;

/// Approximate memory size of a section, in bytes.
const SECTION_BYTES: usize = 512;

/// Segments by name. The order of names is the order of writes.
pub(crate) type Segments = BTreeMap<SegmentName, Arc<Segment>>;

/// Tells whether the segments in memory are the whole tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TailTrust {
    #[default]
    Untrusted,
    Gathering,
    Trusted,
}

#[derive(Debug, Default)]
struct SnapshotCacheContents {
    snapshot: Option<Arc<Snapshot>>,
    /// The last snapshot, as long as a reader uses it. It may be too large to retain.
    latest: Weak<Snapshot>,
    /// The newest manifest. It is retained even if the snapshot is too large.
    manifest: Option<VersionedValue<Manifest>>,
    handed: Segments,
    handed_bytes: usize,
    trust: TailTrust,
    /// Set when the entry was evicted: it no longer receives segments.
    is_retired: bool,
    /// The ticket that the last read took when it began, and the error of that read.
    asked: u64,
    error: Option<SnapshotError>,
}

/// The retained state of one database.
#[derive(Debug, Default)]
pub(crate) struct SnapshotCacheEntry {
    contents: Mutex<SnapshotCacheContents>,
    /// Locked by the reader whose requests are in flight. Other readers wait and share the next read.
    pub(crate) turn: tokio::sync::Mutex<()>,
    tickets: AtomicU64,
    bytes: AtomicUsize,
    used: AtomicU64,
}

#[derive(Debug)]
pub(crate) enum TailSource {
    /// A listing of the store.
    Listing,
    /// The segments in memory.
    Memory,
}

impl SnapshotCacheEntry {
    fn contents(&self) -> MutexGuard<'_, SnapshotCacheContents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.contents().snapshot.clone()
    }

    pub(crate) fn manifest(&self) -> Option<VersionedValue<Manifest>> {
        self.contents().manifest.clone()
    }

    /// Returns the outcome of a read that began after ticket `arrived`.
    pub(crate) fn outcome_after(
        &self,
        arrived: u64,
    ) -> Option<Result<Arc<Snapshot>, SnapshotError>> {
        let contents = self.contents();
        if contents.asked < arrived {
            return None;
        }
        match &contents.error {
            Some(error) => Some(Err(error.clone())),
            None => contents.latest.upgrade().map(Ok),
        }
    }

    /// Returns the source of the tail for the next read. If it is a listing and this process is the sole writer, starts
    /// gathering.
    pub(crate) fn source(&self, sole_writer: bool) -> TailSource {
        let mut contents = self.contents();
        if !sole_writer || contents.is_retired {
            contents.distrust();
        } else if contents.trust == TailTrust::Trusted {
            return TailSource::Memory;
        } else {
            contents.distrust();
            contents.trust = TailTrust::Gathering;
        }
        TailSource::Listing
    }

    /// Returns the segments in memory above `mark`, if they are still the whole tail. Drops the others.
    pub(crate) fn handed_above(&self, mark: Stamp) -> Option<Arc<[Arc<Segment>]>> {
        let mut contents = self.contents();
        if contents.trust != TailTrust::Trusted {
            return None;
        }
        contents.forget_up_to(mark);
        self.update_size(&contents);
        Some(contents.handed.values().cloned().collect())
    }

    /// Adds a segment that was put, unless the state is untrusted.
    pub(crate) fn offer(&self, segment: Arc<Segment>) {
        let mut contents = self.contents();
        if contents.trust != TailTrust::Untrusted {
            contents.insert_segment(segment);
            self.update_size(&contents);
        }
    }

    /// Requires that the write with this stamp is visible. If it is unknown here, the segments in memory are no longer
    /// trusted.
    pub(crate) fn expect(&self, stamp: Stamp) {
        let mut contents = self.contents();
        let first = SegmentName { stamp, nonce: 0 };
        let mut from = contents.handed.range(first..);
        let handed = from.next().is_some_and(|(name, _)| name.stamp == stamp);
        let taken_in = contents
            .manifest
            .as_ref()
            .is_some_and(|manifest| stamp <= manifest.value.low_water_mark);
        if !handed && !taken_in {
            contents.distrust();
            self.update_size(&contents);
        }
    }

    /// Marks the segments in memory as incomplete.
    pub(crate) fn distrust(&self) {
        let mut contents = self.contents();
        contents.distrust();
        self.update_size(&contents);
    }

    /// Stores the snapshot of the read with ticket `asked`. If its contents equal those of the last snapshot, it shares
    /// the parts of that one.
    pub(crate) fn settle(
        &self,
        asked: u64,
        mut snapshot: Snapshot,
        source: &TailSource,
    ) -> Arc<Snapshot> {
        let mut contents = self.contents();
        if matches!(source, TailSource::Listing) && contents.trust == TailTrust::Gathering {
            for segment in snapshot.tail.iter() {
                contents.insert_segment(Arc::clone(segment));
            }
            contents.forget_up_to(snapshot.mark());
            contents.trust = TailTrust::Trusted;
        }
        if let Some(last) = &contents.snapshot
            && last.has_contents_of(&snapshot)
        {
            // Only the times of validation change. The parts keep their addresses, so that values derived from them
            // stay valid.
            snapshot.catalog.value = Arc::clone(&last.catalog.value);
            snapshot.manifest.value = Arc::clone(&last.manifest.value);
            snapshot.tail = Arc::clone(&last.tail);
        }
        let snapshot = Arc::new(snapshot);
        contents.manifest = Some(snapshot.manifest.clone());
        contents.latest = Arc::downgrade(&snapshot);
        contents.snapshot = Some(Arc::clone(&snapshot));
        contents.asked = asked;
        contents.error = None;
        self.update_size(&contents);
        snapshot
    }

    /// Records the error of a read for the waiting readers.
    pub(crate) fn fail(&self, asked: u64, error: SnapshotError) {
        let mut contents = self.contents();
        contents.asked = asked;
        contents.error = Some(error);
    }

    /// Drops the snapshot and the segments, and keeps the manifest. Each reader reads the large parts again.
    fn reduce(&self) {
        let mut contents = self.contents();
        contents.snapshot = None;
        contents.distrust();
        self.update_size(&contents);
    }

    /// Drops the whole state, because the bucket was replaced by another one.
    pub(crate) fn forget(&self) {
        let mut contents = self.contents();
        contents.snapshot = None;
        contents.manifest = None;
        contents.distrust();
        self.update_size(&contents);
    }

    fn retire(&self) {
        let mut contents = self.contents();
        contents.is_retired = true;
        contents.distrust();
    }

    fn update_size(&self, contents: &SnapshotCacheContents) {
        let snapshot = contents.snapshot.as_ref().map_or(0, |held| held.tail_bytes());
        let manifest = contents.manifest.as_ref().map_or(0, |held| {
            let manifest = &held.value;
            let parts = manifest.sections.len() + manifest.pages.len();
            (parts + manifest.condemned.len() + manifest.caches.len()) * SECTION_BYTES
        });
        let bytes = snapshot + manifest + contents.handed_bytes;
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl SnapshotCacheContents {
    fn insert_segment(&mut self, segment: Arc<Segment>) {
        let bytes = segment.size_bytes();
        if self.handed.insert(segment.name(), segment).is_none() {
            self.handed_bytes += bytes;
        }
    }

    fn forget_up_to(&mut self, mark: Stamp) {
        while let Some(first) = self.handed.first_entry()
            && first.key().stamp <= mark
        {
            self.handed_bytes -= first.remove().size_bytes();
        }
    }

    fn distrust(&mut self) {
        self.trust = TailTrust::Untrusted;
        self.handed.clear();
        self.handed_bytes = 0;
    }
}

/// The retained state of all databases, limited in number and bytes, with LRU eviction.
#[derive(Debug, Default)]
pub(crate) struct SnapshotCache {
    databases: BTreeMap<DatabaseId, Arc<SnapshotCacheEntry>>,
    uses: u64,
}

impl SnapshotCache {
    /// Returns the state of a database for a read, and creates it if necessary.
    pub(crate) fn get(&mut self, database: DatabaseId) -> Arc<SnapshotCacheEntry> {
        self.uses += 1;
        let held = Arc::clone(self.databases.entry(database).or_default());
        held.used.store(self.uses, Ordering::Relaxed);
        held
    }

    /// Returns the state of a database, if it exists.
    pub(crate) fn find(&self, database: DatabaseId) -> Option<Arc<SnapshotCacheEntry>> {
        self.databases.get(&database).cloned()
    }

    /// Returns the retained bytes.
    pub(crate) fn bytes(&self) -> usize {
        let databases = self.databases.values();
        databases.map(|held| held.bytes.load(Ordering::Relaxed)).sum()
    }

    /// Returns the retained snapshots, one for each database.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = Arc<Snapshot>> {
        self.databases.values().filter_map(|held| held.snapshot())
    }

    /// Evicts state until at most `limit` bytes are retained: first other databases, then the snapshot and segments of
    /// `current`.
    pub(crate) fn shrink(&mut self, current: DatabaseId, limit: usize) {
        while self.databases.len() > MAX_DATABASES || self.bytes() > limit {
            let others = self.databases.iter().filter(|(id, _)| **id != current);
            let oldest = others.min_by_key(|(_, held)| held.used.load(Ordering::Relaxed));
            let Some(id) = oldest.map(|(id, _)| *id) else {
                if let Some(held) = self.databases.get(&current) {
                    held.reduce();
                }
                return;
            };
            if let Some(held) = self.databases.remove(&id) {
                held.retire();
            }
        }
    }
}
