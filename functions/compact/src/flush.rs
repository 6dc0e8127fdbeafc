//! Flush: the segments of the tail become one bundle of sections.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{
    Bucket, ClockDoubt, ClockReading, FormatError, Key, ProtocolRules, Put, PutMode, SegmentName,
    Stamp, VersionedValue,
};
use neap_catalog::{Catalog, DatabaseCatalog};
use neap_manifest::{
    CommitAbandoned, DamageRecord, FlushCommit, FlushOutcome, JobKind, JobRecord, Manifest,
    ManifestStore, PendingObject,
};
use neap_schema::{DatabaseId, TableId};
use neap_wal::{
    ImportProgress, ListedSegment, Segment, SegmentError, TailListing, TailReader, TailState,
};

use crate::{
    CompactError,
    backpressure::{listing_limit, publish_tail},
    bundle::{Bundle, bundle, deletes_of},
    caches::{CacheObjects, MaterializedCaches, advance},
    damage::{DamagedObjects, readable},
    failed_flushes::FailedFlushes,
    flush_limits::FlushLimits,
    flush_plan::FlushPlan,
};

/// Reason why a flush did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum FlushSkipped {
    /// No segment is old enough.
    #[error("there is nothing to flush")]
    NothingToFlush,
    #[error("another process has flushed these segments")]
    Overtaken,
    /// The catalog is older than the segments require, as in a bucket that is being restored. A flush with it would
    /// lose their rows.
    #[error("the catalog has version {found}, but the segments require version {needed}")]
    CatalogOutdated {
        /// The version of the catalog.
        found: u64,
        /// The version that a segment requires.
        needed: u64,
    },
    /// The store's clock may be wrong.
    #[error(transparent)]
    Clock(#[from] ClockDoubt),
    #[error("the bundle could not be stored")]
    NotStored,
    /// The oldest segment cannot be read. Flushes stop below it, because its contents are unknown.
    #[error("{0}; flushes stop at this segment, see `neap fsck`")]
    Unreadable(SegmentError),
    #[error("the manifest cannot record more damaged segments; the next one is '{0}'")]
    TooMuchDamage(Key),
    #[error("the flush took too long: its bundle may count as an orphan")]
    TooSlow,
    /// It is unknown whether the flush is in the manifest. If it is not, the next flush repeats it.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

/// Outcome of a flush.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlushResult {
    /// The segments were converted to sections.
    Done {
        /// Number of segments taken.
        segments: usize,
        /// Number of rows in all sections.
        rows: u64,
        /// The number of sections.
        sections: usize,
        /// The size of the bundle.
        bytes: u64,
        /// Whether the limits left segments that are old enough.
        more: bool,
        /// The new low-water mark.
        mark: Stamp,
        /// The remaining tail above the mark, if the store's responses have dates.
        tail: Option<TailState>,
    },
    /// Nothing was changed.
    Skipped(FlushSkipped),
}

/// Flushes databases.
#[derive(Clone, Debug)]
pub struct Flusher {
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    tail: TailReader,
    rules: ProtocolRules,
    limits: FlushLimits,
    caches: CacheObjects,
    damaged: Arc<DamagedObjects>,
    failed: FailedFlushes,
}

/// A plan, its readable segments without damaged streams (at least those that the plan takes), and the records of these
/// streams.
type ReadableSegments = (FlushPlan, Vec<Arc<Segment>>, Vec<DamageRecord>);

impl Flusher {
    /// Creates a flusher for the databases of a bucket.
    pub fn new(
        bucket: Bucket,
        catalog: Arc<Catalog>,
        manifests: ManifestStore,
        tail: TailReader,
        rules: ProtocolRules,
        limits: FlushLimits,
    ) -> Self {
        Self {
            caches: CacheObjects::new(bucket.clone(), limits.cached_bytes),
            damaged: Arc::default(),
            failed: FailedFlushes::default(),
            bucket,
            catalog,
            manifests,
            tail,
            rules,
            limits,
        }
    }

    /// Limits of one flush.
    pub(crate) fn limits(&self) -> &FlushLimits {
        &self.limits
    }

