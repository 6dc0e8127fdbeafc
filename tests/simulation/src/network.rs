//! The network between an instance and the store: it delays, loses, repeats and refuses requests and loses answers, and
//! freezes and kills the machine around them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use neap_bucket::{
    Get, GetOptions, ListPage, ListRequest, Operation, Put, PutMode, Store, StoreError,
    StoreResponse,
};
use tokio::sync::{Notify, oneshot};

use crate::{
    coverage::CoverageRecorder,
    disabled_rule::DisabledRule,
    machine::{Machine, VirtualTime},
    random::SeededRandom,
    schedule::ScheduleParameters,
    simulated_store::SimulatedStore,
};

/// The state that everything in a schedule shares.
#[derive(Debug)]
pub(crate) struct SimulationContext {
    pub(crate) time: VirtualTime,
    pub(crate) chance: SeededRandom,
    pub(crate) choices: ScheduleParameters,
    pub(crate) truth: SimulatedStore,
    /// The store of a place for backups, and that of a copy of the cluster. The oracle does not see their effects.
    pub(crate) place: SimulatedStore,
    pub(crate) copy: SimulatedStore,
    pub(crate) tracing: bool,
    pub(crate) coverage: CoverageRecorder,
    calls: AtomicUsize,
    over: Notify,
}

impl SimulationContext {
    pub(crate) fn new(
        time: VirtualTime,
        chance: SeededRandom,
        choices: ScheduleParameters,
        tracing: bool,
    ) -> Arc<Self> {
        let truth = SimulatedStore::new(time, chance.number(), choices.store.clone());
        let other = |seed| SimulatedStore::new(time, seed, choices.store.clone()).unobserved();
        let (place, copy) = (other(1), other(2));
        Arc::new(Self {
            time,
            chance,
            choices,
            truth,
            place,
            copy,
            tracing,
            coverage: CoverageRecorder::default(),
            calls: AtomicUsize::new(0),
            over: Notify::new(),
        })
    }

    pub(crate) fn trace(&self, who: &str, what: impl fmt::Display) {
        if self.tracing {
            let text: String = format!("{what}").chars().take(400).collect();
            println!("{:12.3} {who:12} {text}", self.time.now().as_secs_f64());
        }
    }

    /// Returns when the calls of the schedule are used up.
    pub(crate) async fn calls_used_up(&self) {
        self.over.notified().await;
    }

    fn store(&self, role: StoreRole) -> &SimulatedStore {
        match role {
            StoreRole::Cluster => &self.truth,
            StoreRole::Place => &self.place,
            StoreRole::Copy => &self.copy,
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn count_call(&self) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if calls == self.choices.calls {
            self.over.notify_one();
        }
    }

    /// Sleeps for a random pause of an actor.
    pub(crate) async fn pause(&self, of: &[f64]) {
        let seconds = self.chance.pick(of) * self.choices.pace;
        self.time.sleep(Duration::from_secs_f64(seconds)).await;
    }
}

/// A store that instances access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreRole {
    /// The store of the cluster.
    Cluster,
    /// A place for backups.
    Place,
    /// The destination of copies of the cluster.
    Copy,
}

/// The phase of a call in which a script may intervene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InterceptionPoint {
    /// The request has not been sent.
    Before,
    /// The store has answered, but the answer has not been read.
    After,
}

/// A script's decision about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScriptDecision {
    /// The call proceeds.
    Proceed,
    /// The pending write takes effect after this delay and is not answered.
    LandLate(Duration),
    /// The answer is lost.
    LoseAnswer,
}

/// A script: it decides about each phase of each call of an instance.
pub(crate) type CallScript = Arc<
    dyn Fn(InterceptionPoint, Operation, &str) -> BoxFuture<'static, ScriptDecision> + Send + Sync,
>;

/// The network between one instance and a store. Implements the product's store interface.
#[derive(Clone, derive_more::Debug)]
#[debug("Connection of {machine:?}")]
pub(crate) struct SimulatedNetwork {
    world: Arc<SimulationContext>,
    machine: Arc<Machine>,
    role: StoreRole,
    /// Whether random faults occur.
    faulty: bool,
    script: Option<CallScript>,
    weakness: Option<DisabledRule>,
}

/// The fate of one attempt to change an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptFate {
    Done,
    Lost,
    LandsLate(Duration),
    Refused,
    Unanswered,
    Busy,
}

