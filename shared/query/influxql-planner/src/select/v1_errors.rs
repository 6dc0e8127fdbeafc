//! Texts of InfluxDB 1 for errors that do not depend on the rest of a statement.

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::common::{Result, plan_err};
use neap_influxql::{Expr, Literal};

/// Refuses a text in place of a time. `time` is the time that it names, if it is only out of range.
/// Always fails with a planning error with the text of InfluxDB 1.
pub(super) fn refuse_time<T>(text: &str, time: Option<DateTime<Utc>>) -> Result<T> {
    if let Some(time) = time {
        let direction = if time < DateTime::UNIX_EPOCH {
            "underflows"
        } else {
            "overflows"
        };
        let time = time.to_rfc3339_opts(SecondsFormat::Secs, true);
        return plan_err!("time {time} {direction} time literal");
    }
    let date = text.as_bytes().get(..10).unwrap_or_default();
    let is_date = !date.is_empty()
        && date.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if is_date {
        plan_err!("invalid timestamp string")
    } else {
        refuse_operand(&Expr::Literal(Literal::String(text.to_owned())))
    }
}

/// Refuses an expression that time is compared with.
/// Always fails with a planning error with the text of InfluxDB 1.
pub(super) fn refuse_operand<T>(operand: &Expr) -> Result<T> {
    let kind = go_type(Some(operand));
    plan_err!("invalid operation: time and {kind} are not compatible")
}

/// The name that InfluxDB 1 shows for the kind of an expression.
pub(super) fn go_type(expr: Option<&Expr>) -> &'static str {
    match expr {
        Some(Expr::Literal(literal)) => match literal {
            Literal::Integer(_) => "*influxql.IntegerLiteral",
            Literal::Unsigned(_) => "*influxql.UnsignedLiteral",
            Literal::Float(_) => "*influxql.NumberLiteral",
            Literal::String(_) => "*influxql.StringLiteral",
            Literal::Boolean(_) => "*influxql.BooleanLiteral",
            Literal::Duration(_) => "*influxql.DurationLiteral",
        },
        Some(Expr::Call(_)) => "*influxql.Call",
        Some(Expr::Binary { .. }) => "*influxql.BinaryExpr",
        Some(Expr::Wildcard(_)) => "*influxql.Wildcard",
        Some(Expr::Regex(_)) => "*influxql.RegexLiteral",
        Some(Expr::Column(_)) => "*influxql.VarRef",
        Some(Expr::Parameter(_)) | None => "nil",
    }
}
