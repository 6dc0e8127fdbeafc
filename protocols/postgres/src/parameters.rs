//! Decodes the values of placeholders.

use arrow::{
    array::new_empty_array,
    datatypes::{DataType, TimeUnit},
};
use bytes::{Buf, Bytes};
use datafusion::common::{ScalarValue, utils::SingleRowListArrayBuilder};
use neap_query::Parameters;
use neap_sql_changes::{SqlError, SqlState};
use pgwire::api::Type;

use crate::{
    arrays::{binary_elements, element_type, text_elements},
    frontend::BindMessage,
    numeric::{binary_number, decode_number},
};

/// Microseconds from 1970, the epoch of Arrow, to 2000, that of PostgreSQL.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;

/// Decodes the values of a message. `declared` has the types that the client has named, or 0; `inferred` those that the
/// statement determines.
///
/// # Errors
/// The number of values or formats is wrong, or a value has not the form of its type.
pub(crate) fn decode_parameters(
    message: &BindMessage,
    declared: &[u32],
    inferred: &[Option<DataType>],
) -> Result<Parameters, SqlError> {
    let count = message.parameters.len();
    if count != inferred.len() {
        return Err(SqlError::protocol(format!(
            "bind message supplies {count} parameters, but the prepared statement requires {}",
            inferred.len()
        )));
    }
    let formats = &message.parameter_formats;
    if formats.len() > 1 && formats.len() != count {
        return Err(SqlError::protocol(format!(
            "bind message has {} parameter formats but {count} parameters",
            formats.len()
        )));
    }
    let given = message.parameters.iter().zip(inferred).enumerate();
    let values = given.map(|(index, (value, inferred))| {
        let format = formats.get(index).or(formats.first()).copied().unwrap_or_default();
        let declared = declared.get(index).copied().filter(|oid| *oid != 0);
        let value =
            decode(value.as_ref(), format == 1, declared, inferred.as_ref()).map_err(|error| {
                SqlError {
                    message: format!("parameter ${}: {}", index + 1, error.message),
                    ..error
                }
            })?;
        Ok(((index + 1).to_string(), value))
    });
    values.collect::<Result<_, SqlError>>().map(Parameters)
}

/// Returns the type with which a placeholder is described to clients.
pub(crate) fn parameter_type(declared: Option<u32>, inferred: Option<&DataType>) -> u32 {
    match (declared.filter(|oid| *oid != 0), inferred) {
        (Some(oid), _) => oid,
        (None, Some(data_type)) => arrow_pg::datatypes::into_pg_type(data_type)
            .map_or(Type::TEXT.oid(), |data_type| data_type.oid()),
        (None, None) => Type::TEXT.oid(),
    }
}

fn decode(
    value: Option<&Bytes>,
    is_binary: bool,
    declared: Option<u32>,
    inferred: Option<&DataType>,
) -> Result<ScalarValue, SqlError> {
    let Some(value) = value else {
        let null = inferred.map(ScalarValue::try_from).transpose()?;
        return Ok(null.unwrap_or(ScalarValue::Null));
    };
    let oid = parameter_type(declared, inferred);
    if let Some(element) = element_type(oid) {
        return decode_array(value, is_binary, &element, inferred);
    }
    let decoded = if oid == Type::NUMERIC.oid() {
        decode_numeric(value, is_binary, inferred)?
    } else if is_binary {
        decode_binary(value, oid)?
    } else {
        decode_text(value, declared, inferred)?
    };
    match inferred {
        // Conditions on the time of a table are read from its type.
        Some(data_type @ DataType::Timestamp(..)) => Ok(decoded.cast_to(data_type)?),
        _ => Ok(decoded),
    }
}

/// Decodes an array. Its elements have the type that the statement determines, or that of the client.
fn decode_array(
    value: &Bytes,
    is_binary: bool,
    element: &Type,
    inferred: Option<&DataType>,
) -> Result<ScalarValue, SqlError> {
    let (element_oid, elements) = if is_binary {
        binary_elements(value)?
    } else {
        (element.oid(), text_elements(text(value)?)?)
    };
    if is_binary && element_type(element_oid).is_some() {
        // The client could nest arrays to any depth, and each one is decoded within the one around it.
        let message = "arrays of arrays are not supported";
        return Err(SqlError::unsupported(message));
    }
    let inferred_item = match inferred {
        Some(DataType::List(item)) => Some(item.data_type()),
        _ => None,
    };
    let item = inferred_item.cloned().or_else(|| arrow_type(element)).unwrap_or(DataType::Utf8);
    let values = elements.iter().map(|element| {
        let decoded = decode(element.as_ref(), is_binary, Some(element_oid), inferred_item)?;
        Ok(decoded.cast_to(&item)?)
    });
    let values = values.collect::<Result<Vec<_>, SqlError>>()?;
    let items = if values.is_empty() {
        new_empty_array(&item)
    } else {
        ScalarValue::iter_to_array(values)?
    };
    Ok(SingleRowListArrayBuilder::new(items).build_list_scalar())
}

