//! The tickets of the requests between the processes of a cluster, signed with the secret of its root catalog.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use neap_bucket::{StoreTime, World};
use neap_catalog::{Catalog, CatalogError, ClusterSecrets};
use neap_distributed::{Ticket, TicketError, TicketIssuer, TicketKey, TicketKeys, TicketVerifier};

/// Maximum age of the catalog whose secrets verify tickets. Below `SECRET_SPREAD_TIME`, so that a worker knows each
/// secret before it signs tickets, and no ticket, however wrong, causes a request to the store.
const MAX_SECRET_AGE: Duration = Duration::from_secs(30);

/// Why a worker refuses a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TicketRefusal {
    /// The ticket is not valid.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The secrets can't be read.
    #[error("cannot read the secret of the cluster: {0}")]
    Unavailable(#[from] CatalogError),
}

/// The secrets of the cached root catalog.
#[derive(Debug)]
struct CatalogKeys {
    catalog: Arc<Catalog>,
    /// Signs tickets while the cluster has no secret. No process accepts them.
    none: TicketKey,
}

impl TicketKeys for CatalogKeys {
    fn current(&self) -> TicketKey {
        let signing = self.read(|secrets, now| TicketKey::new(*secrets.signing(now).reveal()));
        signing.unwrap_or_else(|| self.none.clone())
    }

    fn accepted(&self) -> Vec<TicketKey> {
        let accepted = self.read(|secrets, now| {
            let accepted = secrets.accepted(now);
            accepted
                .map(|secret| TicketKey::new(*secret.reveal()))
                .collect()
        });
        accepted.unwrap_or_default()
    }
}

impl CatalogKeys {
    /// Reads the cached secrets, with the store's time; `None` if there are none.
    fn read<T>(&self, read: impl FnOnce(&ClusterSecrets, StoreTime) -> T) -> Option<T> {
        let root = self.catalog.known_root()?;
        let now = self.catalog.bucket().clock().now()?;
        Some(read(root.value.cluster_secrets()?, now))
    }
}

/// Signs and verifies tickets with the secrets of a cluster.
#[derive(Debug)]
pub struct ClusterTickets {
    catalog: Arc<Catalog>,
    keys: Arc<CatalogKeys>,
    verifier: TicketVerifier,
    world: World,
}

impl ClusterTickets {
    /// Uses the secrets of this catalog.
    pub fn new(catalog: Arc<Catalog>, world: World) -> Self {
        let mut none = [0; 32];
        world.entropy.fill_secret(&mut none);
        let keys = Arc::new(CatalogKeys {
            catalog: Arc::clone(&catalog),
            none: TicketKey::new(none),
        });
        Self {
            verifier: TicketVerifier::new(Arc::clone(&keys) as _, world.clone()),
            catalog,
            keys,
            world,
        }
    }

    /// Returns the check of tickets for the sessions of a worker. It remembers the tasks that were set.
    pub fn verifier(&self) -> TicketVerifier {
        self.verifier.clone()
    }

    /// Returns the source of tickets for a coordinator of this name.
    pub fn issuer(&self, coordinator: &str) -> TicketIssuer {
        TicketIssuer::new(Arc::clone(&self.keys) as _, self.world.clone(), coordinator)
    }

    /// Reads the secrets, unless they were read recently. Returns whether the cluster has one.
    ///
    /// # Errors
    /// The root catalog can't be read.
    pub async fn refresh(&self) -> Result<bool, CatalogError> {
        let root = self.catalog.root(MAX_SECRET_AGE).await?;
        Ok(root.value.cluster_secrets().is_some())
    }

    /// Checks the ticket of any request: its signature and its time.
    pub(crate) async fn verify(&self, headers: &HeaderMap) -> Result<Ticket, TicketRefusal> {
        self.refresh().await?;
        Ok(self.verifier.verify(headers)?)
    }
}
