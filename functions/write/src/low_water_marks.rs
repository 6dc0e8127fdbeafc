//! The low-water marks of databases, for the revalidation before a write.
//!
//! A writer keeps only the head of a manifest. See [`ManifestHead`] for the cost of reading it: only the size of the
//! response grows with the number of sections, and an unchanged manifest is answered without a body.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::{Bucket, Key, RegisterError, VersionedValue};
use neap_catalog::CachedRegister;
use neap_manifest::ManifestHead;
use neap_schema::DatabaseId;

/// Maximum number of cached manifest heads. Each takes about 5 KiB, including the names of its last versions.
const MAX_HEADS: usize = 4_096;

#[derive(Debug)]
struct ManifestHeadEntry {
    register: Arc<CachedRegister<ManifestHead>>,
    used: u64,
}

#[derive(Debug, Default)]
struct ManifestHeadEntries {
    by_database: BTreeMap<DatabaseId, ManifestHeadEntry>,
    uses: u64,
}

/// A cache of the manifest heads of the databases written to last. Concurrent callers share requests.
#[derive(Debug)]
pub(crate) struct LowWaterMarks {
    bucket: Bucket,
    recent_put_ids: usize,
    slots: Mutex<ManifestHeadEntries>,
}

impl LowWaterMarks {
    pub(crate) fn new(bucket: Bucket, recent_put_ids: usize) -> Self {
        Self { bucket, recent_put_ids, slots: Mutex::default() }
    }

    /// Returns the manifest head of a database, revalidated at most `max_age` ago. With zero, it is revalidated by a
    /// request that begins after this call.
    pub(crate) async fn head(
        &self,
        database: DatabaseId,
        max_age: Duration,
    ) -> Result<VersionedValue<ManifestHead>, RegisterError> {
        self.register(database).get(max_age).await
    }

    fn register(&self, database: DatabaseId) -> Arc<CachedRegister<ManifestHead>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.uses += 1;
        let used = slots.uses;
        let slot = slots.by_database.entry(database).or_insert_with(|| {
            let (bucket, key) = (self.bucket.clone(), Key::Manifest(database));
            let register = Arc::new(CachedRegister::new(bucket, key, self.recent_put_ids));
            ManifestHeadEntry { register, used }
        });
        slot.used = used;
        let register = Arc::clone(&slot.register);
        if slots.by_database.len() > MAX_HEADS {
            let oldest = slots.by_database.iter().min_by_key(|(_, slot)| slot.used);
            if let Some(oldest) = oldest.map(|(database, _)| *database) {
                slots.by_database.remove(&oldest);
            }
        }
        register
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::World;

    use super::*;

    #[test]
    fn the_least_recently_used_manifest_is_evicted() {
        let marks = LowWaterMarks::new(Bucket::in_memory(World::system()), 64);
        let first = marks.register(DatabaseId::new(0));
        for id in 1..5_000 {
            marks.register(DatabaseId::new(id));
            assert!(Arc::ptr_eq(&first, &marks.register(DatabaseId::new(0))));
        }
        assert_eq!(marks.slots.lock().unwrap().by_database.len(), MAX_HEADS);
    }
}
