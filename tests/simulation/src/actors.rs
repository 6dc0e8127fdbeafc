//! The actors of a schedule: clients, flushes, queries and a collector, each going on until the schedule ends.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt,
    future::{Either, select},
};
use neap_bucket::{Key, Stamp};
use neap_compact::Flushed;
use neap_manifest::Manifest;
use neap_wal::WriteError;
use neap_write::WriteFailure;
use tokio::sync::oneshot;

use crate::{
    ghost::{Ghost, Invariant, Write},
    instance::{DATABASE, Instance, Place},
    network::World,
    schedule::Mix,
    write::Content,
};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that the frozen process of a server read later than this is out of scope: no rule of the
/// product can know how long it lay in a socket.
const IN_SOCKET: Duration = Duration::from_secs(5);

/// Segments are deleted when the mark has been above them for this long.
const SEGMENT_GRACE: Duration = Duration::from_secs(120);

/// What the actors of a schedule share.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) mix: Mix,
    pub(crate) requests: Arc<AtomicU64>,
}

impl Stage {
    fn draw_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    fn draw_content(&self) -> Content {
        let chance = &self.world.chance;
        let cells = (0..=chance.below(2)).map(|_| (chance.below(4), chance.pick(&["a", "b"])));
        let mut cells: Vec<_> = cells.collect();
        cells.dedup_by_key(|(point, _)| *point);
        Content {
            cells,
            request: self.draw_request(),
            new_column: chance.happens(self.mix.new_column),
        }
    }
}

/// What a server does with a request, whether or not its client still waits.
async fn serve(
    wall_steps: bool,
    instance: Arc<Instance>,
    content: Content,
    token: Option<Stamp>,
    sent: Duration,
    answer: oneshot::Sender<Result<Stamp, WriteFailure>>,
) {
    instance.machine.pass().await;
    let world = &instance.world;
    if world.time.now() - sent > IN_SOCKET {
        return;
    }
    if wall_steps && world.chance.happens(0.1) {
        let by = world
            .chance
            .pick(&[3.0, -3.0, 15.0, -15.0, 200.0, -200.0, 4000.0]);
        instance.machine.step_wall(by);
    }
    let deceptions = instance.machine.deceptions();
    let outcome = instance.write(&content, token).await;
    instance.trace(format_args!("request {}: {outcome:?}", content.request));
    world.truth.ghost(|ghost| {
        if let Err(WriteFailure::Tail(WriteError::Abandoned)) = outcome {
            ghost.fail(Invariant::NoSurprise, "a write was abandoned");
        }
        if outcome.is_ok() {
            ghost.acknowledge(content.request);
        }
        let deceived = instance.machine.deceptions() != deceptions;
        let write = ghost
            .writes
            .iter_mut()
            .find(|write| write.request == content.request);
        if let Some(write) = write {
            write.deceived |= deceived;
        }
    });
    answer.send(outcome).ok();
}

/// Runs a task that must not panic.
async fn unpanicked(instance: Arc<Instance>, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        let fail = |ghost: &mut Ghost| ghost.fail(Invariant::NoSurprise, "a write panicked");
        instance.world.truth.ghost(fail);
    }
}

