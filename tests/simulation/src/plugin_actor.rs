//! Engines that deliver segments to triggers, whose plugins only record what they receive.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use neap_bucket::{Key, Stamp};
use neap_catalog::{EngineLogs, ErrorBehavior, NewTrigger, TriggerSpecification};
use neap_engine::{
    CompletedRun, DatabaseAccess, DatabaseAccessError, Engine, EngineParts, EngineSettings,
    PluginCall, PluginCallError, PluginInput, PluginRuntime, PluginWriteOptions, QueryRows,
    RunError, TriggerKey,
};
use neap_http::Metrics;

use crate::{
    actors::{ActorContext, run_on},
    instance::{DATABASE, Instance, InstanceSlot},
    oracle::{Invariant, SimulationOracle},
    rows::{WITNESSES, plain},
};

/// The mean time of a run.
const RUN_TIME: Duration = Duration::from_secs(2);

/// Maximum number of segments of an event.
const MAX_EVENT_SEGMENTS: usize = 3;

/// More segments than a schedule has.
const MANY_SEGMENTS: usize = 1_000;

/// The rounds of a sweep and a pause after which everything is delivered, and the pause: longer than a lease, and than
/// the age from which a trigger whose runs may overlap takes over segments of other engines.
const LAST_ROUNDS: usize = 6;
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// Creates the triggers of a schedule: one for all tables, whose runs do not overlap, and one for the table of the
/// witnesses, whose runs may overlap. Each acknowledged write has a row for both.
pub(crate) async fn create_triggers(founder: &Instance) {
    let of_witnesses =
        TriggerSpecification::SingleTableWalWrite { table_name: WITNESSES.to_owned() };
    let triggers = [
        ("all", TriggerSpecification::AllTablesWalWrite, false),
        ("witnesses", of_witnesses, true),
    ];
    for (name, specification, run_async) in triggers {
        let trigger = NewTrigger {
            run_async,
            error_behavior: ErrorBehavior::Retry,
            ..NewTrigger::new(name, "plugin.py", specification)
        };
        let created = founder.catalog.create_trigger(DATABASE, &trigger).await;
        let id = created.unwrap().id;
        let truth = &founder.world.truth;
        truth.oracle(|oracle| oracle.expect_deliveries(id));
    }
}

/// Plugins that record the rows of a run. Some runs fail.
#[derive(derive_more::Debug)]
#[debug("RecordingPlugins of {}", self.0.machine.name())]
struct RecordingPlugins(Arc<Instance>);

#[async_trait]
impl PluginRuntime for RecordingPlugins {
    async fn run(&self, call: PluginCall) -> Result<CompletedRun, PluginCallError> {
        let instance = &self.0;
        let world = &instance.world;
        let PluginInput::Writes { tables, stamp } = call.call else {
            let text = "a trigger on writes runs without rows";
            let fail =
                |oracle: &mut SimulationOracle| oracle.fail(Invariant::NoUnexpectedError, text);
            world.truth.oracle(fail);
            return Err(RunError::Stopping.into());
        };
        world.time.sleep(world.chance.around(RUN_TIME)).await;
        instance.machine.pass().await;
        let Some(name) = stamp else {
            return Err(RunError::Stopping.into());
        };
        let trigger = call.trigger.id;
        let rows = tables
            .iter()
            .map(|(_, batches)| batches.iter().flat_map(plain).collect())
            .collect();
        let fails = world.chance.happens(0.1);
        instance.trace(format_args!("trigger {trigger} for {name:?}, fails: {fails}"));
        world.truth.oracle(|oracle| {
            if fails && oracle.may_fail(trigger, name) {
                Err(RunError::Plugin { text: "it fails".to_owned(), traceback: None }.into())
            } else {
                oracle.segment_processed(call.database, trigger, name, rows);
                Ok(CompletedRun {
                    queued: std::collections::BTreeMap::new(),
                    response: None,
                    took: Duration::ZERO,
                })
            }
        })
    }

    fn forget(&self, _: &TriggerKey) {}

    async fn stop(&self) {}
}

/// The database of plugins that neither query nor write.
#[derive(Debug)]
struct NoAccess;

