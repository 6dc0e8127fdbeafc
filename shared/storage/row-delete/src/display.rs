//! Formats conditions as SQL.

use std::fmt::{self, Display, Formatter};

use chrono::{DateTime, SecondsFormat};

use crate::{Condition, RowDelete};

/// The operator that encloses a condition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EnclosingOperator {
    None,
    And,
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_condition(f, self, EnclosingOperator::None)
    }
}

impl Display for RowDelete {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "rows of table {} where {}", self.table, self.condition)
    }
}

fn write_condition(
    f: &mut Formatter<'_>,
    condition: &Condition,
    within: EnclosingOperator,
) -> fmt::Result {
    match condition {
        Condition::Time { min, max } => write_time(f, *min, *max),
        Condition::Tag { name, value } => {
            let name = name.replace('"', "\"\"");
            match value.as_deref().filter(|value| !value.is_empty()) {
                Some(value) => write!(f, "\"{name}\" = '{}'", value.replace('\'', "''")),
                None => write!(f, "\"{name}\" IS NULL"),
            }
        }
        Condition::All(parts) => match parts.as_slice() {
            [] => f.write_str("true"),
            [part] => write_condition(f, part, within),
            parts => join(f, parts, " AND ", EnclosingOperator::And),
        },
        Condition::Any(parts) => match parts.as_slice() {
            [] => f.write_str("false"),
            [part] => write_condition(f, part, within),
            parts if within == EnclosingOperator::And => {
                f.write_str("(")?;
                join(f, parts, " OR ", EnclosingOperator::None)?;
                f.write_str(")")
            }
            parts => join(f, parts, " OR ", EnclosingOperator::None),
        },
    }
}

fn join(
    f: &mut Formatter<'_>,
    parts: &[Condition],
    word: &str,
    within: EnclosingOperator,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        write_condition(f, part, within)?;
    }
    Ok(())
}

fn write_time(f: &mut Formatter<'_>, min: i64, max: i64) -> fmt::Result {
    let time =
        |nanos| DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::AutoSi, true);
    match (min, max) {
        (min, max) if min > max => f.write_str("false"),
        (i64::MIN, i64::MAX) => f.write_str("true"),
        (i64::MIN, max) => write!(f, "time <= '{}'", time(max)),
        (min, i64::MAX) => write!(f, "time >= '{}'", time(min)),
        (min, max) if min == max => write!(f, "time = '{}'", time(min)),
        (min, max) => write!(f, "time >= '{}' AND time <= '{}'", time(min), time(max)),
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::TableId;

    use super::*;
    use crate::condition::tests::tag;

    #[test]
    fn a_delete_reads_like_sql() {
        let time = Condition::Time {
            min: 1_700_000_000_000_000_000,
            max: 1_700_000_060_000_000_001,
        };
        let missing = Condition::Tag { name: "odd \"name\"".to_owned(), value: None };
        let delete = RowDelete {
            table: TableId::new(3),
            condition: time.and(tag("host", "it's").or(missing.and(tag("zone", "a")))),
        };
        insta::assert_snapshot!(
            delete,
            @r#"rows of table 3 where time >= '2023-11-14T22:13:20Z' AND time <= '2023-11-14T22:14:20.000000001Z' AND ("host" = 'it''s' OR "odd ""name""" IS NULL AND "zone" = 'a')"#
        );
        for (condition, text) in [
            (Condition::EVERYTHING, "true"),
            (Condition::NOTHING, "false"),
            (Condition::Time { min: 1, max: 0 }, "false"),
            (Condition::Time { min: i64::MIN, max: 0 }, "time <= '1970-01-01T00:00:00Z'"),
            (Condition::Time { min: 0, max: i64::MAX }, "time >= '1970-01-01T00:00:00Z'"),
            (Condition::Time { min: 0, max: 0 }, "time = '1970-01-01T00:00:00Z'"),
        ] {
            assert_eq!(condition.to_string(), text);
        }
    }
}
