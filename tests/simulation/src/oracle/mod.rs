//! The oracle: it observes every effect on the store and every answer to a client, and checks the invariants.
//!
//! | module | subject |
//! |---|---|
//! | `backups` | the contents of backups, of restored databases, and of copies of the cluster |
//! | `segments` | the content of segments, and which of them were acknowledged |
//! | `manifests` | each committed manifest |
//! | `contents` | the segments that a manifest has flushed, and its rows |
//! | `caches` | the objects of caches |
//! | `deliveries` | the segments that triggers have processed |
//! | `erasures` | the requests to delete rows that are reported as completed |
//! | `expiry` | which rows may expire |
//! | `imports` | the rows of import jobs |
//! | `objects` | which objects may be deleted, and when |
//! | `answers` | the answers of queries |
//! | `drops` | requests that act on dropped tables and databases |
//! | `order` | the order of writes |
//! | `views` | the rows of materialized views, and their progress |

mod answers;
mod backups;
mod caches;
mod contents;
mod deliveries;
mod drops;
mod erasures;
mod expiry;
mod imports;
mod manifests;
mod objects;
mod order;
mod segments;
mod views;

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
use neap_rollup::ViewProgress;
use neap_row_delete::RowDelete;
use neap_schema::{DatabaseId, TableId};
use neap_wal::ImportProgress;
use serde::Deserialize;

use crate::rows::{Row, TableRows};

pub(crate) use answers::{ObservedAnswer, QueryBaseline};
pub(crate) use imports::EndedImport;

/// The invariants of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// I1: an answer is the deduplicated content of all segments that are not void, without deleted and expired rows.
    AnswerMatchesSegments,
    /// I2: every later snapshot contains an acknowledged write.
    AcknowledgedIsVisible,
    /// I3: an acknowledged write wins over an earlier acknowledged one.
    LaterWins,
    /// I3: an acknowledged write wins over an earlier failed one.
    LaterWinsOverFailed,
    /// A request that begins after a drop was answered does not act on the dropped table or database.
    DropIsObserved,
    /// A segment is flushed once.
    SegmentFlushedOnce,
    /// The low-water mark never decreases.
    MarkIsMonotonic,
    /// A manifest references only existing objects, and no object is deleted while a reader may request it.
    ObjectsExist,
    /// A manifest is consistent: no two sections cover the same table, day and stamp.
    ManifestIsConsistent,
    /// The manifest's statistics of a section are correct.
    StatisticsAreCorrect,
    /// The object of a cache matches the rows of its version.
    CachesAreCorrect,
    /// The catalog of a query contains every column of its data.
    CatalogCoversData,
    /// A query sees the registers as of its start, or later.
    SnapshotIsCurrent,
    /// Earlier versions can be read for the time-travel period, and do not change.
    HistoryIsRetained,
    /// Rows disappear only if they had expired under a retention that was in force at some time.
    ExpiryIsJustified,
    /// A view without pending windows has the result of its query over the flushed rows: rules V1 to V4.
    ViewsMatchSources,
    /// The windows of a view that a query may read have the result of its query at the snapshot: rule V5.
    CurrentWindowsMatchSources,
    /// A refresher takes over a view only after the end of the claim of another one: rule V2.
    ClaimsAreExclusive,
    /// The point up to which changes of a source are recorded never goes back.
    RecordedPointIsMonotonic,
    /// A refresh of views without changes costs two requests.
    IdleRefreshIsCheap,
    /// Unreferenced objects are deleted in the end.
    GarbageIsCollected,
    /// A commit that a register acknowledged is durable.
    CommitIsDurable,
    /// A commit that a register acknowledged was applied once.
    CommitIsAppliedOnce,
    /// A commit that a register refused was not applied.
    RefusalIsNotApplied,
    /// Each trigger processes every acknowledged segment with all its rows, before the segment is deleted.
    DeliveryIsComplete,
    /// Each row of an imported file is stored once, so that it never wins over what clients write or delete after they have
    /// seen it; and all of them are stored when the job says so.
    ImportIsExact,
    /// A completed backup has all writes and deletes up to its stamp, no others, and no damage.
    BackupIsComplete,
    /// A restored database has the contents of its backup, or no writes after its moment.
    RestoreIsComplete,
    /// A copy of the cluster has every write that was acknowledged before the copy began.
    CopyIsComplete,
    /// An object with rows never gets other bytes.
    DataNeverChanges,
    /// Damage is mended if an intact copy exists.
    DamageIsMended,
    /// No object has rows of a delete that is reported as completed.
    ErasureIsComplete,
    /// `fsck` finds no error.
    CheckIsClean,
    /// No panic and no unexpected error.
    NoUnexpectedError,
}

/// A broken invariant.
#[derive(Clone, Debug, derive_more::Display)]
#[display("{invariant:?}: {text}")]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) text: String,
}