#[async_trait]
impl DatabaseAccess for NoAccess {
    async fn query(
        &self,
        _: &str,
        sql: &str,
        _: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError> {
        Err(DatabaseAccessError(sql.to_owned()))
    }

    async fn write(
        &self,
        database: &str,
        _: Bytes,
        _: PluginWriteOptions,
    ) -> Result<Option<Stamp>, DatabaseAccessError> {
        Err(DatabaseAccessError(database.to_owned()))
    }
}

/// Starts the engine of an instance, with queues for this many segments.
fn engine_of(instance: &Arc<Instance>, max_queued: usize) -> Arc<Engine> {
    Engine::new(EngineParts {
        bucket: instance.bucket.clone(),
        catalog: Arc::clone(&instance.catalog),
        rules: instance.rules,
        tail: instance.tail.clone(),
        database: Arc::new(NoAccess),
        plugins: Arc::new(RecordingPlugins(Arc::clone(instance))),
        logs: Arc::new(EngineLogs::new(instance.bucket.clone())),
        settings: EngineSettings { max_queued, ..EngineSettings::default() },
        metrics: Metrics::default(),
    })
}

/// Handles events at random intervals: segments that were put, and sweeps. An instance keeps its engine until it dies.
pub(crate) async fn plugin_engine(stage: ActorContext, place: Arc<InstanceSlot>) {
    let mut running: Option<(Arc<Instance>, Arc<Engine>)> = None;
    loop {
        stage.world.pause(stage.mix.cast.refresh_pauses).await;
        run_on(&place, async |instance| {
            let chance = &stage.world.chance;
            let engine = match &running {
                Some((of, engine)) if Arc::ptr_eq(of, &instance) => Arc::clone(engine),
                // Some queues are too short for all segments.
                _ => engine_of(&instance, chance.pick(&[2, MANY_SEGMENTS])),
            };
            running = Some((Arc::clone(&instance), Arc::clone(&engine)));
            let limit = Duration::from_secs(chance.pick(&[5, 30, 600]));
            if chance.happens(0.5) {
                let report = engine.sweep(limit).await;
                instance.trace(format_args!("sweep: {report:?}"));
                return;
            }
            let segments = random_segments(&stage);
            let deliveries = engine.handle_segments(segments, limit).await;
            instance.trace(format_args!("segments: {deliveries:?}"));
            // A dropped database has no triggers.
            if stage.world.choices.cast.destroying {
                return;
            }
            let delivered = deliveries.iter().filter(|delivery| delivery.result.is_ok());
            let truth = &stage.world.truth;
            truth.oracle(|oracle| {
                delivered.for_each(|it| oracle.check_delivery(it.database, it.name));
            });
        })
        .await;
    }
}

/// Returns the segments of an event: some of those in the store.
fn random_segments(
    stage: &ActorContext,
) -> Vec<(neap_schema::DatabaseId, neap_bucket::SegmentName)> {
    let keys = stage.world.truth.keys(&Key::tail_prefix(DATABASE));
    let number = stage.world.chance.below(MAX_EVENT_SEGMENTS + 1);
    let chosen = (0..number.min(keys.len()))
        .filter_map(|_| keys[stage.world.chance.below(keys.len())].parse().ok());
    let segments = chosen.filter_map(|key| match key {
        Key::Segment(database, name) => Some((database, name)),
        _ => None,
    });
    segments.collect()
}

/// Delivers everything that is left, on an instance without faults, and checks that each trigger has processed each
/// acknowledged segment.
pub(crate) async fn deliver_all(instance: &Arc<Instance>) {
    let world = &instance.world;
    if instance.is_live(DATABASE).await != Some(true) {
        return;
    }
    let engine = engine_of(instance, MANY_SEGMENTS);
    let mut acknowledged = BTreeSet::new();
    for _ in 0..LAST_ROUNDS {
        // A writer that was frozen may acknowledge another one after the last round.
        acknowledged = world.truth.oracle(|oracle| oracle.segments_to_deliver(DATABASE));
        let swept = engine.sweep(Duration::from_secs(600)).await;
        instance.trace(format_args!("last sweep: {swept:?}"));
        world.time.sleep(LAST_PAUSE).await;
    }
    let now = world.time.now();
    world
        .truth
        .oracle(|oracle| oracle.check_deliveries(DATABASE, acknowledged, now));
}
