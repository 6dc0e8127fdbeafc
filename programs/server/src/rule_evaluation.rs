//! The task that evaluates rules, beside that of views: at the times of their schedule, and when alerts are to be sent again.
//!
//! A database with rules is due at the next time of any of its groups. Databases whose catalog this process does not know are
//! found by a sweep at the start and every 600 seconds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use neap_bucket::World;
use neap_catalog::Catalog;
use neap_query::QueryEngine;
use neap_schema::DatabaseId;
use tokio_util::sync::CancellationToken;

use super::due_databases::DueDatabases;

/// Interval at which databases that are due are looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Interval of the sweep over all databases, which costs at most one GET per database.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum age of the catalogs that a sweep uses.
const CATALOG_AGE: Duration = SWEEP_INTERVAL;

/// Maximum time for the rules of one database, before other databases are processed.
const EVALUATION_LIMIT: Duration = Duration::from_secs(45);

/// Pause after a failed evaluation of a database.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Counters of evaluations since the start of the process.
#[derive(Debug, Default)]
pub(super) struct RuleStats {
    pub(super) evaluations: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) notifications: AtomicU64,
    pub(super) undelivered: AtomicU64,
}

/// Evaluates rules in the background.
#[derive(Debug)]
pub(super) struct RuleEvaluationTask {
    pub(super) engine: Arc<QueryEngine>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) stats: Arc<RuleStats>,
    pub(super) world: World,
}

impl RuleEvaluationTask {
    /// Evaluates until `stop`. A running evaluation is completed: no other process may evaluate before the claim of an
    /// interrupted one has expired.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let mut queue = DueDatabases::default();
        let mut versions = BTreeMap::new();
        let mut next_sweep = self.world.clock.monotonic();
        loop {
            tokio::select! {
                () = self.world.clock.sleep(CHECK_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            let now = self.world.clock.monotonic();
            if now >= next_sweep {
                next_sweep = now + SWEEP_INTERVAL;
                for database in self.databases_with_rules().await {
                    queue.add(database, now);
                }
            }
            for (database, version) in self.known_databases() {
                if versions.insert(database, version) != Some(version) {
                    queue.add(database, now);
                }
            }
            for database in queue.take_due(now) {
                if stop.is_cancelled() {
                    return;
                }
                if let Some(wait) = self.evaluate(database).await {
                    queue.add(database, self.world.clock.monotonic() + wait);
                }
            }
        }
    }

    /// Returns the databases that have rules, as far as this process knows their catalogs, with the versions of these. A change
    /// of a catalog may be one of rules.
    fn known_databases(&self) -> Vec<(DatabaseId, u64)> {
        let known = self.catalog.known_databases().into_iter();
        let with_rules = known.filter(|(_, catalog)| !catalog.value.rules().is_empty());
        with_rules.map(|(database, catalog)| (database, catalog.version)).collect()
    }

    async fn databases_with_rules(&self) -> Vec<DatabaseId> {
        let found = self.engine.databases_with_rules(CATALOG_AGE).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list the databases with rules");
            Vec::new()
        })
    }

    /// Evaluates the rules of a database. Returns the time until it is due again; `None` if it has no rules.
    async fn evaluate(&self, database: DatabaseId) -> Option<Duration> {
        let report = match self.engine.evaluate_rules(database, EVALUATION_LIMIT).await {
            Ok(report) => report,
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%database, %error, "evaluation of rules interrupted");
                return Some(PAUSE_AFTER_FAILURE);
            }
        };
        let (failures, undelivered) = (report.failures.len(), report.undelivered.len());
        self.stats.evaluations.fetch_add(report.evaluations, Ordering::Relaxed);
        self.stats.notifications.fetch_add(report.notifications, Ordering::Relaxed);
        self.stats.failures.fetch_add(failures as u64, Ordering::Relaxed);
        self.stats.undelivered.fetch_add(undelivered as u64, Ordering::Relaxed);
        // One line: users decide how many rules fail, and how often.
        if let Some((rule, reason)) = report.failures.first() {
            tracing::warn!(%database, failures, rule, reason, "rules not evaluated");
        }
        for (target, reason) in &report.undelivered {
            tracing::warn!(%database, target, reason, "notification not delivered; it is sent again");
        }
        report.next
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use neap_bucket::{
        Bucket, CallGate, CallPhase, Clock, FaultyStore, MemoryStore, Operation, SteppedClock,
        StoreCall, StoreFaults,
    };
    use tokio::{sync::Notify, task::yield_now};

    use super::*;
    use crate::{
        stores::Stores,
        tests::{ServerUnderTest, parse},
    };

    /// Returns a store that suspends the claim of rules at the gate, and reports that it has arrived there.
    fn gated_store(world: &World, gate: &CallGate, claim: &Arc<Notify>) -> FaultyStore {
        let (gate, claim) = (gate.clone(), Arc::clone(claim));
        let hook = move |call: &StoreCall| {
            let is_claim = call.operation == Operation::Put
                && call.phase == CallPhase::Before
                && call.key.ends_with("/rules");
            let (gate, claim) = (gate.clone(), Arc::clone(&claim));
            async move {
                if is_claim {
                    claim.notify_one();
                    gate.pass().await;
                }
            }
            .boxed()
        };
        let memory = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        FaultyStore::new(memory, world.clone(), StoreFaults::default()).with_hook(Arc::new(hook))
    }

    #[tokio::test]
    async fn a_running_evaluation_is_completed_before_the_task_ends() {
        let clock = Arc::new(SteppedClock::self_advancing());
        let world = World::seeded(Arc::clone(&clock) as Arc<dyn Clock>, 1);
        let (gate, claim) = (CallGate::default(), Arc::default());
        gate.freeze();
        let args = parse(&["--object-store", "memory", "--without-auth"]).unwrap();
        let mut stores = Stores::open(&args.store, &world).unwrap();
        stores.bucket = Bucket::new(Arc::new(gated_store(&world, &gate, &claim)), world.clone());
        let mut server = ServerUnderTest::with_stores(&args, stores, &world).await;
        server.app.catalog.create_database("d", None).await.unwrap();
        let rules = "groups: [{name: g, rules: [{record: one, expr: vector(1)}]}]";
        let path = "/prometheus/config/v1/rules/n?db=d";
        let (status, text) = server.request("PUT", path, rules).await;
        assert!(status < 300, "{status}: {text}");

        let task = server.app.rules.take().unwrap();
        let (stats, stop) = (Arc::clone(&task.stats), server.stop.clone());
        let ended = {
            let stop = stop.clone();
            tokio::spawn(async move { task.run(&stop).await })
        };
        // The task waits for its first check.
        yield_now().await;
        clock.advance(CHECK_INTERVAL);
        claim.notified().await;
        stop.cancel();
        yield_now().await;
        assert!(!ended.is_finished());
        gate.thaw();
        ended.await.unwrap();
        assert_eq!(stats.evaluations.load(Ordering::Relaxed), 1);
    }
}
