//! Maintenance of every database: deletes garbage, removes dropped databases, and plans merges.

use std::time::Duration;

use futures::{StreamExt, stream};
use neap_bucket::{Key, Stamp, StoreTime};
use neap_catalog::ANY_AGE;
use neap_schema::DatabaseId;

use super::Compactor;
use crate::{
    CompactError, CompactionReport, PlanScope, time_limit::TimeLimit, visit_order::rotation_start,
};

/// Number of manifest pages for one slot. A database with enough pages for all slots is processed alone, because its
/// list of referenced objects covers all of them.
const PAGES_OF_SLOT: u64 = 64;

impl Compactor {
    /// Collects garbage of all databases first, because that is short, and then merges. The order of databases rotates
    /// with the store's time, and failed databases come last, so that every database is reached even if the time never
    /// suffices for all.
    pub(super) async fn collect(
        &self,
        time: &TimeLimit<'_>,
    ) -> Result<CompactionReport, CompactError> {
        let mut report = CompactionReport::default();
        let root = self.collector.catalog().root(Duration::ZERO).await?;
        match self.bucket.removal_time(Stamp::ZERO) {
            Ok(now) => {
                for database in root.value.due_databases(now) {
                    let outcome = self.remove_database(database, &mut report).await;
                    report.note(database, outcome);
                }
                for database in root.value.obsolete_databases(now) {
                    let outcome = self.erase_database(database, &mut report).await;
                    report.note(database, outcome);
                }
                if !self.collector.is_dry_run() {
                    self.finish_tail_move(now).await;
                }
                let results = self.collector.collect_results().await?;
                let code = self.collector.collect_code().await?;
                report.add_collected(results.and(code));
            }
            Err(doubt) => {
                tracing::warn!(%doubt, "dropped databases, expired results and unreferenced code are kept");
                let now = self.bucket.clock().now().unwrap_or_default();
                for database in root.value.due_databases(now) {
                    report.failures.push((database, doubt.to_string()));
                }
            }
        }
        let mut databases: Vec<DatabaseId> =
            root.value.live_databases().map(|(id, _)| id).collect();
        let now = self.bucket.clock().now().unwrap_or_default();
        let first = rotation_start(now, databases.len());
        databases.rotate_left(first);
        self.setbacks.move_last(&mut databases, self.bucket.world());
        let tidied = self.collect_garbage_of(databases.clone(), time).await;
        let is_over = tidied.is_out_of_time;
        report = report.and(tidied.report);
        if is_over || self.collector.is_dry_run() {
            return Ok(report);
        }
        let merged = self.merge_databases(databases.clone(), PlanScope::All, time).await;
        Ok(report.and(merged).and(self.publish_all(databases, time).await))
    }

    /// Ends a move of the tail to another bucket if nothing is left in the former one.
    async fn finish_tail_move(&self, now: StoreTime) {
        if let Err(error) = self.collector.catalog().finish_tail_move(now).await {
            tracing::warn!(%error, "the former bucket of new data was not examined");
        }
    }

    /// Deletes the garbage of several databases in parallel.
    async fn collect_garbage_of(
        &self,
        databases: Vec<DatabaseId>,
        time: &TimeLimit<'_>,
    ) -> CollectionPass {
        let mut reports = stream::iter(databases)
            .map(|database| async move {
                if time.is_over() {
                    return None;
                }
                let mut report = CompactionReport::default();
                let outcome = self.collect_garbage(database, &mut report).await;
                report.note(database, outcome);
                let has_failed = !report.failures.is_empty();
                self.setbacks.note(database, has_failed, self.bucket.world());
                Some(report)
            })
            .buffer_unordered(self.slots.total());
        let mut tidied = CollectionPass::default();
        while let Some(report) = reports.next().await {
            tidied.is_out_of_time |= report.is_none();
            tidied.report = tidied.report.and(report.unwrap_or_default());
        }
        tidied.report.unfinished |= tidied.is_out_of_time;
        tidied
    }

    /// Deletes the garbage of a database.
    pub(super) async fn collect_garbage(
        &self,
        database: DatabaseId,
        report: &mut CompactionReport,
    ) -> Result<(), CompactError> {
        let manifest = self.maintainer.read(database).await?;
        if manifest.value.needs_catalog > 0 {
            // With a lost catalog, whatever it names looks like garbage.
            let (catalog, dependent) = (self.collector.catalog(), Key::Manifest(database));
            catalog.needed_database(database, ANY_AGE, &dependent).await?;
        }
        let pages = manifest.value.pages.len() as u64;
        let whole = PAGES_OF_SLOT.saturating_mul(self.slots.total() as u64);
        let _permit = self.slots.acquire(self.slots.needed(pages, whole)).await;
        let collected = self.collector.collect_from(database, manifest).await;
        if let Err(error @ CompactError::Clock(_)) = &collected {
            // Merges remove nothing by a clock that may be wrong.
            report.record_failure(database, error.to_string());
            return Ok(());
        }
        if let Some(collected) = report.settled(database, collected)? {
            report.add_collected(collected);
        }
        Ok(())
    }

    /// Deletes the remaining objects of a database whose removal was finished long ago, then its entry in the catalog.
    async fn erase_database(
        &self,
        database: DatabaseId,
        report: &mut CompactionReport,
    ) -> Result<(), CompactError> {
        let Some(collected) = self.collector.erase(database).await? else {
            return Ok(());
        };
        report.add_collected(collected);
        if self.collector.is_dry_run() {
            return Ok(());
        }
        let catalog = self.collector.catalog();
        Ok(catalog.remove_obsolete_database(database).await?)
    }

    /// Continues the removal of a dropped database.
    async fn remove_database(
        &self,
        database: DatabaseId,
        report: &mut CompactionReport,
    ) -> Result<(), CompactError> {
        let catalog = self.collector.catalog();
        if !self.collector.is_dry_run() {
            catalog.begin_database_purge(database).await?;
            let removed = self.maintainer.removal().drop_all(database).await?;
            report.removed += removed;
        }
        let (collected, is_gone) = self.collector.collect_dropped(database).await?;
        report.add_collected(collected);
        if is_gone {
            catalog.finish_database_purge(database).await?;
        }
        Ok(())
    }
}

/// Result of deleting the garbage of several databases.
#[derive(Debug, Default)]
struct CollectionPass {
    report: CompactionReport,
    is_out_of_time: bool,
}
