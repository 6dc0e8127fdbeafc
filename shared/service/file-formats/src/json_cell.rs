//! The values of JSON objects that columns can have.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::cells::{CellType, to_exact_float};

/// The value of a member of an object. Lists and objects are skipped while they are read, because they cannot be stored
/// and may take much more memory than their text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JsonCell {
    Null,
    Boolean(bool),
    Integer(i64),
    /// An integer that is too large to be signed.
    UInteger(u64),
    Float(f64),
    Text(String),
    /// A list or an object.
    Nested,
}

impl JsonCell {
    /// Returns the type of a value; `None` for null. Objects and lists are refused later, as are other values of their
    /// column.
    pub(crate) fn cell_type(&self) -> Option<CellType> {
        match self {
            Self::Null => None,
            Self::Boolean(_) => Some(CellType::Boolean),
            Self::Integer(_) => Some(CellType::Integer),
            Self::UInteger(_) => Some(CellType::UInteger),
            Self::Float(_) => Some(CellType::Float),
            Self::Text(_) | Self::Nested => Some(CellType::Text),
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(value) => u64::try_from(*value).ok(),
            Self::UInteger(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns a number as a float; `None` for an integer that no float represents.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => to_exact_float(i128::from(*value)),
            Self::UInteger(value) => to_exact_float(i128::from(*value)),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }
}

impl fmt::Display for JsonCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::UInteger(value) => value.fmt(f),
            Self::Float(value) => Value::from(*value).fmt(f),
            Self::Text(text) => Value::from(text.as_str()).fmt(f),
            Self::Nested => f.write_str("..."),
        }
    }
}

impl<'de> Deserialize<'de> for JsonCell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = JsonCell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<JsonCell, E> {
        Ok(JsonCell::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<JsonCell, E> {
        Ok(JsonCell::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<JsonCell, E> {
        Ok(JsonCell::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<JsonCell, E> {
        Ok(i64::try_from(value).map_or(JsonCell::UInteger(value), JsonCell::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<JsonCell, E> {
        Ok(JsonCell::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<JsonCell, E> {
        Ok(JsonCell::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<JsonCell, E> {
        Ok(JsonCell::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<JsonCell, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(JsonCell::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<JsonCell, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(JsonCell::Nested)
    }
}
