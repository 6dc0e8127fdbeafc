//! Values for the placeholders of a statement.

use std::{collections::BTreeMap, fmt};

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// Values for the placeholders of a statement, by name without the `$`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parameters(pub BTreeMap<String, ScalarValue>);

/// The reason why a record batch does not give values to placeholders.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum ParameterError {
    /// The batch does not have exactly one row.
    #[error("parameters must have one row, not {0}")]
    Rows(usize),
    /// The number of columns differs from the number of placeholders.
    #[error("the statement has {placeholders} placeholders, but {columns} values are given")]
    Count { placeholders: usize, columns: usize },
    /// A value has a type that no placeholder can have.
    #[error("parameter {name}: {reason}")]
    Type { name: String, reason: String },
}

impl Parameters {
    /// Takes the values of a batch with one row. Columns that all have the name of a placeholder are bound by name, and
    /// by position otherwise.
    ///
    /// # Errors
    /// The batch has another number of rows or columns, or a value can't be a parameter.
    pub fn from_batch(batch: &RecordBatch, placeholders: &[&str]) -> Result<Self, ParameterError> {
        if batch.num_rows() != 1 {
            return Err(ParameterError::Rows(batch.num_rows()));
        }
        if batch.num_columns() != placeholders.len() {
            return Err(ParameterError::Count {
                placeholders: placeholders.len(),
                columns: batch.num_columns(),
            });
        }
        let schema = batch.schema_ref();
        let given = |field: &str| field.trim_start_matches('$').to_owned();
        let is_named = schema
            .fields()
            .iter()
            .all(|field| placeholders.contains(&given(field.name()).as_str()));
        let values = batch.columns().iter().zip(schema.fields()).zip(placeholders).map(
            |((column, field), placeholder)| {
                let value = ScalarValue::try_from_array(column, 0).map_err(|error| {
                    ParameterError::Type { name: field.name().clone(), reason: error.to_string() }
                })?;
                let name = if is_named {
                    given(field.name())
                } else {
                    (*placeholder).to_owned()
                };
                Ok((name, value))
            },
        );
        values.collect::<Result<_, _>>().map(Self)
    }
}

impl FromIterator<(String, String)> for Parameters {
    /// Collects values that are all strings.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        let values = values.into_iter();
        Self(values.map(|(name, value)| (name, ScalarValue::Utf8(Some(value)))).collect())
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Option::<BTreeMap<String, ParameterValue>>::deserialize(deserializer)?
            .unwrap_or_default()
            .into_iter();
        Ok(Self(values.map(|(name, value)| (name, value.0)).collect()))
    }
}

/// A JSON value with an SQL type: null, boolean, number or string, as in InfluxDB 3. Integers are `Int64`, or `UInt64`
/// if they exceed `Int64`; all other numbers are `Float64`.
struct ParameterValue(ScalarValue);

impl<'de> Deserialize<'de> for ParameterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParameterVisitor).map(Self)
    }
}

struct ParameterVisitor;

impl<'de> Visitor<'de> for ParameterVisitor {
    type Value = ScalarValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, a number or a string as the value of a query parameter")
    }

    fn visit_unit<E>(self) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Boolean(Some(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Int64(Some(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ScalarValue, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => ScalarValue::Int64(Some(value)),
            Err(_) => ScalarValue::UInt64(Some(value)),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Float64(Some(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Utf8(Some(value.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_json_type_has_its_sql_type() {
        let json = r#"{"a":null,"b":true,"c":-1,"d":18446744073709551615,"e":1.5,"f":"x"}"#;
        let Parameters(values) = serde_json::from_str(json).unwrap();
        let expected = [
            ("a", ScalarValue::Null),
            ("b", ScalarValue::Boolean(Some(true))),
            ("c", ScalarValue::Int64(Some(-1))),
            ("d", ScalarValue::UInt64(Some(u64::MAX))),
            ("e", ScalarValue::Float64(Some(1.5))),
            ("f", ScalarValue::Utf8(Some("x".to_owned()))),
        ];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)).into());
        assert_eq!(serde_json::from_str::<Parameters>("null").unwrap(), Parameters::default());
    }

    #[test]
    fn lists_and_objects_are_refused() {
        for json in [r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#] {
            assert!(serde_json::from_str::<Parameters>(json).is_err());
        }
    }
}
