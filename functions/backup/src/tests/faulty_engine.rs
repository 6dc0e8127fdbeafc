//! Processes that are killed, slow or frozen at requests to the stores.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::FutureExt;
use neap_bucket::{Bucket, CallGate, CallHook, FaultyStore, Store, StoreCall, StoreFaults, World};

use super::test_cluster::{TestCluster, TestPlaces};
use crate::{BackupEngine, BackupPlaces};

/// Places whose requests pass a hook.
#[derive(Debug)]
struct HookedPlaces {
    places: Arc<TestPlaces>,
    hooks: Hooks,
}

impl BackupPlaces for HookedPlaces {
    fn open(&self, place: &str) -> Result<Arc<dyn Store>, String> {
        let store = self.places.open(place)?;
        Ok(self.hooks.wrap(store))
    }
}

/// What a process passes at each request to a store.
#[derive(derive_more::Debug)]
#[debug("Hooks {{ .. }}")]
struct Hooks {
    world: World,
    hook: CallHook,
}

impl Hooks {
    fn wrap(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let store = FaultyStore::new(store, self.world.clone(), StoreFaults::default());
        Arc::new(store.with_hook(Arc::clone(&self.hook)))
    }
}

impl TestCluster {
    /// Returns a process whose requests to the bucket and to places pass a hook.
    pub(super) fn hooked_engine(&self, hook: CallHook) -> Arc<BackupEngine> {
        let hooks = Hooks { world: self.world.clone(), hook };
        let store = hooks.wrap(Arc::clone(&self.store) as _);
        let places = HookedPlaces { places: Arc::clone(&self.places), hooks };
        let bucket = Bucket::new(store, self.world.clone());
        self.engine_on(bucket, Arc::new(places))
    }

    /// Returns a process that freezes when this number of its requests have begun or have been answered, and the gate
    /// that thaws it.
    pub(super) fn freezing_engine(&self, last_event: u64) -> (Arc<BackupEngine>, CallGate) {
        let gate = CallGate::default();
        let events = AtomicU64::new(0);
        let own_gate = gate.clone();
        let hook = move |_: &StoreCall| {
            if events.fetch_add(1, Ordering::Relaxed) == last_event {
                own_gate.freeze();
            }
            let gate = own_gate.clone();
            async move { gate.pass().await }.boxed()
        };
        (self.hooked_engine(Arc::new(hook)), gate)
    }

    /// Returns a process that is killed when this number of its requests have begun or have been answered.
    pub(super) fn mortal_engine(&self, last_event: u64) -> Arc<BackupEngine> {
        self.freezing_engine(last_event).0
    }
}