/// Writes, and passes stamps back if it is one of those clients.
pub(crate) async fn client(stage: Stage, number: usize, places: Vec<Arc<Place>>) {
    let world = &stage.world;
    let passes_back = world.chance.happens(0.6);
    let mut token: Option<Stamp> = None;
    loop {
        world.pause(stage.mix.write_pauses).await;
        let instance = places[world.chance.below(places.len())].instance();
        let content = stage.draw_content();
        let (request, begin) = (content.request, world.time.now());
        world.trace(
            &format!("client {number}"),
            format_args!("{content:?} after {token:?}"),
        );
        let write = Write {
            request,
            client: number,
            begin,
            until: None,
            token,
            acknowledged: false,
            deceived: false,
        };
        world.truth.ghost(|ghost| ghost.writes.push(write));
        let deceptions = instance.machine.deceptions();
        let (tell, told) = oneshot::channel();
        let service = tokio::spawn(unpanicked(
            Arc::clone(&instance),
            serve(
                stage.mix.wall_steps,
                Arc::clone(&instance),
                content,
                token,
                begin,
                tell,
            ),
        ));
        let patience = Box::pin(async {
            let timeout = Box::pin(world.time.sleep(PATIENCE));
            select(timeout, Box::pin(instance.machine.died())).await;
        });
        let outcome = match select(told, patience).await {
            Either::Left((outcome, _)) => outcome.ok(),
            Either::Right(_) => {
                // A server may notice that its client is gone, or not.
                if world.chance.happens(0.5) {
                    service.abort();
                }
                None
            }
        };
        let until = world.time.now();
        let acknowledged = matches!(outcome, Some(Ok(_)));
        world.truth.ghost(|ghost| {
            let write = ghost
                .writes
                .iter_mut()
                .find(|write| write.request == request);
            if let Some(write) = write {
                (write.until, write.acknowledged) = (Some(until), acknowledged);
                write.deceived |= instance.machine.deceptions() != deceptions;
            }
        });
        let stamp = match outcome {
            Some(Ok(stamp)) => Some(stamp),
            Some(Err(failure)) => failure.stamp(),
            None => None,
        };
        if passes_back {
            token = token.max(stamp);
        }
    }
}

/// Runs `job` on the instance of a place until it is done or the instance dies.
async fn run_on<T>(place: &Place, job: impl AsyncFnOnce(Arc<Instance>) -> T) -> Option<T> {
    let instance = place.instance();
    instance.machine.pass().await;
    let died = Box::pin(instance.machine.died());
    match select(Box::pin(job(Arc::clone(&instance))), died).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}

/// Flushes now and then.
pub(crate) async fn flusher(stage: Stage, place: Arc<Place>) {
    loop {
        stage.world.pause(stage.mix.flush_pauses).await;
        run_on(&place, async |instance| {
            let outcome = instance.flusher.flush(DATABASE).await;
            instance.trace(format_args!("flush: {outcome:?}"));
            if let Ok(Flushed::Done { sections: 0, .. }) = outcome {
                let fail = |ghost: &mut Ghost| {
                    ghost.fail(Invariant::NoSurprise, "a flush of segments without rows");
                };
                stage.world.truth.ghost(fail);
            }
        })
        .await;
    }
}

/// Queries now and then.
pub(crate) async fn querier(stage: Stage, place: Arc<Place>) {
    loop {
        stage.world.pause(stage.mix.query_pauses).await;
        let strong = stage.world.chance.happens(0.8);
        run_on(&place, async |instance| match strong {
            true => instance.query().await,
            false => instance.query_stale().await,
        })
        .await;
    }
}

/// Deletes segments that a mark has been above for long enough.
pub(crate) async fn collector(stage: Stage, place: Arc<Place>) {
    loop {
        stage.world.pause(stage.mix.collect_pauses).await;
        run_on(&place, async |instance| collect(&instance).await).await;
    }
}

async fn collect(instance: &Instance) -> Option<()> {
    let manifest = instance.manifests.read(DATABASE, None).await.ok()?;
    let mark = Manifest::settled_mark(&manifest, manifest.proven?, SEGMENT_GRACE)?;
    let listing = instance.tail.list(DATABASE, Stamp::ZERO).await.ok()?;
    let settled = listing
        .names()
        .into_iter()
        .filter(|name| name.stamp <= mark);
    let keys: Vec<String> = settled
        .map(|name| Key::Segment(DATABASE, name).to_string())
        .collect();
    if keys.is_empty() {
        return None;
    }
    instance.trace(format_args!("deletes {keys:?}"));
    instance.bucket.delete(&keys).await.ok()?;
    Some(())
}
