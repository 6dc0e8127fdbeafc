//! JSON objects whose values are parsed one by one, so that an unexpected value does not affect the others.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The text of a JSON `null`.
const NULL: &str = "null";

/// A JSON object. If a name occurs several times, the last value counts.
#[derive(Default)]
pub(super) struct JsonObject<'a>(BTreeMap<JsonKey, &'a RawValue>);

impl<'a> JsonObject<'a> {
    /// Returns the value of a name; `None` if it is missing or `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let value = self.0.get(name.as_bytes()).copied();
        value.filter(|value| value.get() != NULL)
    }

    /// Returns whether a name has a value other than `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// Returns the value of a name if it has this type.
    pub(super) fn get<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        self.raw(name).and_then(typed)
    }

    /// Returns all names and values. A name need not be valid UTF-8, because JSON can escape half of a surrogate pair.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

/// Parses a value; `None` if it has another type.
pub(super) fn typed<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

impl<'a, 'de: 'a> Deserialize<'de> for JsonObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(JsonObjectVisitor)
    }
}

struct JsonObjectVisitor;

impl<'de> Visitor<'de> for JsonObjectVisitor {
    type Value = JsonObject<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = JsonObject::default();
        while let Some((name, value)) = map.next_entry()? {
            object.0.insert(name, value);
        }
        Ok(object)
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct JsonKey(Vec<u8>);

impl std::borrow::Borrow<[u8]> for JsonKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for JsonKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for JsonKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Deserializing a string would require valid UTF-8.
        deserializer.deserialize_bytes(JsonKeyVisitor)
    }
}

struct JsonKeyVisitor;

impl Visitor<'_> for JsonKeyVisitor {
    type Value = JsonKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<JsonKey, E> {
        Ok(JsonKey(name.to_vec()))
    }

    fn visit_str<E>(self, name: &str) -> Result<JsonKey, E> {
        Ok(JsonKey(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> JsonObject<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_invalid_value_does_not_affect_the_others() {
        let text =
            r#"{"a": 1, "b": "\ud800", "\udfff": [], "c": null, "d": 1e999, "e": "x", "a": 2}"#;
        let object = object(text);
        assert_eq!(object.get::<u8>("a"), Some(2));
        assert_eq!(object.get::<String>("b"), None);
        assert_eq!(object.get::<f64>("d"), None);
        assert_eq!(object.get::<String>("e").as_deref(), Some("x"));
        let there = ["a", "b", "c", "d", "e", "f"].map(|name| object.has(name));
        assert_eq!(there, [true, true, false, true, true, false]);
        assert_eq!(object.iter().count(), 6);
        assert!(serde_json::from_str::<JsonObject<'_>>("[1]").is_err());
    }
}