/// A write or a delete as its client observed it.
#[derive(Clone, Debug)]
pub(crate) struct ClientWrite {
    pub(crate) request: u64,
    pub(crate) client: usize,
    pub(crate) begin: Duration,
    /// When the client had an answer or gave up; `None` while it waits.
    pub(crate) until: Option<Duration>,
    /// The stamp that the client passed back.
    pub(crate) token: Option<Stamp>,
    /// Whether the request must be ordered after everything that was acknowledged before it began.
    pub(crate) is_strict: bool,
    pub(crate) acknowledged: bool,
    /// Whether the clocks of the writer's machine could not measure how long the request waited.
    pub(crate) deceived: bool,
}

#[derive(Debug)]
struct OracleSegment {
    /// The database that it was written to.
    database: DatabaseId,
    /// The hidden copies of the database that got it from a backup.
    copies: BTreeSet<DatabaseId>,
    progress: Vec<ImportProgress>,
    rows: BTreeMap<TableId, Vec<Row>>,
    deletes: Vec<RowDelete>,
    columns: BTreeMap<TableId, BTreeSet<String>>,
}

impl OracleSegment {
    fn is_in(&self, database: DatabaseId) -> bool {
        self.database == database || self.copies.contains(&database)
    }
}

type SegmentNames = BTreeSet<SegmentName>;

/// A committed version of the manifest.
#[derive(Clone, Debug, Default)]
struct ManifestCommit {
    /// When the commit took effect.
    at: Duration,
    taken: Arc<SegmentNames>,
    /// The rows of its sections.
    rows: Arc<TableRows>,
    /// Its sections, including those of pages.
    sections: Arc<Vec<Arc<Section>>>,
    /// The keys of the objects that contain these sections.
    bundles: BTreeSet<String>,
    /// The keys of the objects that contain its pages.
    pages: BTreeSet<String>,
    value: Arc<Manifest>,
}

impl ManifestCommit {
    fn mark(&self) -> Stamp {
        self.value.low_water_mark
    }
}

/// The oracle's knowledge of one database.
#[derive(Debug, Default)]
struct OracleDatabase {
    /// The database whose version it began with.
    source: Option<DatabaseId>,
    commits: BTreeMap<u64, ManifestCommit>,
    catalogs: Vec<expiry::CatalogRetention>,
    /// The newest catalog.
    catalog: Option<DatabaseCatalog>,
    progress: ViewProgress,
    /// Whether the clocks of a refresher stood still during a write, so that its rows may win over later ones.
    has_excused_views: bool,
}

impl OracleDatabase {
    fn current(&self) -> ManifestCommit {
        let newest = self.commits.last_key_value();
        newest.map(|(_, commit)| commit.clone()).unwrap_or_default()
    }

    fn version(&self) -> u64 {
        self.commits.last_key_value().map_or(0, |(last, _)| *last)
    }

    /// Returns a version; version 0 is empty.
    fn commit(&self, version: u64) -> Option<ManifestCommit> {
        match version {
            0 => Some(ManifestCommit::default()),
            version => self.commits.get(&version).cloned(),
        }
    }
}

/// The rows of a section, decoded once.
#[derive(Debug)]
pub(crate) struct DecodedSection {
    table: TableId,
    pub(crate) batches: Vec<RecordBatch>,
    rows: Vec<Row>,
    requests: BTreeSet<u64>,
}

/// The value of a register with its version, as stored in the bucket.
#[derive(Deserialize)]
struct DecodedRegister<T> {
    version: u64,
    value: T,
}

/// The oracle: the history of all databases and the violations found so far.
#[derive(Debug, Default)]
pub(crate) struct SimulationOracle {
    segments: BTreeMap<SegmentName, OracleSegment>,
    of_request: BTreeMap<u64, SegmentName>,
    databases: BTreeMap<DatabaseId, OracleDatabase>,
    /// The databases whose removal has begun. From then on, the oracle does not check them.
    removed: BTreeSet<DatabaseId>,
    /// The databases whose manifests record damage, so that rows are missing.
    damaged: BTreeSet<DatabaseId>,
    /// The databases that were live at any time.
    published: BTreeSet<DatabaseId>,
    /// The names of the other ones: copies of backups, and databases that are being restored.
    pub(crate) hidden_names: BTreeSet<String>,
    /// Objects that were deleted. A late put may bring one of them back.
    deleted_objects: BTreeSet<String>,
    backups: backups::BackupHistory,
    /// The requests to delete rows that were reported as completed.
    erasures: BTreeSet<u64>,
    /// Sections by the key of their object and their offset in it.
    sections: BTreeMap<(String, u64), Arc<DecodedSection>>,
    /// All cache objects that were ever put.
    cache_objects: BTreeMap<String, Bytes>,
    acknowledged: BTreeSet<u64>,
    /// The answered drops.
    drops: drops::DropHistory,
    deliveries: deliveries::DeliveryHistory,
    pub(crate) writes: Vec<ClientWrite>,
    pub(crate) violations: Vec<Violation>,
    /// How long dropped sections and earlier versions must be kept.
    pub(crate) time_travel: Duration,
    pub(crate) counts: EventCounts,
}

