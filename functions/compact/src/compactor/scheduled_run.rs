//! Scheduled runs: find due tails by one listing, and flush or dispatch them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, stream};
use neap_bucket::StoreTime;
use neap_schema::DatabaseId;

use super::{
    Compactor,
    flush_dispatch::{DueTail, INVOCATION_SHARE, divide},
};
use crate::{
    CompactError, CompactionReport, CompactorEvent, FlushRequest,
    deferred_segments::DeferralReason,
    removal::is_being_removed,
    tails::{ListedTail, TailSize, TailSurvey},
    time_limit::TimeLimit,
    visit_order::by_age_and_rotation,
};

/// Time for which dispatched tails are left to other invocations.
const DISPATCH_DEFERRAL_TIME: Duration = Duration::from_secs(300);

/// Maximum number of orders sent in parallel.
const ORDERS_AT_ONCE: usize = 8;

impl Compactor {
    /// Flushes the due tails of all databases, and plans merges in the flushed databases.
    pub(super) async fn scheduled(
        &self,
        time: &TimeLimit<'_>,
    ) -> Result<CompactionReport, CompactError> {
        let survey = TailSurvey::take(&self.bucket, &self.deferred).await?;
        let report = CompactionReport { tails: survey.total, ..CompactionReport::default() };
        let date = survey.date;
        let mut due = survey.databases;
        due.retain(|_, tail| self.is_due(tail.size, date));
        if due.is_empty() {
            return Ok(report);
        }
        let kept = self.kept_databases().await?;
        due.retain(|database, _| kept.contains(database));
        let (own, handed_out) = self.dispatch_flushes(self.order_tails(due, date), time).await;
        let own = own.into_iter().map(|due| (due.database, Some(due.tail)));
        let visited = self.visit_all(own.collect(), date, time).await;
        Ok(report.and(handed_out).and(visited))
    }

    /// Flushes the tails of an order that are still due.
    pub(super) async fn flush_order(
        &self,
        order: &FlushRequest,
        time: &TimeLimit<'_>,
    ) -> Result<CompactionReport, CompactError> {
        let kept = self.kept_databases().await?;
        let mut taken = BTreeSet::new();
        let mut databases: Vec<_> = order
            .databases
            .iter()
            .copied()
            .filter(|id| kept.contains(id) && taken.insert(*id))
            .collect();
        self.setbacks.move_last(&mut databases, self.bucket.world());
        let databases = databases.into_iter().map(|database| (database, None));
        Ok(self.visit_all(databases.collect(), None, time).await)
    }

    /// Returns the databases whose data is not being removed, without hidden copies, of which a backup or a restore may
    /// have copied only a part.
    async fn kept_databases(&self) -> Result<BTreeSet<DatabaseId>, CompactError> {
        let root = self.collector.catalog().root(Duration::ZERO).await?.value;
        let databases = root.databases().iter().filter(|(database, entry)| {
            !is_being_removed(entry.deletion) && !root.is_hidden_copy(**database)
        });
        Ok(databases.map(|(database, _)| *database).collect())
    }

    pub(super) fn is_due(&self, tail: TailSize, date: Option<StoreTime>) -> bool {
        let triggers = &self.settings.triggers;
        tail.segments >= triggers.segments
            || tail.bytes >= triggers.bytes
            || tail.age(date) >= triggers.age
    }

    /// Returns the tails in processing order.
    fn order_tails(
        &self,
        mut due: BTreeMap<DatabaseId, ListedTail>,
        date: Option<StoreTime>,
    ) -> Vec<DueTail> {
        let oldest = due.iter().map(|(id, tail)| (*id, tail.size.oldest.unwrap_or_default()));
        let mut order = by_age_and_rotation(&oldest.collect(), date.unwrap_or_default());
        self.setbacks.move_last(&mut order, self.bucket.world());
        let tails = order.into_iter().filter_map(|database| {
            let tail = due.remove(&database)?;
            Some(DueTail { database, tail })
        });
        tails.collect()
    }

    /// Dispatches the tails that this invocation cannot flush in time. Returns the remaining tails, and a report of the
    /// dispatched ones.
    async fn dispatch_flushes(
        &self,
        due: Vec<DueTail>,
        time: &TimeLimit<'_>,
    ) -> (Vec<DueTail>, CompactionReport) {
        let mut report = CompactionReport::default();
        let Some(dispatcher) = &self.dispatcher else {
            return (due, report);
        };
        let half = time.left().map_or(INVOCATION_SHARE, |left| left / 2);
        let (mut own, groups) = divide(due, half);
        let mut sent = stream::iter(groups)
            .map(|group| async move {
                let databases = group.iter().map(|due| due.database).collect();
                let order = CompactorEvent::Flush(FlushRequest { databases });
                (group, dispatcher.dispatch(order).await)
            })
            .buffer_unordered(ORDERS_AT_ONCE);
        while let Some((group, outcome)) = sent.next().await {
            match outcome {
                Ok(()) => {
                    report.flushes_handed_out += group.len();
                    group.iter().for_each(|due| self.defer_dispatched(due));
                }
                Err(reason) => {
                    let failed = group.first().map(|due| (due.database, reason));
                    report.failures.extend(failed);
                    own.extend(group);
                }
            }
        }
        (own, report)
    }

    fn defer_dispatched(&self, due: &DueTail) {
        if let Some(newest) = due.tail.newest {
            let deferral = (DeferralReason::Dispatched, newest);
            let world = self.bucket.world();
            self.deferred.defer(due.database, deferral, DISPATCH_DEFERRAL_TIME, world);
        }
    }
}
