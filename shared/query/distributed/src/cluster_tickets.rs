//! Tickets that are signed with the secrets of the cluster, which its root catalog keeps.

use std::{sync::Arc, time::Duration};

use neap_bucket::{StoreTime, World};
use neap_catalog::{Catalog, CatalogError, ClusterSecrets};

use crate::{
    ticket::TicketKey,
    ticket_check::{TicketIssuer, TicketKeys, TicketVerifier},
};

/// Maximum age of the catalog whose secrets sign and verify tickets. Shorter than the time after which a new secret
/// signs, so that a worker knows each secret before tickets are signed with it, and no ticket, however wrong, causes a
/// request to the store.
const MAX_SECRET_AGE: Duration = Duration::from_secs(30);

/// The secrets of the cached root catalog.
#[derive(Debug)]
struct CatalogKeys {
    catalog: Arc<Catalog>,
    /// Signs tickets while the cluster has no secret. No worker accepts them.
    unknown: TicketKey,
}

impl CatalogKeys {
    /// Calls `read` with the cached secrets and the store's time. Returns `None` if either is unknown.
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
            let accepted = secrets.accepted(now).map(|secret| TicketKey::new(*secret.reveal()));
            accepted.collect()
        });
        accepted.unwrap_or_default()
    }
}

/// Signs and verifies tickets with the secrets of a cluster.
#[derive(Debug)]
pub struct ClusterTickets {
    keys: Arc<CatalogKeys>,
    verifier: TicketVerifier,
    world: World,
}

impl ClusterTickets {
    /// Uses the secrets of this catalog.
    pub fn new(catalog: Arc<Catalog>, world: World) -> Self {
        let mut unknown = [0; 32];
        world.entropy.fill_secret(&mut unknown);
        let unknown = TicketKey::new(unknown);
        let keys = Arc::new(CatalogKeys { catalog, unknown });
        Self {
            verifier: TicketVerifier::new(Arc::clone(&keys) as _, world.clone()),
            keys,
            world,
        }
    }

    /// Returns the check of tickets for the sessions of a worker. All of them remember the same tasks.
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
        let root = self.keys.catalog.root(MAX_SECRET_AGE).await?;
        Ok(root.value.cluster_secrets().is_some())
    }

    /// Reads the secrets, unless they were read recently, and creates one if the cluster has none.
    ///
    /// # Errors
    /// The root catalog can't be read or changed.
    pub async fn refresh_or_create(&self) -> Result<(), CatalogError> {
        if self.refresh().await? {
            Ok(())
        } else {
            self.keys.catalog.ensure_cluster_secret().await
        }
    }

    /// Reads the secrets, unless they were read recently and the cluster has one. A coordinator may just have created
    /// the first one.
    ///
    /// # Errors
    /// The root catalog can't be read.
    pub async fn refresh_or_read_again(&self) -> Result<(), CatalogError> {
        if !self.refresh().await? {
            self.keys.catalog.root(Duration::ZERO).await?;
        }
        Ok(())
    }
}