impl SimulatedNetwork {
    pub(crate) fn new(world: Arc<SimulationContext>, machine: Arc<Machine>, faulty: bool) -> Self {
        Self {
            world,
            machine,
            role: StoreRole::Cluster,
            faulty,
            script: None,
            weakness: None,
        }
    }

    /// Returns the network between the same instance and another store.
    pub(crate) fn to(&self, role: StoreRole) -> Self {
        Self { role, ..self.clone() }
    }

    pub(crate) fn with_weakness(self, weakness: Option<DisabledRule>) -> Self {
        Self { weakness, ..self }
    }

    pub(crate) fn with_script(self, script: CallScript) -> Self {
        Self { script: Some(script), ..self }
    }

    /// Runs the script, and may freeze or kill the machine.
    async fn inject_faults(
        &self,
        moment: InterceptionPoint,
        operation: Operation,
        key: &str,
    ) -> ScriptDecision {
        let verdict = match &self.script {
            Some(script) => script(moment, operation, key).await,
            None => ScriptDecision::Proceed,
        };
        let SimulationContext { chance, choices, .. } = self.world.as_ref();
        if self.faulty && chance.happens(choices.freeze) {
            let seconds = chance.pick(choices.freezes);
            let text = format!("freezes for {seconds} s {moment:?} {operation} {key}");
            self.world.trace(self.machine.name(), text);
            self.record_fault("freezes", moment, operation, key);
            self.machine.freeze(Duration::from_secs(seconds));
        }
        if self.faulty && chance.happens(choices.kill) {
            let text = format!("dies {moment:?} {operation} {key}");
            self.world.trace(self.machine.name(), text);
            self.record_fault("dies", moment, operation, key);
            self.machine.kill();
        }
        self.machine.pass().await;
        verdict
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    fn record_fault(&self, what: &str, moment: InterceptionPoint, operation: Operation, key: &str) {
        let coverage = &self.world.coverage;
        coverage.fault(self.machine.name(), format_args!("{what} {moment:?}"), operation, key);
    }

    fn latency(&self) -> Duration {
        if self.faulty {
            self.world.chance.around(self.world.choices.latency)
        } else {
            Duration::from_millis(1)
        }
    }

    async fn simulate_latency(&self) {
        self.world.time.sleep(self.latency()).await;
    }

    /// Returns the error of a change that was not answered. Without the rule of unknown outcomes, it says that the change
    /// had no effect.
    fn unanswered(&self, operation: Operation, key: &str) -> StoreError {
        let reason = "no attempt was answered";
        if self.weakness == Some(DisabledRule::UnknownOutcome) {
            return StoreError::Rejected {
                operation,
                key: key.to_owned(),
                reason: reason.to_owned(),
            };
        }
        Self::unavailable(operation, key, reason)
    }

    fn unavailable(operation: Operation, key: &str, reason: &str) -> StoreError {
        StoreError::Unavailable { operation, key: key.to_owned(), reason: reason.to_owned() }
    }

    async fn read<T: fmt::Debug>(
        &self,
        operation: Operation,
        key: &str,
        look: impl FnOnce(&SimulatedStore) -> StoreResponse<T> + Send,
    ) -> Result<StoreResponse<T>, StoreError> {
        self.world.count_call();
        self.machine.pass().await;
        self.inject_faults(InterceptionPoint::Before, operation, key).await;
        self.simulate_latency().await;
        let answer = look(self.world.store(self.role));
        let coverage = &self.world.coverage;
        coverage.read(self.machine.name(), operation, key);
        self.world.trace(
            self.machine.name(),
            format_args!(
                "{operation} {key} -> {:?}",
                answer.date.map(|date| date.micros() / 1_000_000 - 1_700_000_000)
            ),
        );
        self.simulate_latency().await;
        let verdict = self.inject_faults(InterceptionPoint::After, operation, key).await;
        let lost = self.faulty && self.world.chance.happens(self.world.choices.trouble / 4.0);
        if lost || verdict == ScriptDecision::LoseAnswer {
            return Err(Self::unavailable(operation, key, "the answer was lost"));
        }
        Ok(answer)
    }

    fn fate(&self, conditional: bool) -> AttemptFate {
        let SimulationContext { chance, choices, .. } = self.world.as_ref();
        if !self.faulty || !chance.happens(choices.trouble) {
            return AttemptFate::Done;
        }
        match chance.below(20) {
            0..3 => {
                let longest = chance.pick(&[20.0, 120.0, 5000.0]);
                AttemptFate::LandsLate(Duration::from_secs_f64(longest * chance.fraction()))
            }
            3..5 => AttemptFate::Lost,
            5..8 if conditional => AttemptFate::Refused,
            5..8 => AttemptFate::Busy,
            _ => AttemptFate::Unanswered,
        }
    }

    /// Sends a request that changes something. Once sent, it takes effect even if its future is dropped.
    async fn change<T: fmt::Debug + Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        refusal: Option<fn(&SimulatedStore) -> StoreResponse<T>>,
        effect: impl Fn(&SimulatedStore) -> StoreResponse<T> + Clone + Send + 'static,
    ) -> Result<StoreResponse<T>, StoreError> {
        self.world.count_call();
        self.machine.pass().await;
        let verdict = self.inject_faults(InterceptionPoint::Before, operation, key).await;
        // The store's client retries by itself.
        let attempts = if self.faulty {
            self.world.chance.pick(&[1, 3])
        } else {
            1
        };
        for _ in 0..attempts {
            let fate = match verdict {
                ScriptDecision::LandLate(after) => AttemptFate::LandsLate(after),
                _ => self.fate(refusal.is_some()),
            };
            let answer = self.attempt(operation, key, fate, refusal, effect.clone()).await;
            let verdict = self.inject_faults(InterceptionPoint::After, operation, key).await;
            if let Some(answer) = answer.filter(|_| verdict != ScriptDecision::LoseAnswer) {
                return Ok(answer);
            }
        }
        Err(self.unanswered(operation, key))
    }

