//! What the processing engine leaves behind: claims of ticks, logs, checkpoints of triggers that are gone, and code that
//! no trigger runs any more.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::{Bucket, CodeHash, Get, GetOptions, Key, ListEntry, Moment, StoreTime, World};
use neap_catalog::{ANY_AGE, Catalog, ENGINE_LOG_AGE, RootCatalog};
use neap_schema::{DatabaseId, TriggerId};

use crate::{CompactError, listing::Pages};

/// The age of claims that nobody will make again: a tick is claimed at most some minutes after its time.
const TICK_AGE: Duration = Duration::from_secs(60 * 60);

/// The age of checkpoints and code that belong to nothing.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// When code was looked for last by this process. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLook(Arc<Mutex<Option<Moment>>>);

impl LastLook {
    /// Whether it is so long ago that code may have become old since.
    fn is_long_ago(&self, world: &World) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| world.elapsed(&last) >= AGE)
    }

    fn note(&self, world: &World) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(world.moment());
    }
}

/// The keys under `engine/<database>/` that nothing needs any more; all of them when the database is removed.
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
    let mut pages = Pages::of(bucket, &prefix);
    while let Some(page) = pages.next().await? {
        for entry in page.entries {
            let Ok(key) = entry.key.parse::<Key>() else {
                continue;
            };
            let is_older = |limit| is_older(&entry, page.date, limit);
            match key {
                _ if is_removed => keys.push(entry.key),
                Key::Tick(..) if is_older(TICK_AGE) => keys.push(entry.key),
                Key::EngineLog(..) if is_older(ENGINE_LOG_AGE) => keys.push(entry.key),
                Key::Checkpoint(_, trigger) if is_older(AGE) => {
                    checkpoints.push((trigger, entry.key));
                }
                _ => {}
            }
        }
    }
    if !checkpoints.is_empty() {
        // After the listing: a trigger with a checkpoint in it is in the catalog, or it is gone for ever.
        let catalog = catalog.database(database, Duration::ZERO).await?;
        let gone = checkpoints.into_iter();
        let gone = gone.filter(|(trigger, _)| catalog.value.trigger_by_id(*trigger).is_none());
        keys.extend(gone.map(|(_, key)| key));
    }
    Ok(keys)
}

/// The keys of code that no trigger and no uploaded plugin names and that is old. Where the catalog tells of no plugins,
/// what earlier ones may have left is looked for once a day.
///
/// Whoever creates a trigger puts its code again before the commit, which makes it young. So code that nobody named
/// when the catalogs were read, and that is old after that, is named by nobody.
pub(crate) async fn unnamed_code(
    bucket: &Bucket,
    catalog: &Catalog,
    last_look: &LastLook,
) -> Result<Vec<String>, CompactError> {
    let root = catalog.root(ANY_AGE).await?;
    let mut entries = root.value.databases().values();
    let has_plugins = !root.value.plugins().is_empty() || entries.any(|entry| entry.has_triggers);
    if !has_plugins && !last_look.is_long_ago(bucket.world()) {
        return Ok(Vec::new());
    }
    let mut old: Vec<(CodeHash, String)> = Vec::new();
    let mut pages = Pages::of(bucket, Key::PLUGINS_PREFIX);
    while let Some(page) = pages.next().await? {
        for entry in page.entries {
            if let Ok(Key::PluginCode(hash)) = entry.key.parse()
                && is_older(&entry, page.date, AGE)
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
    let named = named_code(catalog, &root.value).await?;
    let mut unnamed = Vec::new();
    for (hash, key) in old {
        if !named.contains(&hash) && is_still_old(bucket, hash).await? {
            unnamed.push(key);
        }
    }
    Ok(unnamed)
}

/// The code that is named by plugins that were uploaded, and by triggers of all databases whose catalogs are there.
async fn named_code(
    catalog: &Catalog,
    root: &RootCatalog,
) -> Result<BTreeSet<CodeHash>, CompactError> {
    let plugins = root.plugins().values();
    let mut named: BTreeSet<CodeHash> = plugins.map(|plugin| plugin.code).collect();
    for (database, entry) in root.databases() {
        if entry.has_triggers {
            let catalog = catalog.database(*database, Duration::ZERO).await?;
            let triggers = catalog.value.triggers();
            named.extend(triggers.filter_map(|trigger| trigger.code));
        }
    }
    Ok(named)
}

/// Whether code was not put again since it was listed.
async fn is_still_old(bucket: &Bucket, hash: CodeHash) -> Result<bool, CompactError> {
    let options = GetOptions {
        range: Some(0..1),
        if_none_match: None,
    };
    let got = bucket.get(&Key::PluginCode(hash), options).await?;
    let Get::Found(object) = got.value else {
        return Ok(false);
    };
    let age = got.date.map(|date| date.since(object.last_modified));
    Ok(age.is_some_and(|age| age >= AGE))
}

fn is_older(entry: &ListEntry, date: Option<StoreTime>, limit: Duration) -> bool {
    date.is_some_and(|date| date.since(entry.last_modified) >= limit)
}
