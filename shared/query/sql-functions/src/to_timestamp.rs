//! `to_timestamp(x[, format...])`: numbers are nanoseconds, strings are parsed, timestamps are converted to
//! nanoseconds.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::functions::datetime::to_timestamp_nanos;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// InfluxDB 3's `to_timestamp`: DataFusion's `to_timestamp_nanos` under that name.
///
/// DataFusion's own `to_timestamp` interprets numbers as seconds, so it is replaced.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ToTimestamp {
    nanos: Arc<ScalarUDF>,
}

impl ToTimestamp {
    pub(crate) fn new(config: &ConfigOptions) -> Self {
        Self { nanos: to_timestamp_nanos(config) }
    }
}

impl ScalarUDFImpl for ToTimestamp {
    fn name(&self) -> &str {
        "to_timestamp"
    }

    fn signature(&self) -> &Signature {
        self.nanos.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.nanos.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.nanos.return_field_from_args(args)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        Some(Self::new(config).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.nanos.invoke_with_args(args)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, session, table};

    #[tokio::test]
    async fn numbers_are_nanoseconds() {
        insta::assert_snapshot!(table(&session(), "
            SELECT to_timestamp(1704096000000000001) AS int, to_timestamp(arrow_cast(1, 'UInt64')) AS uint,
                   to_timestamp(-1) AS negative, to_timestamp(NULL) AS nothing,
                   arrow_typeof(to_timestamp(0)) AS type").await, @r"
        | int                           | uint                          | negative                      | nothing | type          |
        | 2024-01-01T08:00:00.000000001 | 1970-01-01T00:00:00.000000001 | 1969-12-31T23:59:59.999999999 |         | Timestamp(ns) |
        ");
    }

    #[tokio::test]
    async fn strings_are_parsed_and_timestamps_converted() {
        insta::assert_snapshot!(table(&session(), "
            SELECT to_timestamp('2024-01-01T08:00:00.5+02:00') AS rfc3339, to_timestamp('2024-01-01 08:00:00') AS sql,
                   to_timestamp('08:15 on 02/01/2024', '%c', '%H:%M on %d/%m/%Y') AS formats,
                   to_timestamp(to_timestamp_seconds(1704096000)) AS seconds,
                   to_timestamp(time) = time AS same
            FROM units LIMIT 1").await, @r"
        | rfc3339                 | sql                 | formats             | seconds             | same |
        | 2024-01-01T06:00:00.500 | 2024-01-01T08:00:00 | 2024-01-02T08:15:00 | 2024-01-01T08:00:00 | true |
        ");
    }

    #[tokio::test]
    async fn works_as_a_time_bound() {
        insta::assert_snapshot!(table(&session(), "
            SELECT count(*) AS n FROM home WHERE time >= to_timestamp('2024-01-01T10:00:00Z')
            AND time < to_timestamp(1704110400000000000)").await, @r"
        | n |
        | 4 |
        ");
    }

    #[tokio::test]
    async fn unparsable_text_is_an_error() {
        insta::assert_snapshot!(error(&session(), "SELECT to_timestamp('soon')").await, @"Arrow error: Parser error: Error parsing timestamp from 'soon': timestamp must contain at least 10 characters");
    }
}
