//! Pieces of SQL.

/// Nanoseconds per millisecond.
pub const NANOS_PER_MILLI: i64 = 1_000_000;

/// A range of times in milliseconds since the Unix epoch. Both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first millisecond.
    pub start_ms: i64,
    /// The last millisecond.
    pub end_ms: i64,
}

impl TimeRange {
    /// All times.
    pub const ALL: Self = Self {
        start_ms: i64::MIN,
        end_ms: i64::MAX,
    };

    /// Returns the conditions on the time column. The end includes all nanoseconds of its millisecond.
    pub fn conditions(self) -> Vec<String> {
        let literal = |nanos: i64| format!("arrow_cast({nanos}, 'Timestamp(Nanosecond, None)')");
        let mut conditions = Vec::new();
        if self.start_ms > Self::ALL.start_ms {
            let start = self.start_ms.saturating_mul(NANOS_PER_MILLI);
            conditions.push(format!("\"time\" >= {}", literal(start)));
        }
        if self.end_ms < Self::ALL.end_ms {
            let end =
                self.end_ms.saturating_mul(NANOS_PER_MILLI).saturating_add(NANOS_PER_MILLI - 1);
            conditions.push(format!("\"time\" <= {}", literal(end)));
        }
        conditions
    }
}

/// Returns a `WHERE` clause, or nothing if there are no conditions.
pub(super) fn where_clause(conditions: &[String]) -> String {
    if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_includes_all_of_its_last_millisecond() {
        let range = TimeRange {
            start_ms: -1,
            end_ms: 2,
        };
        assert_eq!(
            where_clause(&range.conditions()),
            " WHERE \"time\" >= arrow_cast(-1000000, 'Timestamp(Nanosecond, None)') AND \"time\" <= arrow_cast(2999999, 'Timestamp(Nanosecond, None)')"
        );
        assert_eq!(where_clause(&TimeRange::ALL.conditions()), "");
    }
}
