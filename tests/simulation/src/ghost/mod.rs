//! The ghost: it sees every effect on the store and every answer to a client, and knows what must hold.
//!
//! | part | what it checks |
//! |---|---|
//! | `segments` | what segments hold, and which of them were acknowledged |
//! | `manifests` | each manifest that is committed |
//! | `contents` | what it takes in, and what its rows are |
//! | `caches` | what caches hold of it |
//! | `expiry` | what may expire |
//! | `objects` | what may be deleted, and when |
//! | `answers` | what queries answer |
//! | `drops` | who still acts on what was dropped |
//! | `order` | whose writes win |

mod answers;
mod caches;
mod contents;
mod drops;
mod expiry;
mod manifests;
mod objects;
mod order;
mod segments;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use arrow_array::RecordBatch;
use bytes::Bytes;
use neap_bucket::{Key, Object, SegmentName, Stamp};
use neap_catalog::DatabaseCatalog;
use neap_manifest::{Manifest, Section};
use neap_row_delete::RowDelete;
use neap_schema::{DatabaseId, TableId};
use serde::Deserialize;

use crate::rows::{Row, TableRows};

pub(crate) use answers::{Begun, Observed};

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// I1: an answer is the fold of the segments above void, less what was deleted and has expired.
    AnswerIsOfSegments,
    /// I2: what was acknowledged is in every later snapshot.
    AcknowledgedIsThere,
    /// I3: an acknowledged write does not lose to an earlier acknowledged one.
    LaterWins,
    /// I3: an acknowledged write does not lose to an earlier failed one.
    LaterWinsOverFailed,
    /// Nothing that begins after a drop was answered acts on what was there before it.
    DropIsKnown,
    /// A segment is taken in once.
    TakenInOnce,
    /// The low-water mark never goes back.
    MarkRises,
    /// A manifest names only objects that are there, and none is deleted that can be asked for.
    ObjectsExist,
    /// A manifest does not contradict itself: no two sections claim the same table, day and stamp.
    ManifestIsConsistent,
    /// What a manifest says of a section is true.
    StatisticsAreTrue,
    /// The object of a cache holds what the rows of its version say.
    CachesAreTrue,
    /// The catalog of a query names every column of its data.
    CatalogKnowsData,
    /// A query sees the registers as they were when it began, or later.
    SnapshotIsCurrent,
    /// Earlier versions can be read for the time-travel period, and are what they were.
    PastIsKept,
    /// Rows leave only if they had expired at a time when there was a retention.
    ExpiryIsDue,
    /// What nothing needs is deleted in the end.
    GarbageGoes,
    /// What a register acknowledged stays.
    CommitStays,
    /// What a register acknowledged was applied once.
    CommitOnce,
    /// What a register refused was not applied.
    RefusalIsTrue,
    /// Nothing panics or fails for no reason.
    NoSurprise,
}

/// A broken invariant.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.text)
    }
}

/// A write or a delete as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) request: u64,
    pub(crate) client: usize,
    pub(crate) begin: Duration,
    /// When the client had an answer or gave up; `None`: it still waits.
    pub(crate) until: Option<Duration>,
    /// The stamp that it passed back.
    pub(crate) token: Option<Stamp>,
    /// It is to come after all that was acknowledged before it began.
    pub(crate) is_strict: bool,
    pub(crate) acknowledged: bool,
    /// The clocks of the writer's machine could not tell how long the request waited.
    pub(crate) deceived: bool,
}

#[derive(Debug)]
struct GhostSegment {
    database: DatabaseId,
    rows: BTreeMap<TableId, Vec<Row>>,
    deletes: Vec<RowDelete>,
    columns: BTreeMap<TableId, BTreeSet<String>>,
}

type Names = BTreeSet<SegmentName>;

/// What a version of the manifest stands for.
#[derive(Clone, Debug, Default)]
struct Commit {
    /// When it took effect.
    at: Duration,
    taken: Arc<Names>,
    /// What its sections come to.
    rows: Arc<TableRows>,
    /// Those of pages, too.
    sections: Arc<Vec<Arc<Section>>>,
    /// The keys of the objects that these lie in.
    bundles: BTreeSet<String>,
    /// The keys of the objects of its pages.
    pages: BTreeSet<String>,
    value: Arc<Manifest>,
}

impl Commit {
    fn mark(&self) -> Stamp {
        self.value.low_water_mark
    }
}

/// All that is known of a database.
#[derive(Debug, Default)]
struct GhostDatabase {
    commits: BTreeMap<u64, Commit>,
    catalogs: Vec<expiry::Kept>,
    /// The newest catalog.
    catalog: Option<DatabaseCatalog>,
}

impl GhostDatabase {
    fn current(&self) -> Commit {
        let newest = self.commits.last_key_value();
        newest.map(|(_, commit)| commit.clone()).unwrap_or_default()
    }