    /// Returns the same flusher with other limits.
    pub(crate) fn with_limits(&self, limits: FlushLimits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// Returns the damaged objects that flushes have found, shared by all clones of this flusher.
    pub fn damaged_objects(&self) -> Arc<DamagedObjects> {
        Arc::clone(&self.damaged)
    }

    /// Moves the segments of a database that are old enough into the manifest, as many as the limits allow, and
    /// publishes the number of remaining segments for writers. A flush that cannot take them publishes that number if
    /// it changes the pressure on writers.
    pub async fn flush(&self, database: DatabaseId) -> Result<FlushResult, CompactError> {
        let manifest = self.manifests.read(database, None).await?;
        self.flush_from(database, manifest).await
    }

    /// Like [`flush`](Self::flush), with a manifest that the caller has just read.
    pub(crate) async fn flush_from(
        &self,
        database: DatabaseId,
        manifest: VersionedValue<Manifest>,
    ) -> Result<FlushResult, CompactError> {
        // Counts as failed even if the future is dropped because the time is over.
        let limits = self.failed.begin(database, &self.limits);
        let flushed = self.flush_within(database, manifest, &limits).await;
        let is_too_much = matches!(
            flushed,
            Err(_)
                | Ok(FlushResult::Skipped(
                    FlushSkipped::NotStored | FlushSkipped::TooSlow | FlushSkipped::Unknown(_)
                ))
        );
        if !is_too_much {
            self.failed.clear(database);
        }
        flushed
    }

    async fn flush_within(
        &self,
        database: DatabaseId,
        manifest: VersionedValue<Manifest>,
        limits: &FlushLimits,
    ) -> Result<FlushResult, CompactError> {
        let started_at = self.bucket.world().clock_reading();
        let mark = manifest.value.low_water_mark;
        self.damaged.record_manifest(database, &manifest.value);
        let number = listing_limit(limits.segments, &limits.pressure);
        self.catalog.verify_tail().await?;
        let listing = self.tail.list_oldest(database, mark, number).await?;
        let base = manifest.clone();
        let flushed = self.flush_listed(database, started_at, base, &listing, limits).await;
        match flushed {
            Ok(
                FlushResult::Done { .. }
                | FlushResult::Skipped(FlushSkipped::Overtaken | FlushSkipped::Unknown(_)),
            ) => {}
            Ok(FlushResult::Skipped(_)) | Err(_) => {
                let limits = &limits.pressure;
                let parts = (&self.manifests, self.catalog.as_ref());
                publish_tail(parts, limits, database, manifest, &listing).await;
            }
        }
        flushed
    }

    async fn flush_listed(
        &self,
        database: DatabaseId,
        started_at: ClockReading,
        manifest: VersionedValue<Manifest>,
        listing: &TailListing,
        limits: &FlushLimits,
    ) -> Result<FlushResult, CompactError> {
        let mark = manifest.value.low_water_mark;
        let plan = match self.plan(mark, listing, limits) {
            Ok(plan) => plan,
            Err(reason) => return Ok(FlushResult::Skipped(reason)),
        };
        let (plan, segments, damage) = match self.fetch(database, &manifest.value, plan).await? {
            Ok(fetched) => fetched,
            Err(reason) => return Ok(FlushResult::Skipped(reason)),
        };
        let needs = segments.iter().map(|segment| segment.needs_catalog()).max();
        let needs_catalog = needs.unwrap_or(0);
        let value = &manifest.value;
        let wanted = if value.caches.is_empty() {
            needs_catalog
        } else {
            needs_catalog.max(value.needs_catalog)
        };
        let is_first = manifest.version == 0;
        if is_first && self.has_manifest(database, &manifest).await? {
            return Ok(FlushResult::Skipped(FlushSkipped::Overtaken));
        }
        let catalog = self.catalog_of(database, wanted).await?;
        if catalog.version < needs_catalog {
            return Ok(FlushResult::Skipped(FlushSkipped::CatalogOutdated {
                found: catalog.version,
                needed: needs_catalog,
            }));
        }
        let Some(object) = PendingObject::draw(&self.bucket) else {
            return Ok(FlushResult::Skipped(ClockDoubt::NoDate.into()));
        };
        let job = object.ulid;
        let tables = tables_of(&segments);
        let kept = MaterializedCaches::new(value, &catalog, &tables, object.drawn);
        let catalog = catalog.value.as_ref();
        let plan = plan.within(limits.table_bytes, catalog, &segments);
        let (plan, bundle) = fitting_bundle(catalog, &segments, object, plan, &kept)?;
        let Bundle { bytes: bundle, sections, interval } = bundle;
        let (rows, bytes) =
            (sections.iter().map(|section| section.rows).sum(), bundle.len() as u64);
        let done = FlushResult::Done {
            segments: plan.names.len(),
            rows,
            sections: sections.len(),
            bytes,
            more: plan.more,
            mark: plan.cut,
            tail: listing.state_above(plan.cut),
        };
        let taken = segments.iter().take(plan.names.len());
        let deletes = deletes_of(taken.clone());
        let gone_caches = kept.gone.clone();
        let caches = advance(&self.caches, database, kept, interval, &deletes, object);
        let object = (!sections.is_empty()).then_some(object);
        let key = sections.first().map(|section| section.key(database));
        let put = self.put_bundle(key, bundle);
        let (put, caches) = futures::join!(put, caches);
        if !put? {
            return Ok(FlushResult::Skipped(FlushSkipped::NotStored));
        }
        let finished = self.bucket.clock().now().unwrap_or_default();
        let commit = FlushCommit {
            read_mark: plan.mark,
            cut: plan.cut,
            job: JobRecord {
                inputs: u32::try_from(plan.names.len()).unwrap_or(u32::MAX),
                outputs: u32::try_from(sections.len()).unwrap_or(u32::MAX),
                rows,
                bytes_in: taken.clone().map(|segment| segment.size_bytes() as u64).sum(),
                bytes_out: bytes,
                duration_ms: millis(self.bucket.world().elapsed(&started_at)),
                ..JobRecord::new(job, JobKind::Flush, finished)
            },
            sections,
            needs_catalog,
            object,
            deletes,
            imports: imports_of(taken.clone()),
            caches,
            gone_caches,
            tail: listing.state_above(plan.cut),
            damage: plan.passed(damage),
        };
        Ok(match self.manifests.commit_flush(database, manifest, commit).await? {
            FlushOutcome::Committed(current) => {
                if is_first {
                    self.record_manifest(database).await;
                }
                self.damaged.record_manifest(database, &current.value);
                self.tail.evict(database, plan.names.iter().copied());
                done
            }
            FlushOutcome::GivenUp(reason) => FlushResult::Skipped(reason.into()),
            FlushOutcome::Unknown { reason } => FlushResult::Skipped(FlushSkipped::Unknown(reason)),
        })
    }

    /// Returns whether a manifest that was absent has been committed since.
    /// Fails if it is lost, or a register can't be read.
    async fn has_manifest(
        &self,
        database: DatabaseId,
        absent: &VersionedValue<Manifest>,
    ) -> Result<bool, CompactError> {
        let register = self.manifests.register(database);
        let current = self.catalog.verify_absence(&register, absent.clone()).await?;
        Ok(current.version > 0)
    }

    /// Records in the catalog that the database has a manifest. If that fails, the next plan does it.
    async fn record_manifest(&self, database: DatabaseId) {
        let recorded = self.catalog.record_register(&Key::Manifest(database)).await;
        if let Err(error) = recorded {
            tracing::warn!(%database, %error, "the catalog does not record the manifest yet");
        }
    }

    /// Reads the segments of a plan and removes damaged streams, with a damage record for each. A plan ends below a
    /// segment that cannot be read at all.
    async fn fetch(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        mut plan: FlushPlan,
    ) -> Result<Result<ReadableSegments, FlushSkipped>, CompactError> {
        plan.names.retain(|name| !manifest.is_quarantined(*name));
        let fetched = self.tail.fetch_readable(database, &plan.names).await?;
        if !fetched.missing.is_empty() {
            return Ok(Err(FlushSkipped::Overtaken));
        }
        let unreadable = fetched.unreadable.into_iter().next();
        if unreadable.is_none() {
            self.damaged.record_flush(database, None);
        }
        if let Some((name, error)) = unreadable {
            tracing::error!(%database, %error, "flush stopped below an unreadable segment");
            let key = Key::Segment(database, name).to_string();
            self.damaged.record_flush(database, is_damage(&error).then_some(key));
            plan = match plan.below(name.stamp) {
                Some(plan) => plan,
                None => return Ok(Err(FlushSkipped::Unreadable(error))),
            };
        }
        let (segments, damage) = readable(manifest, &fetched.segments);
        let damage = plan.passed(damage);
        if let Some(record) = damage.get(manifest.room_for_damage()) {
            let key = record.key(database);
            let place = plan.names.iter().find(|name| Key::Segment(database, **name) == key);
            plan = match place.and_then(|name| plan.below(name.stamp)) {
                Some(plan) => plan,
                None => return Ok(Err(FlushSkipped::TooMuchDamage(key))),
            };
        }
        Ok(Ok((plan, segments, damage)))
    }

    /// Puts the bundle, unless it is empty. Returns whether it is stored.
    async fn put_bundle(&self, key: Option<Key>, bundle: Vec<u8>) -> Result<bool, CompactError> {
        let Some(key) = key else {
            return Ok(true);
        };
        let put = self.bucket.put(&key, Bytes::from(bundle), PutMode::Overwrite);
        Ok(put.await?.value != Put::Refused)
    }

    /// Selects the segments to take (rule F). If only the oldest segments of a tail are listed, the cut is below the
    /// first unlisted segment.
    fn plan(
        &self,
        mark: Stamp,
        listing: &TailListing,
        limits: &FlushLimits,
    ) -> Result<FlushPlan, FlushSkipped> {
        let date = listing.first_page_date.ok_or(ClockDoubt::NoDate)?;
        self.bucket.check_clocks(date)?;
        let cut = Stamp::end_of(date.minus(self.rules.flush_lag));
        if cut <= mark {
            return Err(FlushSkipped::NothingToFlush);
        }
        let is_listed = |stamp: Stamp| listing.beyond.is_none_or(|beyond| stamp < beyond);
        let due: Vec<&ListedSegment> = listing
            .segments
            .iter()
            .filter(|segment| segment.name.stamp <= cut && is_listed(segment.name.stamp))
            .collect();
        let mut bytes = 0;
        let mut names: Vec<SegmentName> = Vec::new();
        for segment in &due {
            bytes += segment.size_bytes;
            let full = names.len() >= limits.segments || bytes > limits.segment_bytes;
            // A mark never separates equal stamps.
            let tied = names.last().is_some_and(|last| last.stamp == segment.name.stamp);
            if full && !names.is_empty() && !tied {
                break;
            }
            names.push(segment.name);
        }
        let more = names.len() < due.len() || !is_listed(cut);
        let cut = match names.last() {
            None => return Err(FlushSkipped::NothingToFlush),
            Some(last) if more => last.stamp,
            Some(_) => cut,
        };
        Ok(FlushPlan { mark, cut, names, more })
    }

    async fn catalog_of(
        &self,
        database: DatabaseId,
        version: u64,
    ) -> Result<VersionedValue<DatabaseCatalog>, CompactError> {
        let known = self.catalog.known_database(database);
        match known.filter(|known| known.version >= version) {
            Some(known) => Ok(known),
            None => Ok(self.catalog.database(database, Duration::ZERO).await?),
        }
    }
}

/// Returns whether a segment cannot be read because its bytes are not those that were written.
fn is_damage(error: &SegmentError) -> bool {
    match error {
        SegmentError::Format(error) => !matches!(error, FormatError::Newer { .. }),
        SegmentError::Rows { .. } => true,
    }
}

/// Returns the progress of import jobs in segments, with their stamps.
fn imports_of<'a>(
    segments: impl Iterator<Item = &'a Arc<Segment>>,
) -> Vec<(Stamp, ImportProgress)> {
    let imports = segments.flat_map(|segment| {
        let stamp = segment.name().stamp;
        let progress = segment.progress().iter();
        progress.map(move |progress| (stamp, *progress))
    });
    imports.collect()
}

