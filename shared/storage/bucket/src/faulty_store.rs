//! A store that injects the faults of networks and stores, driven by a seed.
//!
//! Each caller accesses a shared store through its own [`FaultyStore`], whose faults, [`CallGate`] and hook affect only
//! that caller. The same seed, the same calls in the same order and a virtual clock produce the same faults. Only late
//! writes run in spawned tasks.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::{
    Get, GetOptions, ListPage, ListRequest, Operation, Put, PutMode, Store, StoreError,
    StoreResponse, StoreTime, World,
};

/// The injected faults, as probabilities from 0 to 1 for each call; none by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreFaults {
    /// A call is delayed by up to [`StoreFaults::longest_delay`] before it reaches the store, and its answer by as much
    /// before it reaches the caller.
    pub delay: f64,
    /// Maximum of each delay.
    pub longest_delay: Duration,
    /// A call fails and has no effect, as with 503.
    pub unavailable: f64,
    /// A call takes effect and its answer is lost.
    pub lost_reply: f64,
    /// A write is reported as failed and takes effect up to [`StoreFaults::longest_landing`] later.
    pub late_landing: f64,
    /// Maximum time after which a late write takes effect.
    pub longest_landing: Duration,
    /// A conditional put takes effect and is answered as refused, as after a retry inside the client that conflicts
    /// with its own first attempt.
    pub refused_after_effect: f64,
    /// A conditional put is answered as refused and has no effect, as with a rival that failed later, or S3's 409.
    pub refused_without_effect: f64,
    /// Maximum error of the `Date` of an answer, in either direction.
    pub date_skew: Duration,
    /// The number of keys on a page of a listing, if fewer than the store's own.
    pub page_keys: Option<usize>,
}

/// The point of a call at which a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallPhase {
    /// Nothing has reached the store.
    Before,
    /// The call took effect or failed, and the caller does not know yet.
    After,
}

/// A call to the store, as passed to a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCall {
    /// The number of the call among those of this [`FaultyStore`], from 0.
    pub number: u64,
    /// The operation.
    pub operation: Operation,
    /// The key, the prefix of a listing, or the first key of a deletion.
    pub key: String,
    /// The point of the call.
    pub phase: CallPhase,
}

/// A callback that is awaited at each phase of each call. A future that never completes simulates a crash at that
/// point.
pub type CallHook = Arc<dyn Fn(&StoreCall) -> BoxFuture<'static, ()> + Send + Sync>;

/// A gate that all calls of an instance pass. While it is frozen, no call starts and no answer arrives.
#[derive(Clone, Debug)]
pub struct CallGate(Arc<watch::Sender<bool>>);

impl Default for CallGate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl CallGate {
    /// Suspends all calls.
    pub fn freeze(&self) {
        self.0.send_replace(true);
    }

    /// Resumes all calls.
    pub fn thaw(&self) {
        self.0.send_replace(false);
    }

    /// Waits until the gate is not frozen.
    pub async fn pass(&self) {
        // The sender lives as long as `self`, so only a thaw ends the wait.
        let mut frozen = self.0.subscribe();
        while *frozen.borrow_and_update() {
            if frozen.changed().await.is_err() {
                break;
            }
        }
    }
}

/// A wrapper that injects faults into the calls to a store. The wrapped store must sort its listings.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use neap_bucket::{FaultyStore, GetOptions, MemoryStore, Store, StoreFaults, World};
///
/// let world = World::system();
/// let inner = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
/// let faults = StoreFaults {
///     unavailable: 1.0,
///     ..StoreFaults::default()
/// };
/// let store = FaultyStore::new(inner, world, faults);
/// assert!(store.get("catalog", GetOptions::default()).await.is_err());
/// store.set_faults(StoreFaults::default());
/// assert!(store.get("catalog", GetOptions::default()).await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(derive_more::Debug)]
#[debug("FaultyStore {{ inner: {inner:?}, faults: {faults:?}, .. }}")]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    world: World,
    faults: Mutex<StoreFaults>,
    gate: CallGate,
    hook: Option<CallHook>,
    calls: AtomicU64,
}

impl FaultyStore {
    /// Injects faults into the calls to `inner`, with the clock and the randomness of `world`.
    pub fn new(inner: Arc<dyn Store>, world: World, faults: StoreFaults) -> Self {
        Self {
            inner,
            world,
            faults: Mutex::new(faults),
            gate: CallGate::default(),
            hook: None,
            calls: AtomicU64::new(0),
        }
    }

    /// Returns the same store with a hook.
    pub fn with_hook(self, hook: CallHook) -> Self {
        Self { hook: Some(hook), ..self }
    }

    /// The gate that all calls pass.
    pub fn gate(&self) -> CallGate {
        self.gate.clone()
    }

