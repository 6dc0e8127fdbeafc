//! Flush: the segments of the tail become one bundle of sections.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use neap_bucket::{
    Bucket, FormatError, Key, Moment, Put, PutMode, Rules, SegmentName, Stamp, StoreTime, Versioned,
};
use neap_catalog::{Catalog, DatabaseCatalog};
use neap_manifest::{
    DamageRecord, DamagedPart, DrawnObject, FlushCommit, FlushOutcome, GivenUp, JobKind, JobRecord,
    Manifest, ManifestStore,
};
use neap_schema::{DatabaseId, TableId};
use neap_wal::{
    ListedSegment, PressureLimits, Segment, SegmentError, TableRows, TailListing, TailReader,
    TailState,
};

use crate::{
    CompactError,
    bundle::{Bundle, bundle, deletes_of},
    caches::{CacheObjects, Kept, advance},
    damage::{DamagedObjects, readable},
    failed_flushes::FailedFlushes,
    publish::{listed_segments, publish_tail},
};

/// Maximum difference between the store's clock and the local clock. If it is larger, one clock is wrong; if that is
/// the store's, acknowledged writes could become void, so the flush gives up.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(5 * 60);

/// Limits of one flush.
#[derive(Clone, Copy, Debug)]
pub struct FlushLimits {
    /// Maximum bytes of segments, as stored. At least one segment is taken.
    pub segment_bytes: u64,
    /// Maximum number of segments.
    pub segments: usize,
    /// Maximum bytes of memory of the decoded rows of one table. At least one segment is taken. Tables are deduplicated
    /// one after the other; during that step the rows of a table take about three times as much memory.
    pub table_bytes: u64,
    /// Memory for cache objects of recent flushes, in bytes. A flush reads an object that is not in this memory.
    pub cached_bytes: u64,
    /// Trust the store's clock even if the local clock differs by more than five minutes.
    pub trust_store_clock: bool,
    /// Tail lengths at which writers are throttled and stopped.
    pub pressure: PressureLimits,
}

impl Default for FlushLimits {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            segments: 4_000,
            table_bytes: 256 << 20,
            cached_bytes: 64 << 20,
            trust_store_clock: false,
            pressure: PressureLimits::DEFAULT,
        }
    }
}

/// Reason why a flush did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GaveUp {
    /// No segment is old enough.
    #[error("there is nothing to flush")]
    NothingToFlush,
    /// Another process has flushed.
    #[error("somebody else has flushed")]
    Overtaken,
    /// The catalog is older than the segments require, as in a bucket that is being restored. A flush with it would
    /// lose their rows.
    #[error("the catalog has version {found}, and the segments need {needed}")]
    CatalogBehind {
        /// The version of the catalog.
        found: u64,
        /// The version that a segment requires.
        needed: u64,
    },
    /// The store's responses have no date.
    #[error("the store's answers have no date")]
    NoDate,
    /// The store's clock and the local clock differ too much.
    #[error(
        "the clocks of the store and of this machine differ by {} s: set the one that is wrong, or pass \
         --trust-store-clock if it is this machine's",
        .0.as_secs()
    )]
    Clocks(Duration),
    /// The bundle could not be stored.
    #[error("the bundle could not be stored")]
    NotStored,
    /// The oldest segment cannot be read. Flushes stop below it, because its contents are unknown.
    #[error("{0}; no flush passes it, see `neap fsck`")]
    Unreadable(SegmentError),
    /// The manifest has no room for more records of damaged segments.
    #[error("the manifest has no room for further damaged segments; the next one is '{0}'")]
    TooMuchDamage(Key),
    /// The flush took so long that its bundle may count as an orphan.
    #[error("it took too long")]
    TooOld,
    /// It is unknown whether the flush is in the manifest. If it is not, the next flush repeats it.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

/// Outcome of a flush.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flushed {
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
    Nothing(GaveUp),
}

impl Plan {
    /// Returns a plan for the first `count` segments, plus those with the same stamp as the last one, or `None` if that
    /// is all segments.
    fn truncated(&self, count: usize) -> Option<Self> {
        let last = self.names.get(count.max(1) - 1)?.stamp;
        let count = self.names.partition_point(|name| name.stamp <= last);
        (count < self.names.len()).then(|| Self {
            mark: self.mark,
            cut: last,
            names: self.names.iter().take(count).copied().collect(),
            more: true,
        })
    }

    /// Returns a plan for the segments below a stamp, or `None` if it would be empty.
    fn below(&self, stamp: Stamp) -> Option<Self> {
        let cut = Stamp::from_u64(stamp.as_u64().checked_sub(1)?);
        let count = self.names.partition_point(|name| name.stamp <= cut);
        (cut > self.mark && count > 0).then(|| Self {
            mark: self.mark,
            cut: self.cut.min(cut),
            names: self.names.iter().take(count).copied().collect(),
            more: true,
        })
    }

