//! The ids of resources in the interface of InfluxDB 2.
//!
//! They follow from the ids of Neap, so that they need no storage and all processes know them.

use std::str::FromStr;

use neap_schema::DatabaseId;
use serde::{Serialize, Serializer};

use crate::{TokenId, UserId};

/// The id of a resource in the interface of InfluxDB 2: 16 hexadecimal digits that are not all zero.
///
/// # Examples
///
/// ```
/// use neap_catalog::InfluxDb2Id;
/// use neap_schema::DatabaseId;
///
/// let bucket = InfluxDb2Id::from(DatabaseId::new(7));
/// assert_eq!(bucket.to_string(), "6e65617000000007");
/// let parsed: InfluxDb2Id = "6e65617000000007".parse()?;
/// assert_eq!(parsed.database(), Some(DatabaseId::new(7)));
/// # Ok::<(), neap_catalog::InfluxDb2IdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, derive_more::Display)]
#[display("{_0:016x}")]
pub struct InfluxDb2Id(u64);

/// The first half of the ids of buckets, `neap` in ASCII: no name of a database looks like one by chance.
const BUCKETS: u64 = 0x6e65_6170_0000_0000;

/// The start of the ids of tokens, `to` in ASCII.
const TOKENS: u64 = 0x746f_0000_0000_0000;

/// The start of the ids of users, `us` in ASCII.
const USERS: u64 = 0x7573_0000_0000_0000;

/// The bits after the start of the id of a token.
const NUMBER_BITS: u32 = 48;

impl InfluxDb2Id {
    /// The only organization. The number is that of `_internal`, which is no bucket.
    pub const ORGANIZATION: Self = Self(BUCKETS);

    /// Returns the database of a bucket; `None`: it is the id of no bucket.
    pub fn database(self) -> Option<DatabaseId> {
        let number = u32::try_from(self.0 ^ BUCKETS).ok()?;
        (number > 0).then(|| DatabaseId::new(number))
    }

    /// Returns the token of an authorization; `None`: it is the id of no authorization.
    pub fn token(self) -> Option<TokenId> {
        let number = self.0 ^ TOKENS;
        (number >> NUMBER_BITS == 0).then(|| TokenId::new(number))
    }
}

impl From<DatabaseId> for InfluxDb2Id {
    fn from(id: DatabaseId) -> Self {
        Self(BUCKETS ^ u64::from(id.get()))
    }
}

impl From<TokenId> for InfluxDb2Id {
    fn from(id: TokenId) -> Self {
        Self(TOKENS ^ id.get())
    }
}

impl From<UserId> for InfluxDb2Id {
    fn from(id: UserId) -> Self {
        Self(USERS ^ id.get())
    }
}

/// Why a text is no id, with the messages of InfluxDB 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfluxDb2IdError {
    /// It does not have 16 digits.
    #[error("id must have a length of 16 bytes")]
    Length,
    /// It is not hexadecimal, or all digits are zero.
    #[error("invalid ID")]
    Digits,
}

impl FromStr for InfluxDb2Id {
    type Err = InfluxDb2IdError;

    fn from_str(text: &str) -> Result<Self, InfluxDb2IdError> {
        if text.len() != 16 {
            return Err(InfluxDb2IdError::Length);
        }
        // The parser of numbers accepts a sign.
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InfluxDb2IdError::Digits);
        }
        match u64::from_str_radix(text, 16) {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(InfluxDb2IdError::Digits),
        }
    }
}

impl Serialize for InfluxDb2Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_buckets_and_tokens_are_read_back() {
        let bucket = InfluxDb2Id::from(DatabaseId::new(u32::MAX));
        let operator = InfluxDb2Id::from(TokenId::OPERATOR);
        let user = InfluxDb2Id::from(UserId::new(3));
        let shown = [bucket, operator, user, InfluxDb2Id::ORGANIZATION].map(|id| id.to_string());
        assert_eq!(
            shown,
            ["6e656170ffffffff", "746f000000000000", "7573000000000003", "6e65617000000000",]
        );
        let parsed = shown.map(|text| text.parse::<InfluxDb2Id>().unwrap());
        assert_eq!(
            parsed.map(InfluxDb2Id::database),
            [Some(DatabaseId::new(u32::MAX)), None, None, None]
        );
        assert_eq!(parsed.map(InfluxDb2Id::token), [None, Some(TokenId::OPERATOR), None, None]);
        assert_eq!(serde_json::to_string(&user).unwrap(), r#""7573000000000003""#);
    }

    #[test]
    fn texts_that_are_no_ids_are_refused_as_in_influxdb_2() {
        for (text, error) in [
            ("", InfluxDb2IdError::Length),
            ("6e6561700000000", InfluxDb2IdError::Length),
            ("6e656170000000001", InfluxDb2IdError::Length),
            ("0000000000000000", InfluxDb2IdError::Digits),
            ("6e6561700000000g", InfluxDb2IdError::Digits),
            ("+e65617000000001", InfluxDb2IdError::Digits),
        ] {
            assert_eq!(text.parse::<InfluxDb2Id>(), Err(error), "{text}");
        }
        let upper: InfluxDb2Id = "6E65617000000001".parse().unwrap();
        assert_eq!(upper.database(), Some(DatabaseId::new(1)));
    }
}