fn decode_numeric(
    value: &Bytes,
    is_binary: bool,
    inferred: Option<&DataType>,
) -> Result<ScalarValue, SqlError> {
    if is_binary {
        let number = binary_number(value);
        let decoded = number.and_then(|number| decode_number(&number, inferred));
        return decoded.ok_or_else(|| malformed(&Type::NUMERIC));
    }
    let number = text(value)?;
    decode_number(number, inferred).ok_or_else(|| {
        let message = format!("invalid input syntax for type numeric: \"{number}\"");
        SqlError::new(SqlState::INVALID_TEXT, message)
    })
}

fn malformed(data_type: &Type) -> SqlError {
    let message = format!("incorrect binary data format of type {data_type}");
    SqlError::new(SqlState("22P03"), message)
}

fn decode_text(
    value: &Bytes,
    declared: Option<u32>,
    inferred: Option<&DataType>,
) -> Result<ScalarValue, SqlError> {
    let text = text(value)?.to_owned();
    let declared = declared.and_then(Type::from_oid).and_then(|data_type| arrow_type(&data_type));
    match declared.as_ref().or(inferred) {
        None | Some(DataType::Utf8 | DataType::Dictionary(..)) => Ok(ScalarValue::from(text)),
        Some(data_type) => Ok(ScalarValue::try_from_string(text, data_type)?),
    }
}

