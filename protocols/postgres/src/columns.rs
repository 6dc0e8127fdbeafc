//! The columns of answers: their types and formats.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use arrow_pg::datatypes::arrow_schema_to_pg_fields;
use neap_sql_changes::{SqlError, SqlState};
use pgwire::{
    api::{
        Type,
        portal::Format,
        results::{FieldFormat, FieldInfo},
    },
    messages::data::{FieldDescription, RowDescription},
};

use crate::error_response::encoding_error;

/// The code of binary values.
const BINARY: i16 = 1;

/// Maximum number of digits of decimals in lists.
const MAX_LISTED_DIGITS: u8 = 28;

/// Maximum number of columns of an answer, which messages have as a number of 16 bits.
const MAX_COLUMNS: usize = 32_767;

/// Returns the columns of an answer. `formats` has a code for each column, one for all, or none for text.
///
/// # Errors
/// PostgreSQL has no type for a column, there are too many, or the number of formats is another one.
pub(crate) fn columns(schema: &Schema, formats: &[i16]) -> Result<Arc<Vec<FieldInfo>>, SqlError> {
    let count = schema.fields().len();
    if count > MAX_COLUMNS {
        let message = format!("the answer has {count} columns, more than {MAX_COLUMNS}");
        return Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message));
    }
    schema.fields().iter().try_for_each(|field| check_list(field.data_type()))?;
    let format = match formats {
        [] => Format::UnifiedText,
        [BINARY] => Format::UnifiedBinary,
        [_] => Format::UnifiedText,
        codes if codes.len() == schema.fields().len() => Format::Individual(codes.to_vec()),
        codes => {
            let message = format!(
                "the answer has {} columns, but the formats of {} are given",
                schema.fields().len(),
                codes.len()
            );
            return Err(SqlError::protocol(message));
        }
    };
    let plain = schema.fields().iter().map(|field| match plain_list(field.data_type()) {
        Some(list) => Arc::new(field.as_ref().clone().with_data_type(list)),
        None => Arc::clone(field),
    });
    let encoded = Schema::new(plain.collect::<Vec<_>>());
    let unsized_fields =
        arrow_schema_to_pg_fields(&encoded, &format, None).map_err(encoding_error)?;
    let fields = unsized_fields.into_iter().map(|field| {
        let size = type_size(field.datatype());
        field.with_type_size(size)
    });
    Ok(Arc::new(fields.collect()))
}

/// Refuses lists of decimals with more digits than their encoder takes: it panics.
fn check_list(data_type: &DataType) -> Result<(), SqlError> {
    let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) =
        data_type
    else {
        return Ok(());
    };
    match item.data_type() {
        DataType::Decimal128(precision, scale)
            if *precision > MAX_LISTED_DIGITS || u8::try_from(*scale).is_err() =>
        {
            let message = format!("lists of decimals have at most {MAX_LISTED_DIGITS} digits");
            Err(SqlError::unsupported(message))
        }
        _ => Ok(()),
    }
}

/// Returns the type of a list of tags without their dictionary, which the encoder does not read; `None` for other types.
pub(crate) fn plain_list(data_type: &DataType) -> Option<DataType> {
    let DataType::List(field) = data_type else {
        return None;
    };
    let DataType::Dictionary(_, values) = field.data_type() else {
        return None;
    };
    let plain = field.as_ref().clone().with_data_type(values.as_ref().clone());
    Some(DataType::List(Arc::new(plain)))
}

/// Returns the description of columns for clients.
pub(crate) fn description(columns: &[FieldInfo]) -> RowDescription {
    RowDescription::new(columns.iter().map(FieldDescription::from).collect())
}

pub(crate) fn text_column(name: &str) -> FieldInfo {
    FieldInfo::new(name.to_owned(), None, None, Type::TEXT, FieldFormat::Text).with_type_size(-1)
}

/// Returns the bytes of a value of a type; -1 if they differ.
fn type_size(data_type: &Type) -> i16 {
    match *data_type {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use neap_schema::ColumnType;

    use super::*;

    #[test]
    fn columns_have_types_of_postgresql() {
        let schema = Schema::new(vec![
            ColumnType::Time.arrow_field("time"),
            ColumnType::Tag.arrow_field("host"),
            ColumnType::Float.arrow_field("v"),
            ColumnType::UInteger.arrow_field("u"),
        ]);
        let fields = columns(&schema, &[]).unwrap();
        let types: Vec<(Type, i16)> = fields
            .iter()
            .map(|field| (field.datatype().clone(), field.type_size()))
            .collect();
        let expected =
            [(Type::TIMESTAMP, 8), (Type::TEXT, -1), (Type::FLOAT8, 8), (Type::NUMERIC, -1)];
        assert_eq!(types, expected);
    }

    #[test]
    fn the_number_of_columns_is_limited() {
        let schema = |count: usize| -> Schema {
            let fields =
                (0..count).map(|number| ColumnType::Float.arrow_field(&number.to_string()));
            Schema::new(fields.collect::<Vec<_>>())
        };
        assert!(columns(&schema(MAX_COLUMNS), &[]).is_ok());
        let error = columns(&schema(MAX_COLUMNS + 1), &[]).unwrap_err();
        assert_eq!(error.state, SqlState::TOO_MANY_COLUMNS);
    }

    #[test]
    fn lists_of_long_decimals_are_refused() {
        let columns_of = |item: DataType| {
            let list = DataType::new_list(item, true);
            columns(&Schema::new(vec![Field::new("l", list, true)]), &[])
        };
        assert!(columns_of(DataType::Decimal128(28, 28)).is_ok());
        for item in [DataType::Decimal128(29, 0), DataType::Decimal128(10, -2)] {
            let error = columns_of(item.clone()).unwrap_err();
            assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED, "{item}");
        }
    }

    #[test]
    fn the_number_of_formats_is_checked() {
        let schema = Schema::new(vec![ColumnType::Time.arrow_field("time")]);
        for formats in [&[0_i16][..], &[1], &[]] {
            assert!(columns(&schema, formats).is_ok());
        }
        assert!(columns(&schema, &[0, 1]).is_err());
    }
}
