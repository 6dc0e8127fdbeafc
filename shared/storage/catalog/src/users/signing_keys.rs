//! The keys that sign the tokens of sessions.
//!
//! A key stays in the catalog until the last token that it signed has expired. Processes with different keys can
//! therefore sign tokens side by side, and a replaced key still verifies its tokens.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use neap_bucket::StoreTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Maximum number of keys. A further key replaces the one whose tokens expire first.
pub(super) const MAX_SIGNING_KEYS: usize = 32;

/// The age from which a generated key signs no new tokens.
pub(super) const ROTATION_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A public key. Its JSON is the key-dependent part of a JSON Web Key; numbers are in URL-safe base64 without padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum VerificationKey {
    /// A key of Ed25519, for the algorithm EdDSA.
    #[serde(rename = "OKP")]
    Ed25519 {
        /// The public point.
        x: String,
    },
    /// A key of RSA, for the algorithm RS256.
    #[serde(rename = "RSA")]
    Rsa {
        /// The modulus.
        n: String,
        /// The public exponent.
        e: String,
    },
}

/// The secret of a generated key: a seed of Ed25519. `Debug` hides it; only [`reveal`](Self::reveal) returns it.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
#[debug("SigningSecret")]
pub struct SigningSecret([u8; 32]);

impl SigningSecret {
    /// Creates the secret with these bytes.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// Returns the bytes, to sign with them. Never log them.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Serialize for SigningSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for SigningSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        // The message omits the text, because it may be a large part of a secret.
        bytes
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a key of 32 bytes in base64"))
    }
}

/// A key that a process can sign with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSigningKey {
    /// The id, the `kid` of its tokens.
    pub id: String,
    /// The public key.
    pub public: VerificationKey,
    /// The secret of a generated key; `None`: the process has it from a file.
    pub secret: Option<SigningSecret>,
}

/// The entry of a key in the root catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyEntry {
    /// The id, the `kid` of its tokens.
    pub id: String,
    /// The public key.
    pub public: VerificationKey,
    /// The secret of a generated key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SigningSecret>,
    /// When it was added, by the store's clock.
    pub created: StoreTime,
    /// When the last token that it has signed expires.
    pub used_until: StoreTime,
}

impl SigningKeyEntry {
    /// Returns whether it is a generated key that signs new tokens at this time of the store.
    pub(super) fn signs(&self, now: StoreTime) -> bool {
        self.secret.is_some() && now.since(self.created) < ROTATION_AGE
    }
}

/// The key with which a process signs tokens.
#[derive(Clone, Debug)]
pub enum SigningKeyRequest {
    /// The key that the process was started with.
    Configured(NewSigningKey),
    /// The generated key of the cluster; this one if there is none or it is too old.
    Generated(NewSigningKey),
}
