//! The secret with which the processes of a cluster sign requests to each other.
//!
//! ```text
//!   process with a worker port     root catalog                      administrator
//!     |-- commit: a secret ----------> |  unless there is one             |
//!     |                                | <---- commit: new admin token ---|
//!     |                                |   a new secret, and the old one with the time of its replacement
//! ```
//!
//! Requests that were signed before a rotation stay valid for [`REPLACED_SECRET_LIFETIME`], so that no running query
//! fails. A new secret signs requests only after [`SECRET_SPREAD_TIME`], when all processes have read it. Only processes
//! with access to the store have the secret: no answer contains it.

mod changes;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use neap_bucket::{StoreTime, World};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The time for which requests that are signed with a replaced secret are accepted: the lifetime of a ticket.
pub const REPLACED_SECRET_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The time after a rotation for which requests are signed with an earlier secret. A process that checks signatures reads
/// the root catalog at least this often.
pub const SECRET_SPREAD_TIME: Duration = Duration::from_secs(60);

/// Maximum number of replaced secrets that are kept. With more rotations within [`REPLACED_SECRET_LIFETIME`], requests
/// that are signed with the oldest ones are refused.
const MAX_REPLACED_SECRETS: usize = 4;

const SECRET_BYTES: usize = 32;

/// A secret that the processes of a cluster share. `Debug` hides it; only [`reveal`](Self::reveal) returns it.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
#[debug("ClusterSecret")]
pub struct ClusterSecret([u8; SECRET_BYTES]);

impl ClusterSecret {
    /// Generates a secret.
    pub fn generate(world: &World) -> Self {
        let mut secret = [0; SECRET_BYTES];
        world.entropy.fill_secret(&mut secret);
        Self(secret)
    }

    /// Returns the bytes, to sign with them. Never log them.
    pub fn reveal(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl Serialize for ClusterSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for ClusterSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        // The message omits the text, because it may be a large part of a secret.
        bytes.map(Self).ok_or_else(|| D::Error::custom("not 32 bytes in base64"))
    }
}

/// The secret of a cluster, and those that it replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSecrets {
    current: ClusterSecret,
    /// Newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<ReplacedSecret>,
}

/// A secret that is not used for new requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReplacedSecret {
    secret: ClusterSecret,
    /// When it was replaced, by the store's clock.
    at: StoreTime,
}

impl ClusterSecrets {
    fn new(current: ClusterSecret) -> Self {
        Self { current, replaced: Vec::new() }
    }

    /// Returns the secret that signs new requests at this time of the store: the newest one that all processes know.
    pub fn signing(&self, now: StoreTime) -> &ClusterSecret {
        let mut secret = &self.current;
        for replaced in &self.replaced {
            // `secret` came into use when it replaced this one.
            if now.since(replaced.at) >= SECRET_SPREAD_TIME {
                break;
            }
            secret = &replaced.secret;
        }
        secret
    }

    /// Returns the secrets of requests that are accepted at this time of the store: the current one first.
    pub fn accepted(&self, now: StoreTime) -> impl Iterator<Item = &ClusterSecret> {
        let replaced = self
            .replaced
            .iter()
            .filter(move |replaced| now.since(replaced.at) < REPLACED_SECRET_LIFETIME);
        std::iter::once(&self.current).chain(replaced.map(|replaced| &replaced.secret))
    }

    fn rotate(&mut self, new: ClusterSecret, now: StoreTime) {
        let secret = std::mem::replace(&mut self.current, new);
        self.replaced
            .retain(|replaced| now.since(replaced.at) < REPLACED_SECRET_LIFETIME);
        self.replaced.insert(0, ReplacedSecret { secret, at: now });
        self.replaced.truncate(MAX_REPLACED_SECRETS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_secret_is_accepted_for_the_lifetime_of_a_ticket() {
        let world = World::system();
        let new = || ClusterSecret::generate(&world);
        let first = new();
        let mut secrets = ClusterSecrets::new(first.clone());
        let now = StoreTime::from_micros(1_000_000);
        secrets.rotate(new(), now);
        let accepted = |secrets: &ClusterSecrets, after: Duration| {
            let accepted = secrets.accepted(now.plus(after));
            accepted.cloned().collect::<Vec<_>>()
        };
        let just_before = REPLACED_SECRET_LIFETIME - Duration::from_micros(1);
        let both = [secrets.current.clone(), first.clone()];
        assert_eq!(accepted(&secrets, just_before), both);
        assert_eq!(accepted(&secrets, REPLACED_SECRET_LIFETIME), both[..1]);
        for _ in 0..2 * MAX_REPLACED_SECRETS {
            secrets.rotate(new(), now);
        }
        let all = accepted(&secrets, Duration::ZERO);
        assert_eq!(all.len(), 1 + MAX_REPLACED_SECRETS);
        assert!(!all.contains(&first));
        secrets.rotate(new(), now.plus(REPLACED_SECRET_LIFETIME));
        assert_eq!(secrets.replaced.len(), 1, "expired ones are dropped");
    }

    #[test]
    fn a_new_secret_signs_requests_when_all_processes_know_it() {
        let world = World::system();
        let new = || ClusterSecret::generate(&world);
        let (first, second, third) = (new(), new(), new());
        let mut secrets = ClusterSecrets::new(first.clone());
        let now = StoreTime::from_micros(1_000_000);
        let after = |seconds| now.plus(Duration::from_secs(seconds));
        assert_eq!(secrets.signing(now), &first);
        secrets.rotate(second.clone(), now);
        secrets.rotate(third.clone(), after(40));
        let signing = |seconds| secrets.signing(after(seconds)).clone();
        assert_eq!((signing(0), signing(59)), (first.clone(), first));
        assert_eq!((signing(60), signing(99)), (second.clone(), second));
        assert_eq!(signing(100), third);
    }
}
