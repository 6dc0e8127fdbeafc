//! The simulated store, which every instance accesses through its own network.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use neap_bucket::{
    ETag, Get, GetOptions, ListEntry, ListPage, ListRequest, Object, Put, PutMode, StoreResponse,
    StoreTime,
};

use crate::{
    machine::{VirtualTime, signed_micros},
    oracle::{Invariant, SimulationOracle, StoredObjects},
    random::SeededRandom,
};

/// Returns the bytes of a range, limited to the existing bytes.
pub(crate) fn cut(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |place: u64| usize::try_from(place).unwrap().min(bytes.len());
    bytes.slice(at(range.start)..at(range.end))
}

/// Returns the bytes with another value at a place.
fn flipped(bytes: &Bytes, place: usize) -> Bytes {
    let mut flipped = bytes.to_vec();
    flipped[place] ^= 1;
    flipped.into()
}

/// The behavior of the store apart from failures.
#[derive(Clone, Debug)]
pub(crate) struct StoreBehavior {
    /// The number of keys on a page of a listing.
    pub(crate) page_keys: usize,
    /// Whether listings are sorted; those of S3 Express are not.
    pub(crate) sorted: bool,
    /// The maximum clock error of a host, in seconds.
    pub(crate) host_skew: f64,
    /// The period in which the clock of the whole store is one hour ahead.
    pub(crate) fast: Option<(Duration, Duration)>,
}

/// The simulated store: the objects, the store's clock, and the oracle that checks every effect.
#[derive(Debug)]
pub(crate) struct SimulatedStore {
    time: VirtualTime,
    chance: SeededRandom,
    habits: StoreBehavior,
    /// Whether the oracle sees the effects.
    is_observed: bool,
    state: Mutex<StoreState>,
}

#[derive(Debug)]
struct StoreState {
    objects: StoredObjects,
    /// The place of a damaged byte of objects. Reads return another value of it.
    damaged: BTreeMap<String, usize>,
    /// Number of objects that were damaged at any time.
    damages: usize,
    versions: u64,
    oracle: SimulationOracle,
    /// The error of the host that answers next, if a script sets it.
    skew: Option<f64>,
}

impl SimulatedStore {
    pub(crate) fn new(time: VirtualTime, seed: u64, habits: StoreBehavior) -> Self {
        let state = StoreState {
            objects: BTreeMap::new(),
            damaged: BTreeMap::new(),
            damages: 0,
            versions: 0,
            oracle: SimulationOracle::default(),
            skew: None,
        };
        Self {
            time,
            chance: SeededRandom::new(seed),
            habits,
            is_observed: true,
            state: Mutex::new(state),
        }
    }

    /// Hides the effects from the oracle.
    pub(crate) fn unobserved(self) -> Self {
        Self { is_observed: false, ..self }
    }

    fn state(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or updates the oracle.
    pub(crate) fn oracle<R>(&self, look: impl FnOnce(&mut SimulationOracle) -> R) -> R {
        look(&mut self.state().oracle)
    }

    /// Sets the clock error, in seconds, of the hosts that answer from now on.
    pub(crate) fn set_skew(&self, seconds: f64) {
        self.state().skew = Some(seconds);
    }

    /// Returns the keys of all objects with a prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let state = self.state();
        let keys = state.objects.keys();
        keys.filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Looks at all objects as they were put.
    pub(crate) fn with_objects<R>(&self, look: impl FnOnce(&StoredObjects) -> R) -> R {
        look(&self.state().objects)
    }

    /// Replaces the bytes of an object, unseen by the oracle, as no request does.
    pub(crate) fn replace(&self, key: &str, bytes: Bytes) {
        let mut state = self.state();
        let etag = ETag::new(format!("\"replaced {}\"", state.versions));
        if let Some(object) = state.objects.get_mut(key) {
            (object.bytes, object.etag) = (bytes, etag);
        }
    }

    /// Damages a byte of an object until it is put again, unless the object is damaged already.
    pub(crate) fn damage(&self, key: &str, place: usize) {
        let mut state = self.state();
        if state.objects.contains_key(key) && !state.damaged.contains_key(key) {
            state.damaged.insert(key.to_owned(), place);
            state.damages += 1;
        }
    }

    /// Number of objects that were damaged so far.
    pub(crate) fn damages(&self) -> usize {
        self.state().damages
    }

    /// Ends all damage. Returns the keys of the objects that were damaged until now, and the places of their bytes.
    pub(crate) fn heal(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.state().damaged)
    }

