//! Reads snapshots, with the minimum number of requests for the required freshness.
//!
//! ```text
//!   reader                                    store
//!     |-- LIST tail above the last mark --------> |  \
//!     |-- GET manifest if changed --------------> |   > concurrently; the responses lie within 30 s
//!     |-- GET catalog if changed ---------------> |  /
//!     |-- GET each new segment -----------------> |   all concurrently
//!     |        if one is gone: GET the manifest again; a flush has included the segment
//!     |        if the data needs a newer catalog: GET the catalog again
//! ```
//!
//! A collector deletes a segment only two minutes after the mark passed it. If all responses lie within 30 s, a segment
//! that is not listed is in the sections, void, or not yet acknowledged, whatever the order of the responses.
//!
//! Readers that arrive while requests are in flight wait, and share the next requests, which begin after all of them
//! arrived.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use neap_bucket::{
    Bucket, ClockReading, Key, MissingObject, ProtocolRules, SegmentName, Stamp, StoreTime,
    VersionedValue,
};
use neap_catalog::{Catalog, CatalogError, DatabaseCatalog, RecordedRegister};
use neap_schema::DatabaseId;
use neap_wal::{Segment, SegmentObserver, StampSource, TailError, TailListing, TailReader};

use crate::{
    Manifest, ManifestStore, ResponseMismatch, Snapshot, SnapshotError, SnapshotOptions,
    snapshot_cache::{Segments, SnapshotCache, SnapshotCacheEntry, TailSource},
};

/// Maximum number of attempts to get consistent responses.
const MAX_ATTEMPTS: usize = 4;

/// The settings of a [`SnapshotReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// Whether this process is the only writer. Then the segments of its own writer are the tail, and a database is
    /// listed only once, and again after an uncertain write.
    pub sole_writer: bool,
    /// Maximum bytes of tails and manifests retained between reads, across all databases.
    pub retained_bytes: usize,
    /// Maximum bytes of segments in one snapshot.
    pub max_tail_bytes: usize,
    /// Maximum time that a reader waits.
    pub timeout: Duration,
}

impl Default for SnapshotSettings {
    /// Returns the defaults: several writers, 256 MiB retained, 1 GiB per tail, 60 s timeout.
    fn default() -> Self {
        Self {
            sole_writer: false,
            retained_bytes: 256 << 20,
            max_tail_bytes: 1 << 30,
            timeout: Duration::from_secs(60),
        }
    }
}

/// Reads snapshots, and shares them between readers. An instance has one.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::sync::Arc;
/// #
/// # use neap_bucket::{Bucket, ProtocolMargins, ProtocolRules, World};
/// # use neap_catalog::Catalog;
/// # use neap_manifest::{
/// #     ManifestSettings, ManifestStore, SnapshotOptions, SnapshotReader, SnapshotSettings,
/// # };
/// # use neap_wal::{TailReader, TailReaderSettings};
/// #
/// # let bucket = Bucket::in_memory(World::system());
/// let catalog = Arc::new(Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None));
/// let database = catalog.create_database("sensors", None).await?;
/// let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
/// let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
/// let tail = TailReader::new(bucket, TailReaderSettings::default());
/// let settings = SnapshotSettings::default();
/// let reader = SnapshotReader::new(manifests, catalog, tail, rules, settings);
/// let snapshot = reader.read(database, SnapshotOptions::default()).await?;
/// assert_eq!((snapshot.database, snapshot.tail.len()), (database, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SnapshotReader {
    bucket: Bucket,
    manifests: ManifestStore,
    catalog: Arc<Catalog>,
    tail: TailReader,
    stamps: StampSource,
    rules: ProtocolRules,
    settings: SnapshotSettings,
    sole_writer: AtomicBool,
    databases: Mutex<SnapshotCache>,
}

/// The responses of one attempt.
struct SnapshotResponses {
    above: Stamp,
    started_at: ClockReading,
    listing: Option<TailListing>,
    manifest: VersionedValue<Manifest>,
    catalog: VersionedValue<DatabaseCatalog>,
}

