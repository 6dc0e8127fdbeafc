//! The secret of a token, which is shown once, and its hash, which is stored.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use neap_bucket::World;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use sha2::{Digest, Sha512};
use subtle::{Choice, ConstantTimeEq};

/// The prefix of InfluxDB 3 tokens.
const PREFIX: &str = "apiv3_";

/// Random bytes of a generated token.
const RANDOM_BYTES: usize = 64;

/// Bytes of a SHA-512 hash.
const HASH_BYTES: usize = 64;

/// A token in clear text. `Debug` hides it; only [`reveal`](Self::reveal) returns it.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
#[debug("SecretToken")]
pub struct SecretToken(String);

impl SecretToken {
    /// Wraps a token that a client presents or that is read from a file.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// Returns the token in clear text, for the answer to its creation. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns whether the token has the form of those of [`generate_token`]. Tokens that a person chose have other forms.
    pub fn is_generated(&self) -> bool {
        let random = self.0.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        random.is_some_and(|random| random.len() == RANDOM_BYTES)
    }

    /// Returns the hash of the token.
    pub fn hash(&self) -> TokenHash {
        TokenHash::new(self.0.as_bytes())
    }
}

/// Generates a token in the form of InfluxDB 3: `apiv3_` and 64 random bytes in URL-safe base64 without padding.
///
/// # Examples
///
/// ```
/// use neap_bucket::World;
/// use neap_catalog::{SecretToken, generate_token};
///
/// let token = generate_token(&World::system());
/// assert!(token.reveal().starts_with("apiv3_"));
/// assert_eq!(SecretToken::new(token.reveal()).hash(), token.hash());
/// assert_eq!(format!("{token:?}"), "SecretToken");
/// ```
pub fn generate_token(world: &World) -> SecretToken {
    let mut random = [0; RANDOM_BYTES];
    world.entropy.fill_secret(&mut random);
    SecretToken(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// The SHA-512 hash of a whole token, including the prefix, as in InfluxDB 3. The comparison takes constant time. JSON
/// contains it in hexadecimal.
#[derive(Clone, derive_more::Debug)]
#[debug("TokenHash")]
pub struct TokenHash([u8; HASH_BYTES]);

impl TokenHash {
    /// Hashes a presented token.
    pub fn new(token: &[u8]) -> Self {
        Self(Sha512::digest(token).into())
    }

    /// Returns the hash in hexadecimal, as in the answer to the creation of a token.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// A text is not the hash of a token. The message omits the text, because it may be a large part of a hash, or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-512 in hexadecimal")]
pub struct TokenHashError;

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; HASH_BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| TokenHashError)?;
        Ok(Self(bytes))
    }
}

impl ConstantTimeEq for TokenHash {
    /// Compares 8 bytes at a time, because a presented token is compared with every token of the cluster.
    fn ct_eq(&self, other: &Self) -> Choice {
        let (own, _) = self.0.as_chunks::<8>();
        let (others, _) = other.0.as_chunks::<8>();
        let words = own.iter().zip(others);
        let difference = words.fold(0, |difference, (one, other)| {
            difference | (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other))
        });
        difference.ct_eq(&0)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for TokenHash {}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_have_the_form_of_influxdb_and_differ() {
        let world = World::system();
        let tokens: HashSet<String> =
            (0..100).map(|_| generate_token(&world).reveal().to_owned()).collect();
        assert_eq!(tokens.len(), 100);
        for token in tokens {
            assert_eq!(token.len(), 92);
            let random = token.strip_prefix("apiv3_").unwrap();
            assert_eq!(URL_SAFE_NO_PAD.decode(random).unwrap().len(), 64);
            assert!(SecretToken::new(token).is_generated());
        }
        for other in ["", "apiv3_", "apiv3_of-a-person", "of.a.person"] {
            assert!(!SecretToken::new(other).is_generated(), "{other}");
        }
    }

    #[test]
    fn the_hash_is_the_sha_512_of_the_whole_token() {
        let hash = SecretToken::new("abc").hash();
        assert_eq!(
            hash.to_hex(),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<TokenHash>(&json).unwrap(), hash);
        assert_ne!(hash, SecretToken::new("abd").hash());
        for place in 0..HASH_BYTES {
            let mut other = hash.clone();
            other.0[place] ^= 1;
            assert_ne!(hash, other);
        }
        for damaged in ["\"\"", "\"zz\"", "\"ddaf3\"", "\"ddaf\""] {
            assert!(serde_json::from_str::<TokenHash>(damaged).is_err());
        }
    }

    #[test]
    fn neither_token_nor_hash_is_shown_by_debug() {
        let token = SecretToken::new("apiv3_secret");
        let shown = format!("{token:?} {:?}", token.hash());
        assert_eq!(shown, "SecretToken TokenHash");
    }
}
