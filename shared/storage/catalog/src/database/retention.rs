//! The retention of a database and its tables.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::StoreTime;
use neap_schema::TableId;

use super::DatabaseCatalog;
use crate::CatalogError;

impl DatabaseCatalog {
    /// Returns the retention of a table: its own, otherwise that of the database. `None`: rows are kept forever, or the
    /// table does not exist.
    pub fn retention_of(&self, table: TableId) -> Option<Duration> {
        let table = self.tables.get(&table)?;
        table.retention().or(self.retention())
    }

    /// Returns the time before which rows of a table have expired at a time of the store, in nanoseconds since the Unix
    /// epoch; `None`: rows never expire.
    pub fn cutoff_of(&self, table: TableId, now: StoreTime) -> Option<i64> {
        let retention = self.retention_of(table)?;
        Some(now.nanos_before(retention))
    }

    /// Returns the times before which rows have expired at a time of the store, by table. Tables that views read come
    /// last, because a manifest remembers the latest expiries only.
    pub fn cutoffs(&self, now: StoreTime) -> Vec<(TableId, i64)> {
        let sources: BTreeSet<_> = self
            .views()
            .filter_map(|view| self.table(&view.source))
            .map(|table| table.id())
            .collect();
        let tables = self.tables().map(|table| table.id());
        let mut cutoffs: Vec<_> =
            tables.filter_map(|table| Some((table, self.cutoff_of(table, now)?))).collect();
        cutoffs.sort_by_key(|(table, _)| sources.contains(table));
        cutoffs
    }

    /// Returns the retention of tables without their own; `None`: rows are kept forever.
    pub fn retention(&self) -> Option<Duration> {
        self.retention_ns.map(Duration::from_nanos)
    }

    /// Whether rows of some table expire.
    pub fn has_retention(&self) -> bool {
        let mut tables = self.tables.keys();
        self.retention_ns.is_some() || tables.any(|table| self.retention_of(*table).is_some())
    }

    /// Sets the retention of a table, which overrides that of the database. Returns whether this changes the catalog.
    pub(crate) fn set_table_retention(
        &mut self,
        table: TableId,
        retention: Option<Duration>,
    ) -> Result<bool, CatalogError> {
        Ok(self.live_table_mut(table)?.set_retention(nanos(retention)))
    }

    /// Sets the retention of the database. Returns whether this changes the catalog.
    pub(crate) fn set_retention(&mut self, retention: Option<Duration>) -> bool {
        let nanos = nanos(retention);
        std::mem::replace(&mut self.retention_ns, nanos) != nanos
    }
}

/// Converts a retention to nanoseconds; at most 584 years.
fn nanos(retention: Option<Duration>) -> Option<u64> {
    retention.map(|retention| u64::try_from(retention.as_nanos()).unwrap_or(u64::MAX))
}
