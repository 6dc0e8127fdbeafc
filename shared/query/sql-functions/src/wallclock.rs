//! `date_bin_wallclock(interval, time[, origin])`: bins aligned with the wall clock of the time's zone.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TIMEZONE_WILDCARD, TypeSignature,
    Volatility,
};

use crate::bins::{Binning, Stride};

pub(crate) const NAME: &str = "date_bin_wallclock";

/// InfluxDB 3's `date_bin_wallclock`. A time without a zone is in UTC; the origin is a local time.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DateBinWallclock {
    signature: Signature,
}

impl DateBinWallclock {
    pub(crate) fn new() -> Self {
        Self { signature: signature(OriginKind::Local) }
    }
}

/// The type of the third argument of a binning function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OriginKind {
    /// An instant, as in `date_bin`: a timestamp with a zone if the time has one.
    Instant,
    /// A local time, as in `date_bin_wallclock`: a timestamp without a zone.
    Local,
}

/// Returns the signature of a binning function: interval, time in nanoseconds with or without a zone, and an optional
/// origin.
pub(crate) fn signature(origin: OriginKind) -> Signature {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let local = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let zoned = DataType::Timestamp(TimeUnit::Nanosecond, Some(TIMEZONE_WILDCARD.into()));
    let zoned_origin = match origin {
        OriginKind::Instant => zoned.clone(),
        OriginKind::Local => local.clone(),
    };
    Signature::one_of(
        vec![
            TypeSignature::Exact(vec![interval.clone(), local.clone()]),
            TypeSignature::Exact(vec![interval.clone(), local.clone(), local]),
            TypeSignature::Exact(vec![interval.clone(), zoned.clone()]),
            TypeSignature::Exact(vec![interval, zoned, zoned_origin]),
        ],
        Volatility::Immutable,
    )
}

/// Returns the bins described by `function`'s constant arguments. `origin` is in nanoseconds; the default is
/// 1970-01-01T00:00:00.
pub(crate) fn binning(
    function: &str,
    interval: &ScalarValue,
    origin: Option<i64>,
    zone: Option<&str>,
) -> Result<Binning> {
    let stride = Stride::try_new(interval, function)?;
    match zone.unwrap_or("UTC").parse::<Tz>() {
        Ok(zone) => Ok(Binning::wallclock(stride, origin.unwrap_or(0), zone)),
        Err(error) => plan_err!("{error}"),
    }
}

impl ScalarUDFImpl for DateBinWallclock {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.get(1) {
            Some(time @ DataType::Timestamp(TimeUnit::Nanosecond, _)) => Ok(time.clone()),
            _ => plan_err!("{NAME} takes an interval and a timestamp"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (interval, time, origin) = match args.args.as_slice() {
            [ColumnarValue::Scalar(interval), time] => (interval, time, None),
            [
                ColumnarValue::Scalar(interval),
                time,
                ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(Some(origin), _)),
            ] => (interval, time, Some(*origin)),
            _ => return exec_err!("the interval and the origin of {NAME} must be constants"),
        };
        let DataType::Timestamp(_, zone) = time.data_type() else {
            return exec_err!("{NAME} takes a timestamp, not {}", time.data_type());
        };
        let binning = binning(NAME, interval, origin, zone.as_deref())?;
        match time {
            ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(time, zone)) => {
                Ok(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(
                    time.and_then(|time| binning.start(time)),
                    zone.clone(),
                )))
            }
            ColumnarValue::Scalar(other) => {
                exec_err!("{NAME} takes timestamps in nanoseconds, not {other}")
            }
            ColumnarValue::Array(array) => {
                match array.as_primitive_opt::<TimestampNanosecondType>() {
                    Some(times) => {
                        let bins: PrimitiveArray<TimestampNanosecondType> =
                            times.unary_opt(|time| binning.start(time));
                        Ok(ColumnarValue::Array(Arc::new(bins.with_timezone_opt(zone)) as ArrayRef))
                    }
                    None => exec_err!(
                        "{NAME} takes timestamps in nanoseconds, not {}",
                        array.data_type()
                    ),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, session, table};

    #[tokio::test]
    async fn days_start_at_local_midnight() {
        insta::assert_snapshot!(table(&session(), "
            SELECT date_bin_wallclock(INTERVAL '1 day', tz(time, 'Europe/Paris')) AS t, count(*) AS n
            FROM home GROUP BY t ORDER BY t").await, @r"
        | t                         | n  |
        | 2024-01-01T00:00:00+01:00 | 26 |
        ");
        insta::assert_snapshot!(table(&session(), "
            SELECT date_bin_wallclock(INTERVAL '1 day', time) AS utc,
                   date_bin_wallclock('1 day', tz(time, 'Asia/Tokyo'), TIMESTAMP '1970-01-01T18:00:00') AS tokyo,
                   date_bin_wallclock(INTERVAL '12 hours', tz('2024-03-31T12:00:00', 'Europe/Paris')) AS literal
            FROM units ORDER BY time").await, @r"
        | utc                 | tokyo                     | literal                   |
        | 2024-01-01T00:00:00 | 2023-12-31T18:00:00+09:00 | 2024-03-31T12:00:00+02:00 |
        | 2024-01-01T00:00:00 | 2024-01-01T18:00:00+09:00 | 2024-03-31T12:00:00+02:00 |
        ");
    }

    #[tokio::test]
    async fn unusable_arguments_are_errors() {
        let session = session();
        insta::assert_snapshot!(
            error(&session, "SELECT date_bin_wallclock(INTERVAL '0 seconds', time) FROM home").await, @"Error during planning: the interval of date_bin_wallclock must be positive and shorter than 292 years");
        insta::assert_snapshot!(
            error(&session, "SELECT date_bin_wallclock(INTERVAL '1 day', time, time) FROM home").await, @"Execution error: the interval and the origin of date_bin_wallclock must be constants");
    }
}
