//! Checks the tail of a database: the segments that no flush has merged into sections yet.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Bucket, HEADER_BYTES, Key, SegmentName, Stamp, StoreTime};
use neap_catalog::DatabaseCatalog;
use neap_manifest::{LostRows, Manifest};
use neap_schema::DatabaseId;
use neap_wal::{Backpressure, BackpressureLimits, Segment, TableSummary};

use crate::{
    Finding, FindingKind, FsckError, messages,
    recorded_damage::lost_text,
    references::table_name,
    store::{fetch, list},
};

/// Maximum time by which a stamp may be ahead of the store's clock, because the clocks of the store's hosts differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Maximum age of a segment while flushes work.
const MAX_UNFLUSHED_AGE: Duration = Duration::from_secs(60 * 60);

/// Number of segments that are read concurrently.
const CONCURRENT_SEGMENTS: usize = 8;

/// The manifest and catalog against which segments are checked.
pub(crate) struct SegmentChecker<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) catalog: &'a DatabaseCatalog,
    pub(crate) catalog_version: u64,
    /// Whether rows are decoded, in addition to verifying checksums.
    pub(crate) full: bool,
}

/// The segments of a database in the bucket.
#[derive(Debug, Default)]
pub(crate) struct TailInventory {
    /// The segments above the low-water mark, with their bytes.
    pub(crate) segments: Vec<(SegmentName, u64)>,
    pub(crate) bytes: u64,
}

pub(crate) async fn inventory(
    bucket: &Bucket,
    database: DatabaseId,
    mark: Stamp,
) -> Result<TailInventory, FsckError> {
    let mut inventory = TailInventory::default();
    list(bucket, &Key::tail_prefix(database), |entry| {
        if let Ok(Key::Segment(of, name)) = entry.key.parse()
            && of == database
            && name.stamp > mark
        {
            inventory.segments.push((name, entry.size_bytes));
            inventory.bytes += entry.size_bytes;
        }
    })
    .await?;
    inventory.segments.sort_unstable();
    Ok(inventory)
}

impl TailInventory {
    /// Returns the findings that follow from the listing alone.
    pub(crate) fn findings(&self, database: DatabaseId, now: Option<StoreTime>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, size_bytes) in &self.segments {
            let key = Key::Segment(database, *name);
            if *size_bytes <= HEADER_BYTES as u64 {
                let message = format!("it has only {size_bytes} bytes");
                findings.push(Finding::error(FindingKind::Truncated, message).at(&key));
            }
            let limit = now.map(|now| now.plus(CLOCK_SKEW));
            if limit.is_some_and(|limit| name.stamp.time() > limit) {
                let message = "its stamp is ahead of the store's clock: no flush merges it until the clock reaches it";
                findings.push(Finding::warning(FindingKind::ClockAhead, message).at(&key));
            }
        }
        findings.extend(now.and_then(|now| self.backlog(database, now)));
        findings
    }

    /// Returns a finding if the tail is so long that writers are delayed, or older than it gets while flushes work.
    fn backlog(&self, database: DatabaseId, now: StoreTime) -> Option<Finding> {
        let (oldest, _) = self.segments.first()?;
        let (segments, age) = (self.segments.len() as u64, now.since(oldest.stamp.time()));
        let limits = BackpressureLimits::DEFAULT;
        let consequence = match limits.pressure_of(segments) {
            Backpressure::None if age <= MAX_UNFLUSHED_AGE => return None,
            Backpressure::None => "check why flushes fail, or run `neap compact`",
            Backpressure::Slow => "its writers slow down until flushes have caught up",
            Backpressure::Stop => "its writers refuse writes until flushes have caught up",
        };
        let message = format!(
            "{segments} segments are not flushed, the oldest for {} minutes: {consequence}",
            age.as_secs() / 60
        );
        let finding = Finding::warning(FindingKind::NotFlushed, message);
        Some(finding.at(Key::tail_prefix(database)))
    }

    /// Removes segments from the inventory.
    pub(crate) fn exclude(&mut self, is_out: impl Fn(SegmentName) -> bool) {
        self.segments.retain(|(name, _)| !is_out(*name));
        self.bytes = self.segments.iter().map(|(_, bytes)| bytes).sum();
    }

    /// Reads all segments. Also returns those that have disappeared since the listing: a flush may have merged them.
    pub(crate) async fn read(
        &self,
        bucket: &Bucket,
        database: DatabaseId,
        known: &SegmentChecker<'_>,
        read: &(dyn Fn(u64) + Sync),
    ) -> Result<(Vec<Finding>, BTreeSet<SegmentName>), FsckError> {
        // Segments that are too short are reported from the listing.
        let whole = |(_, size_bytes): &&(SegmentName, u64)| *size_bytes > HEADER_BYTES as u64;
        let outcomes: Vec<_> = stream::iter(self.segments.iter().filter(whole))
            .map(|(name, size_bytes)| async move {
                let key = Key::Segment(database, *name);
                let object = fetch(bucket, &key, None).await?;
                read(*size_bytes);
                Ok::<_, FsckError>((*name, object))
            })
            .buffered(CONCURRENT_SEGMENTS)
            .map_ok(|(name, object)| match object {
                None => (Vec::new(), Some(name)),
                Some(object) => match Segment::decode(database, name, object.clone()) {
                    Ok(segment) => (known.check(segment), None),
                    Err(error) => {
                        let mut finding = messages::of_segment(&error);
                        let claimed = Segment::unverified_tables(&object);
                        if messages::is_damage(&finding) && !claimed.is_empty() {
                            let lost = lost_text(&lost_rows(claimed), known.catalog);
                            finding.message +=
                                &format!("; according to its damaged header it held {lost}");
                        }
                        (vec![finding], None)
                    }
                },
            })
            .try_collect()
            .await?;
        let mut findings = Vec::new();
        let mut gone = BTreeSet::new();
        for (found, name) in outcomes {
            findings.extend(found);
            gone.extend(name);
        }
        Ok((findings, gone))
    }
}

