//! Turns at changing a catalog: the requests of one instance wait for each other instead of racing.
//!
//! Of many requests that need the same new table, the first one commits and the others find it there.

use std::time::Duration;

use neap_bucket::World;
use neap_schema::DatabaseId;
use tokio::sync::{Mutex, MutexGuard};

use crate::WriteFailure;

/// The number of locks that databases share.
const LOCKS: usize = 16;

/// Locks for the catalogs of databases.
#[derive(Debug)]
pub(crate) struct Turns {
    locks: [Mutex<()>; LOCKS],
    longest_wait: Duration,
    world: World,
}

impl Turns {
    pub(crate) fn new(longest_wait: Duration, world: World) -> Self {
        Self {
            locks: Default::default(),
            longest_wait,
            world,
        }
    }

    /// The turn at the catalog of a database.
    ///
    /// # Errors
    /// `Contended` when it does not come in time.
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
