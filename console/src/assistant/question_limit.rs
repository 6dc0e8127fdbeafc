//! Limits the questions of each caller, because they may cost money, and those that wait at once.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use neap_catalog::Actor;
use neap_identity::{RateLimit, RateUsage, RecentKeys};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Maximum number of callers of a generation. Two generations are kept. A caller takes about 60 bytes.
const MAX_CALLERS: usize = 4_096;

/// Questions of a caller.
const CALLER: RateLimit = RateLimit { number: 20, interval: Duration::from_secs(6) };

/// Maximum number of questions that wait for the model at once. Each takes less than 1 MiB.
const MAX_WAITING: usize = 8;

/// Time after which a client repeats a question if others wait.
const BUSY_PAUSE: Duration = Duration::from_secs(5);

/// The limits of questions. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct QuestionLimit {
    callers: Mutex<RecentKeys<Option<Actor>, RateUsage, MAX_CALLERS>>,
    waiting: Semaphore,
}

impl Default for QuestionLimit {
    fn default() -> Self {
        Self {
            callers: Mutex::default(),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }
}

impl QuestionLimit {
    /// Takes the permits of a question, or returns the time until they may be available. Callers without a token count as
    /// one.
    pub(super) fn begin(
        &self,
        caller: Option<Actor>,
        now: Duration,
    ) -> Result<SemaphorePermit<'_>, Duration> {
        let permit = self.waiting.try_acquire().map_err(|_| BUSY_PAUSE)?;
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = callers.value_mut(caller);
        if let Some(wait) = usage.wait(CALLER, now) {
            return Err(wait);
        }
        usage.take(CALLER, now);
        Ok(permit)
    }
}

#[cfg(test)]
mod tests {
    use neap_catalog::TokenId;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn the_questions_of_a_caller_run_out_and_come_back() {
        let limit = QuestionLimit::default();
        let caller = Some(TokenId::OPERATOR.into());
        for _ in 0..CALLER.number {
            assert!(limit.begin(caller, NOW).is_ok());
        }
        assert_eq!(limit.begin(caller, NOW).unwrap_err(), CALLER.interval);
        assert!(limit.begin(None, NOW).is_ok());
        assert!(limit.begin(caller, NOW + CALLER.interval).is_ok());
    }

    #[test]
    fn a_limited_number_of_questions_waits_at_once() {
        let limit = QuestionLimit::default();
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| limit.begin(None, NOW).unwrap()).collect();
        assert_eq!(limit.begin(None, NOW).unwrap_err(), BUSY_PAUSE);
        drop(waiting);
        assert!(limit.begin(None, NOW).is_ok());
    }
}
