//! Group commit: the writes of a database that arrive while a put is under way share the next one.
//! A lone write is put at once, a stream of writes once in an interval, and a full batch without waiting.
//!
//! A database has a lane: a queue, and while there is something to put, one task that puts it. The task is
//! spawned, so a request that is dropped does not tear its neighbours' put down; it ends when the queue is
//! empty, so that no work outlives all answers. What plugins write has lanes of its own, one for each depth, so
//! that all rows of a segment have come the same way.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use neap_bucket::{Bucket, Rules, Stamp, WriteOrder};
use neap_schema::DatabaseId;
use tokio::sync::{Notify, oneshot};

use crate::{
    Acknowledged, DeleteRequest, Pressure, Proof, SegmentObserver, TailState, WriteError,
    WriteRequest, WriterSettings, WriterStats,
    batch::{Load, Pending, SEGMENT_PARTS_BYTES, Terms, lay_out},
    commit::Committer,
    pressure::DeleteReservation,
};

/// The flush interval of a database under pressure where it is shorter otherwise.
const SLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Writes segments. Cloning is cheap and shares everything.
#[derive(Clone, Debug)]
pub struct TailWriter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    committer: Committer,
    settings: WriterSettings,
    in_flight_bytes: Arc<AtomicUsize>,
    lanes: Mutex<Lanes>,
    /// Nobody waits for an interval to end any more.
    is_ending: AtomicBool,
}

/// What is kept of databases that were ever written to: small entries, one for each depth of their rows.
#[derive(Debug, Default)]
struct Lanes {
    lanes: BTreeMap<LaneKey, Lane>,
}

impl Lanes {
    fn lane(&mut self, key: LaneKey) -> &mut Lane {
        self.lanes.entry(key).or_default()
    }
}

/// Which lane: whose rows, and how many plugins in a row have led to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LaneKey {
    database: DatabaseId,
    depth: u8,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// Wakes the lane's task when the queue is worth a put.
    is_full: Arc<Notify>,
    is_running: bool,
    /// When the last put began, by the monotonic clock.
    last_begin: Option<Duration>,
}

#[derive(Debug)]
struct Queued {
    pending: Pending<Reservation>,
    load: Load,
}

/// A request's share of the bytes in flight and of the pending deletes, given back when it is answered.
#[derive(Debug)]
struct Reservation {
    bytes: usize,
    of: Arc<AtomicUsize>,
    _deletes: Option<DeleteReservation>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl TailWriter {
    /// A writer with a salt of its own: one for each instance.
    pub fn new(
        bucket: Bucket,
        rules: Rules,
        settings: WriterSettings,
        observer: Option<Arc<dyn SegmentObserver>>,
    ) -> Self {
        let committer = Committer::new(bucket, rules, &settings, observer);
        Self {
            inner: Arc::new(Inner {
                committer,
                settings,
                in_flight_bytes: Arc::default(),
                lanes: Mutex::default(),
                is_ending: AtomicBool::default(),
            }),
        }
    }

    /// Writes the rows of a request and waits until they are acknowledged. Needs a Tokio runtime.
    ///
    /// A request whose rows exceed a segment takes several, in order, and is acknowledged when all are.
    /// A request that is dropped before its put begins is not put.
    ///
    /// # Errors
    ///
    /// The write is not promised. [`WriteError`] tells whether it may exist all the same, and every error
    /// that arose after a stamp was taken carries the stamp.
    pub async fn write(
        &self,
        database: DatabaseId,
        request: WriteRequest,
    ) -> Result<Acknowledged, WriteError> {
        let terms = Terms {
            arrived: request.arrived,
            proof: request.proof,
            after: request.after,
            order: request.order,
        };
        let lane = LaneKey {
            database,
            depth: request.depth,
        };
        let load = Load::Rows(request.rows);
        self.check_tail(database, &request.proof)?;
        self.put(lane, terms, load, None).await
    }

    /// Writes the row deletes of a request and waits until they are acknowledged, by the same rules. They
    /// get a segment of their own: the rows of requests that joined the group commit before are older, and
    /// those of requests that join it later are not touched. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// As [`TailWriter::write`].
    pub async fn delete(
        &self,
        database: DatabaseId,
        request: DeleteRequest,
    ) -> Result<Acknowledged, WriteError> {
        let terms = Terms {
            arrived: request.arrived,
            proof: request.proof,
            after: request.after,
            order: WriteOrder::Strict,
        };
        let load = Load::Deletes(request.deletes);
        let lane = LaneKey { database, depth: 0 };
        self.check_tail(database, &request.proof)?;
        let limit = self.inner.settings.max_pending_deletes;
        let tails = self.inner.committer.tails();
        let deletes = tails.reserve_deletes(database, load.deletes(), request.recorded, limit)?;
        self.put(lane, terms, load, Some(deletes)).await
    }

    async fn put(
        &self,
        lane: LaneKey,
        terms: Terms,
        load: Load,
        deletes: Option<DeleteReservation>,
    ) -> Result<Acknowledged, WriteError> {
        let answer = self.inner.join(lane, terms, load, deletes)?;
        answer.await.unwrap_or(Err(WriteError::Abandoned))
    }

    /// Puts what waits for the end of an interval at once, and likewise what comes from now on: for whoever is about to
    /// end and takes no more requests.
    pub fn begin_shutdown(&self) {
        self.inner.is_ending.store(true, Ordering::Relaxed);
        for lane in self.inner.lanes().lanes.values() {
            lane.is_full.notify_one();
        }
    }

    /// Takes over how long the tail of a database is, as its manifest says, together with the low-water mark.
    pub fn observe_tail(&self, database: DatabaseId, mark: Stamp, tail: Option<TailState>) {
        self.inner.committer.tails().observe(database, mark, tail);
    }

    /// Whether a write may be put as far as the tail of its database goes: by what its proof and the puts of this
    /// writer tell.
    ///
    /// # Errors
    ///
    /// [`WriteError::TailTooLong`].
    pub fn check_tail(&self, database: DatabaseId, proof: &Proof) -> Result<(), WriteError> {
        let tails = self.inner.committer.tails();
        match tails.observe(database, proof.mark, proof.tail) {
            Pressure::Stop => Err(WriteError::TailTooLong),
            Pressure::None | Pressure::Slow => Ok(()),
        }
    }

    /// What this writer has done.
    pub fn stats(&self) -> WriterStats {
        let in_flight = self.inner.in_flight_bytes.load(Ordering::Relaxed);
        WriterStats {
            in_flight_bytes: u64::try_from(in_flight).unwrap_or(u64::MAX),
            ..self.inner.committer.stats()
        }
    }
}

impl Inner {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request into its lane and sees to it that someone empties it.
    fn join(
        self: &Arc<Self>,
        key: LaneKey,
        terms: Terms,
        load: Load,
        deletes: Option<DeleteReservation>,
    ) -> Result<oneshot::Receiver<Result<Acknowledged, WriteError>>, WriteError> {
        let bytes = load.measure()?;
        let reservation = self.reserve(bytes, deletes)?;
        let (reply, answer) = oneshot::channel();
        let pending = Pending::new(terms, load.parts(), reply, reservation);
        let mut lanes = self.lanes();
        let lane = lanes.lane(key);
        lane.queue.push_back(Queued { pending, load });
        lane.queued_bytes = lane.queued_bytes.saturating_add(bytes);
        if lane.queued_bytes >= self.settings.full_batch_bytes {
            lane.is_full.notify_one();
        }
        if !lane.is_running {
            lane.is_running = true;
            let lane = RunningLane {
                inner: Arc::clone(self),
                key,
                has_ended: false,
            };
            tokio::spawn(lane.run());
        }
        Ok(answer)
    }

