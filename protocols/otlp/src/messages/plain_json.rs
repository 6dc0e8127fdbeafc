//! The plain JSON of values, without the names of their types.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{
    AnyValue, AttributeMap,
    any_value::{Value, non_finite_text},
};

impl Serialize for AnyValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            None => serializer.serialize_none(),
            Some(Value::String(text)) => serializer.serialize_str(text),
            Some(Value::Bool(value)) => serializer.serialize_bool(*value),
            Some(Value::Int(number)) => serializer.serialize_i64(*number),
            Some(Value::Double(number)) if number.is_finite() => serializer.serialize_f64(*number),
            Some(Value::Double(number)) => serializer.serialize_str(non_finite_text(*number)),
            Some(Value::Bytes(bytes)) => serializer.serialize_str(&STANDARD.encode(bytes)),
            Some(Value::Array(array)) => {
                let mut list = serializer.serialize_seq(Some(array.values.len()))?;
                for value in &array.values {
                    list.serialize_element(value)?;
                }
                list.end()
            }
            Some(Value::KeyValues(list)) => {
                AttributeMap::from_list(&list.values).serialize(serializer)
            }
        }
    }
}
