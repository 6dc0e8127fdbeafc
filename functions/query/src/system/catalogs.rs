//! The catalogs of all databases, for the tables of `_internal`.

use std::{sync::Arc, time::Duration};

use datafusion::common::Result;
use futures::{StreamExt, TryStreamExt, stream};
use neap_catalog::{
    Catalog, CatalogError, DatabaseCatalog, DatabaseEntry, Deletion, Purge, RootCatalog,
};
use neap_schema::DatabaseId;

use super::source::Wanted;
use crate::scan::external;

/// The column by which only some databases are looked up.
pub(super) const DATABASE_NAME: &str = "database_name";

/// Catalogs that are read at once.
const READS: usize = 8;

/// A database, which may be dropped.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) entry: DatabaseEntry,
    pub(super) catalog: Arc<DatabaseCatalog>,
}

/// Whether nothing is left of something dropped but its name.
pub(super) fn is_gone(deletion: Option<Deletion>) -> bool {
    deletion.is_some_and(|deletion| deletion.purge == Purge::Done)
}

/// The databases that filters on their names leave, by name. Costs a GET for each.
pub(super) async fn databases(
    catalog: &Arc<Catalog>,
    root: &RootCatalog,
    wanted: &Wanted<'_>,
) -> Result<Vec<Database>> {
    let mut entries: Vec<(DatabaseId, DatabaseEntry)> = Vec::new();
    for (id, entry) in root.databases() {
        if wanted.has(&entry.name) {
            entries.push((*id, entry.clone()));
        }
    }
    entries.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    let read = entries.into_iter().map(|(id, entry)| {
        let catalog = Arc::clone(catalog);
        async move {
            let catalog = catalog.database(id, Duration::ZERO).await?.value;
            Ok::<_, CatalogError>(Database { entry, catalog })
        }
    });
    let read = stream::iter(read).buffered(READS).try_collect();
    read.await.map_err(external)
}
