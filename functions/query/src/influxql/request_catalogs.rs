//! Caches the catalogs during a request, so that each is read once, however many statements use it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_catalog::{Catalog, CatalogError, RootCatalog};
use neap_schema::DatabaseId;
use tokio::sync::Mutex;

/// The catalogs as read by this request. Changes made by the request invalidate them.
#[derive(Debug, Default)]
pub(super) struct RequestCatalogs(Mutex<RequestCatalogsInner>);

#[derive(Debug, Default)]
struct RequestCatalogsInner {
    root: Option<Arc<RootCatalog>>,
    /// The retention of the databases read so far.
    kept: BTreeMap<DatabaseId, Option<Duration>>,
}

impl RequestCatalogs {
    /// Returns the root catalog, read after the request arrived.
    /// Fails if the catalog can't be read.
    pub(super) async fn root(&self, catalog: &Catalog) -> Result<Arc<RootCatalog>, CatalogError> {
        let mut state = self.0.lock().await;
        if let Some(root) = &state.root {
            return Ok(Arc::clone(root));
        }
        let root = catalog.root(Duration::ZERO).await?.value;
        state.root = Some(Arc::clone(&root));
        Ok(root)
    }

    /// Returns the retention of a database; `None` means forever.
    /// Fails if the catalog can't be read.
    pub(super) async fn retention(
        &self,
        catalog: &Catalog,
        database: DatabaseId,
    ) -> Result<Option<Duration>, CatalogError> {
        let mut state = self.0.lock().await;
        if let Some(kept) = state.kept.get(&database) {
            return Ok(*kept);
        }
        let found = catalog.database(database, Duration::ZERO).await?;
        let kept = found.value.retention();
        state.kept.insert(database, kept);
        Ok(kept)
    }

    /// Invalidates the catalogs, because the request changed something.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = RequestCatalogsInner::default();
    }
}
