//! Attributes, and values of attributes and bodies of log records.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::json::{decode_base64, optional_double, optional_integer, or_default};

/// A value of any type.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AnyValue {
    /// `None`: no value.
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(crate) value: Option<Value>,
}

/// The types of [`AnyValue`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Value {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    KeyValues(KeyValueList),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}

messages! {
    /// A list of values.
    ArrayValue {
        values: Vec<AnyValue> = (message, repeated, tag = "1"), "or_default";
    }

    /// A list of values with names.
    KeyValueList {
        values: Vec<KeyValue> = (message, repeated, tag = "1"), "or_default";
    }

    /// An attribute.
    KeyValue {
        key: String = (string, tag = "1"), "or_default";
        value: Option<AnyValue> = (message, optional, tag = "2");
    }
}

/// The JSON form of [`AnyValue`].
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonAnyValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    #[serde(deserialize_with = "optional_integer")]
    int_value: Option<i64>,
    #[serde(deserialize_with = "optional_double")]
    double_value: Option<f64>,
    array_value: Option<ArrayValue>,
    kvlist_value: Option<KeyValueList>,
    bytes_value: Option<String>,
}

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyValueVisitor)
    }
}

/// Accepts only objects, because the derived visitor takes a list for the fields in their order.
struct AnyValueVisitor;

impl<'de> Visitor<'de> for AnyValueVisitor {
    type Value = AnyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a value and its type")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AnyValue, A::Error> {
        let json = JsonAnyValue::deserialize(MapAccessDeserializer::new(map))?;
        json.convert()
    }
}

impl JsonAnyValue {
    fn convert<E: Error>(self) -> Result<AnyValue, E> {
        let decode = |text: String| {
            decode_base64(&text).ok_or_else(|| E::custom("bytesValue is not base64"))
        };
        let mut values = [
            self.string_value.map(Value::String),
            self.bool_value.map(Value::Bool),
            self.int_value.map(Value::Int),
            self.double_value.map(Value::Double),
            self.array_value.map(Value::Array),
            self.kvlist_value.map(Value::KeyValues),
            self.bytes_value.map(decode).transpose()?.map(Value::Bytes),
        ]
        .into_iter()
        .flatten();
        let value = values.next();
        match values.next() {
            Some(_) => Err(E::custom("a value has several types")),
            None => Ok(AnyValue { value }),
        }
    }
}

impl AnyValue {
    /// Returns the value as the text of a tag. Empty if there is no value.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match &self.value {
            None => Cow::Borrowed(""),
            Some(Value::String(text)) => Cow::Borrowed(text),
            Some(Value::Bool(true)) => Cow::Borrowed("true"),
            Some(Value::Bool(false)) => Cow::Borrowed("false"),
            Some(Value::Int(number)) => Cow::Owned(number.to_string()),
            Some(Value::Double(number)) => Cow::Owned(double_text(*number)),
            Some(Value::Bytes(bytes)) => Cow::Owned(STANDARD.encode(bytes)),
            Some(Value::Array(_) | Value::KeyValues(_)) => Cow::Owned(json_text(self)),
        }
    }
}

/// Returns the JSON text of a value. Empty if it cannot be serialized, which does not happen: names are strings.
fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns a number as a tag: without a fraction if it is an integer, and with an exponent if it would be long.
fn double_text(number: f64) -> String {
    let magnitude = number.abs();
    match number {
        _ if !number.is_finite() => non_finite_text(number).to_owned(),
        _ if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) => {
            let text = format!("{number:e}");
            if text.contains("e-") {
                text
            } else {
                text.replace('e', "e+")
            }
        }
        _ => number.to_string(),
    }
}

/// Returns the text of a number that JSON lacks.
pub(super) fn non_finite_text(number: f64) -> &'static str {
    match number {
        _ if number.is_nan() => "NaN",
        _ if number > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> AnyValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn values_of_all_types_are_texts() {
        let pairs = r#"
            {"stringValue":"a \"b\""} ==> a "b"
            {"boolValue":false} ==> false
            {"intValue":"-9223372036854775808"} ==> -9223372036854775808
            {"doubleValue":637.704} ==> 637.704
            {"doubleValue":3} ==> 3
            {"doubleValue":1e21} ==> 1e+21
            {"doubleValue":1.5e-7} ==> 1.5e-7
            {"doubleValue":"NaN"} ==> NaN
            {"bytesValue":"+/8="} ==> +/8=
            {"arrayValue":{"values":[{"intValue":1},{},{"stringValue":"x"}]}} ==> [1,null,"x"]
            {"arrayValue":{}} ==> []
            {"kvlistValue":{"values":[{"key":"b","value":{"doubleValue":"Infinity"}},{"key":"a"}]}} ==> {"a":null,"b":"Infinity"}
            {} ==>
            {"stringValue":null,"newKind":[1]} ==>
        "#;
        for (json, text) in neap_test_inputs::text_pairs(pairs) {
            assert_eq!(value(json).text(), text, "{json}");
        }
    }

    #[test]
    fn a_value_has_one_type() {
        for json in [
            r#"{"stringValue":"a","intValue":1}"#,
            r#"{"intValue":"x"}"#,
            r#"{"bytesValue":"?"}"#,
            r#"{"kvlistValue":{"values":{}}}"#,
            "[]",
            "1",
        ] {
            assert!(serde_json::from_str::<AnyValue>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn deep_values_are_refused() {
        let nested = |depth: usize| {
            let open = r#"{"arrayValue":{"values":["#.repeat(depth);
            format!("{open}{}", "]}}".repeat(depth))
        };
        assert!(serde_json::from_str::<AnyValue>(&nested(20)).is_ok());
        assert!(serde_json::from_str::<AnyValue>(&nested(100_000)).is_err());
        let mut bytes = Vec::new();
        for _ in 0..10_000 {
            let mut outer = Vec::new();
            for tag in [0x0a_u8, 0x2a] {
                let mut message = vec![tag];
                prost::encoding::encode_varint(bytes.len() as u64, &mut message);
                message.append(&mut bytes);
                bytes = message;
            }
            outer.append(&mut bytes);
            bytes = outer;
        }
        assert!(<AnyValue as prost::Message>::decode(bytes.as_slice()).is_err());
    }
}
