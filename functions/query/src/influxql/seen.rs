//! What a request has seen of the catalogs: each is asked for once, however many statements look at it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_catalog::{Catalog, CatalogError, RootCatalog};
use neap_schema::DatabaseId;
use tokio::sync::Mutex;

/// The catalogs as a request found them. Its own changes make it look again.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    root: Option<Arc<RootCatalog>>,
    /// How long databases keep rows, of those that were asked for.
    kept: BTreeMap<DatabaseId, Option<Duration>>,
}

impl Seen {
    /// The databases, as they were after the request had come.
    ///
    /// # Errors
    /// The catalog can't be read.
    pub(super) async fn root(&self, catalog: &Catalog) -> Result<Arc<RootCatalog>, CatalogError> {
        let mut state = self.0.lock().await;
        if let Some(root) = &state.root {
            return Ok(Arc::clone(root));
        }
        let root = catalog.root(Duration::ZERO).await?.value;
        state.root = Some(Arc::clone(&root));
        Ok(root)
    }

    /// How long a database keeps rows; `None`: for ever.
    ///
    /// # Errors
    /// The catalog can't be read.
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

    /// Looks again: something was changed.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = State::default();
    }
}
