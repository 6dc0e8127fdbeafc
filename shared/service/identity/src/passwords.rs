//! Hashes of passwords: argon2id, a few at a time, on threads for blocking work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use argon2::{Algorithm, Argon2, Params, Version};
use neap_bucket::World;
use neap_catalog::PasswordHash;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::{
    IdentityError, PasswordCost,
    limits::{MAX_PASSWORD_BYTES, MIN_PASSWORD_BYTES},
};

/// Maximum number of hashes in progress. Each one holds the memory of its cost.
const MAX_HASHES: usize = 2;

/// Maximum number of callers that wait for a hash.
const MAX_WAITING: usize = 64;

/// Maximum time that a caller waits for a hash.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Maximum memory of a stored hash, in KiB, so that a damaged catalog can't exhaust the memory.
const MAX_STORED_MEMORY_KIB: u32 = 256 * 1024;

/// Maximum passes and lanes of a stored hash.
const MAX_STORED_PASSES: u32 = 64;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Hashes and verifies passwords.
#[derive(Debug)]
pub(crate) struct PasswordHasher {
    world: World,
    cost: PasswordCost,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Counts a caller that waits, until it is dropped.
struct WaitingCaller<'a>(&'a AtomicUsize);

impl Drop for WaitingCaller<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PasswordHasher {
    pub(crate) fn new(world: World, cost: PasswordCost) -> Self {
        Self {
            world,
            cost,
            permits: Arc::new(Semaphore::new(MAX_HASHES)),
            waiting: AtomicUsize::new(0),
        }
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, IdentityError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = WaitingCaller(&self.waiting);
        if before >= MAX_WAITING {
            return Err(IdentityError::Busy);
        }
        let acquired = Arc::clone(&self.permits).acquire_owned();
        let permit = self.world.timeout(MAX_WAIT, acquired).await;
        permit.and_then(Result::ok).ok_or(IdentityError::Busy)
    }

    /// Hashes a new password.
    /// Fails with `PasswordLength`, `Busy`, or `Cryptography`.
    pub(crate) async fn hash(&self, password: &str) -> Result<PasswordHash, IdentityError> {
        if !(MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES).contains(&password.len()) {
            return Err(IdentityError::PasswordLength);
        }
        let mut salt = vec![0; SALT_BYTES];
        self.world.entropy.fill_secret(&mut salt);
        let empty = self.empty(salt);
        let hash = self.compute(password, &empty).await?;
        Ok(PasswordHash { hash, ..empty })
    }

    /// Returns whether a password has a hash. Without a hash, the answer is `false` and takes the same time.
    /// Fails with `Busy`, or `Cryptography`.
    pub(crate) async fn verify(
        &self,
        password: &str,
        known: Option<&PasswordHash>,
    ) -> Result<bool, IdentityError> {
        let dummy = self.empty(vec![0; SALT_BYTES]);
        let parameters = known.unwrap_or(&dummy);
        let is_sane = parameters.memory_kib <= MAX_STORED_MEMORY_KIB
            && parameters.passes.max(parameters.lanes) <= MAX_STORED_PASSES;
        let parameters = if is_sane { parameters } else { &dummy };
        let password = if password.len() <= MAX_PASSWORD_BYTES {
            password
        } else {
            ""
        };
        let hash = self.compute(password, parameters).await?;
        let computed = PasswordHash { hash, ..parameters.clone() };
        Ok(known == Some(&computed))
    }

    fn empty(&self, salt: Vec<u8>) -> PasswordHash {
        PasswordHash {
            memory_kib: self.cost.memory_kib,
            passes: self.cost.passes,
            lanes: 1,
            salt,
            hash: Vec::new(),
        }
    }

    async fn compute(
        &self,
        password: &str,
        parameters: &PasswordHash,
    ) -> Result<Vec<u8>, IdentityError> {
        let permit = self.permit().await?;
        let (password, parameters) = (password.to_owned(), parameters.clone());
        let computed = spawn_blocking(move || {
            let _permit = permit;
            argon2id(password.as_bytes(), &parameters)
        });
        let computed = computed.await.ok().flatten();
        computed.ok_or(IdentityError::Cryptography { operation: "hash the password" })
    }
}

fn argon2id(password: &[u8], parameters: &PasswordHash) -> Option<Vec<u8>> {
    let PasswordHash { memory_kib, passes, lanes, .. } = *parameters;
    let params = Params::new(memory_kib, passes, lanes, Some(HASH_BYTES)).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = vec![0; HASH_BYTES];
    argon2.hash_password_into(password, &parameters.salt, &mut hash).ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordCost = PasswordCost { memory_kib: 64, passes: 1 };

    fn hasher() -> PasswordHasher {
        PasswordHasher::new(World::system(), CHEAP)
    }

    #[tokio::test]
    async fn a_password_matches_only_its_own_hash() {
        let hasher = hasher();
        let hash = hasher.hash("correct horse").await.unwrap();
        let again = hasher.hash("correct horse").await.unwrap();
        assert_ne!(hash, again, "salts differ");
        assert!(hasher.verify("correct horse", Some(&hash)).await.unwrap());
        assert!(!hasher.verify("correct hors", Some(&hash)).await.unwrap());
        assert!(!hasher.verify("correct horse", None).await.unwrap());
        let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
        assert!(!hasher.verify(&long, Some(&hash)).await.unwrap());
        assert!(!hasher.verify("", None).await.unwrap());
    }

    #[tokio::test]
    async fn hashes_of_another_cost_are_verified_and_huge_costs_are_refused() {
        let stronger = PasswordCost { memory_kib: 128, passes: 2 };
        let hash = PasswordHasher::new(World::system(), stronger)
            .hash("correct horse")
            .await
            .unwrap();
        assert!(hasher().verify("correct horse", Some(&hash)).await.unwrap());
        let huge = PasswordHash { memory_kib: u32::MAX, ..hash };
        assert!(!hasher().verify("correct horse", Some(&huge)).await.unwrap());
    }

    #[tokio::test]
    async fn short_and_long_passwords_are_refused() {
        let hasher = hasher();
        for length in [0, MIN_PASSWORD_BYTES - 1, MAX_PASSWORD_BYTES + 1] {
            let refused = hasher.hash(&"x".repeat(length)).await;
            assert!(matches!(refused, Err(IdentityError::PasswordLength)));
        }
    }

    #[tokio::test]
    async fn waiting_callers_are_bounded() {
        let hasher = hasher();
        hasher.waiting.store(MAX_WAITING, Ordering::Relaxed);
        let refused = hasher.verify("x", None).await;
        assert!(matches!(refused, Err(IdentityError::Busy)));
        hasher.waiting.store(0, Ordering::Relaxed);
        assert!(hasher.verify("x", None).await.is_ok());
        assert_eq!(hasher.waiting.load(Ordering::Relaxed), 0);
    }
}
