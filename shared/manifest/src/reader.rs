//! Reading snapshots, in as few requests as their freshness allows.
//!
//! ```text
//!   reader                                    store
//!     |-- LIST tail above the last mark --------> |  \
//!     |-- GET manifest if changed --------------> |   > at the same time; the answers lie within 30 s
//!     |-- GET catalog if changed ---------------> |  /
//!     |-- GET each segment that is new ---------> |   all at the same time
//!     |        one is gone: GET the manifest again, which has taken it in
//!     |        the data needs a newer catalog: GET the catalog again
//! ```
//!
//! A collector deletes segments only two minutes after the mark passed them. So whatever the order in which
//! the answers were given: within 30 s of each other, a segment that is not listed is in the sections, void,
//! or not yet acknowledged.
//!
//! Readers that come while requests are under way wait and share the next ones, which begin after all of
//! them came.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use neap_bucket::{Bucket, Key, Moment, Rules, SegmentName, Stamp, StoreTime, Versioned};
use neap_catalog::{Catalog, DatabaseCatalog};
use neap_schema::DatabaseId;
use neap_wal::{Segment, SegmentObserver, StampSource, TailError, TailListing, TailReader};

use crate::{
    Manifest, ManifestStore, Snapshot, SnapshotError, SnapshotOptions, Unfit,
    held::{Held, HeldDatabases, Segments, TailSource},
};

/// How often the answers may not fit each other before the reader is told so.
const MAX_ATTEMPTS: usize = 4;

/// The settings of a [`SnapshotReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// Whether this process is the only writer: the segments that its writer hands over are the tail, and
    /// a database is listed only once, and after doubts.
    pub sole_writer: bool,
    /// The most bytes of tails and manifests that are kept between reads, over all databases.
    pub retained_bytes: usize,
    /// The most bytes of segments that one snapshot may have.
    pub max_tail_bytes: usize,
    /// The longest time that a reader waits.
    pub timeout: Duration,
}

impl Default for SnapshotSettings {
    /// Any number of writers, 256 MiB kept, 1 GiB for a tail, 60 s.
    fn default() -> Self {
        Self {
            sole_writer: false,
            retained_bytes: 256 << 20,
            max_tail_bytes: 1 << 30,
            timeout: Duration::from_secs(60),
        }
    }
}

/// Reads snapshots; one for each instance.
#[derive(Debug)]
pub struct SnapshotReader {
    bucket: Bucket,
    manifests: ManifestStore,
    catalog: Arc<Catalog>,
    tail: TailReader,
    stamps: StampSource,
    rules: Rules,
    settings: SnapshotSettings,
    sole_writer: AtomicBool,
    databases: Mutex<HeldDatabases>,
}

/// The answers of one attempt.
struct Answers {
    above: Stamp,
    begun: Moment,
    listing: Option<TailListing>,
    manifest: Versioned<Manifest>,
    catalog: Versioned<DatabaseCatalog>,
}

