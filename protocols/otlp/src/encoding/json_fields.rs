//! The fields of a JSON object, as text.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::DecodeError;

/// Returns the values of fields of an object. `null` is an object without fields, and a field that is `null` is absent.
///
/// # Errors
/// The value is not an object.
pub(super) fn find<'a, const N: usize>(
    object: &'a RawValue,
    names: [&'static str; N],
) -> Result<[Option<&'a RawValue>; N], DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_str(object.get());
    let found = deserializer
        .deserialize_any(FieldsVisitor { names })
        .map_err(DecodeError::new)?;
    Ok(found.map(|value| value.filter(|value| value.get() != "null")))
}

/// Visits the elements of a list.
///
/// # Errors
/// The value is not a list, or `visit` returns an error.
pub(super) fn for_each<'a>(
    list: &'a RawValue,
    name: &'static str,
    visit: impl FnMut(&'a RawValue) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut failure = None;
    let visitor = ElementsVisitor { visit, failure: &mut failure };
    let mut deserializer = serde_json::Deserializer::from_str(list.get());
    let visited = visitor.deserialize(&mut deserializer);
    match (failure, visited) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(DecodeError::new(error).within(name)),
        (None, Ok(())) => Ok(()),
    }
}

struct FieldsVisitor<const N: usize> {
    names: [&'static str; N],
}

impl<'de, const N: usize> Visitor<'de> for FieldsVisitor<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok([None; N])
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(FieldName(key)) = map.next_key::<FieldName<'de>>()? {
            let found = self.names.iter().zip(&mut values);
            match found.into_iter().find(|(name, _)| **name == key) {
                Some((_, value)) => *value = Some(map.next_value::<&RawValue>()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values)
    }
}

/// The name of a field. It is borrowed unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

struct ElementsVisitor<'f, F> {
    visit: F,
    /// The error of `visit`, which the error of the deserializer can't hold.
    failure: &'f mut Option<DecodeError>,
}

impl<'de, F> DeserializeSeed<'de> for ElementsVisitor<'_, F>
where
    F: FnMut(&'de RawValue) -> Result<(), DecodeError>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F> Visitor<'de> for ElementsVisitor<'_, F>
where
    F: FnMut(&'de RawValue) -> Result<(), DecodeError>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element::<&RawValue>()? {
            if let Err(error) = (self.visit)(element) {
                *self.failure = Some(error);
                return Err(A::Error::custom("the visitor failed"));
            }
        }
        Ok(())
    }
}
