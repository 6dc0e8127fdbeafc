//! `time_bucket(interval, time[, zone][, origin])`: the start of the bin of a time, as in TimescaleDB.
//!
//! The optimizer replaces it by `date_bin`, or with a zone by `date_bin_wallclock`, whose bins are those of the clock in the zone. Bins
//! of days and shorter ones are counted from a Monday, 2000-01-03, bins of months from 2000-01-01.

use std::sync::Arc;

use arrow::{
    array::timezone::Tz,
    datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit},
};
use datafusion::{
    common::{Result, ScalarValue, internal_err, plan_err},
    functions::datetime::date_bin,
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};

use crate::{time_zone::TimeZoneFunction, wallclock::DateBinWallclock};

const NAME: &str = "time_bucket";

/// 2000-01-03, in nanoseconds since the Unix epoch.
const MONDAY: i64 = 946_857_600_000_000_000;

/// 2000-01-01, in nanoseconds since the Unix epoch.
const FIRST_OF_MONTH: i64 = 946_684_800_000_000_000;

/// TimescaleDB's function. The interval, the zone and the origin are literals.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimeBucket {
    signature: Signature,
}

impl TimeBucket {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn usage<T>() -> Result<T> {
    plan_err!(
        "{NAME} takes an interval, a time, and optionally a time zone and the time from which bins are counted"
    )
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [interval, time, rest @ ..] = types else {
            return usage();
        };
        if !is_text(interval) && !matches!(interval, DataType::Interval(_) | DataType::Duration(_))
        {
            return usage();
        }
        let zone = match time {
            DataType::Timestamp(_, zone) => zone.clone(),
            DataType::Null | DataType::Date32 | DataType::Date64 => None,
            text if is_text(text) => None,
            _ => return usage(),
        };
        let nanos = |zone| DataType::Timestamp(TimeUnit::Nanosecond, zone);
        let is_origin =
            |data_type: &DataType| matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
        let mut coerced = vec![DataType::Interval(IntervalUnit::MonthDayNano), nanos(zone.clone())];
        match rest {
            [] => {}
            [name] if is_text(name) => coerced.push(DataType::Utf8),
            [origin] if is_origin(origin) => coerced.push(nanos(zone)),
            // It is a time of the clock in the zone.
            [name, origin] if is_text(name) && is_origin(origin) => {
                coerced.extend([DataType::Utf8, nanos(None)]);
            }
            _ => return usage(),
        }
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {NAME} depends on the value of its argument")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let [_, time, rest @ ..] = args.arg_fields else {
            return usage();
        };
        let data_type = match rest.first() {
            Some(zone) if is_text(zone.data_type()) => {
                let value = args.scalar_arguments.get(2).copied().flatten();
                let Some(Some(name)) = value.map(ScalarValue::try_as_str).unwrap_or_default()
                else {
                    return plan_err!("the time zone of {NAME} is a literal");
                };
                if let Err(error) = name.parse::<Tz>() {
                    return plan_err!("{error}");
                }
                DataType::Timestamp(TimeUnit::Nanosecond, Some(name.into()))
            }
            _ => time.data_type().clone(),
        };
        // As that of the functions that replace it.
        Ok(Arc::new(Field::new(NAME, data_type, true)))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let mut remaining = args.into_iter();
        let (Some(interval), Some(time)) = (remaining.next(), remaining.next()) else {
            return usage();
        };
        let default_origin = match &interval {
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)
                if interval.months != 0 =>
            {
                FIRST_OF_MONTH
            }
            _ => MONDAY,
        };
        let from = |zone| {
            let origin = ScalarValue::TimestampNanosecond(Some(default_origin), zone);
            Expr::Literal(origin, None)
        };
        let rest: Vec<Expr> = remaining.collect();
        let zone = match rest.first() {
            Some(first) if is_text(&info.get_data_type(first)?) => Some(first.clone()),
            _ => None,
        };
        let origin = rest.into_iter().nth(usize::from(zone.is_some()));
        Ok(ExprSimplifyResult::Simplified(match zone {
            Some(zone) => {
                let shown = ScalarUDF::from(TimeZoneFunction::new()).call(vec![time, zone]);
                let origin = origin.unwrap_or_else(|| from(None));
                ScalarUDF::from(DateBinWallclock::new()).call(vec![interval, shown, origin])
            }
            None => {
                let DataType::Timestamp(_, zone) = info.get_data_type(&time)? else {
                    return usage();
                };
                let origin = origin.unwrap_or_else(|| from(zone));
                date_bin().call(vec![interval, time, origin])
            }
        }))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("the optimizer replaces {NAME}")
    }
}

