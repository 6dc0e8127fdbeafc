//! Garbage of the processing engine: old tick claims and logs, checkpoints of deleted triggers, and code that no
//! trigger runs any more.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::{
    Bucket, ClockReading, CodeHash, Get, GetOptions, Key, ListEntry, StoreTime, World,
};
use neap_catalog::{ANY_AGE, Catalog, CatalogError, ENGINE_LOG_RETENTION, RootCatalog};
use neap_schema::{DatabaseId, TriggerId};

use crate::{CompactError, listing::ListingPages};

/// Age at which tick claims are deleted: a tick is claimed at most some minutes after its time, so these claims will
/// not be made again.
const TICK_AGE: Duration = Duration::from_secs(60 * 60);

/// Age at which unreferenced checkpoints and code are deleted.
const UNREFERENCED_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Time of the last search for code in this process. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastCodeScan(Arc<Mutex<Option<ClockReading>>>);

impl LastCodeScan {
    /// Returns whether the last search is so long ago that code may have aged out since.
    fn is_due(&self, world: &World) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| world.elapsed(&last) >= UNREFERENCED_AGE)
    }

    fn note(&self, world: &World) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(world.clock_reading());
    }
}

/// Returns the keys under `engine/<database>/` that are no longer needed, or all of them if the database is removed.
pub(crate) async fn superseded(
    bucket: &Bucket,
    catalog: &Catalog,
    database: DatabaseId,
    is_removed: bool,
) -> Result<Vec<String>, CompactError> {
    let root = catalog.root(ANY_AGE).await?;
    let entry = root.value.databases().get(&database);
    if !entry.is_some_and(|entry| entry.has_triggers) {
        return Ok(Vec::new());
    }
    let prefix = Key::engine_prefix(database);
    let mut keys = Vec::new();
    let mut checkpoints: Vec<(TriggerId, String)> = Vec::new();
    let mut pages = ListingPages::new(bucket, &prefix);
    while let Some(page) = pages.next().await? {
        for entry in page.entries {
            let Ok(key) = entry.key.parse::<Key>() else {
                continue;
            };
            let is_older = |limit| is_older(&entry, page.date, limit);
            match key {
                _ if is_removed => keys.push(entry.key),
                Key::Tick(..) if is_older(TICK_AGE) => keys.push(entry.key),
                Key::EngineLog(..) if is_older(ENGINE_LOG_RETENTION) => keys.push(entry.key),
                Key::Checkpoint(_, trigger) if is_older(UNREFERENCED_AGE) => {
                    checkpoints.push((trigger, entry.key));
                }
                _ => {}
            }
        }
    }
    if !checkpoints.is_empty() {
        // Read the catalog after the listing: the trigger of a listed checkpoint is either in the catalog or
        // permanently deleted.
        let catalog = catalog.verified_database(database, Duration::ZERO).await?;
        let gone = checkpoints
            .into_iter()
            .filter(|(trigger, _)| catalog.value.trigger_by_id(*trigger).is_none());
        keys.extend(gone.map(|(_, key)| key));
    }
    Ok(keys)
}

/// Returns the keys of old code that neither a trigger nor an uploaded plugin refers to. If the catalog has no plugins,
/// searches once a day for code of earlier ones.
///
/// The creation of a trigger puts its code again before the commit, which makes the code young. Therefore code that is
/// unreferenced when the catalogs are read, and still old after that, is not referenced.
pub(crate) async fn unreferenced_code(
    bucket: &Bucket,
    catalog: &Catalog,
    last_look: &LastCodeScan,
) -> Result<Vec<String>, CompactError> {
    let root = catalog.root(ANY_AGE).await?;
    let mut entries = root.value.databases().values();
    let has_plugins = !root.value.plugins().is_empty() || entries.any(|entry| entry.has_triggers);
    if !has_plugins && !last_look.is_due(bucket.world()) {
        return Ok(Vec::new());
    }
    let mut old: Vec<(CodeHash, String)> = Vec::new();
    let mut pages = ListingPages::new(bucket, Key::PLUGINS_PREFIX);
    while let Some(page) = pages.next().await? {
        for entry in page.entries {
            if let Ok(Key::PluginCode(hash)) = entry.key.parse()
                && is_older(&entry, page.date, UNREFERENCED_AGE)
            {
                old.push((hash, entry.key));
            }
        }
    }
    last_look.note(bucket.world());
    if old.is_empty() {
        return Ok(Vec::new());
    }
    let root = catalog.root(Duration::ZERO).await?;
    let named = match referenced_code(catalog, &root.value).await {
        // It is unknown which code its triggers need. Other databases are maintained.
        Err(CompactError::Catalog(CatalogError::Missing(missing))) => {
            tracing::warn!(%missing, "unreferenced code is kept");
            return Ok(Vec::new());
        }
        named => named?,
    };
    let mut unnamed = Vec::new();
    for (hash, key) in old {
        if !named.contains(&hash) && is_still_old(bucket, hash).await? {
            unnamed.push(key);
        }
    }
    Ok(unnamed)
}

/// Returns the code that uploaded plugins refer to, and the code of triggers in all databases with a catalog.
async fn referenced_code(
    catalog: &Catalog,
    root: &RootCatalog,
) -> Result<BTreeSet<CodeHash>, CompactError> {
    let plugins = root.plugins().values();
    let mut named: BTreeSet<CodeHash> = plugins.map(|plugin| plugin.code).collect();
    for (database, entry) in root.databases() {
        if entry.has_triggers {
            let catalog = catalog.verified_database(*database, Duration::ZERO).await?;
            let triggers = catalog.value.triggers();
            named.extend(triggers.filter_map(|trigger| trigger.code));
        }
    }
    Ok(named)
}

/// Returns whether code was not put again since it was listed.
async fn is_still_old(bucket: &Bucket, hash: CodeHash) -> Result<bool, CompactError> {
    let options = GetOptions { range: Some(0..1), if_none_match: None };
    let got = bucket.get(&Key::PluginCode(hash), options).await?;
    let Get::Found(object) = got.value else {
        return Ok(false);
    };
    let age = got.date.map(|date| date.since(object.last_modified));
    Ok(age.is_some_and(|age| age >= UNREFERENCED_AGE))
}

fn is_older(entry: &ListEntry, date: Option<StoreTime>, limit: Duration) -> bool {
    date.is_some_and(|date| date.since(entry.last_modified) >= limit)
}
