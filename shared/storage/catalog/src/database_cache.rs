//! The database catalogs that an instance caches: an LRU cache, bounded in number and in bytes.

use std::{collections::BTreeMap, sync::Arc};

use neap_bucket::{Bucket, Key};
use neap_schema::DatabaseId;

use crate::{DatabaseCatalog, register::CachedRegister};

/// Maximum number of cached catalogs.
const MAX_CATALOGS: usize = 1_000;

/// Maximum total bytes of cached catalogs: room for about a hundred databases of 1,000 columns.
const MAX_BYTES: usize = 64 << 20;

/// A cached catalog, with its last use and its size.
#[derive(Debug)]
struct CachedDatabase {
    register: Arc<CachedRegister<DatabaseCatalog>>,
    used: u64,
    version: u64,
    size_bytes: usize,
}

/// An LRU cache of database catalogs by id.
#[derive(Debug, Default)]
pub(crate) struct DatabaseCache {
    slots: BTreeMap<DatabaseId, CachedDatabase>,
    uses: u64,
    size_bytes: usize,
}

impl DatabaseCache {
    pub(crate) fn register(
        &mut self,
        database: DatabaseId,
        bucket: &Bucket,
        recent_put_ids: usize,
    ) -> Arc<CachedRegister<DatabaseCatalog>> {
        self.uses += 1;
        let used = self.uses;
        let slot = self.slots.entry(database).or_insert_with(|| {
            let key = Key::DatabaseCatalog(database);
            CachedDatabase {
                register: Arc::new(CachedRegister::new(bucket.clone(), key, recent_put_ids)),
                used,
                version: 0,
                size_bytes: 0,
            }
        });
        slot.used = used;
        let register = Arc::clone(&slot.register);
        self.shrink();
        register
    }

    pub(crate) fn registers(
        &self,
    ) -> impl Iterator<Item = (DatabaseId, &CachedRegister<DatabaseCatalog>)> {
        let slots = self.slots.iter();
        slots.map(|(database, slot)| (*database, slot.register.as_ref()))
    }

    /// Updates the size of a register after its value changed.
    pub(crate) fn note(&mut self, database: DatabaseId, version: u64, value: &DatabaseCatalog) {
        let Some(slot) = self.slots.get_mut(&database) else {
            return;
        };
        if slot.version == version {
            return;
        }
        self.size_bytes -= slot.size_bytes;
        slot.version = version;
        slot.size_bytes = value.size_bytes();
        self.size_bytes += slot.size_bytes;
        self.shrink();
    }

    /// Evicts the least recently used catalogs until the rest fits. The most recently used one always stays.
    fn shrink(&mut self) {
        while self.slots.len() > 1
            && (self.slots.len() > MAX_CATALOGS || self.size_bytes > MAX_BYTES)
        {
            let oldest = self.slots.iter().min_by_key(|(_, slot)| slot.used);
            let Some(database) = oldest.map(|(database, _)| *database) else {
                return;
            };
            if let Some(slot) = self.slots.remove(&database) {
                self.size_bytes -= slot.size_bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::ColumnType;

    use super::*;
    use crate::{CatalogLimits, TableAddition, tests::CatalogFixture};

    #[tokio::test]
    async fn number_and_bytes_are_bounded_by_lru_eviction() {
        let stage = CatalogFixture::new();
        let mut cache = DatabaseCache::default();
        for id in 0..3_000 {
            cache.register(DatabaseId::new(0), &stage.bucket, 64);
            cache.register(DatabaseId::new(id), &stage.bucket, 64);
        }
        assert_eq!(cache.slots.len(), MAX_CATALOGS);
        assert!(cache.slots.contains_key(&DatabaseId::new(0)));

        let mut large = DatabaseCatalog::default();
        let columns = (0..20_000).map(|n| (format!("column {n}"), ColumnType::Float));
        let addition = TableAddition { table: "t".to_owned(), columns: columns.collect() };
        large.add(&[addition], 0, &CatalogLimits::default()).unwrap();
        for id in 2_900..3_000 {
            let id = DatabaseId::new(id);
            cache.register(id, &stage.bucket, 64);
            cache.note(id, 1, &large);
        }
        assert!(cache.size_bytes <= MAX_BYTES);
        let held: usize = cache.slots.values().map(|slot| slot.size_bytes).sum();
        assert_eq!(held, cache.size_bytes);
        assert!(cache.slots.contains_key(&DatabaseId::new(2_999)));
    }
}
