//! Retries of requests.

use std::time::Duration;

use neap_bucket::World;
use reqwest::StatusCode;

use super::{ClientError, ClientResult};

/// First pause; each further pause may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Maximum pause of the exponential backoff.
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// Maximum pause that a server may request.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// Maximum number of attempts: with the pauses above, about two minutes.
const MAX_ATTEMPTS: u32 = 12;

/// The backoff between the attempts of one request. A request that is retried must be idempotent, as the points of a
/// write are.
#[derive(Debug)]
pub(crate) struct Backoff {
    world: World,
    attempts: u32,
}

impl Backoff {
    /// Creates a backoff before the first attempt.
    pub(crate) fn new(world: World) -> Self {
        Self { world, attempts: 0 }
    }

    /// Waits before the next attempt, or returns the error if there is none.
    ///
    /// # Errors
    ///
    /// Returns `error` if another attempt would fail the same way or the attempts are exhausted.
    pub(crate) async fn wait_after(&mut self, error: ClientError) -> ClientResult {
        self.attempts += 1;
        match self.pause_after(&error) {
            Some(pause) => {
                self.world.clock.sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    fn pause_after(&self, error: &ClientError) -> Option<Duration> {
        if self.attempts >= MAX_ATTEMPTS {
            return None;
        }
        let asked_for = match error {
            ClientError::Refused { status, retry_after, .. } if is_retryable(*status) => {
                *retry_after
            }
            ClientError::Interrupted { .. } => None,
            ClientError::Refused { .. }
            | ClientError::Unreachable { .. }
            | ClientError::UnexpectedResponse { .. }
            | ClientError::Settings(_)
            | ClientError::Name(_) => return None,
        };
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.attempts.saturating_sub(1).min(10));
        let jitter = |limit| self.world.entropy.below(limit);
        Some(match asked_for {
            Some(pause) => pause.min(MAX_RETRY_AFTER) + jitter(FIRST_PAUSE),
            // Wait for at least half of the pause plus a random part, so that many clients don't retry at the same
            // time.
            None => {
                let half = doubled.min(MAX_PAUSE) / 2;
                half + jitter(half)
            }
        })
    }
}

/// Returns whether a retry may succeed after this status.
fn is_retryable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: StatusCode, retry_after: Option<u64>) -> ClientError {
        ClientError::Refused {
            status,
            body: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    fn pause(attempts: u32, error: &ClientError) -> Option<Duration> {
        let backoff = Backoff { world: World::system(), attempts };
        backoff.pause_after(error)
    }

    #[test]
    fn pauses_grow_up_to_a_limit_and_end() {
        let busy = refused(StatusCode::SERVICE_UNAVAILABLE, None);
        let first = pause(1, &busy).unwrap();
        assert!((FIRST_PAUSE / 2..=FIRST_PAUSE).contains(&first));
        let late = pause(MAX_ATTEMPTS - 1, &busy).unwrap();
        assert!((MAX_PAUSE / 2..=MAX_PAUSE).contains(&late));
        assert_eq!(pause(MAX_ATTEMPTS, &busy), None);
    }

    #[test]
    fn retry_after_is_respected_up_to_a_limit() {
        let soon = pause(1, &refused(StatusCode::TOO_MANY_REQUESTS, Some(3))).unwrap();
        assert_eq!(soon.as_secs(), 3);
        let never = pause(1, &refused(StatusCode::TOO_MANY_REQUESTS, Some(1 << 40))).unwrap();
        assert_eq!(never.as_secs(), MAX_RETRY_AFTER.as_secs());
    }

    #[test]
    fn permanent_failures_are_not_retried() {
        for status in [
            StatusCode::BAD_REQUEST,
            StatusCode::UNAUTHORIZED,
            StatusCode::INTERNAL_SERVER_ERROR,
        ] {
            assert_eq!(pause(1, &refused(status, None)), None);
        }
    }
}
