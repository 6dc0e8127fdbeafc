//! Pickled cache values of plugins in the server: values of the global cache, values of triggers whose runs overlap,
//! and the caches that processes hand over to their successors.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use neap_bucket::World;

use crate::worker::TriggerKey;

/// Default TTL of values that dry runs cache.
const DRY_RUN_TTL: Duration = Duration::from_secs(30 * 60);

/// Estimated overhead of an entry in bytes.
const ENTRY_BYTES: usize = 128;

/// A value exceeds the capacity of the cache.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cache is full: its values may take up {0} bytes")]
pub(super) struct CacheFull(usize);

/// The owner of a set of values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum CacheNamespace {
    Global,
    /// The global cache of dry runs with this cache name.
    DryRunGlobal(Arc<str>),
    Local(TriggerKey),
}

impl CacheNamespace {
    fn new(trigger: &TriggerKey, is_global: bool) -> Self {
        match trigger {
            TriggerKey::DryRun(name) if is_global => Self::DryRunGlobal(Arc::clone(name)),
            TriggerKey::Trigger { .. } if is_global => Self::Global,
            _ => Self::Local(trigger.clone()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CachedValue {
    /// A pickled value.
    Pickled(Bytes),
    /// A value that can't be pickled: a process keeps it under a number.
    InProcess { process: u64, number: u64 },
}

impl CachedValue {
    fn bytes(&self) -> usize {
        match self {
            Self::Pickled(bytes) => bytes.len(),
            Self::InProcess { .. } => 0,
        }
    }
}

#[derive(Debug)]
struct PluginCacheEntry {
    value: CachedValue,
    /// The time of expiry on the monotonic clock.
    until: Option<Duration>,
}

/// The cache that a process handed over, and the time of that.
#[derive(Debug)]
struct CacheHandover {
    pickled: Bytes,
    at: Duration,
}

#[derive(Debug, Default)]
struct CacheState {
    namespaces: HashMap<CacheNamespace, HashMap<String, PluginCacheEntry>>,
    left: HashMap<TriggerKey, CacheHandover>,
    bytes: usize,
}

/// The cached values of all triggers.
#[derive(Debug)]
pub(super) struct CacheStore {
    state: Mutex<CacheState>,
    world: World,
    max_bytes: usize,
}

impl CacheStore {
    pub(super) fn new(world: World, max_bytes: usize) -> Self {
        Self { state: Mutex::default(), world, max_bytes }
    }

    fn with<R>(&self, act: impl FnOnce(&mut CacheState, Duration) -> R) -> R {
        let now = self.world.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut state, now)
    }

    /// Stores a value for `ttl`, or for the default of its cache.
    pub(super) fn put(
        &self,
        trigger: &TriggerKey,
        is_global: bool,
        key: String,
        value: CachedValue,
        ttl: Option<Duration>,
    ) -> Result<(), CacheFull> {
        let default = matches!(trigger, TriggerKey::DryRun(_)).then_some(DRY_RUN_TTL);
        let bytes = entry_bytes(&key, &value);
        self.with(|state, now| {
            let namespace = CacheNamespace::new(trigger, is_global);
            state.remove(&namespace, &key);
            if state.bytes + bytes > self.max_bytes {
                state.clean(now);
            }
            if state.bytes + bytes > self.max_bytes {
                return Err(CacheFull(self.max_bytes));
            }
            // A TTL that overflows the clock never expires.
            let until = ttl.or(default).and_then(|ttl| now.checked_add(ttl));
            state.bytes += bytes;
            let entries = state.namespaces.entry(namespace).or_default();
            entries.insert(key, PluginCacheEntry { value, until });
            Ok(())
        })
    }

    pub(super) fn get(
        &self,
        trigger: &TriggerKey,
        is_global: bool,
        key: &str,
    ) -> Option<CachedValue> {
        self.with(|state, now| {
            let namespace = CacheNamespace::new(trigger, is_global);
            let entry = state.namespaces.get(&namespace)?.get(key)?;
            if entry.until.is_some_and(|until| until <= now) {
                state.remove(&namespace, key);
                return None;
            }
            Some(entry.value.clone())
        })
    }

    /// Deletes a value. Returns whether it existed.
    pub(super) fn delete(&self, trigger: &TriggerKey, is_global: bool, key: &str) -> bool {
        self.with(|state, _| state.remove(&CacheNamespace::new(trigger, is_global), key))
    }

    /// Stores the cache that a process of a trigger hands over. Returns false if it does not fit.
    pub(super) fn store_handover(&self, trigger: TriggerKey, pickled: Bytes) -> bool {
        self.with(|state, now| {
            state.clean(now);
            if let Some(before) = state.left.remove(&trigger) {
                state.bytes = state.bytes.saturating_sub(before.pickled.len());
            }
            let fits = state.bytes + pickled.len() <= self.max_bytes;
            if fits {
                state.bytes += pickled.len();
                state.left.insert(trigger, CacheHandover { pickled, at: now });
            }
            fits
        })
    }

    /// Returns the cache that the last process of a trigger handed over, and the time since then.
    pub(super) fn left(&self, trigger: &TriggerKey) -> Option<(Bytes, Duration)> {
        self.with(|state, now| {
            let left = state.left.get(trigger)?;
            Some((left.pickled.clone(), now.saturating_sub(left.at)))
        })
    }

    /// Drops the cache that the last process of a trigger handed over, because another process has taken it.
    pub(super) fn remove_handover(&self, trigger: &TriggerKey) {
        self.with(|state, _| {
            if let Some(left) = state.left.remove(trigger) {
                state.bytes = state.bytes.saturating_sub(left.pickled.len());
            }
        });
    }

    /// Drops the local cache of a trigger.
    pub(super) fn forget(&self, trigger: &TriggerKey) {
        self.remove_handover(trigger);
        self.with(|state, _| {
            let bytes: usize = state
                .namespaces
                .remove(&CacheNamespace::Local(trigger.clone()))
                .into_iter()
                .flatten()
                .map(|(key, entry)| entry_bytes(&key, &entry.value))
                .sum();
            state.bytes = state.bytes.saturating_sub(bytes);
        });
    }
}

impl CacheState {
    fn remove(&mut self, namespace: &CacheNamespace, key: &str) -> bool {
        let Some(entries) = self.namespaces.get_mut(namespace) else {
            return false;
        };
        let Some(entry) = entries.remove(key) else {
            return false;
        };
        if entries.is_empty() {
            self.namespaces.remove(namespace);
        }
        self.bytes = self.bytes.saturating_sub(entry_bytes(key, &entry.value));
        true
    }

    /// Drops expired values.
    fn clean(&mut self, now: Duration) {
        let mut bytes = 0;
        self.namespaces.retain(|_, entries| {
            entries.retain(|key, entry| {
                let stays = entry.until.is_none_or(|until| now < until);
                if !stays {
                    bytes += entry_bytes(key, &entry.value);
                }
                stays
            });
            !entries.is_empty()
        });
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

fn entry_bytes(key: &str, value: &CachedValue) -> usize {
    ENTRY_BYTES + key.len() + value.bytes()
}

#[cfg(test)]
mod tests {
    use neap_schema::{DatabaseId, TriggerId};

    use super::*;

    fn trigger(number: u32) -> TriggerKey {
        TriggerKey::Trigger {
            database: DatabaseId::new(1),
            trigger: TriggerId::new(number),
        }
    }

    fn pickled(bytes: usize) -> CachedValue {
        CachedValue::Pickled(vec![0; bytes].into())
    }

    fn put(store: &CacheStore, of: &TriggerKey, is_global: bool, bytes: usize) -> bool {
        let value = pickled(bytes);
        store.put(of, is_global, "k".to_owned(), value, None).is_ok()
    }

    #[test]
    fn triggers_share_the_global_cache_and_nothing_else() {
        let store = CacheStore::new(World::system(), 1 << 20);
        let (one, two) = (trigger(1), trigger(2));
        let dry = TriggerKey::DryRun("a".into());
        assert!(put(&store, &one, true, 1) && put(&store, &one, false, 2));
        assert_eq!(store.get(&two, true, "k"), Some(pickled(1)));
        assert_eq!(store.get(&two, false, "k"), None);
        assert_eq!(store.get(&dry, true, "k"), None);
        assert!(put(&store, &dry, true, 3));
        assert_eq!(store.get(&dry, false, "k"), None);
        store.forget(&one);
        assert_eq!(store.get(&one, false, "k"), None);
        assert!(store.delete(&one, true, "k") && !store.delete(&one, true, "k"));
        assert!(store.delete(&dry, true, "k"));
        assert_eq!(store.with(|state, _| (state.bytes, state.namespaces.len())), (0, 0));
    }

    #[test]
    fn the_store_is_bounded_and_expired_values_are_evicted() {
        let store = CacheStore::new(World::system(), 1_000);
        let (one, two) = (trigger(1), trigger(2));
        let now = Some(Duration::ZERO);
        store.put(&one, false, "k".to_owned(), pickled(600), now).unwrap();
        assert!(put(&store, &two, false, 600));
        assert_eq!(store.get(&one, false, "k"), None);
        assert!(!put(&store, &one, false, 600));
        assert!(put(&store, &two, false, 700), "in the place of what was there");
        assert!(!store.store_handover(one.clone(), vec![0; 300].into()));
        assert!(store.store_handover(one.clone(), vec![0; 100].into()));
        assert!(store.store_handover(one.clone(), vec![1; 100].into()));
        assert_eq!(store.left(&one).unwrap().0, vec![1; 100]);
        store.remove_handover(&one);
        assert!(store.left(&one).is_none());
        store.forget(&two);
        assert_eq!(store.with(|state, _| state.bytes), 0);
    }
}
