//! The permission of a connection to write to the database.

use std::{sync::Arc, time::Duration};

use neap_bucket::World;
use neap_catalog::{
    Catalog, CatalogError, ClientPublicKey, DatabaseAction, RootCatalog, TokenEntry, TokenId,
};
use neap_schema::DatabaseId;

/// Maximum time for reading the keys from the store.
const STORE_LIMIT: Duration = Duration::from_secs(10);

/// Maximum age of the keys when a connection begins. Another instance may just have created its key. All connections
/// together read the keys at most this often.
const MAX_KEY_AGE: Duration = Duration::from_secs(1);

/// The clients that may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPolicy {
    /// Everybody: the server requires no tokens either. Keys are not checked.
    Open,
    /// Clients without a key, and those whose key permits it.
    Optional,
    /// Clients whose key permits it.
    Required,
}

/// The permission of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionAccess {
    /// The connection needs no key.
    WithoutKey,
    /// The permissions of a key, which may change while the connection is open.
    Key {
        /// The id of the key.
        id: TokenId,
        /// The public key.
        key: ClientPublicKey,
        /// The name of the key, for the log.
        name: String,
    },
}

/// Why a connection may not write.
#[derive(Debug)]
pub(crate) enum AccessError {
    /// The key was deleted or has expired.
    Revoked,
    /// The key does not permit writes to the database.
    Forbidden,
    /// The keys could not be read.
    Unavailable(String),
}

impl From<CatalogError> for AccessError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Forbidden | CatalogError::AppendRefused => Self::Forbidden,
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// Reads keys from the catalog.
#[derive(Clone, Debug)]
pub(crate) struct KeyReader {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) world: World,
    /// Maximum age of the keys that an open connection is checked with.
    pub(crate) max_age: Duration,
}

impl KeyReader {
    /// Returns the valid key with this name. Reads the same, whether or not the key exists.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<ConnectionAccess>, AccessError> {
        let root = self.root(MAX_KEY_AGE.min(self.max_age)).await?;
        let Some((id, entry, key)) = root.client_key(name) else {
            return Ok(None);
        };
        let access = ConnectionAccess::Key { id, key: *key, name: entry.name.clone() };
        Ok(self.is_active(entry)?.then_some(access))
    }

    /// Returns the only database of this name that the connection may write to; `None`: any database of this name.
    pub(crate) async fn authorize(
        &self,
        access: &ConnectionAccess,
        database: &str,
    ) -> Result<Option<DatabaseId>, AccessError> {
        let ConnectionAccess::Key { id, key, .. } = access else {
            return Ok(None);
        };
        let root = self.root(self.max_age).await?;
        let entry = root
            .tokens()
            .get(id)
            .filter(|entry| entry.public_key.as_ref() == Some(key))
            .ok_or(AccessError::Revoked)?;
        if !self.is_active(entry)? {
            return Err(AccessError::Revoked);
        }
        let permissions = &entry.permissions;
        if permissions.allow(DatabaseAction::Write, None) {
            return Ok(None);
        }
        let found = self.catalog.database_by_name(database, self.max_age);
        let found = self.world.timeout(STORE_LIMIT, found).await.ok_or_else(store_timeout)??;
        let id = found.ok_or(AccessError::Forbidden)?;
        let may = |action| permissions.allow(action, Some(id));
        let check = self.catalog.check_row_permission(id, may);
        self.world.timeout(STORE_LIMIT, check).await.ok_or_else(store_timeout)??;
        Ok(Some(id))
    }

    async fn root(&self, max_age: Duration) -> Result<Arc<RootCatalog>, AccessError> {
        let root = self.world.timeout(STORE_LIMIT, self.catalog.root(max_age));
        Ok(root.await.ok_or_else(store_timeout)??.value)
    }

    fn is_active(&self, entry: &TokenEntry) -> Result<bool, CatalogError> {
        let now = self.catalog.bucket().clock().now();
        Ok(entry.is_active(now.ok_or(CatalogError::NoStoreTime)?))
    }
}

fn store_timeout() -> AccessError {
    AccessError::Unavailable("the store did not answer in time".to_owned())
}
