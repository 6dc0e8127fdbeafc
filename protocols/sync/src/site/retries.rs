//! The pauses after errors that are temporary.

use std::time::Duration;

use neap_bucket::World;

use super::error::ShipError;

/// The pause after the first error. It doubles with each further error in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Maximum number of errors in a row before [`Shipper::ship_all`](super::Shipper::ship_all) gives up: with the pauses, about a quarter
/// of an hour.
pub(super) const MAX_FAILURES: u32 = 20;

/// Counts errors in a row, and waits after each of them.
#[derive(Debug)]
pub(super) struct Retries {
    failures: u32,
    /// `None`: no number of errors is too large.
    max_failures: Option<u32>,
}

impl Retries {
    pub(super) fn new(max_failures: Option<u32>) -> Self {
        Self { failures: 0, max_failures }
    }

    /// Returns the number of errors in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Waits after an error. `has_progressed`: something was shipped since the last error.
    ///
    /// # Errors
    /// The error is not temporary, or there were too many in a row.
    pub(super) async fn wait_after(
        &mut self,
        error: ShipError,
        has_progressed: bool,
        world: &World,
    ) -> Result<(), ShipError> {
        if has_progressed {
            self.failures = 0;
        }
        let wait = error.retry_after().unwrap_or_else(|| self.pause()).min(MAX_PAUSE);
        self.failures = self.failures.saturating_add(1);
        if !error.is_temporary() || self.max_failures.is_some_and(|max| self.failures >= max) {
            return Err(error);
        }
        tracing::warn!(%error, "shipping is interrupted");
        world.clock.sleep(wait + world.entropy.below(FIRST_PAUSE)).await;
        Ok(())
    }

    /// Returns the pause after the next error, if the receiving cluster asks for none.
    fn pause(&self) -> Duration {
        FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(MAX_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses = [0, 1, 5, 6, u32::MAX].map(|failures| {
            let retries = Retries { failures, max_failures: None };
            retries.pause().as_secs()
        });
        assert_eq!(pauses, [1, 2, 32, 60, 60]);
    }
}
