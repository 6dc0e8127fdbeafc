//! The settings of a database that are specific to Neap, in the bodies of requests that create or change it.

use neap_bucket::WriteOrder;
use neap_catalog::{Catalog, CatalogError};
use neap_schema::{AutoCreate, DatabaseId, OnDuplicate};
use serde::Deserialize;

/// The settings to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct DatabaseSettings {
    /// The order of writes to different instances.
    pub(super) order: Option<WriteOrder>,
    /// What writes create.
    auto_create: Option<AutoCreate>,
    /// What rows do to earlier ones.
    on_duplicate: Option<OnDuplicate>,
}

impl DatabaseSettings {
    /// Returns whether there is no setting to change.
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Changes the settings, one commit for each.
    pub(super) async fn apply(
        self,
        catalog: &Catalog,
        database: DatabaseId,
    ) -> Result<(), CatalogError> {
        if let Some(order) = self.order {
            catalog.set_write_order(database, order).await?;
        }
        if let Some(auto_create) = self.auto_create {
            catalog.set_auto_create(database, auto_create).await?;
        }
        if let Some(on_duplicate) = self.on_duplicate {
            catalog.set_on_duplicate(database, on_duplicate).await?;
        }
        Ok(())
    }
}
