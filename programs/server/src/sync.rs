//! The task that ships databases of this process to another cluster.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use neap_bucket::World;
use neap_catalog::{Catalog, CatalogError};
use neap_manifest::ManifestStore;
use neap_sync::{
    HttpTarget, ShipError, ShippedCounts, Shipper, ShipperSettings, SiteSource, SiteSourceError,
};
use tokio_util::sync::CancellationToken;

use super::{
    error::ServeError,
    server_context::ServerContext,
    sync_options::{SyncArgs, SyncPlan},
};

/// The pause after an error that does not pass by itself.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// Ships databases to another cluster.
#[derive(Debug)]
pub(super) struct SyncTask {
    target: HttpTarget,
    databases: Vec<(String, ShipperSettings)>,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    world: World,
}

/// The reason why a database is not shipped.
#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Hold(#[from] SiteSourceError),
    #[error(transparent)]
    Ship(#[from] ShipError),
}

impl SyncTask {
    /// Creates the task; `None` if the options ship nothing.
    pub(super) fn new(args: &SyncArgs, base: &ServerContext) -> Result<Option<Self>, ServeError> {
        let Some(SyncPlan { target, databases }) = args.target()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            target,
            databases,
            catalog: Arc::clone(&base.catalog),
            manifests: base.manifests.clone(),
            world: base.world.clone(),
        }))
    }

    /// Creates the databases and holds their segments, before this process flushes any: rows that were flushed before are not
    /// shipped. What fails here is tried again by [`run`](Self::run).
    pub(super) async fn hold(&self) {
        let holds = self.databases.iter().map(|(name, settings)| async move {
            if let Err(error) = self.try_hold(name, settings).await {
                tracing::error!(database = name, %error, "a database is not held");
            }
        });
        join_all(holds).await;
    }

    /// Ships until `stop`, which may interrupt a part: the next start asks where it was.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let databases = self.databases.iter();
        let all = join_all(databases.map(|(name, settings)| self.ship(name, settings)));
        tokio::select! {
            _ = all => {}
            () = stop.cancelled() => {}
        }
    }

    async fn ship(&self, name: &str, settings: &ShipperSettings) {
        loop {
            if let Err(error) = self.try_ship(name, settings).await {
                tracing::error!(database = name, %error, "a database is not shipped");
            }
            self.world.clock.sleep(RETRY_PAUSE).await;
        }
    }

    async fn try_hold(&self, name: &str, settings: &ShipperSettings) -> Result<(), SyncError> {
        let source = self.source(name).await?;
        Ok(Shipper::new(&source, settings).hold().await?)
    }

    /// Ships a database until an error that does not pass by itself.
    async fn try_ship(&self, name: &str, settings: &ShipperSettings) -> Result<(), SyncError> {
        let source = self.source(name).await?;
        let mut counts = ShippedCounts::default();
        let shipper = Shipper::new(&source, settings);
        Ok(shipper.follow(&self.target, &mut counts).await?)
    }

    async fn source(&self, name: &str) -> Result<SiteSource, CatalogError> {
        let max_age = self.catalog.max_age();
        let database = self.catalog.get_or_create_database(name, max_age).await?;
        let (catalog, manifests) = (Arc::clone(&self.catalog), self.manifests.clone());
        SiteSource::open(catalog, manifests, database).await
    }
}