impl SnapshotReader {
    /// Creates a reader without retained snapshots.
    pub fn new(
        manifests: ManifestStore,
        catalog: Arc<Catalog>,
        tail: TailReader,
        rules: ProtocolRules,
        settings: SnapshotSettings,
    ) -> Self {
        let bucket = manifests.bucket.clone();
        Self {
            stamps: StampSource::new(&bucket.world().entropy, &rules),
            bucket,
            manifests,
            catalog,
            tail,
            rules,
            sole_writer: AtomicBool::new(settings.sole_writer),
            settings,
            databases: Mutex::default(),
        }
    }

    /// Reads a snapshot of a database.
    ///
    /// # Errors
    ///
    /// See [`SnapshotError`]. An unknown database id has an empty snapshot.
    pub async fn read(
        &self,
        database: DatabaseId,
        options: SnapshotOptions,
    ) -> Result<Arc<Snapshot>, SnapshotError> {
        let limit = self.settings.timeout;
        let read = self
            .bucket
            .world()
            .timeout(limit, self.read_shared(database, options))
            .await
            .unwrap_or(Err(SnapshotError::TimedOut { limit }));
        let snapshot = match (read, options.as_of) {
            (Ok(snapshot), _) => snapshot,
            (Err(error), Some(as_of)) if error.is_of_tail() => {
                let reading = self.read_flushed(database, as_of);
                let flushed = self.bucket.world().timeout(limit, reading).await;
                flushed.transpose()?.flatten().ok_or(error)?
            }
            (Err(error), _) => return Err(error),
        };
        if let Some((stamp, now)) = options.at_least.zip(self.bucket.clock().now()) {
            self.stamps.admit(now, stamp)?;
        }
        match options.as_of {
            Some(as_of) => Ok(Arc::new(snapshot.at(as_of)?)),
            None => Ok(snapshot),
        }
    }

