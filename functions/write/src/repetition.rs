//! Writes that are repeated while they have stored nothing.

use std::{sync::Arc, time::Duration};

use neap_rows::line_protocol::RowSource;

use crate::{AcceptedWrite, RequestMemoryReservation, WriteFailure, WriteOptions, WriteService};

impl WriteService {
    /// Like [`write_rows`](Self::write_rows), again for at most `limit` if nothing was stored and a repetition may
    /// succeed: for callers that can't send the rows again.
    ///
    /// # Errors
    /// See [`write`](Self::write).
    pub async fn write_with_retries(
        &self,
        mut reservation: RequestMemoryReservation,
        database: &str,
        rows: &dyn RowSource,
        options: WriteOptions,
        limit: Duration,
    ) -> Result<AcceptedWrite, WriteFailure> {
        let clock = Arc::clone(&self.world.clock);
        let end = clock.monotonic().saturating_add(limit);
        loop {
            let failure = match self.write_rows(reservation, database, rows, options).await {
                Ok(accepted) => return Ok(accepted),
                Err(failure) => failure,
            };
            let pause = failure.retry_after().filter(|_| failure.stored_nothing());
            let Some(pause) = pause else {
                return Err(failure);
            };
            if clock.monotonic().saturating_add(pause) > end {
                return Err(failure);
            }
            tracing::debug!(error = %failure, "a write is repeated");
            clock.sleep(pause).await;
            reservation = self.reserve(rows.size_bytes()).await?;
        }
    }
}