    /// Sets the faults of later calls.
    pub fn set_faults(&self, faults: StoreFaults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    fn faults(&self) -> StoreFaults {
        let faults = self.faults.lock();
        faults.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn happens(&self, probability: f64) -> bool {
        probability > 0.0 && self.fraction() < probability
    }

    /// Returns a random number that is at least 0 and less than 1.
    fn fraction(&self) -> f64 {
        const UNIT: Duration = Duration::from_secs(1);
        self.world.entropy.below(UNIT).as_secs_f64()
    }

    async fn reach(&self, call: &StoreCall) {
        let faults = self.faults();
        if self.happens(faults.delay) {
            let delay = self.world.entropy.below(faults.longest_delay);
            self.world.clock.sleep(delay).await;
        }
        if let Some(hook) = &self.hook {
            hook(call).await;
        }
        self.gate.pass().await;
    }

    /// Runs one call from end to end. `late` is the effect of a write that lands late.
    async fn call<T>(
        &self,
        operation: Operation,
        key: &str,
        effect: impl Future<Output = Result<StoreResponse<T>, StoreError>> + Send,
        late: Option<BoxFuture<'static, ()>>,
    ) -> Result<StoreResponse<T>, StoreError> {
        let unavailable = |reason: &str| StoreError::Unavailable {
            operation,
            key: key.to_owned(),
            reason: format!("{reason} (injected fault)"),
        };
        let mut call = StoreCall {
            number: self.calls.fetch_add(1, Ordering::Relaxed),
            operation,
            key: key.to_owned(),
            phase: CallPhase::Before,
        };
        self.reach(&call).await;
        let faults = self.faults();
        call.phase = CallPhase::After;
        if self.happens(faults.unavailable) {
            self.reach(&call).await;
            return Err(unavailable("the store is busy"));
        }
        if let Some(late) = late
            && self.happens(faults.late_landing)
        {
            let delay = self.world.entropy.below(faults.longest_landing);
            let sleep = self.world.clock.sleep(delay);
            tokio::spawn(async move {
                sleep.await;
                late.await;
            });
            self.reach(&call).await;
            return Err(unavailable("the request timed out"));
        }
        let answer = effect.await;
        self.reach(&call).await;
        if self.happens(faults.lost_reply) {
            return Err(unavailable("the connection broke"));
        }
        answer.map(|answer| self.skewed(answer, faults.date_skew))
    }

    fn skewed<T>(&self, answer: StoreResponse<T>, skew: Duration) -> StoreResponse<T> {
        if skew.is_zero() {
            return answer;
        }
        let error = self.world.entropy.below(skew.saturating_mul(2));
        let date = answer.date.map(|date: StoreTime| date.minus(skew).plus(error));
        StoreResponse { date, ..answer }
    }

    async fn list_page(
        &self,
        request: ListRequest<'_>,
    ) -> Result<StoreResponse<ListPage>, StoreError> {
        let Some(page_keys) = self.faults().page_keys else {
            return self.inner.list(request).await;
        };
        let after = request.start_after.max(request.page_token.as_deref());
        let whole = ListRequest { prefix: request.prefix, start_after: after, page_token: None };
        let mut answer = self.inner.list(whole).await?;
        let page = &mut answer.value;
        let more = page.next_page_token.is_some() || page.entries.len() > page_keys.max(1);
        page.entries.truncate(page_keys.max(1));
        let last = page.entries.last().filter(|_| more);
        page.next_page_token = last.map(|entry| entry.key.clone());
        Ok(answer)
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let effect = self.inner.get(key, options);
        self.call(Operation::Get, key, effect, None).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let conditional = mode.is_conditional();
        let faults = self.faults();
        let late: BoxFuture<'static, ()> = {
            let (inner, key) = (Arc::clone(&self.inner), key.to_owned());
            let (body, mode) = (body.clone(), mode.clone());
            // The result of a late write is ignored.
            Box::pin(async move { drop(inner.put(&key, body, mode).await) })
        };
        let effect = async {
            if conditional && self.happens(faults.refused_without_effect) {
                let StoreResponse { date, .. } = self.inner.get(key, GetOptions::default()).await?;
                let value = Put::Refused;
                return Ok(StoreResponse { value, date });
            }
            let mut answer = self.inner.put(key, body, mode).await?;
            if conditional && self.happens(faults.refused_after_effect) {
                answer.value = Put::Refused;
            }
            Ok(answer)
        };
        self.call(Operation::Put, key, effect, Some(late)).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let prefix = request.prefix;
        let effect = self.list_page(request);
        self.call(Operation::List, prefix, effect, None).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let first = keys.first().map_or("", String::as_str);
        let late: BoxFuture<'static, ()> = {
            let (inner, keys) = (Arc::clone(&self.inner), keys.to_vec());
            // The result of a late write is ignored.
            Box::pin(async move { drop(inner.delete(&keys).await) })
        };
        let effect = self.inner.delete(keys);
        self.call(Operation::Delete, first, effect, Some(late)).await
    }

    fn wrapped(&self) -> Option<&dyn Store> {
        Some(&*self.inner)
    }
}

#[cfg(test)]
mod tests;
