//! Statements that differ only in times and texts that their conditions compare with columns.

use neap_formats::series::AnswerInterface;
use neap_influxql::{
    CompareOp, Condition, Expr as Ast, Literal, MeasurementName, Select, SelectSource,
};
use neap_schema::TIME_COLUMN;

use super::{
    request_time::{has_window, reads_now},
    time::{self, StatementTimeRange, TimeContext},
};

/// A `SELECT` whose times and texts that are compared with columns were taken out.
///
/// Statements with the same shape have the same plan as long as their table has the same columns, apart from the values and from
/// what the planner computes of them, such as an earlier start for `moving_average`.
#[derive(Clone, Debug, PartialEq)]
pub struct LiftedSelect {
    /// The statement with the parameter `$0` instead of the first value, and so on. Its time ranges are written in one way
    /// only.
    pub shape: Select,
    /// The values that were taken out.
    pub values: Vec<LiftedValue>,
}

/// A value that a condition compares with a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiftedValue {
    /// A time in nanoseconds since the Unix epoch.
    Time(i64),
    /// A text that is not empty. The empty one has another plan, because missing tags equal it.
    Text(String),
}

impl LiftedSelect {
    /// Takes the values out of a statement without parameters, at a time in nanoseconds since the Unix epoch. Returns `None`
    /// if its plan may depend on more than the values and the columns of one table: the statement reads several tables or
    /// chooses them by a regular expression, reads the time of the request other than as a bound of its times, or bounds
    /// them in a subquery, too; no time is in its range, or it names an invalid time or zone. A statement that is wrong in
    /// another way may have a shape.
    pub fn from_select(select: &Select, now: i64) -> Option<Self> {
        let mut shape = select.clone();
        let mut values = ValueList(Vec::new());
        values.lift(&mut shape, now, &OuterStatement::default())?;
        let values = values.0;
        Some(Self { shape, values })
    }
}

/// The values that were taken out.
struct ValueList(Vec<LiftedValue>);

impl ValueList {
    /// Takes the values out of a statement or a subquery.
    fn lift(&mut self, select: &mut Select, now: i64, outer: &OuterStatement) -> Option<()> {
        let zone = select.time_zone.as_ref().or(outer.zone.as_ref());
        let zone_name = zone.map(String::as_str);
        let clock = TimeContext::new(now, zone_name, AnswerInterface::V3).ok()?;
        let (mut range, rest) = time::split(select.condition.take().as_ref(), &clock).ok()?;
        if has_window(select) && !outer.has_upper {
            range.upper = range.upper.or(Some(now));
        }
        let (has_lower, has_upper) = (range.lower.is_some(), range.upper.is_some());
        // The planner takes the tighter one of two bounds.
        if (outer.has_lower && has_lower) || (outer.has_upper && has_upper) {
            return None;
        }
        let inner = OuterStatement {
            has_lower: outer.has_lower || has_lower,
            has_upper: outer.has_upper || has_upper,
            zone: zone.cloned(),
        };
        if range.is_empty() || reads_now(select, rest.as_ref()) {
            return None;
        }
        select.condition = self.condition(range, rest);
        match select.from.as_mut_slice() {
            [SelectSource::Measurement(one)] => match one.name {
                MeasurementName::Name(_) => Some(()),
                MeasurementName::Regex(_) => None,
            },
            [SelectSource::Subquery(select)] => self.lift(select, now, &inner),
            _ => None,
        }
    }

    /// Returns the condition of a statement, with parameters.
    fn condition(
        &mut self,
        range: StatementTimeRange,
        rest: Option<Condition>,
    ) -> Option<Condition> {
        let lower = range.lower.map(|time| (CompareOp::GreaterOrEqual, time));
        let upper = range.upper.map(|time| (CompareOp::LessOrEqual, time));
        let bounds: Vec<Condition> = lower
            .into_iter()
            .chain(upper)
            .map(|(op, time)| Condition::Compare {
                left: Ast::column(TIME_COLUMN),
                op,
                right: self.parameter(LiftedValue::Time(time)),
            })
            .collect();
        let rest = rest.map(|rest| self.without_texts(rest));
        bounds.into_iter().chain(rest).reduce(Condition::and)
    }

    fn without_texts(&mut self, condition: Condition) -> Condition {
        match condition {
            Condition::And(parts) => Condition::And(self.all_without_texts(parts)),
            Condition::Or(parts) => Condition::Or(self.all_without_texts(parts)),
            Condition::Compare {
                left: left @ Ast::Column(_),
                op: op @ (CompareOp::Equal | CompareOp::NotEqual),
                right: Ast::Literal(Literal::String(text)),
            } if !time::is_time(&left) && !text.is_empty() => {
                Condition::Compare { left, op, right: self.parameter(LiftedValue::Text(text)) }
            }
            condition => condition,
        }
    }

