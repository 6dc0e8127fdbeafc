//! The low-water marks of databases, as they are needed for the proof of a write.
//!
//! Of a manifest a writer keeps its head alone. See [`ManifestHead`] for what reading it costs: nothing but the bytes of
//! the answer grows with the number of sections, and an unchanged manifest is answered without them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::{Bucket, Key, RegisterError, Versioned};
use neap_catalog::CachedRegister;
use neap_manifest::ManifestHead;
use neap_schema::DatabaseId;

/// The maximum number of heads of manifests held: with the names of their last versions, some 5 KiB each.
const MAX_HEADS: usize = 4_096;

#[derive(Debug)]
struct Slot {
    register: Arc<CachedRegister<ManifestHead>>,
    used: u64,
}

#[derive(Debug, Default)]
struct Slots {
    by_database: BTreeMap<DatabaseId, Slot>,
    uses: u64,
}

/// The heads of the manifests of the databases that were written to last; callers share requests.
#[derive(Debug)]
pub(crate) struct Marks {
    bucket: Bucket,
    recent_put_ids: usize,
    slots: Mutex<Slots>,
}

impl Marks {
    pub(crate) fn new(bucket: Bucket, recent_put_ids: usize) -> Self {
        Self {
            bucket,
            recent_put_ids,
            slots: Mutex::default(),
        }
    }

    /// The head of the manifest of a database, proven current at most `max_age` ago; with zero, by a request that
    /// begins after this call.
    pub(crate) async fn head(
        &self,
        database: DatabaseId,
        max_age: Duration,
    ) -> Result<Versioned<ManifestHead>, RegisterError> {
        self.register(database).get(max_age).await
    }

    fn register(&self, database: DatabaseId) -> Arc<CachedRegister<ManifestHead>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.uses += 1;
        let used = slots.uses;
        let slot = slots.by_database.entry(database).or_insert_with(|| {
            let (bucket, key) = (self.bucket.clone(), Key::Manifest(database));
            let register = Arc::new(CachedRegister::new(bucket, key, self.recent_put_ids));
            Slot { register, used }
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
    use neap_bucket::{MemoryStore, World};

    use super::*;

    #[test]
    fn the_least_used_manifest_leaves() {
        let world = World::system();
        let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let marks = Marks::new(Bucket::new(store, world), 64);
        let first = marks.register(DatabaseId::new(0));
        for id in 1..5_000 {
            marks.register(DatabaseId::new(id));
            assert!(Arc::ptr_eq(&first, &marks.register(DatabaseId::new(0))));
        }
        assert_eq!(marks.slots.lock().unwrap().by_database.len(), MAX_HEADS);
    }
}
