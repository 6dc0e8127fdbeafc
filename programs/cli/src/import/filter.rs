//! The part of a source that is imported.

use chrono::{DateTime, NaiveDate, NaiveTime};
use neap_tsm::TimeRange;

/// Databases that InfluxDB writes about itself. They are imported only if they are named.
const OWN_DATABASES: [&str; 3] = ["_internal", "_monitoring", "_tasks"];

/// Filters of an import. An empty list includes everything.
#[derive(Clone, Debug)]
pub struct ImportFilter {
    /// Databases of the source, or buckets.
    pub databases: Vec<String>,
    /// Retention policies.
    pub retention_policies: Vec<String>,
    /// Measurements.
    pub measurements: Vec<String>,
    /// Times in nanoseconds.
    pub times: TimeRange,
}

impl Default for ImportFilter {
    fn default() -> Self {
        Self {
            databases: Vec::new(),
            retention_policies: Vec::new(),
            measurements: Vec::new(),
            times: TimeRange::ALL,
        }
    }
}

impl ImportFilter {
    /// Returns whether a database and retention policy are imported.
    pub fn includes_database(&self, database: &str, retention_policy: &str) -> bool {
        let is_wanted = if self.databases.is_empty() {
            !OWN_DATABASES.contains(&database)
        } else {
            is_listed(&self.databases, database)
        };
        is_wanted && is_listed(&self.retention_policies, retention_policy)
    }

    /// Returns whether a measurement is imported.
    pub fn includes_measurement(&self, measurement: &str) -> bool {
        is_listed(&self.measurements, measurement)
    }
}

fn is_listed(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|listed| listed == name)
}

/// Parses a time: RFC 3339, a date, or nanoseconds since 1970.
///
/// # Errors
///
/// The text is not a time, or a time that nanoseconds of 64 bits do not reach.
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(nanoseconds) = text.parse() {
        return Ok(nanoseconds);
    }
    let date = || {
        let date: NaiveDate = text.parse().ok()?;
        Some(date.and_time(NaiveTime::MIN).and_utc().fixed_offset())
    };
    let time = DateTime::parse_from_rfc3339(text)
        .ok()
        .or_else(date)
        .ok_or("it is written as 2026-01-31T10:00:00Z, 2026-01-31, or in nanoseconds")?;
    let nanoseconds = time.timestamp_nanos_opt();
    nanoseconds.ok_or_else(|| "it is not between the years 1677 and 2262".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_databases_of_influxdb_are_imported_only_if_they_are_named() {
        let all = ImportFilter::default();
        assert!(all.includes_database("home", "autogen"));
        assert!(!all.includes_database("_internal", "monitor"));
        let named = ImportFilter {
            databases: vec!["_internal".to_owned()],
            ..ImportFilter::default()
        };
        assert!(named.includes_database("_internal", "monitor"));
        assert!(!named.includes_database("home", "autogen"));
    }

    #[test]
    fn times_are_rfc_3339_dates_or_nanoseconds() {
        assert_eq!(parse_time("17"), Ok(17));
        assert_eq!(parse_time("1970-01-02"), Ok(86_400_000_000_000));
        assert_eq!(parse_time("1970-01-01T01:00:00.5+01:00"), Ok(500_000_000));
        for bad in ["", "yesterday", "2026-13-01", "3000-01-01"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