    /// Reads a snapshot without its tail, if the requested state does not include the tail.
    async fn read_flushed(
        &self,
        database: DatabaseId,
        as_of: Stamp,
    ) -> Result<Option<Arc<Snapshot>>, SnapshotError> {
        let taken = self.bucket.world().clock_reading();
        let manifest = self.manifests.read(database, None).await?;
        let catalog = self.catalog.database(database, Duration::ZERO).await?;
        let shown = manifest.current_at.zip(catalog.current_at);
        let Some((shown, _)) = shown.filter(|_| as_of <= manifest.value.low_water_mark) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Snapshot {
            database,
            catalog,
            manifest,
            tail: Arc::default(),
            taken,
            shown,
            as_of: None,
        })))
    }

    /// Adds a segment that this process has put. It may not be acknowledged yet.
    pub fn offer(&self, database: DatabaseId, segment: Arc<Segment>) {
        self.tail.insert(Arc::clone(&segment));
        let mut databases = self.databases();
        if let Some(held) = databases.find(database) {
            held.offer(segment);
            databases.shrink(database, self.settings.retained_bytes);
        }
    }

    /// Records that segments of a database may be missing in memory, so that the next read lists the tail.
    pub fn distrust(&self, database: DatabaseId) {
        if let Some(held) = self.databases().find(database) {
            held.distrust();
        }
    }

    /// Records that other processes write, so that every further read lists the tail.
    pub fn end_sole_writer(&self) {
        self.sole_writer.store(false, Ordering::Relaxed);
    }

    /// Returns the bytes retained between reads.
    pub fn retained_bytes(&self) -> usize {
        self.databases().bytes()
    }

    /// Returns the ages of the retained snapshots, one for each recently read database.
    pub fn ages(&self) -> Vec<Duration> {
        let world = self.bucket.world();
        let databases = self.databases();
        let snapshots = databases.snapshots();
        snapshots.map(|snapshot| world.elapsed(&snapshot.taken)).collect()
    }

    /// Returns the damaged objects of the retained snapshots, by the names that operators use.
    pub fn damaged_objects(&self) -> Vec<String> {
        let databases = self.databases();
        let objects = databases.snapshots().flat_map(|snapshot| {
            let recorded = snapshot
                .manifest
                .value
                .reported_damage()
                .map(|record| record.name(snapshot.database));
            let tail = snapshot
                .tail
                .iter()
                .filter(|one| one.is_damaged())
                .map(|one| Key::Segment(snapshot.database, one.name()).to_string());
            recorded.chain(tail).collect::<Vec<_>>()
        });
        objects.collect()
    }

    fn databases(&self) -> MutexGuard<'_, SnapshotCache> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_shared(
        &self,
        database: DatabaseId,
        options: SnapshotOptions,
    ) -> Result<Arc<Snapshot>, SnapshotError> {
        let held = self.databases().get(database);
        if let Some(snapshot) = self.retained_snapshot(&held, options) {
            return Ok(snapshot);
        }
        if let Some(stamp) = options.at_least {
            held.expect(stamp);
        }
        let arrived = held.ticket();
        let _turn = held.turn.lock().await;
        if let Some(outcome) = held.outcome_after(arrived) {
            return outcome;
        }
        if let Some(snapshot) = self.retained_snapshot(&held, options) {
            return Ok(snapshot);
        }
        let asked = held.ticket();
        let outcome = self.settle(database, &held, asked).await;
        if let Err(error) = &outcome {
            held.fail(asked, error.clone());
        }
        self.databases().shrink(database, self.settings.retained_bytes);
        outcome
    }

    /// Returns the last snapshot, if its age is within the limit by both of this machine's clocks and it covers the
    /// required stamp.
    fn retained_snapshot(
        &self,
        held: &SnapshotCacheEntry,
        options: SnapshotOptions,
    ) -> Option<Arc<Snapshot>> {
        if options.max_staleness.is_zero() {
            return None;
        }
        let snapshot = held.snapshot()?;
        let age = self.bucket.world().elapsed(&snapshot.taken);
        let covered = options.at_least.is_none_or(|stamp| snapshot.covers(stamp));
        (covered && age <= options.max_staleness).then_some(snapshot)
    }

    /// Repeats the read until the responses are consistent.
    async fn settle(
        &self,
        database: DatabaseId,
        held: &SnapshotCacheEntry,
        asked: u64,
    ) -> Result<Arc<Snapshot>, SnapshotError> {
        let mut reason = ResponseMismatch::NoDate;
        for _ in 0..MAX_ATTEMPTS {
            let source = held.source(self.sole_writer.load(Ordering::Relaxed));
            let answers = self.request_all(database, held, &source).await?;
            match self.build_snapshot(database, held, answers).await? {
                Ok(snapshot) => {
                    self.evict_flushed(database, held, snapshot.mark());
                    return Ok(held.settle(asked, snapshot, &source));
                }
                Err(unfit) => reason = unfit,
            }
            tracing::debug!(%database, %reason, "responses are inconsistent; the snapshot is read again");
        }
        Err(SnapshotError::Inconsistent { reason })
    }

    /// Removes the segments of the last snapshot from memory that are flushed since, perhaps by another process.
    fn evict_flushed(&self, database: DatabaseId, held: &SnapshotCacheEntry, mark: Stamp) {
        let Some(last) = held.snapshot().filter(|last| last.mark() < mark) else {
            return;
        };
        let names = last.tail.iter().map(|segment| segment.name());
        let flushed = names.take_while(|name| name.stamp <= mark);
        self.tail.evict(database, flushed);
    }

    /// Sends the requests of one round trip.
    async fn request_all(
        &self,
        database: DatabaseId,
        held: &SnapshotCacheEntry,
        source: &TailSource,
    ) -> Result<SnapshotResponses, SnapshotError> {
        let known = held.manifest();
        let mut above = known.as_ref().map_or(Stamp::ZERO, |known| known.value.low_water_mark);
        let started_at = self.bucket.world().clock_reading();
        let list = async {
            match source {
                TailSource::Listing => self.tail.list(database, above).await.map(Some),
                TailSource::Memory => Ok(None),
            }
        };
        let (listing, manifest, catalog, verified) = futures::join!(
            list,
            self.manifests.read(database, known.as_ref()),
            self.catalog.database(database, Duration::ZERO),
            self.catalog.verify_tail(),
        );
        verified?;
        let manifest = manifest?;
        let mark = manifest.value.low_water_mark;
        let listing = match listing {
            // The new mark may have shortened the tail.
            Err(TailError::TooLong { .. }) if mark > above => {
                above = mark;
                self.tail.list(database, mark).await.map(Some)
            }
            listing => listing,
        };
        Ok(SnapshotResponses {
            above,
            started_at,
            listing: listing.map_err(|error| self.listing_error(error, &manifest))?,
            manifest,
            catalog: catalog?,
        })
    }

    /// Converts an error of listing the tail.
    fn listing_error(
        &self,
        error: TailError,
        manifest: &VersionedValue<Manifest>,
    ) -> SnapshotError {
        match error {
            TailError::TooLong { segments, oldest, .. } => SnapshotError::TailTooLong {
                segments,
                oldest: self.age_of(oldest),
                mark: manifest.value.low_water_mark,
            },
            error => error.into(),
        }
    }

    fn age_of(&self, time: StoreTime) -> Duration {
        let now = self.bucket.clock().now();
        now.map_or(Duration::ZERO, |now| now.since(time))
    }

    /// Builds a snapshot from the responses, and reads missing segments and a newer catalog. Returns [`Unsupported`] if the
    /// responses are inconsistent.
    async fn build_snapshot(
        &self,
        database: DatabaseId,
        held: &SnapshotCacheEntry,
        answers: SnapshotResponses,
    ) -> Result<Result<Snapshot, ResponseMismatch>, SnapshotError> {
        let shown = match self.earliest_response(&answers) {
            Ok(shown) => shown,
            Err(unfit) => return Ok(Err(unfit)),
        };
        let SnapshotResponses { above, started_at, listing, mut manifest, mut catalog } = answers;
        if manifest.value.low_water_mark < above {
            held.forget();
            return Ok(Err(ResponseMismatch::MarkWentBack));
        }
        if manifest.version == 0 && catalog.value.registers.contains(RecordedRegister::Manifest) {
            let register = self.manifests.register(database);
            self.catalog.verify_absence(&register, manifest).await?;
            return Ok(Err(ResponseMismatch::ManifestCreated));
        }
        let tail = match listing {
            Some(listing) => {
                self.check_size(&listing, manifest.value.low_water_mark)?;
                let names = listing.names();
                match self.segments(database, held, &names, &mut manifest).await? {
                    Some(segments) => segments,
                    None => return Ok(Err(ResponseMismatch::SegmentGone)),
                }
            }
            None => match held.handed_above(manifest.value.low_water_mark) {
                Some(handed) => without_quarantined(&manifest.value, handed.iter()),
                None => return Ok(Err(ResponseMismatch::TailUncertain)),
            },
        };
        let needs = tail
            .iter()
            .map(|segment| segment.needs_catalog())
            .max()
            .unwrap_or(0)
            .max(manifest.value.needs_catalog);
        if catalog.version < needs {
            catalog = self.catalog.database(database, Duration::ZERO).await?;
        }
        if catalog.version == 0 && needs > 0 {
            return Err(Self::missing_catalog(database, &manifest, &tail).into());
        }
        if catalog.version < needs {
            return Ok(Err(ResponseMismatch::CatalogOutdated));
        }
        Ok(Ok(Snapshot {
            database,
            catalog,
            manifest,
            tail,
            taken: started_at,
            shown,
            as_of: None,
        }))
    }

    /// Returns the error of a catalog that is lost, although the manifest or a segment needs it.
    fn missing_catalog(
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        tail: &[Arc<Segment>],
    ) -> CatalogError {
        let segment = tail.iter().find(|segment| segment.needs_catalog() > 0);
        let dependent = match segment {
            Some(segment) if manifest.value.needs_catalog == 0 => {
                Key::Segment(database, segment.name())
            }
            _ => Key::Manifest(database),
        };
        MissingObject::needed_by(&Key::DatabaseCatalog(database), &dependent).into()
    }

    /// Returns the earliest time of the responses, if they lie within the allowed span.
    fn earliest_response(
        &self,
        answers: &SnapshotResponses,
    ) -> Result<StoreTime, ResponseMismatch> {
        let registers = answers.manifest.current_at.zip(answers.catalog.current_at);
        let (manifest, catalog) = registers.ok_or(ResponseMismatch::NoDate)?;
        let (mut first, mut last) = (manifest.min(catalog), manifest.max(catalog));
        if let Some(listing) = &answers.listing {
            let dates = listing.dates.ok_or(ResponseMismatch::NoDate)?;
            (first, last) = (first.min(dates.0), last.max(dates.1));
        }
        let span = last.since(first).max(self.bucket.world().elapsed(&answers.started_at));
        if span > self.rules.snapshot_span {
            return Err(ResponseMismatch::Span { span });
        }
        Ok(first)
    }

    /// Checks that the listed segments above the mark fit in memory, before they are fetched.
    fn check_size(&self, listing: &TailListing, mark: Stamp) -> Result<(), SnapshotError> {
        let segments = listing.segments.iter();
        let above = || segments.clone().filter(|one| one.name.stamp > mark);
        let bytes = above().fold(0_u64, |sum, segment| sum.saturating_add(segment.size_bytes));
        let limit = self.settings.max_tail_bytes;
        if usize::try_from(bytes).is_ok_and(|fitting| fitting <= limit) {
            return Ok(());
        }
        let oldest = above().next().map(|first| first.name.stamp.time());
        Err(SnapshotError::TailTooLarge {
            segments: above().count(),
            oldest: oldest.map_or(Duration::ZERO, |oldest| self.age_of(oldest)),
            bytes,
            limit,
            mark,
        })
    }

    /// Returns the listed segments above the mark. If a segment is gone, reads the manifest again, because a flush has
    /// included the segment; returns `None` if none has.
    async fn segments(
        &self,
        database: DatabaseId,
        held: &SnapshotCacheEntry,
        names: &[SegmentName],
        manifest: &mut VersionedValue<Manifest>,
    ) -> Result<Option<Arc<[Arc<Segment>]>>, SnapshotError> {
        let snapshot = held.snapshot();
        let known = snapshot.iter().flat_map(|snapshot| snapshot.tail.iter());
        let mut segments: Segments = known
            // A damaged segment may have been repaired.
            .filter(|segment| !segment.is_damaged())
            .map(|segment| (segment.name(), Arc::clone(segment)))
            .collect();
        for _ in 0..MAX_ATTEMPTS {
            let mark = manifest.value.low_water_mark;
            let is_wanted =
                |name: &&SegmentName| name.stamp > mark && !manifest.value.is_quarantined(**name);
            let above = || names.iter().filter(is_wanted);
            let unseen: Vec<_> =
                above().filter(|name| !segments.contains_key(name)).copied().collect();
            let fetched = self.tail.fetch(database, &unseen).await?;
            let fetched_segments = fetched.segments.into_iter();
            segments.extend(fetched_segments.map(|segment| (segment.name(), segment)));
            if fetched.missing.is_empty() {
                let tail = above().filter_map(|name| segments.get(name));
                return Ok(Some(without_quarantined(&manifest.value, tail)));
            }
            *manifest = self.manifests.read(database, Some(manifest)).await?;
        }
        Ok(None)
    }
}

/// Returns the segments without the parts that a manifest has quarantined.
fn without_quarantined<'a>(
    manifest: &Manifest,
    segments: impl Iterator<Item = &'a Arc<Segment>>,
) -> Arc<[Arc<Segment>]> {
    segments.filter_map(|segment| manifest.admit(segment)).collect()
}

impl SegmentObserver for SnapshotReader {
    fn segment_put(&self, database: DatabaseId, segment: Arc<Segment>) {
        self.offer(database, segment);
    }

    fn put_unknown(&self, database: DatabaseId) {
        self.distrust(database);
    }
}
