//! A register as an instance caches it: the newest value, when it was last confirmed, and one request at a time.
//!
//! ```text
//!   a: fresh enough?  no -> read ---------------------> answer -> a
//!   b:      fresh enough?  no -> wait for a ............... -> fresh enough? -> b
//!   c (max_age 0):               no -> wait for a ......... -> began before c came: read -> answer -> c, d
//!   d (max_age 0):                     no -> wait for a, c ................................... -> d
//! ```

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use neap_bucket::{
    Bucket, ClockReading, CommitOutcome, Key, MissingObject, Operation, Register, RegisterChange,
    RegisterError, RegisterRead, RegisterValue, VersionedValue,
};

/// Timeout of a read: longer than a store's own timeout.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The start of a request: the time on both clocks, for the age of the value that it confirms, and a ticket, for the
/// order of events in this process.
#[derive(Clone, Copy, Debug)]
struct RequestStart {
    clock_reading: ClockReading,
    ticket: u64,
}

/// A value, the start of the request that confirmed it, and the ticket that was drawn when the value was stored.
#[derive(Debug)]
struct ConfirmedValue<T> {
    value: VersionedValue<T>,
    started_at: ClockReading,
    taken: u64,
}

/// The outcome of the last request.
#[derive(Debug)]
struct CachedRegisterState<T> {
    held: Option<ConfirmedValue<T>>,
    /// The ticket of the last request, drawn when it began.
    asked: u64,
    error: Option<RegisterError>,
}

/// A register with its newest known value. Concurrent callers share a request.
#[derive(Debug)]
pub struct CachedRegister<T> {
    bucket: Bucket,
    register: Register<T>,
    state: Mutex<CachedRegisterState<T>>,
    turn: tokio::sync::Mutex<()>,
    tickets: AtomicU64,
}

impl<T: RegisterRead> CachedRegister<T> {
    /// Creates a register under `key` without a known value.
    pub fn new(bucket: Bucket, key: Key, recent_put_ids: usize) -> Self {
        Self {
            register: Register::new(bucket.clone(), key, recent_put_ids),
            bucket,
            state: Mutex::new(CachedRegisterState { held: None, asked: 0, error: None }),
            turn: tokio::sync::Mutex::new(()),
            tickets: AtomicU64::new(1),
        }
    }

    fn state(&self) -> MutexGuard<'_, CachedRegisterState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    fn begin(&self) -> RequestStart {
        RequestStart {
            clock_reading: self.bucket.world().clock_reading(),
            ticket: self.ticket(),
        }
    }

    /// Returns the newest known value, whatever its age.
    pub(crate) fn cached_value(&self) -> Option<VersionedValue<T>> {
        self.state().held.as_ref().map(|held| held.value.clone())
    }

    /// Returns the value if it was confirmed at most `max_age` ago, by the store's clock and by both clocks of this
    /// machine.
    fn fresh_value(&self, max_age: Duration) -> Option<VersionedValue<T>> {
        if max_age.is_zero() {
            return None;
        }
        let state = self.state();
        let held = state.held.as_ref()?;
        let by_store = self.bucket.clock().now()?.since(held.value.current_at?);
        let by_machine = self.bucket.world().elapsed(&held.started_at);
        (by_store.max(by_machine) <= max_age).then(|| held.value.clone())
    }

    /// Returns the outcome of the last request if that began after `arrived`.
    fn outcome_since(&self, arrived: u64) -> Option<Result<VersionedValue<T>, RegisterError>> {
        let state = self.state();
        if state.asked < arrived {
            return None;
        }
        match &state.error {
            Some(error) => Some(Err(error.clone())),
            None => state.held.as_ref().map(|held| Ok(held.value.clone())),
        }
    }

    /// Returns the value, confirmed current at most `max_age` ago. With `max_age` zero, the confirming request begins
    /// after this call.
    pub async fn get(&self, max_age: Duration) -> Result<VersionedValue<T>, RegisterError> {
        if let Some(value) = self.fresh_value(max_age) {
            return Ok(value);
        }
        let arrived = self.ticket();
        let _turn = self.turn.lock().await;
        if let Some(outcome) = self.outcome_since(arrived) {
            return outcome;
        }
        if let Some(value) = self.fresh_value(max_age) {
            return Ok(value);
        }
        let start = self.begin();
        let outcome = self.read().await.map(|value| self.store_value(value, start));
        let mut state = self.state();
        state.asked = start.ticket;
        state.error = outcome.as_ref().err().cloned();
        outcome
    }

    /// Verifies that an absent register was never created, before it is created: 1 LIST for each kind of object that
    /// needs it. Returns its value, which may have been committed since.
    /// Fails with `Missing` if an object needs the register, or the store does not answer.
    pub(crate) async fn verify_unused(
        &self,
        absent: VersionedValue<T>,
    ) -> Result<VersionedValue<T>, RegisterError> {
        let Some(dependent) = self.bucket.find_dependent(self.register.key()).await? else {
            return Ok(absent);
        };
        // Another process may have created the register and the object since it was read.
        let current = self.get(Duration::ZERO).await?;
        if current.version > 0 {
            return Ok(current);
        }
        Err(MissingObject::needed_by(self.register.key(), &dependent).into())
    }

    async fn read(&self) -> Result<VersionedValue<T>, RegisterError> {
        let held = self.cached_value();
        let read = self.register.read(held.as_ref());
        let key = self.register.key();
        self.bucket.in_time(READ_TIMEOUT, Operation::Get, key, read).await
    }

    /// Stores a value that a request confirmed, and returns the newest value. A commit that ran concurrently may have
    /// stored a newer one, which then stays. A newer version that was stored before the request began is replaced,
    /// because then the register itself went back, for example by a restore of the bucket.
    fn store_value(&self, value: VersionedValue<T>, start: RequestStart) -> VersionedValue<T> {
        let mut state = self.state();
        if let Some(held) = &state.held
            && held.value.version > value.version
            && held.taken > start.ticket
        {
            return held.value.clone();
        }
        state.held = Some(ConfirmedValue {
            value: value.clone(),
            started_at: start.clock_reading,
            taken: self.ticket(),
        });
        value
    }
}

