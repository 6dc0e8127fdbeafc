//! Opens a cluster for commands that work without a server.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat};
use neap_bucket::{Get, GetOptions, Key, MissingObject, Stamp, StoreConfig, StoreTime, World};
use neap_catalog::{Catalog, CatalogError, DatabaseEntry, RootCatalog};
use neap_manifest::{ManifestSettings, ManifestStore};
use neap_schema::DatabaseId;
use neap_server::stores::{Stores, StoresError, data_directory};

use super::{CommandError, CommandResult};
use crate::times::{NO_STATE, parse_moment};

/// An open cluster: its catalogs and manifests.
#[derive(Debug)]
pub(super) struct OpenCluster {
    pub(super) catalog: Arc<Catalog>,
    pub(super) manifests: ManifestStore,
}

impl OpenCluster {
    /// Opens an existing cluster, read-only.
    ///
    /// # Errors
    ///
    /// The store can't be used, or holds no cluster.
    pub(super) async fn open(config: &StoreConfig, world: &World) -> CommandResult<Self> {
        let stores = open_existing(config, world)?;
        check_used(&stores).await?;
        let bucket = stores.bucket.clone();
        let catalog = Arc::new(Catalog::new(bucket.clone(), stores.margins, None));
        let rules = catalog.rules().await?;
        Ok(Self {
            manifests: ManifestStore::new(bucket, &rules, ManifestSettings::default()),
            catalog,
        })
    }

    /// Returns the database with a name; a deleted database has the name that the deletion gave it.
    ///
    /// # Errors
    ///
    /// The database does not exist, or the catalog can't be read.
    pub(super) async fn database(&self, name: &str) -> CommandResult<DatabaseId> {
        let root = self.catalog.root(Duration::ZERO).await?.value;
        let found = find(&root, name).map(|(id, _)| id);
        found.ok_or_else(|| CommandError::NoDatabase(name.to_owned()))
    }
}

/// Opens the stores of a cluster. A missing data directory is not created: it is most likely not the intended one.
///
/// # Errors
///
/// The data directory does not exist, or the store can't be used.
pub(super) fn open_existing(config: &StoreConfig, world: &World) -> CommandResult<Stores> {
    check_directory(config)?;
    Ok(Stores::open(config, world)?)
}

/// Refuses a data directory that does not exist, which the store would create.
pub(super) fn check_directory(config: &StoreConfig) -> CommandResult {
    match data_directory(config) {
        Some(directory) if !directory.exists() => {
            Err(CommandError::MissingDirectory(directory.display().to_string()))
        }
        _ => Ok(()),
    }
}

/// Refuses an unused store, because it is most likely not the intended one, and one whose root catalog is lost.
pub(super) async fn check_used(stores: &Stores) -> CommandResult {
    let key = Key::RootCatalog;
    let root = stores.bucket.get(&key, GetOptions::default());
    if !matches!(root.await.map_err(StoresError::Store)?.value, Get::Missing) {
        return Ok(());
    }
    let dependent = stores.bucket.find_dependent(&key).await.map_err(StoresError::Store)?;
    Err(match dependent {
        None => CommandError::NoCluster(stores.place.clone()),
        Some(dependent) => CatalogError::from(MissingObject::needed_by(&key, &dependent)).into(),
    })
}

fn find<'a>(root: &'a RootCatalog, name: &str) -> Option<(DatabaseId, &'a DatabaseEntry)> {
    let id = root.database(name).or_else(|| root.deleted_database(name))?;
    Some((id, root.databases().get(&id)?))
}

/// Formats a time as RFC 3339.
pub(super) fn time_text(time: StoreTime) -> String {
    DateTime::from_timestamp_micros(time.micros())
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Parses a stamp, or a date or a time, which mean the last stamp of their microsecond.
pub(super) fn parse_as_of(text: &str) -> Result<Stamp, String> {
    if let Ok(stamp) = text.parse() {
        return Ok(stamp);
    }
    let time = parse_moment(text).ok_or(NO_STATE)?;
    Ok(Stamp::end_of(StoreTime::from_micros(time.timestamp_micros())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_time_is_a_time_or_a_stamp() {
        let time = StoreTime::from_micros(1_769_860_800_000_001);
        assert_eq!(time_text(time), "2026-01-31T12:00:00.000001Z");
        assert_eq!(parse_as_of("42"), Ok(Stamp::from_u64(42)));
        for text in ["2026-01-31T12:00:00.000001Z", "2026-01-31T13:00:00.000001+01:00"] {
            assert_eq!(parse_as_of(text), Ok(Stamp::end_of(time)));
        }
        let midnight = parse_as_of("2026-01-31T00:00:00Z").unwrap();
        assert_eq!(parse_as_of("2026-01-31"), Ok(midnight));
        assert!(parse_as_of("yesterday").is_err());
    }
}
