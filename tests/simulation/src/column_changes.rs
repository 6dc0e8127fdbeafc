//! Changes of a column while clients write to it by the name that they know, and flushes and merges move its values.
//!
//! Each write has a row of its own. An operator renames, widens and drops the column, or deletes the name that the clients know, so
//! that their next write creates another column. The answers of queries must fit the history of all requests:
//!
//! - The value of a write is visible, unless its column may have been dropped since the write began.
//! - It is not visible after the answer to the drop of its column, also if another column has the name.
//! - It is the value that was written, whatever the type of the column has become.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow_array::{
    RecordBatch,
    cast::AsArray,
    types::{Float64Type, Int64Type, TimestampNanosecondType},
};
use futures::future::{join_all, join4};
use neap_bucket::{ProtocolMargins, ProtocolRules};
use neap_catalog::CatalogError;
use neap_compact::{CompactError, JobLimits, PlanLimits, PlanScope};
use neap_manifest::SnapshotOptions;
use neap_points::deduplicate;
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_test_inputs::cases;
use neap_write::{Precision, WriteOptions};

use crate::{
    actors::ActorContext,
    instance::{DATABASE, DATABASE_NAME, Instance, InstanceSlot},
    network::SimulationContext,
    random::SeededRandom,
    rows::{TAG, witness_time},
    schedule::{ScheduleMix, ScheduleParameters},
    simulate::{create_world, run},
    simulated_store::StoreBehavior,
};

/// The table with the column.
const TABLE: &str = "changed";

/// The name of the column that the clients know.
const NAME: &str = "v";

const CLIENTS: usize = 2;
const WRITES: usize = 30;
const CHANGES: usize = 8;
const QUERIES: usize = 20;
const MOVES: usize = 10;

/// The number of seeds that run with the rules of the protocol in a whole run.
const SEEDS: u32 = 60;

/// The values of each row, by its time.
type ColumnValues = BTreeMap<i64, Vec<f64>>;

/// The time of a request; `end` is `None` if the request may take effect later.
#[derive(Clone, Copy, Debug)]
struct RequestTime {
    begin: Duration,
    end: Option<Duration>,
}

impl RequestTime {
    /// Returns whether this request had ended when the other one began.
    fn is_before(self, other: Self) -> bool {
        self.end.is_some_and(|end| end < other.begin)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnChange {
    Rename,
    DeleteAlias,
    Drop,
    Widen,
}

/// The requests of all actors.
#[derive(Debug, Default)]
struct ColumnHistory {
    /// The numbers of the writes; `end` is `None` if a write was not acknowledged.
    writes: Vec<(u64, RequestTime)>,
    /// The drops, and whether they succeeded.
    drops: Vec<(RequestTime, bool)>,
    /// The deletions of the name.
    releases: Vec<RequestTime>,
    reads: Vec<(RequestTime, ColumnValues)>,
}

impl ColumnHistory {
    /// Returns the first answer that does not fit the requests.
    fn contradiction(&self) -> Option<String> {
        self.reads.iter().find_map(|(read, rows)| {
            self.writes.iter().find_map(|(request, written)| {
                let values =
                    rows.get(&witness_time(*request)).map(Vec::as_slice).unwrap_or_default();
                let reason = self.contradiction_of((*request, *written), *read, values)?;
                Some(format!("write {request} {reason}: {values:?} at {read:?}"))
            })
        })
    }

    fn contradiction_of(
        &self,
        (request, written): (u64, RequestTime),
        read: RequestTime,
        values: &[f64],
    ) -> Option<&'static str> {
        if !values.is_empty() && values != [request as f64] {
            return Some("has another value");
        }
        let may_be_dropped = self.drops.iter().any(|(drop, _)| {
            let is_over = drop.is_before(written);
            !is_over && !read.is_before(*drop)
        });
        if values.is_empty() && written.is_before(read) && !may_be_dropped {
            return Some("is lost");
        }
        let is_dropped = self.drops.iter().any(|(drop, is_certain)| {
            // Between the write and the drop, the name may have been taken from the column of the write.
            let is_of_another = self
                .releases
                .iter()
                .any(|release| !release.is_before(written) && !drop.is_before(*release));
            *is_certain && written.is_before(*drop) && drop.is_before(read) && !is_of_another
        });
        (!values.is_empty() && is_dropped).then_some("has come back")
    }
}

type SharedHistory = Arc<Mutex<ColumnHistory>>;

impl Instance {
    /// Returns the values of all rows in all columns but the key; `None` if there is no answer.
    async fn column_values(&self) -> Option<ColumnValues> {
        let snapshot = self.snapshots.read(DATABASE, SnapshotOptions::default()).await.ok()?;
        let Some(table) = snapshot.catalog.value.table(TABLE) else {
            return Some(ColumnValues::new());
        };
        let stored = table.stored();
        let sections = self.sections(&snapshot, Some(stored.id())).await?;
        let of_sections = sections.iter().flat_map(|(_, decoded)| decoded.batches.iter().cloned());
        let of_tail = snapshot.tail.iter().flat_map(|segment| segment.rows(stored.id()).unwrap());
        let batches: Vec<RecordBatch> = of_sections.chain(of_tail).collect();
        if batches.is_empty() {
            return Some(ColumnValues::new());
        }
        let points = deduplicate(&stored.tag_names(), &stored.arrow_schema(), batches).unwrap();
        Some(values_of(&points))
    }

