//! Attributes by name.

use std::{borrow::Cow, cell::OnceCell, collections::BTreeMap};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use super::{AnyValue, KeyValue};

static NO_VALUE: AnyValue = AnyValue { value: None };

/// Returns the names and values of a list. Attributes without a name are left out.
fn named(list: &[KeyValue]) -> impl Iterator<Item = (&str, &AnyValue)> {
    let named = list.iter().filter(|attribute| !attribute.key.is_empty());
    named.map(|attribute| {
        let value = attribute.value.as_ref().unwrap_or(&NO_VALUE);
        (attribute.key.as_str(), value)
    })
}

/// The attributes of a source, which its items have, too. Of several with the same name, the last one counts. Their
/// texts are made once, because a source may have large attributes and many small items.
#[derive(Debug, Default)]
pub(crate) struct SharedAttributes<'a>(BTreeMap<&'a str, SharedValue<'a>>);

#[derive(Debug)]
struct SharedValue<'a> {
    value: &'a AnyValue,
    text: OnceCell<String>,
    /// `None` in the cell: the value cannot be serialized.
    json: OnceCell<Option<Box<RawValue>>>,
}

impl<'a> SharedAttributes<'a> {
    pub(crate) fn from_list(list: &'a [KeyValue]) -> Self {
        let shared = named(list).map(|(name, value)| {
            let value = SharedValue { value, text: OnceCell::new(), json: OnceCell::new() };
            (name, value)
        });
        Self(shared.collect())
    }
}

impl SharedValue<'_> {
    fn text(&self) -> &str {
        self.text.get_or_init(|| self.value.text().into_owned())
    }

    fn json(&self) -> Option<&RawValue> {
        let json = self.json.get_or_init(|| serde_json::value::to_raw_value(self.value).ok());
        json.as_deref()
    }
}

/// The value of an attribute of an item.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AttributeValue<'a> {
    Own(&'a AnyValue),
    Shared(SharedText<'a>),
}

/// A value whose texts are made once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedText<'a>(&'a SharedValue<'a>);

impl<'a> AttributeValue<'a> {
    /// Returns the value as the text of a tag. Empty if there is no value.
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Own(value) => value.text(),
            Self::Shared(SharedText(value)) => Cow::Borrowed(value.text()),
        }
    }
}

impl Serialize for AttributeValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Own(value) => value.serialize(serializer),
            Self::Shared(SharedText(value)) => value.json().serialize(serializer),
        }
    }
}

/// Attributes by name. Of several attributes with the same name, the last one counts.
#[derive(Debug, Default)]
pub(crate) struct AttributeMap<'a>(BTreeMap<&'a str, AttributeValue<'a>>);

impl<'a> AttributeMap<'a> {
    /// Creates a map of a list. Attributes without a name are left out.
    pub(crate) fn from_list(list: &'a [KeyValue]) -> Self {
        Self::with_shared([], list)
    }

    /// Creates a map of the attributes of sources and of an item. Later sources override earlier ones, and the item
    /// overrides all.
    pub(crate) fn with_shared(
        sources: impl IntoIterator<Item = &'a SharedAttributes<'a>>,
        item: &'a [KeyValue],
    ) -> Self {
        let mut map = BTreeMap::new();
        for SharedAttributes(source) in sources {
            let shared = source.iter();
            map.extend(
                shared.map(|(name, value)| (*name, AttributeValue::Shared(SharedText(value)))),
            );
        }
        map.extend(named(item).map(|(name, value)| (name, AttributeValue::Own(value))));
        Self(map)
    }

    /// Removes an attribute.
    pub(crate) fn take(&mut self, name: &str) -> Option<AttributeValue<'a>> {
        self.0.remove(name)
    }

    /// Returns the attributes as a JSON object; `None` if there are none.
    pub(crate) fn json(&self) -> Option<String> {
        // Serialization does not fail, because names are strings.
        (!self.0.is_empty()).then(|| serde_json::to_string(self).unwrap_or_default())
    }
}

impl Serialize for AttributeMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::any_value::Value, *};

    fn attribute(key: &str, text: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(Value::String(text.to_owned())) }),
        }
    }

    #[test]
    fn the_last_attribute_of_a_name_counts() {
        let resource = [attribute("b", "1"), attribute("a", "1")];
        let span = [attribute("a", "2"), attribute("", "3"), attribute("a", "4")];
        let shared = SharedAttributes::from_list(&resource);
        let mut map = AttributeMap::with_shared([&shared], &span);
        assert_eq!(map.json().unwrap(), r#"{"a":"4","b":"1"}"#);
        assert_eq!(map.take("a").unwrap().text(), "4");
        assert!(map.take("a").is_none());
        assert_eq!(map.json().unwrap(), r#"{"b":"1"}"#);
        assert_eq!(map.take("b").unwrap().text(), "1");
        assert_eq!(AttributeMap::default().json(), None);
    }

    #[test]
    fn texts_of_a_source_are_made_once() {
        let list = r#"[{"key":"a","value":{"kvlistValue":{"values":[{"key":"x\""},{"key":"y","value":{"doubleValue":1.5}}]}}}]"#;
        let list: Vec<KeyValue> = serde_json::from_str(list).unwrap();
        let shared = SharedAttributes::from_list(&list);
        let json = r#"{"a":{"x\"":null,"y":1.5}}"#;
        assert_eq!(AttributeMap::from_list(&list).json().unwrap(), json);
        let made = || {
            let value = &shared.0["a"];
            let texts = (value.text().as_ptr(), value.json().unwrap().get().as_ptr());
            let mut map = AttributeMap::with_shared([&shared], &[]);
            assert_eq!(map.json().unwrap(), json);
            assert_eq!(map.take("a").unwrap().text().as_ptr(), texts.0);
            texts
        };
        assert_eq!(made(), made());
    }
}