/// Returns the type of Arrow for a type that a client declares for texts, or for the elements of an array; `None`: the
/// statement decides, and otherwise values are texts.
fn arrow_type(data_type: &Type) -> Option<DataType> {
    let micros = TimeUnit::Microsecond;
    Some(match *data_type {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 | Type::NUMERIC => DataType::Float64,
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP => DataType::Timestamp(micros, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(micros, Some("+00:00".into())),
        _ => return None,
    })
}

fn decode_binary(value: &Bytes, oid: u32) -> Result<ScalarValue, SqlError> {
    let data_type = Type::from_oid(oid).unwrap_or(Type::UNKNOWN);
    let mut bytes: &[u8] = value;
    let decoded = match data_type.clone() {
        Type::BOOL => bytes.try_get_u8().map(|value| ScalarValue::from(value != 0)),
        Type::INT2 => bytes.try_get_i16().map(ScalarValue::from),
        Type::INT4 => bytes.try_get_i32().map(ScalarValue::from),
        Type::OID => bytes.try_get_u32().map(ScalarValue::from),
        Type::INT8 => bytes.try_get_i64().map(ScalarValue::from),
        Type::FLOAT4 => bytes.try_get_f32().map(ScalarValue::from),
        Type::FLOAT8 => bytes.try_get_f64().map(ScalarValue::from),
        Type::TIMESTAMP => bytes
            .try_get_i64()
            .map(|value| ScalarValue::TimestampMicrosecond(value.checked_add(EPOCH_MICROS), None)),
        Type::TIMESTAMPTZ => bytes.try_get_i64().map(|value| {
            let zone = Some("+00:00".into());
            ScalarValue::TimestampMicrosecond(value.checked_add(EPOCH_MICROS), zone)
        }),
        Type::DATE => bytes
            .try_get_i32()
            .map(|value| ScalarValue::Date32(value.checked_add(EPOCH_DAYS))),
        Type::BYTEA => return Ok(ScalarValue::Binary(Some(value.to_vec()))),
        Type::UUID => {
            let uuid = uuid_text(bytes).map(ScalarValue::from);
            return uuid.ok_or_else(|| malformed(&data_type));
        }
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::UNKNOWN
        | Type::JSON
        | Type::CHAR => return Ok(ScalarValue::from(text(value)?)),
        other => {
            let message = format!("values of type {other} are not supported in binary");
            return Err(SqlError::unsupported(message));
        }
    };
    match decoded {
        // Infinity is no time that rows have.
        Ok(ScalarValue::TimestampMicrosecond(None, _) | ScalarValue::Date32(None)) => {
            Err(SqlError::new(SqlState("22008"), "date/time out of range"))
        }
        Ok(decoded) if bytes.is_empty() => Ok(decoded),
        _ => Err(malformed(&data_type)),
    }
}

fn text(value: &[u8]) -> Result<&str, SqlError> {
    std::str::from_utf8(value).map_err(|_| {
        SqlError::new(SqlState("22021"), "invalid byte sequence for encoding \"UTF8\"")
    })
}

fn uuid_text(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let number = format!("{:032x}", u128::from_be_bytes(bytes));
    let places = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts: Option<Vec<&str>> = places.into_iter().map(|place| number.get(place)).collect();
    Some(parts?.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(data_type: &Type, bytes: &[u8]) -> Result<ScalarValue, SqlError> {
        decode_binary(&Bytes::copy_from_slice(bytes), data_type.oid())
    }

    #[test]
    fn binary_values_have_their_types() {
        assert_eq!(binary(&Type::BOOL, &[1]), Ok(ScalarValue::from(true)));
        assert_eq!(binary(&Type::INT4, &[0, 0, 0, 7]), Ok(ScalarValue::from(7_i32)));
        assert_eq!(binary(&Type::FLOAT8, &1.5_f64.to_be_bytes()), Ok(ScalarValue::from(1.5)));
        assert_eq!(
            binary(&Type::TIMESTAMP, &0_i64.to_be_bytes()),
            Ok(ScalarValue::TimestampMicrosecond(Some(EPOCH_MICROS), None))
        );
        let uuid = binary(&Type::UUID, &[0xab; 16]).unwrap();
        assert_eq!(uuid, ScalarValue::from("abababab-abab-abab-abab-abababababab"));
    }

    #[test]
    fn malformed_binary_values_are_errors() {
        for (data_type, bytes) in [
            (Type::INT8, &[0_u8; 7][..]),
            (Type::INT8, &[0; 9]),
            (Type::UUID, &[0; 3]),
            (Type::TEXT, &[0xff]),
            (Type::TIMESTAMP, &i64::MAX.to_be_bytes()),
        ] {
            assert!(binary(&data_type, bytes).is_err(), "{data_type}");
        }
    }

    #[test]
    fn decimals_are_decoded_in_text_and_in_binary() {
        // 12345.67
        let digits = Bytes::from_static(&[0, 3, 0, 1, 0, 0, 0, 2, 0, 1, 9, 41, 26, 44]);
        let numeric = Some(Type::NUMERIC.oid());
        let decimal = ScalarValue::Decimal128(Some(1_234_567), 7, 2);
        assert_eq!(decode(Some(&digits), true, numeric, None), Ok(decimal.clone()));
        let number = Bytes::from_static(b"12345.67");
        assert_eq!(decode(Some(&number), false, numeric, None), Ok(decimal));
        // Columns of unsigned numbers are described as NUMERIC.
        let largest = Bytes::from_static(b"18446744073709551615");
        let decoded = decode(Some(&largest), false, None, Some(&DataType::UInt64));
        assert_eq!(decoded, Ok(ScalarValue::from(u64::MAX)));
        for (malformed, is_binary, state) in [
            (&b"many"[..], false, SqlState::INVALID_TEXT),
            (&[0, 9], true, SqlState("22P03")),
        ] {
            let value = Bytes::from_static(malformed);
            let error = decode(Some(&value), is_binary, numeric, None).unwrap_err();
            assert_eq!(error.state, state);
        }
    }

    /// Returns an array in binary. Each element is a null or its bytes.
    fn binary_array(element: &Type, elements: &[Option<Vec<u8>>]) -> Bytes {
        let mut bytes =
            [1_i32.to_be_bytes(), 1_i32.to_be_bytes(), element.oid().to_be_bytes()].concat();
        bytes.extend(i32::try_from(elements.len()).unwrap().to_be_bytes());
        bytes.extend(1_i32.to_be_bytes());
        for element in elements {
            let length = element.as_ref().map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
            bytes.extend(length.to_be_bytes());
            bytes.extend(element.iter().flatten());
        }
        Bytes::from(bytes)
    }

    fn list(values: &[ScalarValue], item: &DataType) -> ScalarValue {
        ScalarValue::List(ScalarValue::new_list_nullable(values, item))
    }

    #[test]
    fn arrays_are_decoded_in_text_and_in_binary() {
        let zone = Some("+00:00".into());
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        let time = ScalarValue::TimestampMicrosecond(Some(EPOCH_MICROS), zone);
        for (array, element, item, value, literal, bytes) in [
            (
                Type::TEXT_ARRAY,
                Type::TEXT,
                DataType::Utf8,
                ScalarValue::from("a b"),
                "a b",
                b"a b".to_vec(),
            ),
            (
                Type::VARCHAR_ARRAY,
                Type::VARCHAR,
                DataType::Utf8,
                ScalarValue::from("é"),
                "é",
                "é".into(),
            ),
            (
                Type::BOOL_ARRAY,
                Type::BOOL,
                DataType::Boolean,
                ScalarValue::from(true),
                "t",
                vec![1],
            ),
            (
                Type::INT2_ARRAY,
                Type::INT2,
                DataType::Int16,
                ScalarValue::from(-2_i16),
                "-2",
                (-2_i16).to_be_bytes().into(),
            ),
            (
                Type::INT4_ARRAY,
                Type::INT4,
                DataType::Int32,
                ScalarValue::from(4_i32),
                "4",
                4_i32.to_be_bytes().into(),
            ),
            (
                Type::INT8_ARRAY,
                Type::INT8,
                DataType::Int64,
                ScalarValue::from(8_i64),
                "8",
                8_i64.to_be_bytes().into(),
            ),
            (
                Type::FLOAT8_ARRAY,
                Type::FLOAT8,
                DataType::Float64,
                ScalarValue::from(1.5),
                "1.5",
                1.5_f64.to_be_bytes().into(),
            ),
            (
                Type::TIMESTAMPTZ_ARRAY,
                Type::TIMESTAMPTZ,
                micros.clone(),
                time,
                "2000-01-01 01:00:00+01",
                vec![0; 8],
            ),
        ] {
            let null = ScalarValue::try_from(&item).unwrap();
            let expected = list(&[value, null], &item);
            let oid = Some(array.oid());
            let binary = binary_array(&element, &[Some(bytes), None]);
            assert_eq!(decode(Some(&binary), true, oid, None), Ok(expected.clone()), "{array}");
            let text = Bytes::from(format!("{{\"{literal}\",NULL}}"));
            assert_eq!(decode(Some(&text), false, oid, None), Ok(expected), "{array}");
        }
    }

    #[test]
    fn arrays_of_arrays_are_refused() {
        let inner = binary_array(&Type::TEXT, &[Some(b"a".to_vec())]);
        let outer = binary_array(&Type::TEXT_ARRAY, &[Some(inner.to_vec())]);
        let declared = Some(Type::TEXT_ARRAY.oid());
        assert!(decode(Some(&inner), true, declared, None).is_ok());
        let error = decode(Some(&outer), true, declared, None).unwrap_err();
        assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED);
    }

    #[test]
    fn elements_take_the_type_that_the_statement_determines() {
        let inferred = |item: &DataType| Some(DataType::new_list(item.clone(), true));
        let text = |text: &'static str, declared, inferred: Option<DataType>| {
            let value = Bytes::from_static(text.as_bytes());
            decode(Some(&value), false, declared, inferred.as_ref())
        };
        let numbers = list(&[ScalarValue::from(1_i64), ScalarValue::from(2_i64)], &DataType::Int64);
        let whole = inferred(&DataType::Int64);
        assert_eq!(text("{1,2}", None, whole.clone()), Ok(numbers.clone()));
        let int4 = [1_i32, 2].map(|number| Some(number.to_be_bytes().to_vec()));
        let int4 = binary_array(&Type::INT4, &int4);
        let declared = Some(Type::INT4_ARRAY.oid());
        assert_eq!(decode(Some(&int4), true, declared, whole.as_ref()), Ok(numbers));
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let time = ScalarValue::TimestampNanosecond(Some(1_000_000_000), None);
        let declared = Some(Type::TIMESTAMPTZ_ARRAY.oid());
        assert_eq!(
            text("{1970-01-01T00:00:01Z}", declared, inferred(&nanos)),
            Ok(list(&[time], &nanos))
        );
        let declared = Some(Type::NUMERIC_ARRAY.oid());
        let floats = [1.0, 2.25].map(ScalarValue::from);
        assert_eq!(text("{1,2.25}", declared, None), Ok(list(&floats, &DataType::Float64)));
        assert_eq!(text("{}", None, whole.clone()), Ok(list(&[], &DataType::Int64)));
        let error = text("{1,soon}", None, whole).unwrap_err();
        assert_eq!(error.state, SqlState::INVALID_TEXT);
    }

    #[test]
    fn texts_take_the_type_that_the_statement_determines() {
        let text = |text: &'static str, declared, inferred: Option<DataType>| {
            let value = Bytes::from_static(text.as_bytes());
            decode(Some(&value), false, declared, inferred.as_ref())
        };
        assert_eq!(text("7", None, Some(DataType::Int64)), Ok(ScalarValue::from(7_i64)));
        assert_eq!(text("7", Some(Type::INT4.oid()), None), Ok(ScalarValue::from(7_i32)));
        assert_eq!(text("7", None, None), Ok(ScalarValue::from("7")));
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let time = ScalarValue::TimestampNanosecond(Some(1_000_000_000), None);
        for form in ["1970-01-01T00:00:01Z", "1970-01-01 00:00:01"] {
            assert_eq!(text(form, None, Some(nanos.clone())), Ok(time.clone()), "{form}");
        }
        let error = text("soon", None, Some(DataType::Int64)).unwrap_err();
        assert_eq!(error.state, SqlState::INVALID_TEXT);
    }
}
