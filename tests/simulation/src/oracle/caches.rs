//! Checks that the objects of caches match the rows of the version that references them.

use std::collections::BTreeMap;

use bytes::Bytes;
use neap_cache::{CacheError, DistinctCacheShape, LastCacheShape, decode_distinct, decode_last};
use neap_catalog::Table;
use neap_manifest::{CacheEntry, Manifest};
use neap_schema::DatabaseId;

use arrow_array::{
    cast::AsArray,
    types::{Int32Type, TimestampNanosecondType},
};

use super::{Invariant, SimulationOracle};
use crate::rows::{Row, Rows, TableRows, plain};

/// The earliest time that a cache covers, and its rows from then on, as text.
type CacheContent = (i64, Vec<String>);

impl SimulationOracle {
    /// Records an object of a cache. The oracle keeps its content, because a collector may delete the object while the
    /// entry remains.
    pub(super) fn cache_put(&mut self, key: &str, body: &Bytes) {
        self.cache_objects.insert(key.to_owned(), body.clone());
    }

    /// Compares the cache objects of a manifest with its rows.
    pub(super) fn check_caches(
        &mut self,
        database: DatabaseId,
        version: u64,
        value: &Manifest,
        rows: &TableRows,
    ) {
        for entry in &value.caches {
            let key = entry.key(database).to_string();
            let Some(object) = self.cache_objects.get(&key).cloned() else {
                let text = format!("version {version}: {key}");
                self.fail(Invariant::ObjectsExist, text);
                continue;
            };
            let known = self.databases.get(&database);
            let catalog = known.and_then(|known| known.catalog.as_ref());
            let table = catalog.and_then(|catalog| catalog.table_by_id(entry.table));
            let Some(table) = table.cloned() else {
                continue;
            };
            let empty = Rows::new();
            let of_table = rows.get(&entry.table).unwrap_or(&empty);
            match compare(entry, &key, &object, &table, of_table) {
                Ok(None) => {}
                Ok(Some((found, expected))) if found == expected => self.counts.caches += 1,
                Ok(Some((found, expected))) => {
                    let text = format!(
                        "version {version}: {entry:?} from {} on has {:?} and not {:?}",
                        found.0, found.1, expected.1
                    );
                    self.fail(Invariant::CachesAreCorrect, text);
                }
                Err(error) => {
                    let text = format!("version {version}: {entry:?}: {error}");
                    self.fail(Invariant::CachesAreCorrect, text);
                }
            }
        }
    }
}

/// Returns the actual and the expected content of an object; `None` for a dropped cache.
fn compare(
    entry: &CacheEntry,
    key: &str,
    object: &Bytes,
    table: &Table,
    rows: &Rows,
) -> Result<Option<(CacheContent, CacheContent)>, CacheError> {
    let last = table.last_caches().iter().find(|cache| cache.id == entry.cache);
    if let Some(shape) = last.and_then(|last| LastCacheShape::for_cache(table, last)) {
        let found =
            decode_last(entry.cache, key, object, &shape)?.without(&shape, &[], entry.floor)?;
        let from = found.complete_from();
        let mut shown: Vec<_> = plain(found.batch()).iter().map(text).collect();
        shown.sort_unstable();
        let expected = newest(rows, &shape, from);
        return Ok(Some(((from, shown), (from, expected))));
    }
    let mut caches = table.distinct_caches().iter();
    let distinct = caches.find(|cache| cache.id == entry.cache);
    let Some(shape) = distinct.and_then(|distinct| DistinctCacheShape::for_cache(table, distinct))
    else {
        return Ok(None);
    };
    let found =
        decode_distinct(entry.cache, key, object, &shape)?.without(&shape, &[], entry.floor)?;
    let from = found.complete_from();
    let hosts = found.batch().column(0).as_dictionary::<Int32Type>();
    let names = hosts.values().as_string::<i32>();
    let seen = found.batch().column(1).as_primitive::<TimestampNanosecondType>();
    let mut shown: Vec<_> = seen
        .values()
        .iter()
        .enumerate()
        .map(|(row, seen)| {
            let host = hosts.key(row).map_or("", |key| names.value(key));
            format!("{host} {seen}")
        })
        .collect();
    shown.sort_unstable();
    Ok(Some(((from, shown), (from, latest(rows, &shape, from)))))
}

fn text(((host, time), fields): &Row) -> String {
    format!("{host} {time} {fields:?}")
}

/// Returns the newest rows of each host, or of all hosts, as the definition requires.
fn newest(rows: &Rows, shape: &LastCacheShape, from: i64) -> Vec<String> {
    let mut by_key: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for ((host, time), fields) in rows {
        if *time >= from {
            let key = if shape.keys().is_empty() { "" } else { host };
            let row = ((host.clone(), *time), fields.clone());
            by_key.entry(key).or_default().push(row);
        }
    }
    let newest = by_key.into_values().flat_map(|mut rows| {
        rows.sort_by(|((one, a), _), ((other, b), _)| b.cmp(a).then_with(|| one.cmp(other)));
        rows.truncate(shape.count());
        rows
    });
    let mut shown: Vec<_> = newest.map(|row| text(&row)).collect();
    shown.sort_unstable();
    shown
}

/// Returns the hosts with the latest rows.
fn latest(rows: &Rows, shape: &DistinctCacheShape, from: i64) -> Vec<String> {
    let mut seen: BTreeMap<&str, i64> = BTreeMap::new();
    for (host, time) in rows.keys().filter(|(_, time)| *time >= from) {
        let last = seen.entry(host).or_insert(*time);
        *last = (*last).max(*time);
    }
    let mut seen: Vec<_> = seen.into_iter().collect();
    seen.sort_by(|(one, a), (other, b)| b.cmp(a).then_with(|| one.cmp(other)));
    seen.truncate(shape.max_cardinality());
    let mut shown: Vec<_> = seen.iter().map(|(host, seen)| format!("{host} {seen}")).collect();
    shown.sort_unstable();
    shown
}