#[cfg(test)]
mod tests {
    use crate::testing;

    async fn bucket(arguments: &str) -> String {
        let sql = format!("SELECT arrow_cast(time_bucket({arguments}), 'Utf8') AS start");
        let rows = testing::table(&testing::session(), &sql).await;
        let line = rows.lines().nth(1).unwrap_or_default();
        line.trim_matches(['|', ' ']).to_owned()
    }

    #[tokio::test]
    async fn weeks_begin_on_mondays_and_months_on_their_first_day() {
        let of = |interval: &'static str| async move {
            bucket(&format!("{interval}, TIMESTAMP '2024-07-10T13:47:00'")).await
        };
        assert_eq!(of("INTERVAL '15 minutes'").await, "2024-07-10T13:45:00");
        assert_eq!(of("'1 hour'").await, "2024-07-10T13:00:00");
        assert_eq!(of("INTERVAL '1 week'").await, "2024-07-08T00:00:00");
        assert_eq!(of("INTERVAL '1 month'").await, "2024-07-01T00:00:00");
        assert_eq!(of("INTERVAL '3 months'").await, "2024-07-01T00:00:00");
    }

    #[tokio::test]
    async fn bins_of_a_zone_are_those_of_its_clock() {
        // Clocks changed at 01:00 UTC of this day, from +01:00 to +02:00.
        let of = |time: &'static str| async move {
            bucket(&format!("INTERVAL '1 day', TIMESTAMP '{time}', 'Europe/Berlin'")).await
        };
        assert_eq!(of("2024-03-30T23:30:00").await, "2024-03-31T00:00:00+01:00");
        assert_eq!(of("2024-03-31T21:59:00").await, "2024-03-31T00:00:00+01:00");
        assert_eq!(of("2024-03-31T22:00:00").await, "2024-04-01T00:00:00+02:00");
        assert_eq!(
            bucket(
                "INTERVAL '1 day', TIMESTAMP '2024-03-31T06:00:00', 'Europe/Berlin', TIMESTAMP '2000-01-01T06:00:00'"
            )
            .await,
            "2024-03-31T06:00:00+02:00"
        );
    }

    #[tokio::test]
    async fn bins_are_counted_from_the_origin() {
        assert_eq!(
            bucket(
                "INTERVAL '1 day', TIMESTAMP '2024-07-10T05:00:00', TIMESTAMP '2024-01-01T06:00:00'"
            )
            .await,
            "2024-07-09T06:00:00"
        );
    }

    #[tokio::test]
    async fn groups_are_bins() {
        let sql = "SELECT time_bucket('6 hours', time) AS t, count(*) AS n FROM home GROUP BY 1 ORDER BY 1";
        insta::assert_snapshot!(testing::table(&testing::session(), sql).await, @r"
        | t                   | n  |
        | 2024-01-01T06:00:00 | 8  |
        | 2024-01-01T12:00:00 | 12 |
        | 2024-01-01T18:00:00 | 6  |
        ");
    }

    #[tokio::test]
    async fn other_arguments_are_refused() {
        let session = testing::session();
        for sql in [
            "SELECT time_bucket(INTERVAL '1 day')",
            "SELECT time_bucket(1, time) FROM home",
            "SELECT time_bucket(INTERVAL '1 day', temp) FROM home",
            "SELECT time_bucket(INTERVAL '1 day', time, 5) FROM home",
        ] {
            let refusal = testing::error(&session, sql).await;
            assert!(refusal.contains("takes an interval, a time"), "{refusal}");
        }
        let sql = "SELECT time_bucket(INTERVAL '1 day', time, room) FROM home";
        let refusal = testing::error(&session, sql).await;
        assert!(refusal.contains("takes an interval, a time"), "{refusal}");
    }
}
