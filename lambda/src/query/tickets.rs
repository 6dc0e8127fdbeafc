//! The tickets of tasks, signed with the secret of the cluster.

use std::{sync::Arc, time::Duration};

use neap_bucket::{StoreTime, World};
use neap_catalog::{Catalog, CatalogError, ClusterSecrets};
use neap_distributed::{TicketIssuer, TicketKey, TicketKeys, TicketVerifier};

/// Maximum age of the catalog whose secrets sign and verify tickets. Shorter than the time after which a new secret signs.
const MAX_SECRET_AGE: Duration = Duration::from_secs(30);

/// The name of the coordinator in tickets.
const COORDINATOR: &str = "lambda";

/// The secrets of the cached root catalog.
#[derive(Debug)]
struct CatalogKeys {
    catalog: Arc<Catalog>,
    /// Signs tickets while the cluster has no secret. No worker accepts them.
    unknown: TicketKey,
}

impl CatalogKeys {
    /// Reads the cached secrets, with the store's time; `None` if there are none.
    fn read<T>(&self, read: impl FnOnce(&ClusterSecrets, StoreTime) -> T) -> Option<T> {
        let root = self.catalog.known_root()?;
        let now = self.catalog.bucket().clock().now()?;
        Some(read(root.value.cluster_secrets()?, now))
    }
}

impl TicketKeys for CatalogKeys {
    fn current(&self) -> TicketKey {
        let signing = self.read(|secrets, now| TicketKey::new(*secrets.signing(now).reveal()));
        signing.unwrap_or_else(|| self.unknown.clone())
    }

    fn accepted(&self) -> Vec<TicketKey> {
        let accepted = self.read(|secrets, now| {
            let accepted = secrets.accepted(now);
            let accepted = accepted.map(|secret| TicketKey::new(*secret.reveal()));
            accepted.collect()
        });
        accepted.unwrap_or_default()
    }
}

/// Signs and verifies the tickets of tasks.
#[derive(Debug)]
pub(super) struct TaskTickets {
    catalog: Arc<Catalog>,
    keys: Arc<CatalogKeys>,
    world: World,
}

impl TaskTickets {
    pub(super) fn new(catalog: Arc<Catalog>, world: &World) -> Self {
        let mut unknown = [0; 32];
        world.entropy.fill_secret(&mut unknown);
        Self {
            keys: Arc::new(CatalogKeys {
                catalog: Arc::clone(&catalog),
                unknown: TicketKey::new(unknown),
            }),
            catalog,
            world: world.clone(),
        }
    }

    pub(super) fn issuer(&self) -> TicketIssuer {
        TicketIssuer::new(Arc::clone(&self.keys) as _, self.world.clone(), COORDINATOR)
    }

    pub(super) fn verifier(&self) -> TicketVerifier {
        TicketVerifier::new(Arc::clone(&self.keys) as _, self.world.clone())
    }

    /// Reads the secrets, unless they were read recently, and creates one if the cluster has none.
    ///
    /// # Errors
    /// The root catalog can't be read or changed.
    pub(super) async fn prepare_signing(&self) -> Result<(), CatalogError> {
        self.catalog.root(MAX_SECRET_AGE).await?;
        self.catalog.ensure_cluster_secret().await
    }

    /// Reads the secrets, unless they were read recently. A coordinator may just have created the first one.
    ///
    /// # Errors
    /// The root catalog can't be read.
    pub(super) async fn prepare_verification(&self) -> Result<(), CatalogError> {
        let root = self.catalog.root(MAX_SECRET_AGE).await?;
        if root.value.cluster_secrets().is_none() {
            self.catalog.root(Duration::ZERO).await?;
        }
        Ok(())
    }
}