/// Returns the tables with rows or deletes in segments.
fn tables_of(segments: &[Arc<Segment>]) -> BTreeSet<TableId> {
    let written = segments.iter().flat_map(|segment| segment.tables());
    let deletes = segments.iter().flat_map(|segment| segment.deletes());
    let deleted = deletes.map(|delete| delete.table);
    written.map(|rows| rows.table).chain(deleted).collect()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<CommitAbandoned> for FlushSkipped {
    fn from(reason: CommitAbandoned) -> Self {
        match reason {
            CommitAbandoned::NothingToFlush => Self::NothingToFlush,
            CommitAbandoned::MarkMoved { .. } => Self::Overtaken,
            CommitAbandoned::ObjectTooOld => Self::TooSlow,
        }
    }
}

/// Builds the bundle of a plan, or of a part of it if its rows exceed a limit of Arrow or Parquet, such as 2 GiB of
/// text in one column.
fn fitting_bundle(
    catalog: &DatabaseCatalog,
    segments: &[Arc<Segment>],
    object: PendingObject,
    mut plan: FlushPlan,
    kept: &MaterializedCaches,
) -> Result<(FlushPlan, Bundle), CompactError> {
    loop {
        let taken = segments.get(..plan.names.len()).unwrap_or(segments);
        match bundle(catalog, taken, object, (plan.mark, plan.cut), kept) {
            Ok(bundle) => return Ok((plan, bundle)),
            Err(error @ (CompactError::Points(_) | CompactError::Encode { .. })) => {
                plan = plan.truncated(plan.names.len() / 2).ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    }
}
