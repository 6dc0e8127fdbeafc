//! `tz(time[, zone])`: shows a time in a zone. The instant stays the same.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

const NAME: &str = "tz";
const DEFAULT_ZONE: &str = "UTC";

/// InfluxDB 3's `tz`. The zone is an IANA name or an offset (`+01:00`). It must be a literal, because the return type
/// depends on it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimeZoneFunction {
    signature: Signature,
}

impl TimeZoneFunction {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// Returns whether `function` is `tz`.
    pub(crate) fn is(function: &dyn ScalarUDFImpl) -> bool {
        function.is::<Self>()
    }
}

impl ScalarUDFImpl for TimeZoneFunction {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let time = match types.first() {
            Some(DataType::Timestamp(_, zone)) => {
                DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())
            }
            Some(
                DataType::Null
                | DataType::Date32
                | DataType::Date64
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View,
            ) => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Some(other) => {
                return plan_err!("the first argument of tz must be a timestamp, not {other}");
            }
            None => return plan_err!("tz takes a timestamp and optionally a time zone"),
        };
        match types.get(1..) {
            Some([]) => Ok(vec![time]),
            Some([DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View]) => {
                Ok(vec![time, DataType::Utf8])
            }
            _ => plan_err!("the second argument of tz must be the name of a time zone"),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of tz depends on the value of its argument")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let zone: Arc<str> = match args.scalar_arguments.get(1) {
            None => DEFAULT_ZONE.into(),
            Some(Some(zone)) => match zone.try_as_str() {
                Some(Some(zone)) => zone.into(),
                _ => return plan_err!("the second argument of tz must be the name of a time zone"),
            },
            Some(None) => return plan_err!("the second argument of tz must be a literal"),
        };
        if let Err(error) = zone.parse::<Tz>() {
            return plan_err!("{error}");
        }
        let nullable = args.arg_fields.first().is_none_or(|time| time.is_nullable());
        Ok(Arc::new(Field::new(
            NAME,
            DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)),
            nullable,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let DataType::Timestamp(_, zone) = args.return_field.data_type() else {
            return internal_err!("tz returns a timestamp");
        };
        match args.args.first() {
            Some(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(time, _))) => {
                Ok(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(*time, zone.clone())))
            }
            Some(ColumnarValue::Array(array)) => match array
                .as_primitive_opt::<TimestampNanosecondType>()
            {
                Some(times) => Ok(ColumnarValue::Array(Arc::new(
                    times.clone().with_timezone_opt(zone.clone()),
                ) as Arc<dyn Array>)),
                None => exec_err!("tz takes timestamps in nanoseconds, not {}", array.data_type()),
            },
            _ => exec_err!("tz takes a timestamp"),
        }
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(inputs.first().map_or(SortProperties::Unordered, |time| time.sort_properties))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, session, table};

    #[tokio::test]
    async fn instant_stays_and_display_changes() {
        insta::assert_snapshot!(table(&session(), "
            SELECT tz(time) AS utc, tz(time, 'Europe/Paris') AS paris, tz(tz(time, 'Europe/Paris'), '-08:00') AS offset,
                   tz('2024-07-01T12:00:00', 'Asia/Kathmandu') AS literal, tz(time, 'Europe/Paris') = tz(time) AS same
            FROM units ORDER BY time").await, @r"
        | utc                  | paris                     | offset                    | literal                   | same |
        | 2024-01-01T08:00:00Z | 2024-01-01T09:00:00+01:00 | 2024-01-01T00:00:00-08:00 | 2024-07-01T17:45:00+05:45 | true |
        | 2024-01-01T09:00:00Z | 2024-01-01T10:00:00+01:00 | 2024-01-01T01:00:00-08:00 | 2024-07-01T17:45:00+05:45 | true |
        ");
    }

    #[tokio::test]
    async fn type_carries_the_zone() {
        insta::assert_snapshot!(table(&session(), "
            SELECT arrow_typeof(tz(time)) AS a, arrow_typeof(tz(time, 'Europe/Paris')) AS b,
                   arrow_typeof(tz(to_timestamp_seconds(0))) AS c
            FROM units LIMIT 1").await, @r#"
        | a                    | b                             | c                    |
        | Timestamp(ns, "UTC") | Timestamp(ns, "Europe/Paris") | Timestamp(ns, "UTC") |
        "#);
    }

    #[tokio::test]
    async fn unusable_zones_and_times_are_planning_errors() {
        let session = session();
        insta::assert_snapshot!(error(&session, "SELECT tz(time, 'Mars/Base') FROM home").await, @r#"Error during planning: Parser error: Invalid timezone "Mars/Base": failed to parse timezone"#);
        insta::assert_snapshot!(error(&session, "SELECT tz(time, room) FROM home").await, @r"
        Error during planning: Execution error: Function 'tz' user-defined coercion failed with: Error during planning: the second argument of tz must be the name of a time zone. No function matches the given name and argument types 'tz(Timestamp(ns), Dictionary(Int32, Utf8))'. You might need to add explicit type casts.
        	Candidate functions:
        	tz(UserDefined)
        ");
        insta::assert_snapshot!(error(&session, "SELECT tz(time, 1) FROM home").await, @r"
        Error during planning: Execution error: Function 'tz' user-defined coercion failed with: Error during planning: the second argument of tz must be the name of a time zone. No function matches the given name and argument types 'tz(Timestamp(ns), Int64)'. You might need to add explicit type casts.
        	Candidate functions:
        	tz(UserDefined)
        ");
        insta::assert_snapshot!(error(&session, "SELECT tz(temp) FROM home").await, @r"
        Error during planning: Execution error: Function 'tz' user-defined coercion failed with: Error during planning: the first argument of tz must be a timestamp, not Float64. No function matches the given name and argument types 'tz(Float64)'. You might need to add explicit type casts.
        	Candidate functions:
        	tz(UserDefined)
        ");
        insta::assert_snapshot!(error(&session, "SELECT tz()").await, @r"
        Error during planning: Execution error: Function 'tz' user-defined coercion failed with: Error during planning: tz takes a timestamp and optionally a time zone. No function matches the given name and argument types 'tz()'. You might need to add explicit type casts.
        	Candidate functions:
        	tz(UserDefined)
        ");
    }
}