    /// Flushes and merges everything that can be.
    async fn move_rows(&self) -> Result<(), CompactError> {
        self.flusher.flush(DATABASE).await?;
        let limits = PlanLimits::with_max_jobs(4);
        let planned = self.maintainer.plan(DATABASE, PlanScope::All, limits).await?;
        for order in &planned.orders {
            self.maintainer.run(order, &JobLimits::default()).await?;
        }
        Ok(())
    }
}

fn values_of(points: &RecordBatch) -> ColumnValues {
    let times = points[TIME_COLUMN].as_primitive::<TimestampNanosecondType>();
    let mut rows: ColumnValues = times.values().iter().map(|time| (*time, Vec::new())).collect();
    for column in points.columns() {
        let numbers: Vec<Option<f64>> =
            if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
                floats.iter().collect()
            } else if let Some(integers) = column.as_primitive_opt::<Int64Type>() {
                integers.iter().map(|value| value.map(|value| value as f64)).collect()
            } else {
                continue;
            };
        for (time, value) in times.values().iter().zip(numbers) {
            rows.entry(*time).or_default().extend(value);
        }
    }
    rows
}

/// Hosts with differing clocks, and a network that loses some answers.
const MIX: ScheduleMix = ScheduleMix {
    trouble: &[0.0, 0.0, 0.02],
    freeze: &[0.0],
    kill: &[0.0],
    latency: &[2, 20, 200],
    pace: &[0.3, 1.0],
    wall_skew: &[0.0, 1.9, -1.9],
    host_skew: &[0.0, 0.0, 0.5, 2.0],
    wall_steps: false,
    sole_writer: 0.0,
    ..ScheduleMix::WITHOUT_COMPACTION
};

/// Writes integers and floats. Those of the wrong type are refused.
async fn client(stage: ActorContext, places: Vec<Arc<InstanceSlot>>, history: SharedHistory) {
    let world = &stage.world;
    for _ in 0..WRITES {
        world.pause(&[0.05, 0.5, 3.0, 10.0]).await;
        let instance = places[world.chance.below(places.len())].instance();
        let (begin, request) = (world.time.now(), stage.draw_request());
        let suffix = world.chance.pick(&["i", ".0"]);
        let time = witness_time(request);
        let line = format!("{TABLE},{TAG}=a {NAME}={request}{suffix} {time}\n");
        let options = WriteOptions::with_precision(Precision::Nanosecond);
        let written = instance.writer.write(DATABASE_NAME, line.into(), options).await;
        let end = written.is_ok().then(|| world.time.now());
        let at = RequestTime { begin, end };
        history.lock().unwrap().writes.push((request, at));
    }
}

/// Changes the column until a change has an unknown result.
async fn operator(stage: ActorContext, place: Arc<InstanceSlot>, history: SharedHistory) {
    let world = &stage.world;
    let mut is_alias = false;
    for number in 0..CHANGES {
        world.pause(&[1.0, 8.0, 30.0]).await;
        let instance = place.instance();
        let catalog = &instance.catalog;
        let possible = if is_alias {
            &[ColumnChange::DeleteAlias, ColumnChange::Widen][..]
        } else {
            &[
                ColumnChange::Drop,
                ColumnChange::Drop,
                ColumnChange::Rename,
                ColumnChange::Widen,
            ][..]
        };
        let (begin, change) = (world.time.now(), world.chance.pick(possible));
        let changed = match change {
            ColumnChange::Rename => {
                let name = format!("{NAME}{number}");
                catalog.rename_column(DATABASE, TABLE, NAME, &name).await
            }
            ColumnChange::DeleteAlias => catalog.delete_column_alias(DATABASE, TABLE, NAME).await,
            ColumnChange::Drop => catalog.drop_column(DATABASE, TABLE, NAME).await,
            ColumnChange::Widen => {
                let float = ColumnType::Float;
                catalog.change_column_type(DATABASE, TABLE, NAME, float).await
            }
        };
        instance.trace(format_args!("{change:?}: {changed:?}"));
        let is_refused = matches!(
            changed,
            Err(CatalogError::NoSuchTable { .. } | CatalogError::NoSuchColumn { .. })
        );
        let end = (changed.is_ok() || is_refused).then(|| world.time.now());
        let at = RequestTime { begin, end };
        let mut shared = history.lock().unwrap();
        match change {
            ColumnChange::Rename => is_alias = changed.is_ok(),
            ColumnChange::DeleteAlias => {
                is_alias = changed.is_err();
                shared.releases.push(at);
            }
            ColumnChange::Drop => shared.drops.push((at, changed.is_ok())),
            ColumnChange::Widen => {}
        }
        if end.is_none() {
            return;
        }
    }
}