    fn all_without_texts(&mut self, conditions: Vec<Condition>) -> Vec<Condition> {
        let conditions = conditions.into_iter();
        conditions.map(|one| self.without_texts(one)).collect()
    }

    /// Adds a value, and returns its parameter.
    fn parameter(&mut self, value: LiftedValue) -> Ast {
        let parameter = Ast::Parameter(self.0.len().to_string());
        self.0.push(value);
        parameter
    }
}

/// What a subquery inherits from the statements around it.
#[derive(Clone, Debug, Default)]
struct OuterStatement {
    has_lower: bool,
    has_upper: bool,
    zone: Option<String>,
}

#[cfg(test)]
mod tests {
    use neap_influxql::{Statement, parse};

    use super::*;

    /// 2024-01-01T00:00:00Z in nanoseconds.
    const NOW_NANOS: i64 = 1_704_067_200_000_000_000;

    fn lifted(text: &str) -> Option<(String, Vec<LiftedValue>)> {
        let statement = parse(text).unwrap().remove(0);
        let Statement::Select(select) = statement else {
            panic!("{text} is no SELECT");
        };
        let lifted = LiftedSelect::from_select(&select, NOW_NANOS)?;
        Some((lifted.shape.to_string(), lifted.values))
    }

    fn text(text: &str) -> LiftedValue {
        LiftedValue::Text(text.to_owned())
    }

    #[test]
    fn times_and_texts_that_are_compared_are_lifted() {
        let second = |second: i64| LiftedValue::Time(NOW_NANOS + second * 1_000_000_000);
        for (statement, shape, values) in [
            (
                "SELECT v FROM cpu WHERE host = 'a' AND time >= '2024-01-01T00:00:01Z' AND x > 5",
                "SELECT v FROM cpu WHERE time >= $\"0\" AND host = $\"1\" AND x > 5",
                vec![second(1), text("a")],
            ),
            (
                "SELECT v FROM cpu WHERE (host = 'a' OR host != 'b') AND time = 1704067201s",
                "SELECT v FROM cpu WHERE time >= $\"0\" AND time <= $\"1\" AND (host = $\"2\" OR host != $\"3\")",
                vec![second(1), second(1), text("a"), text("b")],
            ),
            (
                "SELECT mean(v) FROM cpu WHERE time > now() - 1m GROUP BY time(10s)",
                "SELECT mean(v) FROM cpu WHERE time >= $\"0\" AND time <= $\"1\" GROUP BY TIME(10s)",
                vec![LiftedValue::Time(NOW_NANOS - 60_000_000_000 + 1), second(0)],
            ),
            (
                "SELECT v FROM cpu WHERE time >= '2024-01-01 01:00:01' TZ('Europe/Paris')",
                "SELECT v FROM cpu WHERE time >= $\"0\" TZ('Europe/Paris')",
                vec![second(1)],
            ),
            (
                "SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu WHERE host = 'a' GROUP BY time(1m)) \
                 WHERE time <= 1704067201s",
                "SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu WHERE host = $\"1\" GROUP BY TIME(1m)) \
                 WHERE time <= $\"0\"",
                vec![second(1), text("a")],
            ),
            // A missing tag equals the empty text. Other conditions remain as they are.
            (
                "SELECT v FROM cpu WHERE host = '' AND host =~ /a/ AND (x = 1 OR time > 5)",
                "SELECT v FROM cpu WHERE host = '' AND host =~ /a/ AND (x = 1 OR time > 5)",
                vec![],
            ),
            ("SELECT v FROM cpu", "SELECT v FROM cpu", vec![]),
        ] {
            assert_eq!(lifted(statement), Some((shape.to_owned(), values)), "{statement}");
        }
    }

    #[test]
    fn plans_that_depend_on_more_than_the_values_have_no_shape() {
        for statement in [
            "SELECT v FROM cpu, mem",
            "SELECT v FROM /c/",
            "SELECT v FROM cpu WHERE v > 1 OR time > now() - 1h",
            "SELECT v FROM cpu WHERE now() > 5",
            "SELECT mean(v) FROM cpu WHERE time > 5 GROUP BY time(1h, now())",
            "SELECT v FROM cpu WHERE time > 5 AND time < 4",
            "SELECT v FROM cpu WHERE time > 'yesterday'",
            "SELECT v FROM cpu WHERE time > '2024-01-01 00:00:00' TZ('Nowhere')",
            "SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu WHERE time > 6 GROUP BY host) WHERE time > 5",
            "SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu WHERE time < 6 GROUP BY host) WHERE time < 9",
            "SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu WHERE v > 1 OR time > now() GROUP BY host)",
        ] {
            assert_eq!(lifted(statement), None, "{statement}");
        }
    }
}
