//! Finds cache objects that are no longer needed.
//!
//! Cache objects are not condemned like data, because no earlier version reads them, and a query that misses one reads
//! the sections. Therefore a manifest does not remember its former cache objects; the collector lists them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use neap_bucket::{Bucket, Key, ListEntry, StoreError, StoreTime};
use neap_manifest::{Manifest, OBJECT_NAME_AGE};
use neap_schema::{CacheId, DatabaseId};
use ulid::Ulid;

use crate::listing::ListingPages;

/// Time for which an object stays after the next object of its cache was put, for queries that started before. Longer
/// than the time in which a commit may reference it.
const GRACE: Duration = Duration::from_secs(2 * OBJECT_NAME_AGE.as_secs());

struct ListedCacheObject {
    cache: CacheId,
    object: Ulid,
    key: String,
    last_modified: StoreTime,
    is_named: bool,
}

impl ListedCacheObject {
    fn from_entry(entry: ListEntry, database: DatabaseId) -> Option<Self> {
        match entry.key.parse() {
            Ok(Key::Cache(of, cache, object)) if of == database => Some(Self {
                cache,
                object,
                key: entry.key,
                last_modified: entry.last_modified,
                is_named: false,
            }),
            _ => None,
        }
    }
}

/// Result of a sweep over the cache objects of a database.
#[derive(Debug, Default)]
pub(crate) struct SweepResult {
    /// Keys of objects that can be deleted: those that the manifest does not reference, some time after they were
    /// superseded. Without a manifest, all keys.
    pub(crate) superseded: Vec<String>,
    /// Caches whose objects are referenced but missing, as in a partially copied bucket.
    pub(crate) missing: BTreeSet<CacheId>,
}

/// Lists the cache objects and compares them with the manifest, which must have been read before.
pub(crate) async fn sweep(
    bucket: &Bucket,
    database: DatabaseId,
    manifest: Option<&Manifest>,
) -> Result<SweepResult, StoreError> {
    let entries = manifest.map(|manifest| manifest.caches.as_slice());
    let mut named: BTreeMap<_, bool> = entries
        .unwrap_or_default()
        .iter()
        .map(|entry| ((entry.cache, entry.object), false))
        .collect();
    let mut swept = SweepResult::default();
    let mut now = None;
    let is_old = |time: StoreTime, now: Option<StoreTime>| {
        let age = now.map(|now| now.since(time));
        manifest.is_none() || age.is_some_and(|age| age >= GRACE)
    };
    let prefix = Key::cache_prefix(database);
    let mut pages = ListingPages::new(bucket, &prefix);
    // Names are ordered by time, so the next object of the same cache is its successor.
    let mut last: Option<ListedCacheObject> = None;
    while let Some(page) = pages.next().await? {
        now = page.date.or(now);
        let listed = page.entries.into_iter();
        for mut next in listed.filter_map(|entry| ListedCacheObject::from_entry(entry, database)) {
            let is_superseded = |object: &ListedCacheObject| {
                object.cache != next.cache || is_old(next.last_modified, now)
            };
            if let Some(object) = last.take()
                && !object.is_named
                && is_old(object.last_modified, now)
                && is_superseded(&object)
            {
                swept.superseded.push(object.key);
            }
            if let Some(is_there) = named.get_mut(&(next.cache, next.object)) {
                *is_there = true;
                next.is_named = true;
            }
            last = Some(next);
        }
    }
    let is_unused =
        |object: &ListedCacheObject| !object.is_named && is_old(object.last_modified, now);
    let rest = last.filter(is_unused).map(|object| object.key);
    swept.superseded.extend(rest);
    let missing = named.into_iter().filter(|(_, is_there)| !is_there);
    swept.missing = missing.map(|((cache, _), _)| cache).collect();
    Ok(swept)
}
