//! Determines which rows may disappear: rows older than the retention in force at some time, and dropped tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use neap_bucket::RegisterValue;
use neap_catalog::{DatabaseCatalog, Deletion, PurgeState, RootCatalog};
use neap_schema::{DatabaseId, TableId};

use super::{DecodedRegister, SimulationOracle, decode};
use crate::rows::BEGIN_NANOS;

/// The retention of the tables in one version of a catalog.
#[derive(Debug)]
pub(super) struct CatalogRetention {
    pub(super) version: u64,
    since: Duration,
    retention: BTreeMap<TableId, Duration>,
    removed: BTreeSet<TableId>,
}

fn is_removed(deletion: Option<Deletion>) -> bool {
    deletion.is_some_and(|deletion| deletion.purge != PurgeState::Waiting)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap()
}

impl SimulationOracle {
    pub(super) fn catalog_put(&mut self, database: DatabaseId, body: &Bytes, now: Duration) {
        let DecodedRegister { version, value } =
            decode::<DatabaseCatalog>(DatabaseCatalog::FORMAT, body);
        let kept = value
            .all_tables()
            .filter_map(|table| Some((table.id(), value.retention_of(table.id())?)));
        let kept = CatalogRetention {
            version,
            since: now,
            retention: kept.collect(),
            removed: value
                .all_tables()
                .filter(|table| is_removed(table.deletion()))
                .map(|table| table.id())
                .collect(),
        };
        let of_database = self.database(database);
        of_database.catalogs.push(kept);
        of_database.catalog = Some(value);
    }

    pub(super) fn root_put(&mut self, body: &Bytes) {
        let DecodedRegister { value, .. } = decode::<RootCatalog>(RootCatalog::FORMAT, body);
        let removed = value.databases().iter().filter(|(_, entry)| is_removed(entry.deletion));
        self.removed = removed.map(|(id, _)| *id).collect();
        self.counts.removed = self.removed.len();
        for (database, _) in value.live_databases() {
            if self.published.insert(database) {
                self.check_published(database);
            }
        }
        let published = &self.published;
        let hidden = value.databases().iter().filter(|(id, _)| !published.contains(id));
        self.hidden_names = hidden.map(|(_, entry)| entry.name.clone()).collect();
    }

    /// Whether the removal of a table has begun, or its database is damaged. Then the oracle does not check the table.
    pub(super) fn is_removed(&self, database: DatabaseId, table: TableId) -> bool {
        let known = self.databases.get(&database);
        let catalog = known.and_then(|known| known.catalogs.last());
        self.is_unchecked(database)
            || catalog.is_some_and(|catalog| catalog.removed.contains(&table))
    }

    /// Returns the latest time such that earlier rows of a table may have expired by now.
    pub(super) fn expired_until(
        &self,
        database: DatabaseId,
        table: TableId,
        now: Duration,
    ) -> Option<i64> {
        let catalogs = &self.databases.get(&database)?.catalogs;
        let ends = catalogs.iter().skip(1).map(|next| next.since).chain([now]);
        let cutoffs = catalogs.iter().zip(ends).filter_map(|(kept, end)| {
            let retention = kept.retention.get(&table)?;
            Some(BEGIN_NANOS + nanos(end) - nanos(*retention))
        });
        cutoffs.max()
    }
}