    /// Returns the `Date` of the answering host, in whole seconds.
    fn date(&self, state: &StoreState) -> StoreTime {
        let now = self.time.now();
        let random = self.habits.host_skew * (2.0 * self.chance.fraction() - 1.0);
        let skew = state.skew.unwrap_or(random);
        let fast = self.habits.fast.is_some_and(|(from, until)| from <= now && now < until);
        let ahead = if fast { 3600.0 } else { 0.0 };
        let micros = self.time.micros() + signed_micros(skew + ahead);
        StoreTime::from_micros(micros.div_euclid(1_000_000) * 1_000_000)
    }

    fn answer<T>(&self, state: &StoreState, value: T) -> StoreResponse<T> {
        let date = Some(self.date(state));
        StoreResponse { value, date }
    }

    pub(crate) fn get(&self, key: &str, options: &GetOptions) -> StoreResponse<Get> {
        let state = self.state();
        let value = match state.objects.get(key) {
            None => Get::Missing,
            Some(object) if options.if_none_match.as_ref() == Some(&object.etag) => Get::Unchanged,
            Some(object) => {
                let mut object = object.clone();
                if let Some(place) = state.damaged.get(key) {
                    object.bytes = flipped(&object.bytes, *place);
                }
                if let Some(range) = &options.range {
                    object.bytes = cut(&object.bytes, range);
                }
                Get::Found(object)
            }
        };
        self.answer(&state, value)
    }

    /// Returns the answer to a refused put, without an effect.
    pub(crate) fn refuse(&self) -> StoreResponse<Put> {
        self.answer(&self.state(), Put::Refused)
    }

    pub(crate) fn put(&self, key: &str, body: &Bytes, mode: &PutMode) -> StoreResponse<Put> {
        let mut state = self.state();
        let there = state.objects.get(key);
        let allowed = match mode {
            PutMode::Overwrite | PutMode::OverwriteIn(_) => true,
            PutMode::Create => there.is_none(),
            PutMode::Update(etag) => there.is_some_and(|object| object.etag == *etag),
        };
        if !allowed {
            return self.answer(&state, Put::Refused);
        }
        let changes_data =
            key.starts_with("data/") && there.is_some_and(|object| object.bytes != *body);
        state.damaged.remove(key);
        state.versions += 1;
        let etag = ETag::new(format!("\"{}\"", state.versions));
        let object = Object {
            bytes: body.clone(),
            etag: etag.clone(),
            last_modified: self.date(&state),
        };
        state.objects.insert(key.to_owned(), object);
        let StoreState { objects, oracle, .. } = &mut *state;
        if self.is_observed {
            if changes_data {
                oracle.fail(Invariant::DataNeverChanges, key);
            }
            oracle.object_put(key, body, objects, self.time.now());
        }
        self.answer(&state, Put::Done(etag))
    }

    pub(crate) fn is_sorted(&self) -> bool {
        self.habits.sorted
    }

    pub(crate) fn list(&self, request: &ListRequest<'_>) -> StoreResponse<ListPage> {
        let state = self.state();
        let place = |key: &str| -> String {
            if self.habits.sorted {
                key.to_owned()
            } else {
                key.chars().rev().collect()
            }
        };
        let behind = request.page_token.as_deref().map(place);
        let mut found: Vec<(String, ListEntry)> = state
            .objects
            .range(request.prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(request.prefix))
            .filter(|(key, _)| request.start_after.is_none_or(|after| key.as_str() > after))
            .map(|(key, object)| {
                let entry = ListEntry {
                    key: key.clone(),
                    size_bytes: object.bytes.len() as u64,
                    last_modified: object.last_modified,
                };
                (place(key), entry)
            })
            .filter(|(place, _)| behind.as_ref().is_none_or(|behind| place > behind))
            .collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let more = found.len() > self.habits.page_keys;
        found.truncate(self.habits.page_keys);
        let entries: Vec<_> = found.into_iter().map(|(_, entry)| entry).collect();
        let next_page_token = entries.last().filter(|_| more).map(|entry| entry.key.clone());
        let page = ListPage { entries, next_page_token };
        self.answer(&state, page)
    }

    pub(crate) fn delete(&self, keys: &[String]) -> StoreResponse<()> {
        let mut state = self.state();
        for key in keys {
            state.damaged.remove(key);
            if state.objects.remove(key).is_some() && self.is_observed {
                state.oracle.object_deleted(key, self.time.now());
            }
        }
        self.answer(&state, ())
    }
}