/// Numbers of events in a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventCounts {
    pub(crate) commits: usize,
    pub(crate) answers: usize,
    pub(crate) past_answers: usize,
    pub(crate) copies: usize,
    pub(crate) merged: usize,
    /// Commits with several merges.
    pub(crate) merged_together: usize,
    pub(crate) expired: usize,
    pub(crate) dropped: usize,
    pub(crate) deletes: usize,
    pub(crate) pages: usize,
    pub(crate) graves: usize,
    pub(crate) objects_deleted: usize,
    pub(crate) orphans: usize,
    pub(crate) undeleted: usize,
    /// Deleted former names of renamed tables.
    pub(crate) aliases_deleted: usize,
    pub(crate) removed: usize,
    /// Checked objects of caches, counted once for each version that references them.
    pub(crate) caches: usize,
    /// Claims of views that ended with all their windows stored.
    pub(crate) refreshes: usize,
    /// Claims of views that another refresher took over.
    pub(crate) claims_taken_over: usize,
    /// Refreshes of windows whose rows were replaced as a whole after such a claim.
    pub(crate) windows_replaced: usize,
    /// Refreshes that failed because their claim had ended.
    pub(crate) claims_ended: usize,
    /// Ranges of current windows with rows, compared with the source at the snapshot of a query.
    pub(crate) views_read: usize,
    /// Views without pending windows, compared with the flushed rows of the source.
    pub(crate) views_compared: usize,
    /// Successful runs of triggers.
    pub(crate) deliveries: usize,
    /// Rows that `fsck` has read.
    pub(crate) checked_rows: usize,
    /// Import jobs that have stored all rows.
    pub(crate) imports: usize,
    pub(crate) backups: usize,
    pub(crate) restores: usize,
    /// Copies of the cluster that have all objects.
    pub(crate) cluster_copies: usize,
    pub(crate) mended: usize,
    pub(crate) erasures: usize,
}

impl EventCounts {
    /// Adds two sets of counts.
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
            aliases_deleted: self.aliases_deleted + other.aliases_deleted,
            removed: self.removed + other.removed,
            caches: self.caches + other.caches,
            refreshes: self.refreshes + other.refreshes,
            claims_taken_over: self.claims_taken_over + other.claims_taken_over,
            windows_replaced: self.windows_replaced + other.windows_replaced,
            claims_ended: self.claims_ended + other.claims_ended,
            views_read: self.views_read + other.views_read,
            views_compared: self.views_compared + other.views_compared,
            deliveries: self.deliveries + other.deliveries,
            checked_rows: self.checked_rows + other.checked_rows,
            imports: self.imports + other.imports,
            backups: self.backups + other.backups,
            restores: self.restores + other.restores,
            cluster_copies: self.cluster_copies + other.cluster_copies,
            mended: self.mended + other.mended,
            erasures: self.erasures + other.erasures,
        }
    }
}

/// The objects in the store.
pub(crate) type StoredObjects = BTreeMap<String, Object>;

impl SimulationOracle {
    pub(crate) fn fail(&mut self, invariant: Invariant, text: impl fmt::Display) {
        let text = text.to_string();
        self.violations.push(Violation { invariant, text });
    }

    /// Processes a put that takes effect.
    pub(crate) fn object_put(
        &mut self,
        key: &str,
        body: &Bytes,
        all: &StoredObjects,
        now: Duration,
    ) {
        match key.parse() {
            Ok(Key::Segment(database, name)) => self.segment_put(database, name, body),
            Ok(Key::Manifest(database)) => self.manifest_put(database, body, all, now),
            Ok(Key::DatabaseCatalog(database)) => self.catalog_put(database, body, now),
            Ok(Key::RootCatalog) => self.root_put(body),
            Ok(Key::ViewProgress(database)) => self.progress_put(database, body, now),
            Ok(Key::Cache(..)) => self.cache_put(key, body),
            Ok(Key::Backups) => self.backups_put(body),
            Ok(Key::RowDeletes) => self.erasures_put(body, all),
            _ => {}
        }
    }

    /// Whether the rows of a database are not checked, because some may be missing.
    fn is_unchecked(&self, database: DatabaseId) -> bool {
        self.removed.contains(&database) || self.damaged.contains(&database)
    }

    fn database(&mut self, database: DatabaseId) -> &mut OracleDatabase {
        self.databases.entry(database).or_default()
    }

    fn current(&self, database: DatabaseId) -> ManifestCommit {
        let known = self.databases.get(&database);
        known.map(OracleDatabase::current).unwrap_or_default()
    }

    /// Returns the rows of a section that a committed manifest references.
    pub(crate) fn section(
        &self,
        database: DatabaseId,
        section: &Section,
    ) -> Option<Arc<DecodedSection>> {
        let place = (section.key(database).to_string(), section.offset);
        self.sections.get(&place).cloned()
    }
}

fn decode<T>(format: neap_bucket::ObjectFormat, body: &Bytes) -> DecodedRegister<T>
where
    T: serde::de::DeserializeOwned,
{
    let (_, payload) = format.decode("a register", body).unwrap();
    let json = zstd::decode_all(payload.as_ref()).unwrap();
    serde_json::from_slice(&json).unwrap()
}
