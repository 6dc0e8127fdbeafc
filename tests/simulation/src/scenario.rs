//! Scripted schedules, in which nothing happens except the script.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use neap_bucket::{Operation, ProtocolMargins, ProtocolRules, Stamp};
use neap_wal::WriteError;
use neap_write::WriteFailure;
use tokio::sync::Notify;

use crate::{
    instance::{Instance, InstanceOptions},
    machine::{Machine, Suspension},
    network::{CallScript, InterceptionPoint, ScriptDecision, SimulationContext},
    oracle::Violation,
    random::SeededRandom,
    rows::{Rows, shared_point},
    schedule::ScheduleParameters,
    simulate::create_world,
    write::GeneratedWrite,
};

/// A scripted schedule: a world without random faults, and the numbers of its requests.
pub(crate) struct ScriptedScenario {
    pub(crate) world: Arc<SimulationContext>,
    pub(crate) rules: ProtocolRules,
    requests: AtomicU64,
}

impl ScriptedScenario {
    pub(crate) async fn open() -> Self {
        Self::open_with(ScheduleParameters::WITHOUT_FAULTS).await
    }

    pub(crate) async fn open_with(choices: ScheduleParameters) -> Self {
        let rules = ProtocolRules::new(ProtocolMargins::NETWORK);
        let tracing = std::env::var_os("NEAP_SIM_TRACE").is_some();
        Self {
            world: create_world(SeededRandom::new(0), choices, rules, tracing).await,
            rules,
            requests: AtomicU64::new(1),
        }
    }

    /// Returns a machine with true clocks.
    pub(crate) fn machine(&self, name: &str, suspension: Suspension) -> Arc<Machine> {
        Machine::new(name.to_owned(), self.world.time, suspension, 0.0)
    }

    /// Starts an instance without faults.
    pub(crate) fn instance(&self, name: &str) -> Arc<Instance> {
        Instance::healthy(&self.world, name, self.rules)
    }

    /// Starts an instance on this machine whose calls follow the script.
    pub(crate) fn scripted(&self, machine: &Arc<Machine>, script: CallScript) -> Arc<Instance> {
        let start =
            InstanceOptions { script: Some(script), ..InstanceOptions::healthy(self.rules) };
        self.start(machine, start)
    }

    pub(crate) fn start(&self, machine: &Arc<Machine>, start: InstanceOptions) -> Arc<Instance> {
        Instance::start(&self.world, Arc::clone(machine), start)
    }

    pub(crate) async fn sleep(&self, seconds: f64) {
        self.world.time.sleep(Duration::from_secs_f64(seconds)).await;
    }

    /// Sleeps until the schedule is this many seconds old.
    pub(crate) async fn sleep_until(&self, seconds: f64) {
        let until = Duration::from_secs_f64(seconds);
        self.world.time.sleep(until.saturating_sub(self.world.time.now())).await;
    }

    /// Returns the next write of a client: field `a` of the first shared point.
    pub(crate) fn content(&self) -> GeneratedWrite {
        GeneratedWrite::new(self.requests.fetch_add(1, Ordering::Relaxed), 0, "a")
    }

    /// Writes, and tells the oracle if the write is acknowledged.
    pub(crate) async fn write(
        &self,
        instance: &Instance,
        content: &GeneratedWrite,
        after: Option<Stamp>,
    ) -> Result<Stamp, WriteFailure> {
        let outcome = instance.write(content, after).await;
        instance.trace(format_args!("request {}: {outcome:?}", content.request));
        if outcome.is_ok() {
            self.world.truth.oracle(|oracle| oracle.acknowledge(content.request));
        }
        outcome
    }

    /// Repeats a refused write after its `Retry-After`, until it is acknowledged.
    pub(crate) async fn retry(
        &self,
        instance: &Instance,
        content: &GeneratedWrite,
        after: Option<Stamp>,
        refused: WriteError,
    ) -> Stamp {
        let mut refused = refused;
        for _ in 0..3 {
            self.sleep(refused.retry_after().unwrap().as_secs_f64()).await;
            match self.write(instance, content, after).await {
                Ok(stamp) => return stamp,
                Err(WriteFailure::Tail(error)) => refused = error,
                Err(failure) => panic!("{failure:?}"),
            }
        }
        panic!("{refused:?}");
    }

    /// Returns the keys of the segments in the bucket.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.world.truth.keys("tail/")
    }

    /// Returns the violations so far.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.world.truth.oracle(|oracle| oracle.violations.clone())
    }

    pub(crate) fn assert_no_violations(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "{violations:?}");
    }
}

/// Returns field `a` of the first shared point in an answer.
pub(crate) fn first_cell(answer: &Rows) -> Option<i64> {
    answer.get(&shared_point(0))?.get("a").copied()
}

/// Returns a script that runs `scene` once: before the first call of this operation on a key that contains `part`.
pub(crate) fn before(
    operation: Operation,
    part: &'static str,
    scene: impl FnOnce() -> BoxFuture<'static, ScriptDecision> + Send + 'static,
) -> CallScript {
    once(InterceptionPoint::Before, operation, part, scene)
}

/// Returns a script as [`before`] does, whose scene runs after the store's answer.
pub(crate) fn after(
    operation: Operation,
    part: &'static str,
    scene: impl FnOnce() -> BoxFuture<'static, ScriptDecision> + Send + 'static,
) -> CallScript {
    once(InterceptionPoint::After, operation, part, scene)
}

fn once(
    moment: InterceptionPoint,
    operation: Operation,
    part: &'static str,
    scene: impl FnOnce() -> BoxFuture<'static, ScriptDecision> + Send + 'static,
) -> CallScript {
    let played = AtomicBool::new(false);
    let scene = Mutex::new(Some(scene));
    Arc::new(move |at, called, key| {
        let is_it = at == moment && called == operation && key.contains(part);
        if !is_it || played.swap(true, Ordering::Relaxed) {
            return Box::pin(async { ScriptDecision::Proceed });
        }
        let scene = scene.lock().unwrap().take();
        scene.map_or_else(
            || Box::pin(async { ScriptDecision::Proceed }) as BoxFuture<'static, _>,
            |scene| scene(),
        )
    })
}

/// A call that a scene holds back.
pub(crate) struct HeldCall {
    /// Notified when the call comes.
    pub(crate) arrived: Arc<Notify>,
    /// Lets the call go on.
    pub(crate) released: Arc<Notify>,
}

/// Returns a scene that holds the call back until it is released.
pub(crate) fn hold(
    decision: ScriptDecision,
) -> (HeldCall, impl FnOnce() -> BoxFuture<'static, ScriptDecision> + Send + 'static) {
    let (arrived, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let held = HeldCall {
        arrived: Arc::clone(&arrived),
        released: Arc::clone(&released),
    };
    let scene = move || {
        Box::pin(async move {
            arrived.notify_one();
            released.notified().await;
            decision
        }) as BoxFuture<'static, _>
    };
    (held, scene)
}

/// Returns a scene that freezes the machine.
pub(crate) fn freeze(
    machine: &Arc<Machine>,
    seconds: u64,
) -> impl FnOnce() -> BoxFuture<'static, ScriptDecision> + use<> {
    let machine = Arc::clone(machine);
    move || {
        machine.freeze(Duration::from_secs(seconds));
        Box::pin(async { ScriptDecision::Proceed })
    }
}
