//! Whether a statement reads the time of the request.

use neap_formats::series::AnswerInterface;
use neap_influxql::{Condition, Dimension, Expr as Ast, Select, SelectSource};

use super::time::{self, TimeContext};

/// The name of the function with the time of the request.
const NOW: &str = "now";

/// Whether the rows of a statement depend on the time of the request: it calls `now()`, or has windows of time without an upper
/// bound, which end then. Also true for a statement with an invalid time or zone.
pub fn depends_on_now(select: &Select) -> bool {
    is_dependent(select, false, None)
}

/// The same for a statement or a subquery, with what it inherits.
fn is_dependent(select: &Select, has_outer_upper: bool, outer_zone: Option<&str>) -> bool {
    let zone = select.time_zone.as_deref().or(outer_zone);
    let condition = select.condition.as_ref();
    // Without `now()`, constant times are the same at any time of the request.
    let split = TimeContext::new(0, zone, AnswerInterface::V3)
        .and_then(|clock| time::split(condition, &clock));
    let Ok((range, _)) = split else {
        return true;
    };
    let has_upper = has_outer_upper || range.upper.is_some();
    reads_now(select, condition)
        || (has_window(select) && !has_upper)
        || select.from.iter().any(|source| match source {
            SelectSource::Subquery(inner) => is_dependent(inner, has_upper, zone),
            SelectSource::Measurement(_) => false,
        })
}

/// Whether a statement itself has `GROUP BY time`.
pub(super) fn has_window(select: &Select) -> bool {
    let mut dimensions = select.group_by.iter();
    dimensions.any(|dimension| matches!(dimension, Dimension::Time { .. }))
}

/// Whether a statement reads the time of the request, apart from the bounds of its times and from its subqueries.
pub(super) fn reads_now(select: &Select, condition: Option<&Condition>) -> bool {
    let is_read = |dimension: &Dimension| match dimension {
        Dimension::Time { offset, .. } => offset.as_ref().is_some_and(calls_now),
        _ => false,
    };
    select.fields.iter().any(|field| calls_now(&field.expr))
        || select.group_by.iter().any(is_read)
        || condition.is_some_and(condition_calls_now)
}

fn condition_calls_now(condition: &Condition) -> bool {
    match condition {
        Condition::And(parts) | Condition::Or(parts) => parts.iter().any(condition_calls_now),
        Condition::Compare { left, right, .. } => calls_now(left) || calls_now(right),
        Condition::Value(value) => calls_now(value),
    }
}

fn calls_now(expr: &Ast) -> bool {
    match expr {
        Ast::Call(call) => call.name == NOW || call.args.iter().any(calls_now),
        Ast::Binary { left, right, .. } => calls_now(left) || calls_now(right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use neap_influxql::{Statement, parse};

    use super::*;

    fn depends(text: &str) -> bool {
        match parse(text).unwrap().remove(0) {
            Statement::Select(select) => depends_on_now(&select),
            other => panic!("{other} is no SELECT"),
        }
    }

    #[test]
    fn statements_without_now_and_with_bounded_windows_are_independent_of_the_time() {
        for text in [
            "SELECT v FROM cpu",
            "SELECT v FROM cpu WHERE host = 'now()'",
            "SELECT v FROM cpu WHERE time > 5 AND time < '2024-01-01' TZ('Europe/Berlin')",
            "SELECT mean(v) FROM cpu WHERE time < 5 GROUP BY time(1m)",
            "SELECT mean(v) FROM cpu WHERE time = 5 GROUP BY time(1m), host",
            "SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu GROUP BY time(1m)) WHERE time < 5",
            "SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu WHERE time < 5 GROUP BY time(1m))",
        ] {
            assert!(!depends(text), "{text}");
        }
    }

    #[test]
    fn now_and_windows_without_an_end_depend_on_the_time() {
        for text in [
            "SELECT v FROM cpu WHERE time > now() - 1h",
            "SELECT v FROM cpu WHERE v > 1 OR time > now() - 1h",
            "SELECT mean(v) FROM cpu GROUP BY time(1m)",
            "SELECT mean(v) FROM cpu WHERE time > 5 GROUP BY time(1m)",
            "SELECT mean(v) FROM cpu WHERE time < 5 GROUP BY time(1h, now())",
            "SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu WHERE time < 5 GROUP BY time(1m)) GROUP BY time(1h)",
            "SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu GROUP BY time(1m))",
            "SELECT max(v) FROM (SELECT v FROM cpu WHERE time > now() - 1h)",
            "SELECT v FROM cpu WHERE time > 'yesterday'",
            "SELECT v FROM cpu TZ('Atlantis')",
        ] {
            assert!(depends(text), "{text}");
        }
    }
}