impl SnapshotReader {
    /// A reader that knows nothing yet.
    pub fn new(
        manifests: ManifestStore,
        catalog: Arc<Catalog>,
        tail: TailReader,
        rules: Rules,
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

    /// A snapshot of a database.
    ///
    /// # Errors
    ///
    /// See [`SnapshotError`]. An id that was never given has an empty snapshot.
    pub async fn read(
        &self,
        database: DatabaseId,
        options: SnapshotOptions,
    ) -> Result<Arc<Snapshot>, SnapshotError> {
        let limit = self.settings.timeout;
        let read = self.read_in_turn(database, options);
        let read = self.bucket.world().timeout(limit, read).await;
        let read = read.unwrap_or(Err(SnapshotError::TimedOut { limit }));
        let snapshot = match (read, options.as_of) {
            (Ok(snapshot), _) => snapshot,
            (Err(error), Some(as_of)) if error.is_of_tail() => {
                let flushed = self.read_flushed(database, as_of);
                let flushed = self.bucket.world().timeout(limit, flushed).await;
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

    /// A snapshot without its tail, if that holds nothing of the state that is asked for.
    async fn read_flushed(
        &self,
        database: DatabaseId,
        as_of: Stamp,
    ) -> Result<Option<Arc<Snapshot>>, SnapshotError> {
        let taken = self.bucket.world().moment();
        let manifest = self.manifests.read(database, None).await?;
        let catalog = self.catalog.database(database, Duration::ZERO).await?;
        let shown = manifest.proven.zip(catalog.proven);
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

    /// A segment exists, acknowledged or not.
    pub fn offer(&self, database: DatabaseId, segment: Arc<Segment>) {
        self.tail.insert(Arc::clone(&segment));
        let mut databases = self.databases();
        if let Some(held) = databases.find(database) {
            held.offer(segment);
            databases.shrink(database, self.settings.retained_bytes);
        }
    }

    /// The segments handed over may not be all of a database: the next read lists.
    pub fn distrust(&self, database: DatabaseId) {
        if let Some(held) = self.databases().find(database) {
            held.distrust();
        }
    }

    /// This process is not the only writer: from now on every read lists.
    pub fn end_sole_writer(&self) {
        self.sole_writer.store(false, Ordering::Relaxed);
    }

    /// The bytes kept between reads.
    pub fn retained_bytes(&self) -> usize {
        self.databases().bytes()
    }

    /// The ages of the snapshots that are kept, one for each database that was read lately.
    pub fn ages(&self) -> Vec<Duration> {
        let world = self.bucket.world();
        let databases = self.databases();
        let snapshots = databases.snapshots();
        snapshots
            .map(|snapshot| world.elapsed(&snapshot.taken))
            .collect()
    }

    /// The damaged objects of the snapshots that are kept, as operators name them.
    pub fn damaged_objects(&self) -> Vec<String> {
        let databases = self.databases();
        let objects = databases.snapshots().flat_map(|snapshot| {
            let recorded = snapshot.manifest.value.reported_damage();
            let recorded = recorded.map(|record| record.name(snapshot.database));
            let tail = snapshot.tail.iter().filter(|one| one.is_damaged());
            let tail = tail.map(|one| Key::Segment(snapshot.database, one.name()).to_string());
            recorded.chain(tail).collect::<Vec<_>>()
        });
        objects.collect()
    }

    fn databases(&self) -> MutexGuard<'_, HeldDatabases> {
        self.databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_in_turn(
        &self,
        database: DatabaseId,
        options: SnapshotOptions,
    ) -> Result<Arc<Snapshot>, SnapshotError> {
        let held = self.databases().get(database);
        if let Some(snapshot) = self.young(&held, options) {
            return Ok(snapshot);
        }
        if let Some(stamp) = options.at_least {
            held.expect(stamp);
        }
        let arrived = held.ticket();
        let _turn = held.turn.lock().await;
        if let Some(outcome) = held.asked_after(arrived) {
            return outcome;
        }
        if let Some(snapshot) = self.young(&held, options) {
            return Ok(snapshot);
        }
        let asked = held.ticket();
        let outcome = self.settle(database, &held, asked).await;
        if let Err(error) = &outcome {
            held.fail(asked, error.clone());
        }
        self.databases()
            .shrink(database, self.settings.retained_bytes);
        outcome
    }

    /// The last snapshot, if it is young enough by both of this machine's clocks and has what is asked for.
    fn young(&self, held: &Held, options: SnapshotOptions) -> Option<Arc<Snapshot>> {
        if options.max_staleness.is_zero() {
            return None;
        }
        let snapshot = held.snapshot()?;
        let age = self.bucket.world().elapsed(&snapshot.taken);
        let covered = options.at_least.is_none_or(|stamp| snapshot.covers(stamp));
        (covered && age <= options.max_staleness).then_some(snapshot)
    }

    /// Reads until the answers fit each other.
    async fn settle(
        &self,
        database: DatabaseId,
        held: &Held,
        asked: u64,
    ) -> Result<Arc<Snapshot>, SnapshotError> {
        let mut reason = Unfit::NoDate;
        for _ in 0..MAX_ATTEMPTS {
            let source = held.source(self.sole_writer.load(Ordering::Relaxed));
            let answers = self.ask(database, held, &source).await?;
            match self.fit(database, held, answers).await? {
                Ok(snapshot) => return Ok(held.settle(asked, snapshot, &source)),
                Err(unfit) => reason = unfit,
            }
            tracing::debug!(%database, %reason, "reading again");
        }
        Err(SnapshotError::Unsettled { reason })
    }

    /// The one round trip.
    async fn ask(
        &self,
        database: DatabaseId,
        held: &Held,
        source: &TailSource,
    ) -> Result<Answers, SnapshotError> {
        let known = held.manifest();
        let mut above = known
            .as_ref()
            .map_or(Stamp::ZERO, |known| known.value.low_water_mark);
        let begun = self.bucket.world().moment();
        let list = async {
            match source {
                TailSource::Listing => self.tail.list(database, above).await.map(Some),
                TailSource::Handed => Ok(None),
            }
        };
        let (listing, manifest, catalog) = futures::join!(
            list,
            self.manifests.read(database, known.as_ref()),
            self.catalog.database(database, Duration::ZERO),
        );
        let manifest = manifest?;
        let mark = manifest.value.low_water_mark;
        let listing = match listing {
            // Much of it may be flushed.
            Err(TailError::TooLong { .. }) if mark > above => {
                above = mark;
                self.tail.list(database, mark).await.map(Some)
            }
            listing => listing,
        };
        Ok(Answers {
            above,
            begun,
            listing: listing.map_err(|error| self.of_listing(error, &manifest))?,
            manifest,
            catalog: catalog?,
        })
    }

    /// The error of a query whose tail could not be listed.
    fn of_listing(&self, error: TailError, manifest: &Versioned<Manifest>) -> SnapshotError {
        match error {
            TailError::TooLong {
                segments, oldest, ..
            } => SnapshotError::TailTooLong {
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

    /// Makes a snapshot of the answers, with what else it needs, or tells why they make none.
    async fn fit(
        &self,
        database: DatabaseId,
        held: &Held,
        answers: Answers,
    ) -> Result<Result<Snapshot, Unfit>, SnapshotError> {
        let shown = match self.shown(&answers) {
            Ok(shown) => shown,
            Err(unfit) => return Ok(Err(unfit)),
        };
        let Answers {
            above,
            begun,
            listing,
            mut manifest,
            mut catalog,
        } = answers;
        if manifest.value.low_water_mark < above {
            held.forget();
            return Ok(Err(Unfit::MarkWentBack));
        }
        let tail = match listing {
            Some(listing) => {
                self.check_size(&listing, manifest.value.low_water_mark)?;
                let names = listing.names();
                match self.segments(database, held, &names, &mut manifest).await? {
                    Some(segments) => segments,
                    None => return Ok(Err(Unfit::SegmentGone)),
                }
            }
            None => match held.handed_above(manifest.value.low_water_mark) {
                Some(handed) => admitted(&manifest.value, handed.iter()),
                None => return Ok(Err(Unfit::InDoubt)),
            },
        };
        let needs = tail.iter().map(|segment| segment.needs_catalog()).max();
        let needs = needs.unwrap_or(0).max(manifest.value.needs_catalog);
        if catalog.version < needs {
            catalog = self.catalog.database(database, Duration::ZERO).await?;
        }
        if catalog.version < needs {
            return Ok(Err(Unfit::CatalogBehind));
        }
        Ok(Ok(Snapshot {
            database,
            catalog,
            manifest,
            tail,
            taken: begun,
            shown,
            as_of: None,
        }))
    }

    /// The earliest time of the answers, if they lie within the span that a snapshot may have.
    fn shown(&self, answers: &Answers) -> Result<StoreTime, Unfit> {
        let registers = answers.manifest.proven.zip(answers.catalog.proven);
        let (manifest, catalog) = registers.ok_or(Unfit::NoDate)?;
        let (mut first, mut last) = (manifest.min(catalog), manifest.max(catalog));
        if let Some(listing) = &answers.listing {
            let dates = listing.dates.ok_or(Unfit::NoDate)?;
            (first, last) = (first.min(dates.0), last.max(dates.1));
        }
        let span = last
            .since(first)
            .max(self.bucket.world().elapsed(&answers.begun));
        if span > self.rules.snapshot_span {
            return Err(Unfit::Span { span });
        }
        Ok(first)
    }

    /// Whether what was listed above the mark fits in memory, before anything is fetched.
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

    /// The listed segments above the mark. One that is gone makes it read the manifest again, which has
    /// taken the segment in; `None` if it has not.
    async fn segments(
        &self,
        database: DatabaseId,
        held: &Held,
        names: &[SegmentName],
        manifest: &mut Versioned<Manifest>,
    ) -> Result<Option<Arc<[Arc<Segment>]>>, SnapshotError> {
        let known = held.snapshot();
        let known = known.iter().flat_map(|snapshot| snapshot.tail.iter());
        let mut segments: Segments = known
            // A damaged one may have been mended.
            .filter(|segment| !segment.is_damaged())
            .map(|segment| (segment.name(), Arc::clone(segment)))
            .collect();
        for _ in 0..MAX_ATTEMPTS {
            let mark = manifest.value.low_water_mark;
            let is_wanted =
                |name: &&SegmentName| name.stamp > mark && !manifest.value.is_quarantined(**name);
            let above = || names.iter().filter(is_wanted);
            let unseen: Vec<_> = above()
                .filter(|name| !segments.contains_key(name))
                .copied()
                .collect();
            let fetched = self.tail.fetch(database, &unseen).await?;
            let fetched_segments = fetched.segments.into_iter();
            segments.extend(fetched_segments.map(|segment| (segment.name(), segment)));
            if fetched.missing.is_empty() {
                let tail = above().filter_map(|name| segments.get(name));
                return Ok(Some(admitted(&manifest.value, tail)));
            }
            *manifest = self.manifests.read(database, Some(manifest)).await?;
        }
        Ok(None)
    }
}

/// The segments without what a manifest has set aside.
fn admitted<'a>(
    manifest: &Manifest,
    segments: impl Iterator<Item = &'a Arc<Segment>>,
) -> Arc<[Arc<Segment>]> {
    segments
        .filter_map(|segment| manifest.admit(segment))
        .collect()
}

impl SegmentObserver for SnapshotReader {
    fn segment_put(&self, database: DatabaseId, segment: Arc<Segment>) {
        self.offer(database, segment);
    }

    fn put_unknown(&self, database: DatabaseId) {
        self.distrust(database);
    }
}
