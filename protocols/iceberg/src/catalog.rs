//! The catalog: databases, their published tables, and the newest metadata of a table.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{Get, GetOptions, Key, Operation, PublishedObject, StoreError};
use neap_catalog::DatabaseAction;
use neap_http::{ApiError, Caller, ErrorBody, Kind};
use neap_query::QueryEngine;
use neap_schema::{DatabaseId, TableId};
use serde_json::Value;

use crate::client_defaults::ClientDefaults;

/// Timeout of a read of the store.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The types of errors by which readers distinguish what is missing.
const NO_SUCH_NAMESPACE: &str = "NoSuchNamespaceException";
const NO_SUCH_TABLE: &str = "NoSuchTableException";

/// The catalog of published tables.
#[derive(Debug)]
pub(crate) struct PublishedCatalog {
    pub(crate) engine: Arc<QueryEngine>,
    pub(crate) defaults: ClientDefaults,
}

/// A table of the catalog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishedTable {
    database: DatabaseId,
    table: TableId,
    /// The number of the newest publication.
    number: u64,
}

/// The metadata of a table.
#[derive(Clone, Debug)]
pub(crate) struct LoadedMetadata {
    /// The URL of the metadata.
    pub(crate) location: String,
    pub(crate) metadata: Value,
}

impl PublishedCatalog {
    /// Returns the names of the databases that the caller may read, sorted.
    pub(crate) async fn databases(&self, caller: &Caller) -> Result<Vec<String>, ApiError> {
        let root = self.engine.catalog().root(Duration::ZERO).await?;
        let live = root.value.live_databases();
        let readable = live.filter(|(id, _)| caller.may(DatabaseAction::Read, Some(*id)));
        let mut names: Vec<_> = readable.map(|(_, entry)| entry.name.clone()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Resolves the name of a database for a caller who may read it.
    ///
    /// # Errors
    /// `Forbidden`, or `NotFound` with the type of missing namespaces.
    pub(crate) async fn database(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<DatabaseId, ApiError> {
        let found = self.engine.resolve_for_read(caller, name).await;
        found.map_err(ApiError::from).map_err(|error| match error.kind() {
            Kind::NotFound => error.with_body(ErrorBody::Code(NO_SUCH_NAMESPACE)),
            _ => error,
        })
    }

    /// Returns the names of the published tables of a database, sorted.
    pub(crate) async fn tables(&self, database: DatabaseId) -> Result<Vec<String>, ApiError> {
        let published = self.engine.published_tables(database).await?;
        let catalog = self.engine.catalog().database(database, Duration::ZERO).await?.value;
        let tables = catalog.tables().filter(|table| published.contains(&table.id()));
        let mut names: Vec<_> = tables.map(|table| table.name().to_owned()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Returns a published table of a database.
    ///
    /// # Errors
    /// `NotFound` with the type of missing tables: the table does not exist, or is not published.
    pub(crate) async fn table(
        &self,
        database: DatabaseId,
        name: &str,
    ) -> Result<PublishedTable, ApiError> {
        let catalog = self.engine.catalog().database(database, Duration::ZERO).await?.value;
        let Some(table) = catalog.table(name).map(|table| table.id()) else {
            return Err(no_table(format!("table not found: {name}")));
        };
        let key = Key::Published(database, table, PublishedObject::VersionHint);
        let hint = self.read(&key).await?;
        match hint.and_then(|hint| PublishedObject::hinted_number(&hint)) {
            Some(number) => Ok(PublishedTable { database, table, number }),
            None => Err(no_table(format!("table is not published: {name}"))),
        }
    }

    /// Returns the newest metadata of a table.
    ///
    /// # Errors
    /// `Unavailable` if the metadata were deleted since the table was found, because later ones exist or the table was
    /// withdrawn.
    pub(crate) async fn load(&self, table: PublishedTable) -> Result<LoadedMetadata, ApiError> {
        let PublishedTable { database, table, number } = table;
        let object = PublishedObject::Metadata(number);
        let key = Key::Published(database, table, object);
        let bytes = self.read(&key).await?.ok_or_else(|| {
            let text = format!("{key} does not exist any more: repeat the request");
            ApiError::text(Kind::Unavailable, text).retry_after(Some(Duration::from_secs(1)))
        })?;
        let corrupt = |reason: String| ApiError::text(Kind::Corrupt, format!("{key}: {reason}"));
        let metadata: Value =
            serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
        // The publisher knows the URL of the bucket as readers name it.
        let Some(table_url) = metadata.get("location").and_then(Value::as_str) else {
            return Err(corrupt("no location".to_owned()));
        };
        Ok(LoadedMetadata { location: format!("{table_url}/metadata/{object}"), metadata })
    }

    /// Reads an object of the store; `None` if it does not exist.
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let bucket = self.engine.catalog().bucket();
        let get = bucket.get(key, GetOptions::default());
        let answer = bucket.in_time(READ_TIMEOUT, Operation::Get, key, get).await?;
        match answer.value {
            Get::Found(object) => Ok(Some(object.bytes)),
            Get::Missing | Get::Unchanged => Ok(None),
        }
    }
}

fn no_table(text: String) -> ApiError {
    ApiError::with_code(Kind::NotFound, text, NO_SUCH_TABLE)
}