    fn version(&self) -> u64 {
        self.commits.last_key_value().map_or(0, |(last, _)| *last)
    }

    /// A version; that of number zero is empty.
    fn commit(&self, version: u64) -> Option<Commit> {
        match version {
            0 => Some(Commit::default()),
            version => self.commits.get(&version).cloned(),
        }
    }
}

/// A section's rows, decoded once.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) batches: Vec<RecordBatch>,
    rows: Vec<Row>,
    requests: BTreeSet<u64>,
}

/// The value of a register with its history, as it lies in the bucket.
#[derive(Deserialize)]
struct Body<T> {
    version: u64,
    value: T,
}

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct Ghost {
    segments: BTreeMap<SegmentName, GhostSegment>,
    of_request: BTreeMap<u64, SegmentName>,
    databases: BTreeMap<DatabaseId, GhostDatabase>,
    /// The databases whose removal has begun: nothing is asked of them any more.
    removed: BTreeSet<DatabaseId>,
    /// Sections by the key of their object and their place in it.
    sections: BTreeMap<(String, u64), Arc<Decoded>>,
    /// The objects of caches that were ever put.
    cache_objects: BTreeMap<String, Bytes>,
    acknowledged: BTreeSet<u64>,
    /// The drops that were answered.
    drops: drops::Drops,
    pub(crate) writes: Vec<Write>,
    pub(crate) violations: Vec<Violation>,
    /// For how long dropped sections and earlier versions are to be kept.
    pub(crate) time_travel: Duration,
    pub(crate) counts: Counts,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) commits: usize,
    pub(crate) answers: usize,
    pub(crate) past_answers: usize,
    pub(crate) copies: usize,
    pub(crate) merged: usize,
    /// Commits of several merges.
    pub(crate) merged_together: usize,
    pub(crate) expired: usize,
    pub(crate) dropped: usize,
    pub(crate) deletes: usize,
    pub(crate) pages: usize,
    pub(crate) graves: usize,
    pub(crate) objects_deleted: usize,
    pub(crate) orphans: usize,
    pub(crate) undeleted: usize,
    pub(crate) removed: usize,
    /// Objects of caches that were looked at, once for each version that names them.
    pub(crate) caches: usize,
}

impl Counts {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            commits: self.commits + other.commits,
            answers: self.answers + other.answers,
            past_answers: self.past_answers + other.past_answers,
            copies: self.copies + other.copies,
            merged: self.merged + other.merged,
            merged_together: self.merged_together + other.merged_together,
            expired: self.expired + other.expired,
            dropped: self.dropped + other.dropped,
            deletes: self.deletes + other.deletes,
            pages: self.pages + other.pages,
            graves: self.graves + other.graves,
            objects_deleted: self.objects_deleted + other.objects_deleted,
            orphans: self.orphans + other.orphans,
            undeleted: self.undeleted + other.undeleted,
            removed: self.removed + other.removed,
            caches: self.caches + other.caches,
        }
    }
}

/// The objects in the store.
pub(crate) type Objects = BTreeMap<String, Object>;

impl Ghost {
    pub(crate) fn fail(&mut self, invariant: Invariant, text: impl fmt::Display) {
        let text = text.to_string();
        self.violations.push(Violation { invariant, text });
    }

    /// A put takes effect.
    pub(crate) fn object_put(&mut self, key: &str, body: &Bytes, all: &Objects, now: Duration) {
        match key.parse() {
            Ok(Key::Segment(database, name)) => self.segment_put(database, name, body),
            Ok(Key::Manifest(database)) => self.manifest_put(database, body, all, now),
            Ok(Key::DatabaseCatalog(database)) => self.catalog_put(database, body, now),
            Ok(Key::RootCatalog) => self.root_put(body),
            Ok(Key::Cache(..)) => self.cache_put(key, body),
            _ => {}
        }
    }

    fn database(&mut self, database: DatabaseId) -> &mut GhostDatabase {
        self.databases.entry(database).or_default()
    }

    fn current(&self, database: DatabaseId) -> Commit {
        let known = self.databases.get(&database);
        known.map(GhostDatabase::current).unwrap_or_default()
    }

    /// The rows of a section that a committed manifest names.
    pub(crate) fn section(&self, database: DatabaseId, section: &Section) -> Option<Arc<Decoded>> {
        let place = (section.key(database).to_string(), section.offset);
        self.sections.get(&place).cloned()
    }
}

fn decode<T>(format: neap_bucket::Format, body: &Bytes) -> Body<T>
where
    T: serde::de::DeserializeOwned,
{
    let (_, payload) = format.decode("a register", body).unwrap();
    let json = zstd::decode_all(payload.as_ref()).unwrap();
    serde_json::from_slice(&json).unwrap()
}