    /// Returns the damage records of segments up to the cut.
    fn passed(&self, damage: Vec<DamageRecord>) -> Vec<DamageRecord> {
        let is_passed = |record: &DamageRecord| match record.part {
            DamagedPart::Segment(name) => name.stamp <= self.cut,
            DamagedPart::Section(..) | DamagedPart::BundledSection(..) | DamagedPart::Page(..) => {
                false
            }
        };
        damage.into_iter().filter(is_passed).collect()
    }

    /// Limits the plan to segments whose rows have at most `limit` bytes for each table; at least one segment.
    fn within(self, limit: u64, catalog: &DatabaseCatalog, segments: &[Arc<Segment>]) -> Self {
        let mut tables: BTreeMap<TableId, u64> = BTreeMap::new();
        let fitting = segments.iter().take_while(|segment| {
            segment.tables().all(|rows| {
                let bytes = tables.entry(rows.table).or_default();
                *bytes = bytes.saturating_add(memory_of(&rows, catalog));
                *bytes <= limit
            })
        });
        let count = fitting.count();
        self.truncated(count).unwrap_or(self)
    }
}

/// Minimum bytes of memory of a column value, present or null.
const VALUE_BYTES: u64 = 8;

/// Returns the bytes of memory of rows in the schema of their table, including columns that the rows lack.
fn memory_of(rows: &TableRows, catalog: &DatabaseCatalog) -> u64 {
    let table = catalog.table_by_id(rows.table);
    let columns = table.map_or(0, |table| table.columns().len() as u64);
    let values = rows
        .rows
        .saturating_mul(columns)
        .saturating_mul(VALUE_BYTES);
    // Segments of earlier releases do not record their memory.
    rows.memory_bytes.unwrap_or_default().max(values)
}

/// Flushes databases.
#[derive(Clone, Debug)]
pub struct Flusher {
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    tail: TailReader,
    rules: Rules,
    limits: FlushLimits,
    caches: CacheObjects,
    damaged: Arc<DamagedObjects>,
    failed: FailedFlushes,
}

/// A plan, its readable segments without damaged streams (at least those that the plan takes), and the records of these
/// streams.
type Readable = (Plan, Vec<Arc<Segment>>, Vec<DamageRecord>);

/// Segments that a flush takes.
struct Plan {
    mark: Stamp,
    cut: Stamp,
    names: Vec<SegmentName>,
    more: bool,
}