fn lost_rows(tables: Vec<TableSummary>) -> Vec<LostRows> {
    tables.into_iter().map(LostRows::from).collect()
}

impl SegmentChecker<'_> {
    /// Returns the findings about a segment, without its quarantined rows.
    fn check(&self, segment: Segment) -> Vec<Finding> {
        let segment = Arc::new(segment);
        let Some(segment) = self.manifest.admit(&segment) else {
            return Vec::new();
        };
        let key = Key::Segment(segment.database(), segment.name());
        let damaged = lost_rows(segment.damaged_rows());
        let mut findings: Vec<_> = damaged
            .iter()
            .map(|rows| {
                let lost = lost_text(std::slice::from_ref(rows), self.catalog);
                let message = format!("{lost} can't be read: their checksum does not match");
                let name = table_name(self.catalog, rows.table);
                Finding::error(FindingKind::Damaged, message).at(&key).of_table(name)
            })
            .collect();
        if self.full {
            let streams = segment.damaged_streams().map(|entry| entry.offset);
            let rest = segment.without_streams(&streams.collect::<Vec<_>>());
            findings.extend(of_segment(&rest, (self.catalog, self.catalog_version)));
        }
        findings
    }
}

/// Returns the findings about the content of a segment.
fn of_segment(segment: &Segment, (catalog, version): (&DatabaseCatalog, u64)) -> Vec<Finding> {
    let key = Key::Segment(segment.database(), segment.name());
    let mut findings = Vec::new();
    if segment.needs_catalog() > version {
        let needed = segment.needs_catalog();
        let message =
            format!("it needs version {needed} of the catalog, which has version {version}");
        findings.push(Finding::error(FindingKind::CatalogBehind, message).at(&key));
        return findings;
    }
    for rows in segment.tables() {
        let name = table_name(catalog, rows.table);
        let mut found = |kind, message: String| {
            findings.push(Finding::error(kind, message).at(&key).of_table(&name));
        };
        let Some(table) = catalog.table_by_id(rows.table) else {
            found(
                FindingKind::UnknownTable,
                format!("it has rows of table {}, which the catalog lacks", rows.table),
            );
            continue;
        };
        let batches = match segment.rows(rows.table) {
            Ok(batches) => batches,
            Err(error) => {
                findings.push(messages::of_segment(&error).of_table(&name));
                continue;
            }
        };
        let (stored, mut strange) = (table.stored(), BTreeSet::new());
        for field in batches.iter().flat_map(|batch| batch.schema_ref().fields()) {
            let column = stored.column(field.name());
            let fits = |column: &neap_catalog::Column| column.stores(field.data_type());
            let is_known = column.is_some_and(fits) || stored.is_dropped_name(field.name());
            if !is_known && strange.insert(field.name().clone()) {
                let message = format!(
                    "its column '{}' is {}, which the catalog lacks",
                    field.name(),
                    field.data_type()
                );
                found(FindingKind::UnknownColumn, message);
            }
        }
    }
    for delete in segment.deletes() {
        if catalog.table_by_id(delete.table).is_none() {
            let message =
                format!("it deletes rows of table {}, which the catalog lacks", delete.table);
            findings.push(Finding::error(FindingKind::UnknownTable, message).at(&key));
        }
    }
    findings
}