    async fn attempt<T: fmt::Debug + Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        fate: AttemptFate,
        refusal: Option<fn(&SimulatedStore) -> StoreResponse<T>>,
        effect: impl Fn(&SimulatedStore) -> StoreResponse<T> + Send + 'static,
    ) -> Option<StoreResponse<T>> {
        let landing = match fate {
            AttemptFate::LandsLate(after) => after,
            _ => self.latency(),
        };
        let (tell, told) = oneshot::channel();
        if matches!(fate, AttemptFate::Done | AttemptFate::LandsLate(_) | AttemptFate::Unanswered) {
            let (world, role) = (Arc::clone(&self.world), self.role);
            let who = self.machine.name().to_owned();
            let key = key.to_owned();
            tokio::spawn(async move {
                world.time.sleep(landing).await;
                let answer = effect(world.store(role));
                let outcome = format!("{:?}, {fate:?}", answer.value);
                world.coverage.changed(&who, operation, &key, &outcome);
                world.trace(
                    &who,
                    format_args!("{operation} {key} -> {:?} ({fate:?})", answer.value),
                );
                // The receiver may already be dropped.
                tell.send(answer).ok();
            });
        } else {
            self.world
                .trace(self.machine.name(), format_args!("{operation} {key}: {fate:?}"));
            let coverage = &self.world.coverage;
            coverage.fault(self.machine.name(), format_args!("{fate:?}"), operation, key);
        }
        let patience = Duration::from_secs_f64(self.world.chance.pick(&[0.1, 2.0, 12.0]));
        match fate {
            AttemptFate::Done => {
                let answer = told.await.ok();
                self.simulate_latency().await;
                answer
            }
            AttemptFate::Refused => {
                self.simulate_latency().await;
                refusal.map(|refuse| refuse(self.world.store(self.role)))
            }
            _ => {
                self.world.time.sleep(patience).await;
                None
            }
        }
    }
}

#[async_trait]
impl Store for SimulatedNetwork {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let look = |truth: &SimulatedStore| truth.get(key, &options);
        self.read(Operation::Get, key, look).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let mode = match self.weakness {
            Some(DisabledRule::ConditionalCopy) => PutMode::Overwrite,
            _ => mode,
        };
        let conditional = mode.is_conditional();
        let refusal = conditional
            .then_some(SimulatedStore::refuse as fn(&SimulatedStore) -> StoreResponse<Put>);
        let name = key.to_owned();
        let effect = move |truth: &SimulatedStore| truth.put(&name, &body, &mode);
        self.change(Operation::Put, key, refusal, effect).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let look = |truth: &SimulatedStore| truth.list(&request);
        self.read(Operation::List, request.prefix, look).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let names = keys.to_vec();
        let effect = move |truth: &SimulatedStore| truth.delete(&names);
        let first = keys.first().map_or("", String::as_str);
        self.change(Operation::Delete, first, None, effect).await
    }

    fn is_sorted(&self) -> bool {
        self.world.store(self.role).is_sorted()
    }
}
