//! The basic actors of a schedule: clients, flushers and queriers. Each runs until the schedule ends.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt,
    future::{Either, select},
};
use neap_bucket::{MAX_CATALOG_AGE, Stamp, WriteOrder};
use neap_row_delete::DeleteRowsErrorKind;
use neap_schema::DatabaseId;
use neap_wal::WriteError;
use neap_write::WriteFailure;
use tokio::sync::oneshot;

use crate::{
    compactors::random_past_stamp,
    instance::{DATABASE, DATABASE_NAME, Instance, InstanceSlot},
    network::SimulationContext,
    oracle::{ClientWrite, Invariant, SimulationOracle},
    query::QueryConsistency,
    rows::{BEGIN_NANOS, DAY, HOSTS, OTHER_TABLE, SECOND, TABLE},
    schedule::ScheduleMix,
    view_checks::read_views,
    write::{GeneratedDelete, GeneratedWrite},
};

/// How long a client waits for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time from sending a request until the server reads it. The simulation drops a request that a frozen process
/// reads later, because no rule of the product can measure how long the request waited in a socket.
const MAX_SOCKET_TIME: Duration = Duration::from_secs(5);

/// The state that all actors of a schedule share.
#[derive(Clone, Debug)]
pub(crate) struct ActorContext {
    pub(crate) world: Arc<SimulationContext>,
    pub(crate) mix: ScheduleMix,
    pub(crate) requests: Arc<AtomicU64>,
    /// The restored databases.
    copies: Arc<Mutex<Vec<(DatabaseId, String)>>>,
}

#[derive(Clone, Debug)]
enum ClientRequest {
    Write(GeneratedWrite),
    Delete(GeneratedDelete),
}

impl ClientRequest {
    fn request(&self) -> u64 {
        match self {
            Self::Write(content) => content.request,
            Self::Delete(erasure) => erasure.request,
        }
    }

    /// Returns the request that repeats this one. It has a number of its own, so that the data show which of them they
    /// contain.
    fn repeated(self, request: u64) -> Self {
        match self {
            Self::Write(content) => Self::Write(GeneratedWrite { request, ..content }),
            Self::Delete(erasure) => Self::Delete(GeneratedDelete { request, ..erasure }),
        }
    }

    /// Whether the request must be ordered after everything that was acknowledged before it.
    fn is_strict(&self) -> bool {
        match self {
            Self::Write(content) => content.order == WriteOrder::Strict,
            Self::Delete(_) => true,
        }
    }
}

/// The server's answer to a client, with the stamp if the server drew one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClientReply {
    acknowledged: bool,
    stamp: Option<Stamp>,
}

impl ActorContext {
    pub(crate) fn new(world: &Arc<SimulationContext>, mix: &ScheduleMix) -> Self {
        Self {
            world: Arc::clone(world),
            mix: mix.clone(),
            requests: Arc::new(AtomicU64::new(1)),
            copies: Arc::default(),
        }
    }

    pub(crate) fn draw_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn add_copy(&self, database: DatabaseId, name: String) {
        self.copies.lock().unwrap().push((database, name));
    }

    /// All databases, with their names.
    pub(crate) fn databases(&self) -> Vec<(DatabaseId, String)> {
        let first = (DATABASE, DATABASE_NAME.to_owned());
        let copies = self.copies.lock().unwrap();
        [first].into_iter().chain(copies.iter().cloned()).collect()
    }

    /// Returns the first database in most cases, and a random one (restored ones included) otherwise.
    pub(crate) fn random_database(&self) -> (DatabaseId, String) {
        let mut databases = self.databases();
        let chance = &self.world.chance;
        let place = if databases.len() > 1 && chance.happens(0.4) {
            chance.below(databases.len())
        } else {
            0
        };
        databases.swap_remove(place)
    }

    fn draw_write(&self) -> GeneratedWrite {
        let (chance, cast) = (&self.world.chance, &self.world.choices.cast);
        let points = HOSTS.len() * cast.days;
        let field = || chance.pick(&["a", "b"]);
        let mut cells: Vec<_> = if cast.wide {
            (0..cast.days)
                .map(|day| (HOSTS.len() * day + chance.below(HOSTS.len()), field()))
                .collect()
        } else {
            (0..=chance.below(2)).map(|_| (chance.below(points), field())).collect()
        };
        cells.dedup_by_key(|(point, _)| *point);
        let request = self.draw_request();
        GeneratedWrite {
            request,
            table: match request % 3 {
                0 => OTHER_TABLE,
                _ => TABLE,
            },
            cells,
            new_column: chance.happens(self.mix.new_column),
            order: if chance.happens(self.world.choices.strict) {
                WriteOrder::Strict
            } else {
                WriteOrder::Clock
            },
        }
    }