impl<T: RegisterValue> CachedRegister<T> {
    /// Commits the result of `change` on `known`, or on the newest known value, and stores the outcome.
    pub(crate) async fn commit<R: Send, E: Send>(
        &self,
        known: Option<VersionedValue<T>>,
        change: impl FnMut(&VersionedValue<T>) -> Result<RegisterChange<T, R>, E> + Send,
    ) -> Result<CommitOutcome<T, R, E>, RegisterError> {
        let start = self.begin();
        let known = known.or_else(|| self.cached_value());
        let shown = known.as_ref().map(|it| (Arc::clone(&it.value), it.current_at));
        let mut outcome = self.register.commit(known, change).await?;
        if let CommitOutcome::Committed { current, .. } = &mut outcome {
            // An unneeded change confirms nothing: the value keeps the time of its earlier confirmation.
            let unproven = shown.is_some_and(|(value, current_at)| {
                Arc::ptr_eq(&value, &current.value) && current_at == current.current_at
            });
            if !unproven {
                *current = self.store_value(current.clone(), start);
            } else if let Some(held) = self.cached_value() {
                *current = held;
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use futures::future::join_all;
    use neap_bucket::{Get, GetOptions, ProtocolMargins, PutMode};

    use super::*;
    use crate::{RootCatalog, tests::CatalogFixture};

    const MINUTE: Duration = Duration::from_secs(60);

    fn register(stage: &CatalogFixture) -> CachedRegister<RootCatalog> {
        CachedRegister::new(stage.bucket.clone(), Key::RootCatalog, 64)
    }

    fn found(_: &VersionedValue<RootCatalog>) -> Result<RegisterChange<RootCatalog, ()>, ()> {
        let value = RootCatalog::new("x".to_owned(), ProtocolMargins::LOCAL);
        Ok(RegisterChange::Put(value, ()))
    }

    #[tokio::test(start_paused = true)]
    async fn callers_share_a_request_that_begins_after_their_call() {
        let stage = CatalogFixture::new();
        let register = register(&stage);
        stage.slow_down(Duration::from_secs(1));
        let first = register.get(Duration::ZERO);
        let later = async {
            stage.sleep(Duration::from_millis(500)).await;
            join_all((0..10).map(|_| register.get(Duration::ZERO))).await
        };
        let (_, later) = futures::join!(first, later);
        assert!(later.iter().all(Result::is_ok));
        assert_eq!(stage.taken().gets, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_allow_an_age_share_the_request_in_flight() {
        let stage = CatalogFixture::new();
        let register = register(&stage);
        stage.slow_down(Duration::from_secs(1));
        let callers = (0..10u32).map(|n| {
            let register = &register;
            let stage = &stage;
            async move {
                stage.sleep(Duration::from_millis(50) * n).await;
                register.get(MINUTE).await
            }
        });
        assert!(join_all(callers).await.iter().all(Result::is_ok));
        assert_eq!(stage.taken().gets, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirmation_ages_by_the_wall_clock() {
        let stage = CatalogFixture::new();
        let register = register(&stage);
        register.get(MINUTE).await.unwrap();
        register.get(MINUTE).await.unwrap();
        assert_eq!(stage.taken().gets, 1);
        stage.step_wall_clock(MINUTE * 2);
        register.get(MINUTE).await.unwrap();
        assert_eq!(stage.taken().gets, 1, "the monotonic clock stood still");
        stage.sleep(MINUTE * 2).await;
        register.get(MINUTE).await.unwrap();
        assert_eq!(stage.taken().gets, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_callers_share_a_failure() {
        let stage = CatalogFixture::new();
        let register = register(&stage);
        stage.slow_down(Duration::from_secs(1));
        stage.fail(true);
        let outcomes = join_all((0..10).map(|_| register.get(Duration::ZERO))).await;
        assert!(outcomes.iter().all(Result::is_err));
        assert!(stage.taken().gets <= 2);
        stage.fail(false);
        assert!(register.get(Duration::ZERO).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_from_a_hanging_store_times_out() {
        let stage = CatalogFixture::new();
        let register = register(&stage);
        stage.slow_down(MINUTE * 60);
        assert!(register.get(MINUTE).await.is_err());
        stage.slow_down(Duration::ZERO);
        assert!(register.get(MINUTE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unneeded_commit_does_not_renew_the_confirmation() {
        let stage = CatalogFixture::new();
        let register = register(&stage);
        let known = register.get(MINUTE).await.unwrap();
        register.commit(Some(known), found).await.unwrap();
        stage.taken();
        stage.sleep(MINUTE * 2).await;
        let keep = |_: &VersionedValue<RootCatalog>| Ok::<_, ()>(RegisterChange::Keep(()));
        register.commit(None, keep).await.unwrap();
        assert_eq!(stage.taken().gets, 0);
        register.get(MINUTE).await.unwrap();
        assert_eq!(stage.taken().gets, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_version_after_a_restore_of_the_bucket_is_accepted() {
        let stage = CatalogFixture::new();
        let register = register(&stage);
        register.commit(None, found).await.unwrap();
        let key = Key::RootCatalog;
        let answer = stage.bucket.get(&key, GetOptions::default()).await.unwrap();
        let Get::Found(backup) = answer.value else {
            panic!("the register is gone");
        };
        register.commit(None, found).await.unwrap();
        assert_eq!(register.cached_value().unwrap().version, 2);
        let restore = stage.bucket.put(&key, backup.bytes, PutMode::Overwrite);
        restore.await.unwrap();
        assert_eq!(register.get(Duration::ZERO).await.unwrap().version, 1);
        assert_eq!(register.get(MINUTE).await.unwrap().version, 1);
        register.commit(None, found).await.unwrap();
        assert_eq!(register.cached_value().unwrap().version, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_is_not_replaced_by_the_answer_to_an_earlier_request() {
        let stage = CatalogFixture::new();
        let register = register(&stage);
        let old = register.get(Duration::ZERO).await.unwrap();
        let after_the_commit_began = OnceLock::new();
        let commit = register.commit(None, |base| {
            after_the_commit_began.get_or_init(|| register.begin());
            found(base)
        });
        commit.await.unwrap();
        let start = *after_the_commit_began.get().unwrap();
        assert_eq!(register.store_value(old.clone(), start).version, 1);
        let keep = |_: &VersionedValue<RootCatalog>| Ok::<_, ()>(RegisterChange::Keep(()));
        let outcome = register.commit(Some(old), keep).await.unwrap();
        assert!(
            matches!(outcome, CommitOutcome::Committed { current, .. } if current.version == 1)
        );
        assert_eq!(register.cached_value().unwrap().version, 1);
    }
}
