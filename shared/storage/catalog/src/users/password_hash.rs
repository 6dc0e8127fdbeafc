//! The stored form of a password: the parameters, the salt and the result of argon2id.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use subtle::ConstantTimeEq;

/// Maximum bytes of a salt or a hash.
const MAX_BYTES: usize = 64;

/// The hash of a password. `Debug` hides it. The comparison takes constant time.
#[derive(Clone, Serialize, Deserialize, derive_more::Debug)]
#[debug("PasswordHash")]
pub struct PasswordHash {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Independent parts of the memory.
    pub lanes: u32,
    /// The salt.
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    pub salt: Vec<u8>,
    /// The result.
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    pub hash: Vec<u8>,
}

impl PasswordHash {
    fn parameters(&self) -> (u32, u32, u32) {
        (self.memory_kib, self.passes, self.lanes)
    }
}

impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.parameters() == other.parameters()
            && bool::from(self.salt.ct_eq(&other.salt) & self.hash.ct_eq(&other.hash))
    }
}

impl Eq for PasswordHash {}

fn encode<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
}

fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = STANDARD_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() <= MAX_BYTES);
    // The message omits the text, because it may be a large part of a hash.
    bytes.ok_or_else(|| D::Error::custom("not a hash in base64"))
}