    pub(crate) fn draw_delete(&self) -> GeneratedDelete {
        let (chance, cast) = (&self.world.chance, &self.world.choices.cast);
        let day = |days: usize| BEGIN_NANOS - i64::try_from(days).unwrap_or(0) * DAY;
        let (first, last) = (chance.below(cast.days), chance.below(cast.days));
        let times = match chance.below(3) {
            0 => (day(first), day(first)),
            1 => (day(first.max(last)), day(first.min(last)) + 200 * SECOND),
            _ => (i64::MIN, i64::MAX),
        };
        let hosts = match chance.below(3) {
            0 => HOSTS.to_vec(),
            _ => vec![chance.pick(&HOSTS)],
        };
        let request = self.draw_request();
        GeneratedDelete {
            request,
            // One of two requests addresses the database by name, the other one by id.
            table: match request / 2 % 4 {
                0 => Some(TABLE),
                1 => Some(OTHER_TABLE),
                // Nothing restores rows of a view that clients delete.
                _ if cast.viewing => Some(TABLE),
                _ => None,
            },
            hosts,
            times,
        }
    }

    fn draw_client_request(&self) -> ClientRequest {
        let chance = &self.world.chance;
        if chance.happens(self.world.choices.cast.deletes) {
            ClientRequest::Delete(self.draw_delete())
        } else {
            ClientRequest::Write(self.draw_write())
        }
    }
}

/// Executes a client request on an instance.
async fn perform(
    instance: &Instance,
    target: &(DatabaseId, String),
    demand: &ClientRequest,
    token: Option<Stamp>,
) -> ClientReply {
    let request = demand.request();
    let surprise = |what: &str| {
        let fail = |oracle: &mut SimulationOracle| oracle.fail(Invariant::NoUnexpectedError, what);
        instance.world.truth.oracle(fail);
    };
    match demand {
        ClientRequest::Write(content) => {
            let outcome = instance.write_to(&target.1, content, token).await;
            instance.trace(format_args!("request {request}: {outcome:?}"));
            if let Err(WriteFailure::Tail(WriteError::ShuttingDown)) = outcome {
                surprise("a write was abandoned");
            }
            match outcome {
                Ok(stamp) => ClientReply { acknowledged: true, stamp: Some(stamp) },
                Err(failure) => ClientReply { acknowledged: false, stamp: failure.stamp() },
            }
        }
        ClientRequest::Delete(erasure) => {
            let outcome = instance.erase_from(target, erasure, token).await;
            instance.trace(format_args!("request {request}: {outcome:?}"));
            // A store whose clock is set back refuses the stamps that it gave before.
            let is_ahead = |message: &str| {
                instance.world.choices.store.fast.is_some()
                    && message.ends_with("ahead of the store's clock")
            };
            if let Err(error) = &outcome
                && matches!(
                    error.kind,
                    DeleteRowsErrorKind::Invalid | DeleteRowsErrorKind::Internal
                )
                && !is_ahead(&error.message)
            {
                surprise(&error.message);
            }
            match outcome {
                Ok(stamp) => ClientReply { acknowledged: stamp.is_some(), stamp },
                Err(error) => ClientReply { acknowledged: false, stamp: error.stamp },
            }
        }
    }
}

/// Handles a request on the server, whether or not its client still waits.
async fn serve(
    wall_steps: bool,
    instance: Arc<Instance>,
    (target, demand): ((DatabaseId, String), ClientRequest),
    token: Option<Stamp>,
    sent: Duration,
    answer: oneshot::Sender<ClientReply>,
) {
    instance.machine.pass().await;
    let world = &instance.world;
    if world.time.now() - sent > MAX_SOCKET_TIME {
        return;
    }
    if wall_steps && world.chance.happens(0.1) {
        let by = world.chance.pick(&[3.0, -3.0, 15.0, -15.0, 200.0, -200.0, 4000.0]);
        instance.machine.step_wall(by);
    }
    let deceptions = instance.machine.undetectable_time_jumps();
    let told = perform(&instance, &target, &demand, token).await;
    let request = demand.request();
    world.truth.oracle(|oracle| {
        if told.acknowledged {
            oracle.acknowledge(request);
        }
        let deceived = instance.machine.undetectable_time_jumps() != deceptions;
        let write = oracle.writes.iter_mut().find(|write| write.request == request);
        if let Some(write) = write {
            write.deceived |= deceived;
        }
    });
    answer.send(told).ok();
}

/// Runs a task and reports a panic as a violation.
async fn report_panic(instance: Arc<Instance>, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        let fail = |oracle: &mut SimulationOracle| {
            oracle.fail(Invariant::NoUnexpectedError, "a write panicked")
        };
        instance.world.truth.oracle(fail);
    }
}

