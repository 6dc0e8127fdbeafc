//! Times in statements: constants, and the time range of a condition.

use arrow::array::timezone::Tz;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use datafusion::common::{Result, plan_err};
use neap_formats::series::AnswerInterface;
use neap_influxql::{BinaryOp, Column, CompareOp, Condition, Expr as Ast, Literal};
use neap_schema::TIME_COLUMN;

use super::v1_errors;

/// The formats of times without a zone.
const LOCAL_FORMATS: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];

/// The earliest time of InfluxDB. Earlier values mark ranges without a lower bound.
const EARLIEST: i64 = i64::MIN + 2;

/// The context in which constant times are evaluated.
#[derive(Clone, Debug)]
pub(super) struct TimeContext {
    /// `now()` in nanoseconds since the Unix epoch.
    pub(super) now: i64,
    /// The zone of `TZ()`, which applies to times without a zone.
    zone: Option<Tz>,
    /// The interface, which determines the texts of errors.
    pub(super) interface: AnswerInterface,
}

impl TimeContext {
    /// Creates a clock.
    /// Fails with a planning error if the zone is unknown.
    pub(super) fn new(now: i64, zone: Option<&str>, interface: AnswerInterface) -> Result<Self> {
        let zone = match zone.map(str::parse) {
            None => None,
            Some(Ok(zone)) => Some(zone),
            Some(Err(_)) => {
                return plan_err!("unable to find time zone {}", zone.unwrap_or_default());
            }
        };
        Ok(Self { now, zone, interface })
    }

    /// Evaluates a constant time in nanoseconds; `None` if the expression is not one.
    /// Fails with planning errors for strings that are not times, and for times out of range.
    pub(super) fn instant(&self, expr: &Ast) -> Result<Option<i64>> {
        Ok(Some(match expr {
            Ast::Literal(Literal::Integer(nanos) | Literal::Duration(nanos)) => *nanos,
            Ast::Literal(Literal::Unsigned(_)) => i64::MAX,
            #[allow(
                clippy::cast_possible_truncation,
                reason = "saturates, and a fraction of a nanosecond is nothing"
            )]
            Ast::Literal(Literal::Float(nanos)) => *nanos as i64,
            Ast::Literal(Literal::String(text)) => self.parsed(text)?,
            Ast::Call(call) if call.name == "now" && call.args.is_empty() => self.now,
            Ast::Binary { op, left, right } => {
                let (Some(left), Some(right)) = (self.instant(left)?, self.instant(right)?) else {
                    return Ok(None);
                };
                let sum = match op {
                    BinaryOp::Add => left.checked_add(right),
                    BinaryOp::Subtract => left.checked_sub(right),
                    BinaryOp::Multiply => left.checked_mul(right),
                    BinaryOp::Divide => left.checked_div(right),
                    _ => return Ok(None),
                };
                match sum {
                    Some(sum) => sum,
                    None => return plan_err!("time is out of range: {expr}"),
                }
            }
            _ => return Ok(None),
        }))
    }

    fn parsed(&self, text: &str) -> Result<i64> {
        let rfc3339 = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
        let time = rfc3339.ok().or_else(|| self.local(text));
        match (time.and_then(|time| time.timestamp_nanos_opt()), self.interface) {
            (Some(nanos), _) => Ok(nanos),
            (None, AnswerInterface::V1) => v1_errors::refuse_time(text, time),
            (None, AnswerInterface::V3) => {
                plan_err!("invalid expression \"'{text}'\": '{text}' is not a valid timestamp")
            }
        }
    }

    /// Parses a time without a zone. As in InfluxDB 1, a time that occurs twice or never gets the offset that applies at the
    /// instant to which the offset at the same time in UTC leads: east of Greenwich, it is after the shift.
    fn local(&self, text: &str) -> Option<DateTime<Utc>> {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let of_day = LOCAL_FORMATS
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let local = of_day.or_else(|| {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            date.and_hms_opt(0, 0, 0)
        })?;
        let Some(zone) = &self.zone else {
            return Some(local.and_utc());
        };
        let offset = |time: &NaiveDateTime| zone.offset_from_utc_datetime(time).fix();
        let guess = local.checked_sub_offset(offset(&local))?;
        Some(local.checked_sub_offset(offset(&guess))?.and_utc())
    }
}

