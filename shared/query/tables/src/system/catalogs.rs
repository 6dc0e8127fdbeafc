//! The catalogs of all databases, for the tables of `_internal`.

use std::{sync::Arc, time::Duration};

use datafusion::common::Result;
use futures::{StreamExt, TryStreamExt, stream};
use neap_catalog::{
    Catalog, CatalogError, DatabaseCatalog, DatabaseEntry, Deletion, PurgeState, RootCatalog,
};
use neap_scan::external;
use neap_schema::DatabaseId;

use super::source::NameFilter;

/// The column whose filters limit the lookup to some databases.
pub(super) const DATABASE_NAME: &str = "database_name";

/// Maximum number of catalogs that are read concurrently.
const READ_ATTEMPTS: usize = 8;

/// A database with its catalog. The database may be dropped.
#[derive(Debug)]
pub(super) struct DatabaseWithCatalog {
    pub(super) entry: DatabaseEntry,
    pub(super) catalog: Arc<DatabaseCatalog>,
}

/// Whether all data of a dropped table or database are deleted and only its name is left.
pub(super) fn is_gone(deletion: Option<Deletion>) -> bool {
    deletion.is_some_and(|deletion| deletion.purge == PurgeState::Done)
}

/// Returns the databases whose names pass the filters, by name. Costs 1 GET for each.
pub(super) async fn databases(
    catalog: &Arc<Catalog>,
    root: &RootCatalog,
    wanted: &NameFilter<'_>,
) -> Result<Vec<DatabaseWithCatalog>> {
    let mut entries: Vec<(DatabaseId, DatabaseEntry)> = Vec::new();
    for (id, entry) in root.databases() {
        if entry.backup.is_none() && wanted.matches(&entry.name) {
            entries.push((*id, entry.clone()));
        }
    }
    entries.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    let read = entries.into_iter().map(|(id, entry)| {
        let catalog = Arc::clone(catalog);
        async move {
            let catalog = catalog.database(id, Duration::ZERO).await?.value;
            Ok::<_, CatalogError>(DatabaseWithCatalog { entry, catalog })
        }
    });
    let read = stream::iter(read).buffered(READ_ATTEMPTS).try_collect();
    read.await.map_err(external)
}
