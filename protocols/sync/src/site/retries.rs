//! The pauses after errors that pass by themselves.

use std::time::Duration;

use neap_bucket::World;

use super::error::ShipError;

/// The pauses after errors.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Maximum number of errors in a row after which work that ends gives up: with the pauses, about a quarter of an hour.
pub(super) const MAX_FAILURES: usize = 20;

/// Waits after errors, longer after each one.
#[derive(Debug)]
pub(super) struct Retries {
    pause: Duration,
    failures: usize,
    /// `None`: no error in a row is the last one.
    max_failures: Option<usize>,
}

impl Retries {
    pub(super) fn new(max_failures: Option<usize>) -> Self {
        Self {
            pause: FIRST_PAUSE,
            failures: 0,
            max_failures,
        }
    }

    /// The number of errors in a row.
    pub(super) fn failures(&self) -> usize {
        self.failures
    }

    /// Waits after an error. `has_progressed`: something was shipped since the last error.
    ///
    /// # Errors
    /// The error does not pass by itself, or there were too many in a row.
    pub(super) async fn wait_after(
        &mut self,
        error: ShipError,
        has_progressed: bool,
        world: &World,
    ) -> Result<(), ShipError> {
        if has_progressed {
            *self = Self::new(self.max_failures);
        }
        self.failures += 1;
        if !error.passes() || self.max_failures.is_some_and(|max| self.failures >= max) {
            return Err(error);
        }
        tracing::warn!(%error, "shipping is interrupted");
        let wait = error.retry_after().unwrap_or(self.pause).min(MAX_PAUSE);
        world.clock.sleep(wait + world.entropy.below(FIRST_PAUSE)).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Ok(())
    }
}
