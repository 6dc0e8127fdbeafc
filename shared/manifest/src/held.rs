//! What a snapshot reader keeps of each database between reads: the last snapshot, and in a process that is
//! the only writer the segments it was handed.
//!
//! ```text
//!   untrusted --- a listing begins ---> gathering --- it ends, nothing was in doubt ---> trusted
//!       ^                                   |                                               |
//!       +---- doubt: an unanswered put, too many bytes, a rival writer ---------------------+
//! ```
//!
//! Gathering keeps what is handed over while the listing runs: what was put before it began is in the
//! listing. While trusted, the segments handed over are the tail, and no listing is needed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use neap_bucket::{SegmentName, Stamp, Versioned};
use neap_schema::DatabaseId;
use neap_wal::Segment;

use crate::{Manifest, Snapshot, SnapshotError};

/// The greatest number of databases of which something is kept.
const MAX_DATABASES: usize = 1_000;

/// About the bytes of a section in memory, for bounds.
const SECTION_BYTES: usize = 512;

/// Segments by name, which is the order of writes.
pub(crate) type Segments = BTreeMap<SegmentName, Arc<Segment>>;

/// Whether the segments handed over are the whole tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trust {
    #[default]
    Untrusted,
    Gathering,
    Trusted,
}

#[derive(Debug, Default)]
struct Contents {
    snapshot: Option<Arc<Snapshot>>,
    /// The last snapshot while somebody uses it, though it may be too large to keep.
    latest: Weak<Snapshot>,
    /// The newest manifest, which outlives a snapshot that is too large to keep.
    manifest: Option<Versioned<Manifest>>,
    handed: Segments,
    handed_bytes: usize,
    trust: Trust,
    /// Set when this was let go: it is no longer told of segments.
    is_retired: bool,
    /// The ticket that the last read drew when it began, and what went wrong with it.
    asked: u64,
    error: Option<SnapshotError>,
}

/// What is kept of a database.
#[derive(Debug, Default)]
pub(crate) struct Held {
    contents: Mutex<Contents>,
    /// The reader whose requests are under way holds it; the others wait and share the next one's.
    pub(crate) turn: tokio::sync::Mutex<()>,
    tickets: AtomicU64,
    bytes: AtomicUsize,
    used: AtomicU64,
}

/// Where a read takes the tail from.
#[derive(Debug)]
pub(crate) enum TailSource {
    /// A listing.
    Listing,
    /// What was handed over.
    Handed,
}

