//! Checks the objects of caches. A damaged cache object makes queries slower but no answer wrong.

use std::collections::{BTreeMap, BTreeSet};

use neap_bucket::{Bucket, Key, StoreTime};
use neap_cache::{CacheLayer, CacheShape};
use neap_catalog::DatabaseCatalog;
use neap_manifest::{CacheEntry, Manifest};
use neap_schema::{CacheId, DatabaseId};
use ulid::Ulid;

use crate::{
    Finding, FindingKind, FsckError,
    references::table_name,
    store::{ListedObject, ORPHAN_AGE, fetch, list},
};

/// The objects of the caches of a database.
#[derive(Debug, Default)]
pub(crate) struct CacheInventory(BTreeMap<(CacheId, Ulid), ListedObject>);

/// The findings, and the caches whose manifest entries should be removed.
#[derive(Debug, Default)]
pub(crate) struct CacheCheckResult {
    pub(crate) findings: Vec<Finding>,
    pub(crate) broken: BTreeSet<CacheId>,
}

impl CacheInventory {
    pub(crate) async fn list(bucket: &Bucket, database: DatabaseId) -> Result<Self, FsckError> {
        let mut inventory = Self::default();
        list(bucket, &Key::cache_prefix(database), |entry| {
            if let Ok(Key::Cache(of, cache, object)) = entry.key.parse()
                && of == database
            {
                let listed = ListedObject {
                    size_bytes: entry.size_bytes,
                    last_modified: entry.last_modified,
                };
                inventory.0.insert((cache, object), listed);
            }
        })
        .await?;
        Ok(inventory)
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().map(|listed| listed.size_bytes).sum()
    }

    /// Returns findings about unreferenced objects, which the collector deletes.
    pub(crate) fn orphans(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        now: StoreTime,
    ) -> Vec<Finding> {
        let is_named = |cache: CacheId, object: Ulid| {
            let entry = manifest.cache(cache);
            entry.is_some_and(|entry| entry.object == object)
        };
        let old = self.0.iter().filter(|((cache, object), listed)| {
            !is_named(*cache, *object) && now.since(listed.last_modified) >= ORPHAN_AGE
        });
        old.map(|((cache, object), listed)| {
            let hours = now.since(listed.last_modified).as_secs() / 3_600;
            let message = format!(
                "it is unreferenced, {} bytes that are {hours} hours old: the collector removes it",
                listed.size_bytes
            );
            let finding = Finding::note(FindingKind::Orphan, message);
            finding.at(Key::Cache(database, *cache, *object))
        })
        .collect()
    }

    /// Checks the cache entries of a manifest: their objects must exist and have the recorded lengths. With `full`, the
    /// objects must also be readable.
    pub(crate) async fn check(
        &self,
        bucket: &Bucket,
        database: DatabaseId,
        manifest: &Manifest,
        catalog: &DatabaseCatalog,
        full: bool,
    ) -> Result<CacheCheckResult, FsckError> {
        let mut checked = CacheCheckResult::default();
        for entry in &manifest.caches {
            let found = match self.flaw(entry) {
                Some(found) => Some(found),
                None if full => read(bucket, database, entry, catalog).await?,
                None => None,
            };
            if let Some((kind, message)) = found {
                let message = format!("{message}: queries read the sections instead");
                let finding = Finding::warning(kind, message).at(entry.key(database));
                let table = table_name(catalog, entry.table);
                checked.findings.push(finding.of_table(table));
                checked.broken.insert(entry.cache);
            }
        }
        Ok(checked)
    }

    fn flaw(&self, entry: &CacheEntry) -> Option<(FindingKind, String)> {
        let Some(listed) = self.0.get(&(entry.cache, entry.object)) else {
            return Some((FindingKind::Missing, "it is missing".to_owned()));
        };
        (listed.size_bytes != entry.length).then(|| {
            let message = format!("it has {} of {} bytes", listed.size_bytes, entry.length);
            (FindingKind::Truncated, message)
        })
    }
}

/// Reads a cache object. Returns the problem, if any.
async fn read(
    bucket: &Bucket,
    database: DatabaseId,
    entry: &CacheEntry,
    catalog: &DatabaseCatalog,
) -> Result<Option<(FindingKind, String)>, FsckError> {
    let key = entry.key(database);
    let damaged = |message: String| Ok(Some((FindingKind::Damaged, message)));
    let Some(object) = fetch(bucket, &key, None).await? else {
        return Ok(Some((FindingKind::Missing, "it is missing".to_owned())));
    };
    if crc32c::crc32c(&object) != entry.crc32c {
        return damaged("its checksum does not match".to_owned());
    }
    let table = catalog.table_by_id(entry.table);
    // The next flush or collection removes the entry of a deleted cache.
    let Some(shape) = table.and_then(|it| CacheShape::for_cache(&it.stored(), entry.cache)) else {
        return Ok(None);
    };
    let decoded = CacheLayer::decode(entry.cache, &key.to_string(), &object, &shape);
    match decoded.map(|layer| (layer.num_rows() as u64, layer.complete_from())) {
        Ok(found) if found == (entry.rows, entry.complete_from) => Ok(None),
        Ok((rows, from)) => {
            let message = format!(
                "it has {rows} rows from {from} on where the manifest says {} from {} on",
                entry.rows, entry.complete_from
            );
            Ok(Some((FindingKind::WrongStatistics, message)))
        }
        Err(error) => damaged(format!("it can't be decoded: {error}")),
    }
}