impl Flusher {
    /// Creates a flusher for the databases of a bucket.
    pub fn new(
        bucket: Bucket,
        catalog: Arc<Catalog>,
        manifests: ManifestStore,
        tail: TailReader,
        rules: Rules,
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
    pub(crate) fn limited_to(&self, limits: FlushLimits) -> Self {
        Self {
            limits,
            ..self.clone()
        }
    }

    /// Returns the damaged objects that flushes have found, shared by all clones of this flusher.
    pub fn damaged_objects(&self) -> Arc<DamagedObjects> {
        Arc::clone(&self.damaged)
    }

    /// Moves the segments of a database that are old enough into the manifest, as many as the limits allow, and
    /// publishes the number of remaining segments for writers. A flush that cannot take them publishes that number if
    /// it changes the pressure on writers.
    pub async fn flush(&self, database: DatabaseId) -> Result<Flushed, CompactError> {
        let manifest = self.manifests.read(database, None).await?;
        self.flush_by(database, manifest).await
    }

    /// Like [`flush`](Self::flush), with a manifest that the caller has just read.
    pub(crate) async fn flush_by(
        &self,
        database: DatabaseId,
        manifest: Versioned<Manifest>,
    ) -> Result<Flushed, CompactError> {
        // Counts as failed even if the future is dropped because the time is over.
        let limits = self.failed.begin(database, &self.limits);
        let flushed = self.flush_within(database, manifest, &limits).await;
        let is_too_much = matches!(
            flushed,
            Err(_)
                | Ok(Flushed::Nothing(
                    GaveUp::NotStored | GaveUp::TooOld | GaveUp::Unknown(_)
                ))
        );
        if !is_too_much {
            self.failed.ended(database);
        }
        flushed
    }

    async fn flush_within(
        &self,
        database: DatabaseId,
        manifest: Versioned<Manifest>,
        limits: &FlushLimits,
    ) -> Result<Flushed, CompactError> {
        let begun = self.bucket.world().moment();
        let mark = manifest.value.low_water_mark;
        self.damaged.note_manifest(database, &manifest.value);
        let number = listed_segments(limits.segments, &limits.pressure);
        let listing = self.tail.list_oldest(database, mark, number).await?;
        let base = manifest.clone();
        let flushed = self
            .flush_listed(database, begun, base, &listing, limits)
            .await;
        match flushed {
            Ok(Flushed::Done { .. } | Flushed::Nothing(GaveUp::Overtaken | GaveUp::Unknown(_))) => {
            }
            Ok(Flushed::Nothing(_)) | Err(_) => {
                let limits = &limits.pressure;
                publish_tail(&self.manifests, limits, database, manifest, &listing).await;
            }
        }
        flushed
    }

    async fn flush_listed(
        &self,
        database: DatabaseId,
        begun: Moment,
        manifest: Versioned<Manifest>,
        listing: &TailListing,
        limits: &FlushLimits,
    ) -> Result<Flushed, CompactError> {
        let mark = manifest.value.low_water_mark;
        let plan = match self.plan(mark, listing, limits) {
            Ok(plan) => plan,
            Err(reason) => return Ok(Flushed::Nothing(reason)),
        };
        let (plan, segments, damage) = match self.fetch(database, &manifest.value, plan).await? {
            Ok(fetched) => fetched,
            Err(reason) => return Ok(Flushed::Nothing(reason)),
        };
        let needs = segments.iter().map(|segment| segment.needs_catalog()).max();
        let needs_catalog = needs.unwrap_or(0);
        let value = &manifest.value;
        let wanted = match value.caches.is_empty() {
            true => needs_catalog,
            false => needs_catalog.max(value.needs_catalog),
        };
        let catalog = self.catalog_of(database, wanted).await?;
        if catalog.version < needs_catalog {
            return Ok(Flushed::Nothing(GaveUp::CatalogBehind {
                found: catalog.version,
                needed: needs_catalog,
            }));
        }
        let Some(object) = DrawnObject::draw(&self.bucket) else {
            return Ok(Flushed::Nothing(GaveUp::NoDate));
        };
        let job = object.ulid;
        let tables = tables_of(&segments);
        let kept = Kept::of(value, &catalog, &tables, object.drawn);
        let catalog = catalog.value.as_ref();
        let plan = plan.within(limits.table_bytes, catalog, &segments);
        let (plan, bundle) = fitting_bundle(catalog, &segments, object, plan, &kept)?;
        let Bundle {
            bytes: bundle,
            sections,
            interval,
        } = bundle;
        let (rows, bytes) = (
            sections.iter().map(|section| section.rows).sum(),
            bundle.len() as u64,
        );
        let done = Flushed::Done {
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
            return Ok(Flushed::Nothing(GaveUp::NotStored));
        }
        let commit = FlushCommit {
            read_mark: plan.mark,
            cut: plan.cut,
            job: JobRecord {
                id: job,
                kind: JobKind::Flush,
                table: None,
                inputs: u32::try_from(plan.names.len()).unwrap_or(u32::MAX),
                outputs: u32::try_from(sections.len()).unwrap_or(u32::MAX),
                rows,
                bytes_in: taken
                    .clone()
                    .map(|segment| segment.size_bytes() as u64)
                    .sum(),
                bytes_out: bytes,
                duration_ms: millis(self.bucket.world().elapsed(&begun)),
                finished: self.bucket.clock().now().unwrap_or_default(),
                version: 0,
            },
            sections,
            needs_catalog,
            object,
            deletes,
            caches,
            gone_caches,
            tail: listing.state_above(plan.cut),
            damage: plan.passed(damage),
        };
        Ok(
            match self
                .manifests
                .commit_flush(database, manifest, commit)
                .await?
            {
                FlushOutcome::Committed(current) => {
                    self.damaged.note_manifest(database, &current.value);
                    done
                }
                FlushOutcome::GivenUp(reason) => Flushed::Nothing(reason.into()),
                FlushOutcome::Unknown { reason } => Flushed::Nothing(GaveUp::Unknown(reason)),
            },
        )
    }

    /// Reads the segments of a plan and removes damaged streams, with a damage record for each. A plan ends below a
    /// segment that cannot be read at all.
    async fn fetch(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        mut plan: Plan,
    ) -> Result<Result<Readable, GaveUp>, CompactError> {
        plan.names.retain(|name| !manifest.is_quarantined(*name));
        let fetched = self.tail.fetch_readable(database, &plan.names).await?;
        if !fetched.missing.is_empty() {
            return Ok(Err(GaveUp::Overtaken));
        }
        let unreadable = fetched.unreadable.into_iter().next();
        if unreadable.is_none() {
            self.damaged.note_flush(database, None);
        }
        if let Some((name, error)) = unreadable {
            tracing::error!(%database, %error, "the flush stops below a segment that can't be read");
            let key = Key::Segment(database, name).to_string();
            self.damaged
                .note_flush(database, is_damage(&error).then_some(key));
            plan = match plan.below(name.stamp) {
                Some(plan) => plan,
                None => return Ok(Err(GaveUp::Unreadable(error))),
            };
        }
        let (segments, damage) = readable(manifest, &fetched.segments);
        let damage = plan.passed(damage);
        if let Some(record) = damage.get(manifest.room_for_damage()) {
            let key = record.key(database);
            let place = plan
                .names
                .iter()
                .find(|name| Key::Segment(database, **name) == key);
            plan = match place.and_then(|name| plan.below(name.stamp)) {
                Some(plan) => plan,
                None => return Ok(Err(GaveUp::TooMuchDamage(key))),
            };
        }
        Ok(Ok((plan, segments, damage)))
    }

    /// Puts the bundle, unless it is empty. Returns whether it is stored.
    async fn put_bundle(&self, key: Option<Key>, bundle: Vec<u8>) -> Result<bool, CompactError> {
        let Some(key) = key else {
            return Ok(true);
        };
        let put = self
            .bucket
            .put(&key, Bytes::from(bundle), PutMode::Overwrite);
        Ok(put.await?.value != Put::Refused)
    }

    /// Selects the segments to take (rule F). If only the oldest segments of a tail are listed, the cut is below the
    /// first unlisted segment.
    fn plan(
        &self,
        mark: Stamp,
        listing: &TailListing,
        limits: &FlushLimits,
    ) -> Result<Plan, GaveUp> {
        let date = listing.first_page_date.ok_or(GaveUp::NoDate)?;
        let wall = StoreTime::from_micros(self.bucket.world().clock.wall_micros());
        let difference = date.distance(wall);
        if difference > CLOCK_DIFFERENCE && !self.limits.trust_store_clock {
            return Err(GaveUp::Clocks(difference));
        }
        let cut = Stamp::end_of(date.minus(self.rules.flush_lag));
        if cut <= mark {
            return Err(GaveUp::NothingToFlush);
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
            let tied = names
                .last()
                .is_some_and(|last| last.stamp == segment.name.stamp);
            if full && !names.is_empty() && !tied {
                break;
            }
            names.push(segment.name);
        }
        let more = names.len() < due.len() || !is_listed(cut);
        let cut = match names.last() {
            None => return Err(GaveUp::NothingToFlush),
            Some(last) if more => last.stamp,
            Some(_) => cut,
        };
        Ok(Plan {
            mark,
            cut,
            names,
            more,
        })
    }

    async fn catalog_of(
        &self,
        database: DatabaseId,
        version: u64,
    ) -> Result<Versioned<DatabaseCatalog>, CompactError> {
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

impl From<GivenUp> for GaveUp {
    fn from(reason: GivenUp) -> Self {
        match reason {
            GivenUp::NothingToFlush => Self::NothingToFlush,
            GivenUp::MarkMoved { .. } => Self::Overtaken,
            GivenUp::ObjectTooOld => Self::TooOld,
        }
    }
}

/// Builds the bundle of a plan, or of a part of it if its rows exceed a limit of Arrow or Parquet, such as 2 GiB of
/// text in one column.
fn fitting_bundle(
    catalog: &DatabaseCatalog,
    segments: &[Arc<Segment>],
    object: DrawnObject,
    mut plan: Plan,
    kept: &Kept,
) -> Result<(Plan, Bundle), CompactError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(stamps: &[u64]) -> Plan {
        let name = |stamp: &u64| SegmentName {
            stamp: Stamp::from_u64(*stamp),
            nonce: 0,
        };
        Plan {
            mark: Stamp::ZERO,
            cut: Stamp::from_u64(1_000),
            names: stamps.iter().map(name).collect(),
            more: false,
        }
    }

    #[test]
    fn a_part_of_a_plan_cuts_at_its_last_segment_and_never_between_equal_stamps() {
        let part = plan(&[1, 2, 2, 3]).truncated(2).unwrap();
        assert_eq!(
            (part.names.len(), part.cut.as_u64(), part.more),
            (3, 2, true)
        );
        let part = plan(&[1, 2, 2, 3]).truncated(0).unwrap();
        assert_eq!((part.names.len(), part.cut.as_u64()), (1, 1));
    }

    #[test]
    fn a_part_that_would_be_all_is_none() {
        assert!(plan(&[1, 2]).truncated(2).is_none());
        assert!(plan(&[7, 7]).truncated(1).is_none());
    }
}
