//! Counts of tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts by database and table.
pub(crate) type TableCountMap = BTreeMap<String, BTreeMap<String, TableCounts>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableCounts {
    /// Number of rows.
    pub(crate) rows: u64,
    /// Number of values.
    pub(crate) values: u64,
    /// The first time in nanoseconds.
    pub(crate) min_time: i64,
    /// The last time in nanoseconds.
    pub(crate) max_time: i64,
}

impl Default for TableCounts {
    fn default() -> Self {
        Self { rows: 0, values: 0, min_time: i64::MAX, max_time: i64::MIN }
    }
}

impl TableCounts {
    /// Adds other counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.values += other.values;
        self.min_time = self.min_time.min(other.min_time);
        self.max_time = self.max_time.max(other.max_time);
    }
}