/// A range of times in nanoseconds, both ends inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StatementTimeRange {
    pub(super) lower: Option<i64>,
    pub(super) upper: Option<i64>,
}

impl StatementTimeRange {
    /// Returns the intersection of both ranges.
    #[must_use]
    pub(super) fn intersect(self, other: Self) -> Self {
        let tighter =
            |one: Option<i64>, two: Option<i64>, pick: fn(i64, i64) -> i64| match (one, two) {
                (Some(one), Some(two)) => Some(pick(one, two)),
                (one, two) => one.or(two),
            };
        Self {
            lower: tighter(self.lower, other.lower, i64::max),
            upper: tighter(self.upper, other.upper, i64::min),
        }
    }

    /// Whether no time is in the range.
    pub(super) fn is_empty(self) -> bool {
        matches!((self.lower, self.upper), (Some(lower), Some(upper)) if lower > upper)
    }

    /// Returns the range of the times for which the comparison with `instant` is true; `None` if they are not a range.
    /// A lower bound before all times of InfluxDB means no bound.
    fn from_comparison(op: CompareOp, instant: i64) -> Option<Self> {
        let (lower, upper) = match op {
            CompareOp::Equal => (Some(instant), Some(instant)),
            CompareOp::Less => (None, Some(instant.saturating_sub(1))),
            CompareOp::LessOrEqual => (None, Some(instant)),
            CompareOp::Greater => (Some(instant.saturating_add(1)), None),
            CompareOp::GreaterOrEqual => (Some(instant), None),
            CompareOp::NotEqual | CompareOp::Matches | CompareOp::NotMatches => return None,
        };
        let lower = lower.filter(|lower| *lower >= EARLIEST);
        Some(Self { lower, upper })
    }
}

/// Splits a condition into its time range and the rest. Only terms of the top-level conjunction limit the range.
pub(super) fn split(
    condition: Option<&Condition>,
    clock: &TimeContext,
) -> Result<(StatementTimeRange, Option<Condition>)> {
    let parts = match condition {
        None => return Ok((StatementTimeRange::default(), None)),
        Some(Condition::And(parts)) => parts.as_slice(),
        Some(part) => std::slice::from_ref(part),
    };
    let mut range = StatementTimeRange::default();
    let mut rest: Option<Condition> = None;
    for part in parts {
        match range_of(part, clock)? {
            Some(narrower) => range = range.intersect(narrower),
            None => {
                rest = Some(match rest {
                    None => part.clone(),
                    Some(rest) => rest.and(part.clone()),
                });
            }
        }
    }
    Ok((range, rest))
}

fn range_of(condition: &Condition, clock: &TimeContext) -> Result<Option<StatementTimeRange>> {
    let Condition::Compare { left, op, right } = condition else {
        return Ok(None);
    };
    let (op, constant) = match (is_time(left), is_time(right)) {
        (true, false) => (*op, right),
        (false, true) => (swap_sides(*op), left),
        _ => return Ok(None),
    };
    let instant = clock.instant(constant)?;
    Ok(instant.and_then(|instant| StatementTimeRange::from_comparison(op, instant)))
}

/// Whether an expression is the time of the row.
pub(super) fn is_time(expr: &Ast) -> bool {
    matches!(expr, Ast::Column(Column { name, cast: None }) if name == TIME_COLUMN)
}

/// Returns the comparison with its sides swapped.
pub(super) fn swap_sides(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Less => CompareOp::Greater,
        CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
        CompareOp::Greater => CompareOp::Less,
        CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
        symmetric => symmetric,
    }
}
