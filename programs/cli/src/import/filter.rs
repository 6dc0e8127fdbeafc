//! The part of a source that is imported.

use neap_tsm::TimeRange;

/// Databases that InfluxDB writes about itself. They are imported only if they are named.
const OWN_DATABASES: [&str; 3] = ["_internal", "_monitoring", "_tasks"];

/// Filters of an import. An empty list includes everything.
#[derive(Clone, Debug)]
pub(crate) struct ImportFilter {
    /// Databases of the source, or buckets.
    pub(crate) databases: Vec<String>,
    pub(crate) retention_policies: Vec<String>,
    pub(crate) measurements: Vec<String>,
    /// Times in nanoseconds.
    pub(crate) times: TimeRange,
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
    pub(crate) fn includes_database(&self, database: &str, retention_policy: &str) -> bool {
        let is_wanted = if self.databases.is_empty() {
            !OWN_DATABASES.contains(&database)
        } else {
            is_listed(&self.databases, database)
        };
        is_wanted && is_listed(&self.retention_policies, retention_policy)
    }

    /// Returns whether a measurement is imported.
    pub(crate) fn includes_measurement(&self, measurement: &str) -> bool {
        is_listed(&self.measurements, measurement)
    }
}

fn is_listed(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|listed| listed == name)
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
}
