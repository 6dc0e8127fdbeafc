//! Limits the rate of sign-ins for each name and for each client.
//!
//! An attempt takes a permit of its name and of its client before the password is checked, and returns both if the
//! password is right, so that concurrent guesses do not pass the limit together. Each process has its own limit.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::rate_limit::{RateLimit, RateUsage, RecentKeys};

/// Maximum number of keys of a generation. Two generations are kept. A key takes about 60 bytes.
const MAX_KEYS: usize = 16_384;

/// Attempts with a name.
const NAME: RateLimit = RateLimit { number: 10, interval: Duration::from_secs(10) };

/// Attempts of a client.
const CLIENT: RateLimit = RateLimit { number: 30, interval: Duration::from_secs(2) };

/// The digest of a name or of a client. Its size does not depend on the request.
type LimitKey = [u8; 32];

type UsageTable = RecentKeys<LimitKey, RateUsage, MAX_KEYS>;

/// The attempts of each name and client. Times are those of the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct SignInLimit(Mutex<UsageTable>);

/// An attempt that has taken its permits.
#[derive(Debug)]
pub(crate) struct SignInAttempt<'a> {
    limit: &'a SignInLimit,
    keys: [(LimitKey, RateLimit); 2],
}

impl SignInLimit {
    fn table(&self) -> MutexGuard<'_, UsageTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the permits of an attempt, or returns the time until they are available.
    pub(crate) fn begin(
        &self,
        name: &str,
        client: &str,
        now: Duration,
    ) -> Result<SignInAttempt<'_>, Duration> {
        let key = |kind: &str, text: &str| LimitKey::from(Sha256::digest(format!("{kind}{text}")));
        let keys = [(key("n", name), NAME), (key("c", client), CLIENT)];
        let mut table = self.table();
        let waits = keys.map(|(key, rate)| table.value_mut(key).wait(rate, now));
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(wait);
        }
        for (key, rate) in keys {
            table.value_mut(key).take(rate, now);
        }
        Ok(SignInAttempt { limit: self, keys })
    }
}

impl SignInAttempt<'_> {
    /// Returns the permits, because the attempt was right.
    pub(crate) fn succeed(self, now: Duration) {
        let mut table = self.limit.table();
        for (key, rate) in self.keys {
            table.value_mut(key).put_back(rate, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn wrong_attempts_with_a_name_run_out_and_come_back() {
        let limit = SignInLimit::default();
        for client in 0..NAME.number {
            assert!(limit.begin("ann", &client.to_string(), NOW).is_ok());
        }
        assert_eq!(limit.begin("ann", "x", NOW).unwrap_err(), NAME.interval);
        assert!(limit.begin("bob", "x", NOW).is_ok());
        assert!(limit.begin("ann", "x", NOW + NAME.interval).is_ok());
        assert!(limit.begin("ann", "x", NOW + NAME.interval).is_err());
    }

    #[test]
    fn wrong_attempts_of_a_client_run_out_over_all_names() {
        let limit = SignInLimit::default();
        for name in 0..CLIENT.number {
            assert!(limit.begin(&name.to_string(), "x", NOW).is_ok());
        }
        assert!(limit.begin("another", "x", NOW).is_err());
        assert!(limit.begin("another", "y", NOW).is_ok());
    }

    #[test]
    fn right_attempts_are_not_limited() {
        let limit = SignInLimit::default();
        for _ in 0..1_000 {
            limit.begin("ann", "x", NOW).unwrap().succeed(NOW);
        }
    }
}