    fn reserve(
        &self,
        bytes: usize,
        deletes: Option<DeleteReservation>,
    ) -> Result<Reservation, WriteError> {
        let limit = self.settings.max_in_flight_bytes;
        self.in_flight_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(bytes).filter(|taken| *taken <= limit)
            })
            .map_err(|in_flight| WriteError::Overloaded { in_flight, limit })?;
        Ok(Reservation {
            bytes,
            of: Arc::clone(&self.in_flight_bytes),
            _deletes: deletes,
        })
    }

    fn flush_interval(&self, pressure: Pressure) -> Duration {
        if self.is_ending.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let interval = self.settings.flush_interval;
        let interval = match pressure {
            Pressure::None => interval,
            Pressure::Slow | Pressure::Stop => interval.saturating_mul(2).max(SLOW_INTERVAL),
        };
        // A request that waited longer than rule W1 allows would be refused.
        interval.min(self.committer.longest_interval())
    }
}

/// What the lane's task does next.
enum Step {
    /// Wait until the flush interval is over, or the batch is full.
    Wait(Duration, Arc<Notify>),
    /// Put these.
    Put(VecDeque<Queued>),
    /// Nothing waits; the lane does not run any more.
    End,
}

/// The task of a lane. However it ends, the lane can be started again.
struct RunningLane {
    inner: Arc<Inner>,
    key: LaneKey,
    has_ended: bool,
}

impl RunningLane {
    async fn run(mut self) {
        loop {
            match self.next_step() {
                Step::Wait(duration, is_full) => {
                    let world = self.inner.committer.bucket().world();
                    world.timeout(duration, is_full.notified()).await;
                }
                Step::Put(queued) => self.put(queued).await,
                Step::End => {
                    self.has_ended = true;
                    return;
                }
            }
        }
    }

    fn next_step(&self) -> Step {
        let now = self.inner.committer.bucket().world().clock.monotonic();
        let mut lanes = self.inner.lanes();
        let tails = self.inner.committer.tails();
        let pressure = tails.pressure(self.key.database);
        let interval = self.inner.flush_interval(pressure);
        let lane = lanes.lane(self.key);
        if lane.queue.is_empty() {
            lane.is_running = false;
            return Step::End;
        }
        let since = lane.last_begin.map(|begin| now.saturating_sub(begin));
        let is_full = lane.queued_bytes >= self.inner.settings.full_batch_bytes;
        if let Some(since) = since.filter(|since| *since < interval && !is_full) {
            return Step::Wait(interval.saturating_sub(since), Arc::clone(&lane.is_full));
        }
        lane.last_begin = Some(now);
        lane.queued_bytes = 0;
        Step::Put(std::mem::take(&mut lane.queue))
    }

    async fn put(&self, queued: VecDeque<Queued>) {
        // Whoever has gone away already is told nothing and stores nothing.
        let open = queued.into_iter().filter(|queued| queued.pending.is_open());
        let (mut requests, loads): (Vec<_>, Vec<_>) =
            open.map(|queued| (queued.pending, queued.load)).unzip();
        let committer = &self.inner.committer;
        let LaneKey { database, depth } = self.key;
        committer.follow_tail(database, &mut requests).await;
        for shares in lay_out(loads, SEGMENT_PARTS_BYTES) {
            committer.put(database, depth, shares, &mut requests).await;
        }
    }
}

impl Drop for RunningLane {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        // The task was torn down. Those who wait learn of it as their places in the queue go.
        let mut lanes = self.inner.lanes();
        let lane = lanes.lane(self.key);
        lane.is_running = false;
        lane.queued_bytes = 0;
        lane.queue.clear();
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