impl Held {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.contents().snapshot.clone()
    }

    pub(crate) fn manifest(&self) -> Option<Versioned<Manifest>> {
        self.contents().manifest.clone()
    }

    /// What a read gave that began after `arrived`.
    pub(crate) fn asked_after(&self, arrived: u64) -> Option<Result<Arc<Snapshot>, SnapshotError>> {
        let contents = self.contents();
        if contents.asked < arrived {
            return None;
        }
        match &contents.error {
            Some(error) => Some(Err(error.clone())),
            None => contents.latest.upgrade().map(Ok),
        }
    }

    /// Decides where the next read takes the tail from. A listing of a sole writer begins to gather.
    pub(crate) fn source(&self, sole_writer: bool) -> TailSource {
        let mut contents = self.contents();
        if !sole_writer || contents.is_retired {
            contents.distrust();
        } else if contents.trust == Trust::Trusted {
            return TailSource::Handed;
        } else {
            contents.distrust();
            contents.trust = Trust::Gathering;
        }
        TailSource::Listing
    }

    /// The segments handed over above `mark`, if they are still the whole tail; the rest is let go.
    pub(crate) fn handed_above(&self, mark: Stamp) -> Option<Arc<[Arc<Segment>]>> {
        let mut contents = self.contents();
        if contents.trust != Trust::Trusted {
            return None;
        }
        contents.forget_up_to(mark);
        self.weigh(&contents);
        Some(contents.handed.values().cloned().collect())
    }

    /// A segment was put. It counts only where the tail is kept in memory.
    pub(crate) fn offer(&self, segment: Arc<Segment>) {
        let mut contents = self.contents();
        if contents.trust != Trust::Untrusted {
            contents.hand(segment);
            self.weigh(&contents);
        }
    }

    /// A write with this stamp is to be seen: if it is unknown here, what was handed over is in doubt.
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
            self.weigh(&contents);
        }
    }

    /// The segments handed over are no longer known to be the whole tail.
    pub(crate) fn distrust(&self) {
        let mut contents = self.contents();
        contents.distrust();
        self.weigh(&contents);
    }

    /// Takes in the snapshot of the read with the ticket `asked`. Where it holds what the last one held, it
    /// gets the parts of that one.
    pub(crate) fn settle(
        &self,
        asked: u64,
        mut snapshot: Snapshot,
        source: &TailSource,
    ) -> Arc<Snapshot> {
        let mut contents = self.contents();
        if matches!(source, TailSource::Listing) && contents.trust == Trust::Gathering {
            for segment in snapshot.tail.iter() {
                contents.hand(Arc::clone(segment));
            }
            contents.forget_up_to(snapshot.mark());
            contents.trust = Trust::Trusted;
        }
        if let Some(last) = &contents.snapshot
            && last.has_contents_of(&snapshot)
        {
            // The proofs move on, but what others derive from the parts stays valid, by address.
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
        self.weigh(&contents);
        snapshot
    }

    /// Writes down that a read failed, for those who wait.
    pub(crate) fn fail(&self, asked: u64, error: SnapshotError) {
        let mut contents = self.contents();
        contents.asked = asked;
        contents.error = Some(error);
    }

    /// Keeps only what is small: what is too large alone is read again by each reader.
    fn reduce(&self) {
        let mut contents = self.contents();
        contents.snapshot = None;
        contents.distrust();
        self.weigh(&contents);
    }

    /// Forgets everything: the bucket is not the one that it was.
    pub(crate) fn forget(&self) {
        let mut contents = self.contents();
        contents.snapshot = None;
        contents.manifest = None;
        contents.distrust();
        self.weigh(&contents);
    }

    fn retire(&self) {
        let mut contents = self.contents();
        contents.is_retired = true;
        contents.distrust();
    }

    fn weigh(&self, contents: &Contents) {
        let snapshot = contents
            .snapshot
            .as_ref()
            .map_or(0, |held| held.tail_bytes());
        let manifest = contents.manifest.as_ref().map_or(0, |held| {
            let manifest = &held.value;
            let parts = manifest.sections.len() + manifest.pages.len();
            (parts + manifest.condemned.len() + manifest.caches.len()) * SECTION_BYTES
        });
        let bytes = snapshot + manifest + contents.handed_bytes;
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Contents {
    fn hand(&mut self, segment: Arc<Segment>) {
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
        self.trust = Trust::Untrusted;
        self.handed.clear();
        self.handed_bytes = 0;
    }
}

/// What is kept of all databases: bounded in number and bytes, the least used leaves first.
#[derive(Debug, Default)]
pub(crate) struct HeldDatabases {
    databases: BTreeMap<DatabaseId, Arc<Held>>,
    uses: u64,
}

impl HeldDatabases {
    /// What is kept of a database, for a read.
    pub(crate) fn get(&mut self, database: DatabaseId) -> Arc<Held> {
        self.uses += 1;
        let held = Arc::clone(self.databases.entry(database).or_default());
        held.used.store(self.uses, Ordering::Relaxed);
        held
    }

    /// What is kept of a database, if anything.
    pub(crate) fn find(&self, database: DatabaseId) -> Option<Arc<Held>> {
        self.databases.get(&database).cloned()
    }

    /// The bytes kept.
    pub(crate) fn bytes(&self) -> usize {
        let databases = self.databases.values();
        databases
            .map(|held| held.bytes.load(Ordering::Relaxed))
            .sum()
    }

    /// The snapshots kept, one for each database.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = Arc<Snapshot>> {
        self.databases.values().filter_map(|held| held.snapshot())
    }

    /// Lets go what is above `limit` bytes: other databases first, then the tail of `current`.
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
