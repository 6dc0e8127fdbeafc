//! The permits of queries: acquisition, and their number.

use std::time::Duration;

use super::QueryEngine;
use crate::{QueryError, query_permits::HeldPermit};

/// The maximum time that a query waits for a permit.
const MAX_PERMIT_WAIT: Duration = Duration::from_secs(30);

/// The maximum time that a query with a permit waits for the end of memory pressure.
const MAX_PRESSURE_WAIT: Duration = Duration::from_secs(10);

impl QueryEngine {
    /// The number of queries that may run at once.
    pub(crate) fn concurrency_limit(&self) -> usize {
        self.running.limit()
    }

    /// Changes the number of queries that may run at once. Running queries continue.
    pub(crate) fn set_concurrency_limit(&self, limit: usize) {
        self.running.set_limit(limit);
    }

    /// Executes work that reads the store but is no query over a snapshot. It holds a query permit and is bounded by
    /// the query timeout.
    /// Fails with `Busy`, `Timeout`, or the error of the work itself.
    pub(crate) async fn run_with_permit<T, E: From<QueryError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let placed = async {
            let _permit = self.acquire_permit().await?;
            work.await
        };
        let timeout = self.settings.timeout;
        let done = self.world().timeout(timeout, placed).await;
        done.unwrap_or_else(|| Err(QueryError::Timeout(timeout).into()))
    }

    /// Acquires a query permit, and waits until memory pressure allows another query.
    pub(super) async fn acquire_permit(&self) -> Result<HeldPermit, QueryError> {
        let permit = self
            .world()
            .timeout(MAX_PERMIT_WAIT, self.running.acquire())
            .await
            .flatten()
            .ok_or(QueryError::Busy)?;
        let pressure = &self.settings.pressure;
        if pressure.wait_until_relieved(self.world(), MAX_PRESSURE_WAIT).await {
            Ok(permit)
        } else {
            Err(QueryError::Busy)
        }
    }
}