/// Sends writes and deletes. Some clients pass the returned stamps back with the next request, and some repeat requests
/// that were not acknowledged.
pub(crate) async fn client(stage: ActorContext, number: usize, places: Vec<Arc<InstanceSlot>>) {
    let world = &stage.world;
    let passes_back = world.chance.happens(0.6);
    let mut token: Option<Stamp> = None;
    let mut refused: Option<((DatabaseId, String), ClientRequest)> = None;
    loop {
        world.pause(stage.mix.write_pauses).await;
        let instance = places[world.chance.below(places.len())].instance();
        let (target, demand) = match refused.take() {
            Some((target, demand)) => (target, demand.repeated(stage.draw_request())),
            None => (stage.random_database(), stage.draw_client_request()),
        };
        let repeatable = world.choices.cast.jobs.retrying.then(|| (target.clone(), demand.clone()));
        let (request, begin) = (demand.request(), world.time.now());
        world.trace(
            &format!("client {number}"),
            format_args!("{demand:?} of {} after {token:?}", target.1),
        );
        let write = ClientWrite {
            request,
            client: number,
            begin,
            until: None,
            token,
            is_strict: demand.is_strict(),
            acknowledged: false,
            deceived: false,
        };
        world.truth.oracle(|oracle| oracle.writes.push(write));
        let deceptions = instance.machine.undetectable_time_jumps();
        let (tell, told) = oneshot::channel();
        let service = tokio::spawn(report_panic(
            Arc::clone(&instance),
            serve(
                stage.mix.wall_steps,
                Arc::clone(&instance),
                (target, demand),
                token,
                begin,
                tell,
            ),
        ));
        let patience = Box::pin(async {
            let timeout = Box::pin(world.time.sleep(CLIENT_TIMEOUT));
            select(timeout, Box::pin(instance.machine.died())).await;
        });
        let outcome = match select(told, patience).await {
            Either::Left((outcome, _)) => outcome.ok(),
            Either::Right(_) => {
                // The server may or may not notice that its client is gone.
                if world.chance.happens(0.5) {
                    service.abort();
                }
                None
            }
        };
        let until = world.time.now();
        let acknowledged = outcome.is_some_and(|told| told.acknowledged);
        world.truth.oracle(|oracle| {
            let write = oracle.writes.iter_mut().find(|write| write.request == request);
            if let Some(write) = write {
                (write.until, write.acknowledged) = (Some(until), acknowledged);
                write.deceived |= instance.machine.undetectable_time_jumps() != deceptions;
            }
        });
        refused = repeatable.filter(|_| !acknowledged);
        if passes_back {
            token = token.max(outcome.and_then(|told| told.stamp));
        }
    }
}

/// Runs `job` on the current instance of a slot until it is done or the instance dies.
pub(crate) async fn run_on<T>(
    place: &InstanceSlot,
    job: impl AsyncFnOnce(Arc<Instance>) -> T,
) -> Option<T> {
    let instance = place.instance();
    instance.machine.pass().await;
    let died = Box::pin(instance.machine.died());
    match select(Box::pin(job(Arc::clone(&instance))), died).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}

/// Flushes a random database at random intervals.
pub(crate) async fn flusher(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.flush_pauses).await;
        let database = stage.random_database().0;
        run_on(&place, async |instance| {
            let outcome = instance.flusher.flush(database).await;
            instance.trace(format_args!("flush of {database}: {outcome:?}"));
        })
        .await;
    }
}

/// Looks a database up by its name, as a query does, and checks that no previously dropped one is found.
async fn find(instance: &Instance, name: &str) {
    let started_at = instance.world.time.now();
    let found = instance.catalog.database_by_name(name, MAX_CATALOG_AGE);
    let Ok(Some(found)) = found.await else {
        return;
    };
    // If both clocks of a machine were paused, it cannot determine the age of its catalog copy.
    if instance.machine.undetectable_time_jumps() == 0 {
        let truth = &instance.world.truth;
        truth.oracle(|oracle| oracle.database_found(found, started_at));
    }
}

/// Queries a random database at random intervals.
pub(crate) async fn querier(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.query_pauses).await;
        let chance = &stage.world.chance;
        let (database, name) = stage.random_database();
        if stage.world.choices.cast.destroying {
            run_on(&place, async |instance| find(&instance, &name).await).await;
        }
        let question = if chance.happens(stage.world.choices.cast.past_queries) {
            QueryConsistency::AsOf(random_past_stamp(&stage, database))
        } else if chance.happens(0.8) {
            QueryConsistency::Strong
        } else {
            QueryConsistency::Stale
        };
        run_on(&place, async |instance| {
            if stage.world.choices.cast.viewing {
                read_views(&instance, database, question).await
            } else {
                instance.ask(database, question).await;
            }
        })
        .await;
    }
}
