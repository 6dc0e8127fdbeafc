//! The task that refreshes caches after this process writes and flushes, so that queries don't have to.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::World;
use neap_query::QueryEngine;
use neap_schema::DatabaseId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Minimum time between two rounds.
const PAUSE: Duration = Duration::from_millis(50);

/// The databases that have changed since the last round.
#[derive(Debug, Default)]
pub(super) struct ChangedDatabases {
    databases: Mutex<BTreeSet<DatabaseId>>,
    notify: Notify,
}

impl ChangedDatabases {
    /// Marks a database as changed.
    pub(super) fn mark(&self, database: DatabaseId) {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        databases.insert(database);
        self.notify.notify_one();
    }

    /// Returns the databases that have changed since the last call, without waiting.
    pub(super) fn take(&self) -> BTreeSet<DatabaseId> {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut databases)
    }

    /// Waits for changes, and returns the databases that changed until then.
    async fn next(&self) -> BTreeSet<DatabaseId> {
        loop {
            self.notify.notified().await;
            let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
            if !databases.is_empty() {
                return std::mem::take(&mut databases);
            }
        }
    }
}

/// Refreshes caches in the background.
#[derive(Debug)]
pub(super) struct CacheRefreshTask {
    pub(super) engine: Arc<QueryEngine>,
    pub(super) changed: Arc<ChangedDatabases>,
    pub(super) world: World,
}

impl CacheRefreshTask {
    /// Refreshes until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let rounds = async {
            loop {
                for database in self.changed.next().await {
                    // The next query runs into the same error and returns it.
                    if let Err(error) = self.engine.feed(database).await {
                        tracing::debug!(%database, %error, "cannot refresh caches");
                    }
                }
                self.world.clock.sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = rounds => {}
            () = stop.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_reported_once() {
        let changed = ChangedDatabases::default();
        for database in [2, 1, 2] {
            changed.mark(DatabaseId::new(database));
        }
        let told: Vec<_> = changed.next().await.into_iter().collect();
        assert_eq!(told, [DatabaseId::new(1), DatabaseId::new(2)]);
        changed.mark(DatabaseId::new(3));
        assert_eq!(changed.next().await.len(), 1);
    }
}
