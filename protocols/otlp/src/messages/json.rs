//! Values of the JSON form of protobuf, which allows several spellings of a value. `null` is the default value.

use std::fmt;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// Deserializes a value or `null`.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Deserializes an integer, which is a number or a string.
pub(super) fn integer<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128> + Default,
{
    Ok(optional_integer(deserializer)?.unwrap_or_default())
}

/// Deserializes an integer that may be absent.
pub(super) fn optional_integer<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128>,
{
    let value = Option::<JsonInteger>::deserialize(deserializer)?;
    value.map(JsonInteger::convert).transpose()
}

/// Deserializes a list of integers.
pub(super) fn integers<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128>,
{
    let values = Option::<Vec<JsonInteger>>::deserialize(deserializer)?.unwrap_or_default();
    values.into_iter().map(JsonInteger::convert).collect()
}

/// Deserializes a float, which is a number or a string such as `"NaN"`.
pub(super) fn double<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(optional_double(deserializer)?.unwrap_or_default())
}

/// Deserializes a float that may be absent.
pub(super) fn optional_double<'de, D>(deserializer: D) -> Result<Option<f64>, D::Error>
where
    D: Deserializer<'de>,
{
    let value = Option::<JsonDouble>::deserialize(deserializer)?;
    Ok(value.map(|JsonDouble(value)| value))
}

/// Deserializes a list of floats.
pub(super) fn doubles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values = Option::<Vec<JsonDouble>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(values.into_iter().map(|JsonDouble(value)| value).collect())
}

/// Deserializes the id of a trace or span, which is hexadecimal.
pub(super) fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    hex::decode(&text).map_err(|_| {
        let unexpected = Unexpected::Str(&text);
        D::Error::invalid_value(unexpected, &"an even number of hexadecimal digits")
    })
}

/// Decodes base64 with either alphabet, padded or not.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) {
        URL_SAFE
    } else {
        STANDARD
    };
    GeneralPurpose::new(&alphabet, config).decode(text).ok()
}

/// An integer of any type.
struct JsonInteger(i128);

impl JsonInteger {
    fn convert<T: TryFrom<i128>, E: Error>(self) -> Result<T, E> {
        T::try_from(self.0)
            .map_err(|_| E::custom(format!("the integer {} is out of range", self.0)))
    }
}

impl<'de> Deserialize<'de> for JsonInteger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntegerVisitor).map(Self)
    }
}

struct IntegerVisitor;

/// The floats from here on need not be the number that the text says.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

impl Visitor<'_> for IntegerVisitor {
    type Value = i128;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, as a number or a string")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i128, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i128, E> {
        Ok(value.into())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the value is checked to be a small integer"
    )]
    fn visit_f64<E: Error>(self, value: f64) -> Result<i128, E> {
        if value.fract() == 0.0 && value.abs() < MAX_EXACT_FLOAT {
            Ok(value as i128)
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<i128, E> {
        let error = |_| E::invalid_value(Unexpected::Str(value), &self);
        value.parse().map_err(error)
    }
}

/// A float.
struct JsonDouble(f64);

impl<'de> Deserialize<'de> for JsonDouble {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DoubleVisitor).map(Self)
    }
}

struct DoubleVisitor;

impl Visitor<'_> for DoubleVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or one of the strings NaN, Infinity and -Infinity")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<f64, E> {
        match value {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => {
                let number = value.parse().ok().filter(|value: &f64| value.is_finite());
                number.ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Message {
        #[serde(default, deserialize_with = "integer")]
        integer: u64,
        #[serde(default, deserialize_with = "double")]
        double: f64,
        #[serde(default, deserialize_with = "hex")]
        id: Vec<u8>,
    }

    fn parse(text: &str) -> Result<Message, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn integers_are_numbers_or_strings() {
        for text in ["7", "\"7\"", "7.0", "7e0"] {
            let message = parse(&format!(r#"{{"integer":{text}}}"#)).unwrap();
            assert_eq!(message.integer, 7, "{text}");
        }
        assert_eq!(parse(r#"{"integer":null}"#).unwrap().integer, 0);
        let largest = parse(r#"{"integer":"18446744073709551615"}"#).unwrap();
        assert_eq!(largest.integer, u64::MAX);
        for text in ["-1", "1.5", "\"x\"", "\"18446744073709551616\"", "1e300", "[]", "true"] {
            assert!(parse(&format!(r#"{{"integer":{text}}}"#)).is_err(), "{text}");
        }
    }

    #[test]
    fn floats_may_be_infinite_or_no_number() {
        let double = |text: &str| parse(&format!(r#"{{"double":{text}}}"#)).map(|m| m.double);
        assert_eq!(double("1"), Ok(1.0));
        assert_eq!(double("-1.5e3"), Ok(-1500.0));
        assert_eq!(double("\"2.5\""), Ok(2.5));
        assert_eq!(double("\"-Infinity\""), Ok(f64::NEG_INFINITY));
        assert!(double("\"NaN\"").unwrap().is_nan());
        for text in ["\"nan\"", "\"inf\"", "{}", "\"\""] {
            assert!(double(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_are_hexadecimal_in_any_case() {
        let id = |text: &str| parse(&format!(r#"{{"id":"{text}"}}"#)).map(|m| m.id);
        assert_eq!(id("5B8Ef0"), Ok(vec![0x5b, 0x8e, 0xf0]));
        assert_eq!(id(""), Ok(Vec::new()));
        for text in ["5B8", "5g", "é1", "AAAA==", "0x00", "+1"] {
            assert!(id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn base64_has_two_alphabets() {
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            assert_eq!(decode_base64(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        assert_eq!(decode_base64("+_8="), None);
        assert_eq!(decode_base64("a"), None);
    }
}
