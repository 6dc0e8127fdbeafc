//! Pieces of SQL.

use chrono::DateTime;

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
    pub const ALL: Self = Self { start_ms: i64::MIN, end_ms: i64::MAX };

    /// Returns the conditions on the time column. The end includes all nanoseconds of its millisecond. Times are texts, because
    /// statements that differ only in texts share a kept plan.
    pub fn conditions(self) -> Vec<String> {
        let end = self.end_ms.saturating_mul(NANOS_PER_MILLI).saturating_add(NANOS_PER_MILLI - 1);
        let bounds = [
            (">=", self.start_ms.saturating_mul(NANOS_PER_MILLI), i64::MIN),
            ("<=", end, i64::MAX),
        ];
        // A bound beyond the times that a column can have excludes none of them.
        let narrowing = bounds.into_iter().filter(|(_, nanos, unbounded)| nanos != unbounded);
        narrowing
            .map(|(operator, nanos, _)| {
                let time = DateTime::from_timestamp_nanos(nanos).format("%Y-%m-%dT%H:%M:%S%.9f");
                format!("\"time\" {operator} TIMESTAMP '{time}'")
            })
            .collect()
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
        let range = TimeRange { start_ms: -1, end_ms: 2 };
        assert_eq!(
            where_clause(&range.conditions()),
            " WHERE \"time\" >= TIMESTAMP '1969-12-31T23:59:59.999000000' \
             AND \"time\" <= TIMESTAMP '1970-01-01T00:00:00.002999999'"
        );
    }

    #[test]
    fn bounds_beyond_all_times_are_no_conditions() {
        assert!(TimeRange::ALL.conditions().is_empty());
        let beyond = TimeRange { start_ms: i64::MIN / 2, end_ms: i64::MAX / 2 };
        assert!(beyond.conditions().is_empty());
        let nothing = TimeRange { start_ms: beyond.end_ms, end_ms: beyond.start_ms };
        assert_eq!(
            nothing.conditions(),
            [
                "\"time\" >= TIMESTAMP '2262-04-11T23:47:16.854775807'",
                "\"time\" <= TIMESTAMP '1677-09-21T00:12:43.146224191'",
            ]
        );
    }
}