async fn querier(stage: ActorContext, place: Arc<InstanceSlot>, history: SharedHistory) {
    let world = &stage.world;
    for _ in 0..QUERIES {
        world.pause(&[0.5, 3.0, 20.0]).await;
        let (begin, instance) = (world.time.now(), place.instance());
        if let Some(values) = instance.column_values().await {
            let end = Some(world.time.now());
            history.lock().unwrap().reads.push((RequestTime { begin, end }, values));
        }
    }
}

/// Flushes and merges at random intervals.
async fn mover(stage: ActorContext, place: Arc<InstanceSlot>) {
    for _ in 0..MOVES {
        stage.world.pause(&[1.0, 10.0, 30.0]).await;
        let instance = place.instance();
        let moved = instance.move_rows().await;
        instance.trace(format_args!("flush and merges: {moved:?}"));
    }
}

/// Runs all actors, moves all rows once more, and queries them.
async fn history(seed: u64, rules: ProtocolRules) -> ColumnHistory {
    let chance = SeededRandom::new(seed);
    let drawn = ScheduleParameters::draw(&MIX, &chance);
    let choices = ScheduleParameters {
        store: StoreBehavior { fast: None, ..drawn.store },
        calls: usize::MAX,
        ..drawn
    };
    let world: Arc<SimulationContext> = create_world(chance, choices, rules, false).await;
    let stage = ActorContext::new(&world, &MIX);
    let place = |name: &str| InstanceSlot::new(name, &world, &MIX, rules);
    let writers = vec![place("writer a"), place("writer b")];
    let shared = SharedHistory::default();
    let clients = (0..CLIENTS).map(|_| client(stage.clone(), writers.clone(), Arc::clone(&shared)));
    let queriers = ["querier a", "querier b"]
        .map(|name| querier(stage.clone(), place(name), Arc::clone(&shared)));
    join4(
        join_all(clients),
        join_all(queriers),
        operator(stage.clone(), place("operator"), Arc::clone(&shared)),
        mover(stage.clone(), place("mover")),
    )
    .await;
    world.time.sleep(Duration::from_secs(60)).await;
    let last = Instance::healthy(&world, "last", rules);
    last.move_rows().await.unwrap();
    let begin = world.time.now();
    let values = last.column_values().await.unwrap();
    let end = Some(world.time.now());
    let mut history = std::mem::take(&mut *shared.lock().unwrap());
    history.reads.push((RequestTime { begin, end }, values));
    history
}

#[test]
fn values_follow_the_changes_of_their_column() {
    let rules = ProtocolRules::new(ProtocolMargins::NETWORK);
    let seeds = u64::from(cases(SEEDS));
    let (mut drops, mut releases) = (0, 0);
    for seed in 0..seeds {
        let history = run(history(seed, rules));
        assert_eq!(history.contradiction(), None, "seed {seed}");
        drops += history.drops.iter().filter(|(_, is_certain)| *is_certain).count();
        releases += history.releases.len();
    }
    println!("{drops} drops and {releases} deleted names in {seeds} histories");
    assert!(drops > 0);
}

#[test]
fn without_the_settling_time_drops_of_columns_are_not_observed() {
    let weakened = ProtocolRules {
        settling_time: Duration::ZERO,
        ..ProtocolRules::new(ProtocolMargins::NETWORK)
    };
    let mut seeds = 0..u64::from(SEEDS);
    let found = seeds.find_map(|seed| run(history(seed, weakened)).contradiction());
    assert!(found.is_some(), "no contradiction in {SEEDS} histories");
}

#[test]
fn only_answers_that_fit_the_requests_are_accepted() {
    let at = |begin: u64, end: u64| RequestTime {
        begin: Duration::from_secs(begin),
        end: Some(Duration::from_secs(end)),
    };
    let reason = |drops: &[(RequestTime, bool)], releases: &[RequestTime], values: &[f64]| {
        let history = ColumnHistory {
            drops: drops.to_vec(),
            releases: releases.to_vec(),
            ..ColumnHistory::default()
        };
        history.contradiction_of((7, at(10, 11)), at(30, 31), values)
    };
    assert_eq!(reason(&[], &[], &[7.0]), None);
    assert_eq!(reason(&[], &[], &[8.0]), Some("has another value"));
    assert_eq!(reason(&[], &[], &[7.0, 7.0]), Some("has another value"));
    assert_eq!(reason(&[], &[], &[]), Some("is lost"));
    assert_eq!(reason(&[(at(1, 2), true)], &[], &[]), Some("is lost"));
    let drop = [(at(20, 21), true)];
    assert_eq!(reason(&drop, &[], &[]), None);
    assert_eq!(reason(&drop, &[], &[7.0]), Some("has come back"));
    assert_eq!(reason(&[(at(20, 21), false)], &[], &[7.0]), None);
    assert_eq!(reason(&[(at(20, 30), true)], &[], &[7.0]), None);
    assert_eq!(reason(&drop, &[at(12, 13)], &[7.0]), None);
    assert_eq!(reason(&drop, &[at(1, 2)], &[7.0]), Some("has come back"));
}
