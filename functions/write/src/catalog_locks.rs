//! Catalog locks: the requests of one instance that change a catalog wait for each other instead of racing.
//!
//! If many requests need the same new table, the first one commits it and the others find it in the catalog.

use std::time::Duration;

use neap_bucket::World;
use neap_schema::DatabaseId;
use tokio::sync::{Mutex, MutexGuard};

use crate::WriteFailure;

/// Number of locks, shared by all databases.
const LOCKS: usize = 16;

/// Locks for the catalogs of databases.
#[derive(Debug)]
pub(crate) struct CatalogLocks {
    locks: [Mutex<()>; LOCKS],
    longest_wait: Duration,
    world: World,
}

impl CatalogLocks {
    pub(crate) fn new(longest_wait: Duration, world: World) -> Self {
        Self { locks: Default::default(), longest_wait, world }
    }

    /// Acquires the lock for the catalog of a database.
    /// Fails with `Contended` if the lock is not acquired in time.
    pub(crate) async fn take(
        &self,
        database: DatabaseId,
    ) -> Result<MutexGuard<'_, ()>, WriteFailure> {
        let place = usize::try_from(database.get()).unwrap_or(0) % LOCKS;
        let lock = self.locks.get(place).ok_or(WriteFailure::Contended)?;
        let turn = self.world.timeout(self.longest_wait, lock.lock()).await;
        turn.ok_or(WriteFailure::Contended)
    }
}
