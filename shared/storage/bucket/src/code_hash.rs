//! The hash that identifies the code of a plugin.

use std::str::FromStr;

use derive_more::{Debug, Display};
use serde::{Deserialize, Serialize};

/// Error for text that is not a code hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a SHA-256 in 64 hexadecimal digits")]
pub struct CodeHashError(String);

/// The SHA-256 of a plugin's files, which identifies its code. Its text form has 64 hexadecimal digits.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Display, Debug,
)]
#[debug("{}", hex::encode(_0))]
#[display("{}", hex::encode(_0))]
#[serde(try_from = "String", into = "String")]
pub struct CodeHash(pub [u8; 32]);

impl FromStr for CodeHash {
    type Err = CodeHashError;

    fn from_str(text: &str) -> Result<Self, CodeHashError> {
        let mut bytes = [0; 32];
        let is_lower_case = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if is_lower_case => Ok(Self(bytes)),
            _ => Err(CodeHashError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for CodeHash {
    type Error = CodeHashError;

    fn try_from(text: String) -> Result<Self, CodeHashError> {
        text.parse()
    }
}

impl From<CodeHash> for String {
    fn from(hash: CodeHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_lower_case_digits_and_nothing_else() {
        let hash = CodeHash(std::array::from_fn(|place| u8::try_from(place).unwrap()));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for text in ["", "00", &"A".repeat(64), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)]
        {
            assert!(text.parse::<CodeHash>().is_err(), "{text}");
        }
    }
}
