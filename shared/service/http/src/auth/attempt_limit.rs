//! Limits the rate of wrong tokens for each client address.
//!
//! Each address has a number of attempts, and regains one after each interval. Valid tokens are not attempts: they are
//! accepted before this limit is checked, however many wrong tokens come from the same address. The same wrong token
//! again is not a new attempt, because an agent whose token was revoked must not use up the attempts of others that
//! share its address.
//!
//! The number of lookups in the store is also limited, for all addresses together.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_catalog::TokenHash;
use neap_identity::{RateLimit, RateUsage, RecentKeys};

use crate::ClientNetwork;

/// Maximum number of addresses of a generation. Two generations are kept. An address takes at most about 4 KB.
const MAX_ADDRESSES: usize = 4_096;

/// Maximum number of wrong tokens that are remembered for an address.
const MAX_REMEMBERED: usize = 32;

/// The rate of store lookups of unknown tokens, for all addresses together. Higher than the attempts of one address.
const LOOKUPS: RateLimit = RateLimit { number: 50, interval: Duration::from_millis(100) };

/// The wrong attempts of an address.
#[derive(Debug, Default)]
struct AddressAttempts {
    taken: RateUsage,
    wrong: VecDeque<TokenHash>,
}

#[derive(Debug, Default)]
struct AttemptTable {
    addresses: RecentKeys<ClientNetwork, AddressAttempts, MAX_ADDRESSES>,
    lookups: RateUsage,
}

impl AttemptTable {
    fn of(&mut self, address: Option<IpAddr>) -> &mut AddressAttempts {
        self.addresses.value_mut(ClientNetwork::from_address(address))
    }
}

/// The wrong tokens of each address. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct AttemptLimit {
    rate: RateLimit,
    table: Mutex<AttemptTable>,
}

impl AttemptLimit {
    /// Allows `number` attempts for each address, one of which is returned after each `interval`.
    pub(super) fn new(number: u32, interval: Duration) -> Self {
        Self {
            rate: RateLimit { number: number.max(1), interval },
            table: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, AttemptTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time until an address has an attempt again; `None` if it has one.
    pub(super) fn wait(&self, address: Option<IpAddr>, now: Duration) -> Option<Duration> {
        self.table().of(address).taken.wait(self.rate, now)
    }

    /// Returns whether this address has presented this wrong token before.
    pub(super) fn is_repeated(&self, address: Option<IpAddr>, hash: &TokenHash) -> bool {
        self.table().of(address).wrong.contains(hash)
    }

    pub(super) fn record_wrong_token(
        &self,
        address: Option<IpAddr>,
        hash: &TokenHash,
        now: Duration,
    ) {
        let mut table = self.table();
        let known = table.of(address);
        if known.wrong.contains(hash) {
            return;
        }
        if known.wrong.len() >= MAX_REMEMBERED {
            known.wrong.pop_front();
        }
        known.wrong.push_back(hash.clone());
        known.taken.take(self.rate, now);
    }

    /// Records an attempt without a token.
    pub(super) fn record_attempt(&self, address: Option<IpAddr>, now: Duration) {
        self.table().of(address).taken.take(self.rate, now);
    }

    /// Takes a permit for a lookup in the store, or returns the time until one is available.
    pub(super) fn take_lookup_permit(&self, now: Duration) -> Result<(), Duration> {
        let lookups = &mut self.table().lookups;
        match lookups.wait(LOOKUPS, now) {
            Some(wait) => Err(wait),
            None => {
                lookups.take(LOOKUPS, now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn hash(number: u32) -> TokenHash {
        TokenHash::new(&number.to_be_bytes())
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn may_try(attempts: &AttemptLimit, from: &str, now: Duration) -> bool {
        attempts.wait(address(from), now).is_none()
    }

    #[test]
    fn attempts_run_out_by_address_and_come_back() {
        let attempts = AttemptLimit::new(3, SECOND);
        let (one, other) = ("192.0.2.1", "192.0.2.2");
        for number in 0..3 {
            assert!(may_try(&attempts, one, SECOND));
            attempts.record_wrong_token(address(one), &hash(number), SECOND);
        }
        assert_eq!(attempts.wait(address(one), SECOND), Some(SECOND));
        assert!(may_try(&attempts, other, SECOND));
        assert!(may_try(&attempts, one, 2 * SECOND));
        attempts.record_wrong_token(address(one), &hash(3), 2 * SECOND);
        assert!(!may_try(&attempts, one, 2 * SECOND));
        assert!(may_try(&attempts, one, 60 * SECOND));
    }

    #[test]
    fn the_same_wrong_token_again_is_no_new_attempt() {
        let attempts = AttemptLimit::new(2, SECOND);
        let from = address("192.0.2.1");
        for _ in 0..100 {
            attempts.record_wrong_token(from, &hash(1), SECOND);
        }
        assert!(attempts.is_repeated(from, &hash(1)));
        assert!(!attempts.is_repeated(from, &hash(2)));
        assert!(may_try(&attempts, "192.0.2.1", SECOND));
    }

    #[test]
    fn the_wait_is_at_most_one_interval() {
        let attempts = AttemptLimit::new(3, SECOND);
        let from = address("192.0.2.1");
        for number in 0..1_000 {
            attempts.record_wrong_token(from, &hash(number), SECOND);
            attempts.record_attempt(from, SECOND);
        }
        assert_eq!(attempts.wait(from, SECOND), Some(SECOND));
    }

    #[test]
    fn lookups_of_all_addresses_are_limited_together() {
        let attempts = AttemptLimit::new(1, SECOND);
        let passed = |now| (0..100).filter(|_| attempts.take_lookup_permit(now).is_ok()).count();
        assert_eq!(passed(SECOND), 50);
        assert_eq!(attempts.take_lookup_permit(SECOND), Err(LOOKUPS.interval));
        assert_eq!(passed(SECOND + LOOKUPS.interval * 3), 3);
    }

    #[test]
    fn a_network_of_ipv6_and_unknown_addresses_count_as_one_each() {
        let attempts = AttemptLimit::new(1, SECOND);
        attempts.record_wrong_token(address("2001:db8::1"), &hash(1), SECOND);
        assert!(!may_try(&attempts, "2001:db8::ffff:1", SECOND));
        assert!(may_try(&attempts, "2001:db8:0:1::1", SECOND));
        attempts.record_wrong_token(address("::ffff:192.0.2.1"), &hash(1), SECOND);
        assert!(!may_try(&attempts, "192.0.2.1", SECOND));
        attempts.record_wrong_token(None, &hash(1), SECOND);
        assert!(attempts.wait(None, SECOND).is_some());
    }

    #[test]
    fn active_addresses_are_kept_with_a_bounded_number_of_tokens() {
        let attempts = AttemptLimit::new(1, SECOND);
        for number in 0..100_000u32 {
            let from = Some(IpAddr::from(number.to_be_bytes()));
            attempts.record_wrong_token(from, &hash(number), SECOND);
            if number % 1_000 == 0 {
                attempts.record_wrong_token(address("192.0.2.1"), &hash(0), SECOND);
            }
        }
        assert!(!may_try(&attempts, "192.0.2.1", SECOND));
        for number in 0..1_000 {
            attempts.record_wrong_token(address("192.0.2.1"), &hash(number), SECOND);
        }
        let mut table = attempts.table();
        let wrong = &table.of(address("192.0.2.1")).wrong;
        assert_eq!(wrong.len(), MAX_REMEMBERED);
    }
}
