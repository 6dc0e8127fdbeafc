//! Group commit: the writes of a database that arrive while a PUT is in progress share the next one. Writes are put at
//! once while the lane's budget of PUTs has tokens, then once per flush interval, and a full batch without waiting.
//!
//! A database has a lane: a queue and, while the queue is not empty, one task that puts it. The task is spawned, so
//! dropping one request does not abort the PUT of the others. It ends when the queue is empty, so no work continues
//! after all requests are answered. Rows of plugins have lanes of their own, one for each depth, because all rows of a
//! segment have the same depth.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use neap_bucket::{Bucket, ProtocolRules, Stamp, WriteOrder};
use neap_row_delete::RowDelete;
use neap_schema::DatabaseId;
use tokio::sync::{Notify, oneshot};

use crate::{
    Backpressure, DeleteRequest, EncodedRows, FreshnessProof, SegmentObserver, TailState,
    TailWriterSettings, TailWriterStats, WriteError, WriteReceipt, WriteRequest,
    backpressure::DeleteReservation,
    batch::{
        CommitPreconditions, PendingRequest, SHARED_SEGMENT_BYTES, WritePayload,
        checked_deletes_size, checked_rows_size, pack_segments,
    },
    commit::SegmentCommitter,
    put_budget::{PutBudget, PutRate},
};

/// The minimum flush interval of a database under pressure.
const SLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Writes segments. Cloning is cheap; clones share all state.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::sync::Arc;
/// #
/// # use arrow_array::{RecordBatch, TimestampNanosecondArray};
/// # use arrow_schema::Schema;
/// # use neap_bucket::{
/// #     Bucket, GetOptions, Key, MemoryStore, ProtocolMargins, ProtocolRules, Stamp, World,
/// #     WriteOrder,
/// # };
/// # use neap_schema::{ColumnType, DatabaseId, TableId};
/// # use neap_wal::{
/// #     EncodedRows, FreshnessProof, TailReader, TailReaderSettings, TailWriter,
/// #     TailWriterSettings, WriteRequest,
/// # };
/// #
/// # let world = World::system();
/// # let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
/// # let bucket = Bucket::new(store, world);
/// # let (database, table) = (DatabaseId::new(1), TableId::new(1));
/// # let schema = Arc::new(Schema::new(vec![ColumnType::Time.arrow_field("time")]));
/// # let times = Arc::new(TimestampNanosecondArray::from(vec![30, 10]));
/// # let rows = EncodedRows::encode(table, &RecordBatch::try_new(schema, vec![times])?)?;
/// # let asked = bucket.world().clock_reading();
/// # let answer = bucket.get(&Key::RootCatalog, GetOptions::default()).await?;
/// # let proof = FreshnessProof {
/// #     catalog_version: 1,
/// #     mark: Stamp::ZERO,
/// #     current_at: answer.date.ok_or("the store gives no time")?,
/// #     tail: None,
/// #     asked,
/// # };
/// let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
/// let writer = TailWriter::new(bucket.clone(), rules, TailWriterSettings::LOCAL, None);
/// let request = WriteRequest {
///     arrived: asked,
///     rows: vec![rows],
///     proof,
///     after: None,
///     order: WriteOrder::Clock,
///     depth: 0,
///     progress: None,
/// };
/// let receipt = writer.write(database, request).await?;
///
/// let reader = TailReader::new(bucket, TailReaderSettings::default());
/// let names = reader.list(database, Stamp::ZERO).await?.names();
/// assert_eq!(names.first().map(|name| name.stamp), Some(receipt.stamp));
/// let fetched = reader.fetch(database, &names).await?;
/// assert_eq!(fetched.segments.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TailWriter {
    inner: Arc<TailWriterState>,
}

#[derive(Debug)]
struct TailWriterState {
    committer: SegmentCommitter,
    settings: TailWriterSettings,
    in_flight_bytes: Arc<AtomicUsize>,
    lanes: Mutex<Lanes>,
    /// Whether the writer is shutting down. If so, no batch waits for the flush interval.
    is_ending: AtomicBool,
    burst_batches: AtomicU64,
}

/// The lanes of all databases that were ever written to: a small entry for each database and depth.
#[derive(Debug, Default)]
struct Lanes {
    lanes: BTreeMap<LaneKey, Lane>,
}

impl Lanes {
    fn lane(&mut self, key: LaneKey) -> &mut Lane {
        self.lanes.entry(key).or_default()
    }
}

/// The key of a lane. `depth` is the number of chained plugin runs that produced the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LaneKey {
    database: DatabaseId,
    depth: u8,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<QueuedRequest>,
    queued_bytes: usize,
    /// Wakes the lane's task when the batch is full.
    is_full: Arc<Notify>,
    is_running: bool,
    budget: PutBudget,
    /// Whether the batch in the queue has waited for a token.
    has_waited: bool,
}

#[derive(Debug)]
struct QueuedRequest {
    pending: PendingRequest<InFlightReservation>,
    load: WritePayload,
}

/// Bytes reserved among those that are queued or in flight. Released when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct InFlightRoom {
    bytes: Arc<InFlightBytes>,
}

#[derive(Debug)]
struct InFlightBytes {
    bytes: usize,
    of: Arc<AtomicUsize>,
}

/// The bytes in flight and the pending deletes of a request. Released when the request is answered.
#[derive(Debug)]
struct InFlightReservation {
    room: InFlightRoom,
    _deletes: Option<DeleteReservation>,
}

impl Drop for InFlightBytes {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl TailWriter {
    /// Creates a writer with its own salt. Each instance has one writer.
    pub fn new(
        bucket: Bucket,
        rules: ProtocolRules,
        settings: TailWriterSettings,
        observer: Option<Arc<dyn SegmentObserver>>,
    ) -> Self {
        let committer = SegmentCommitter::new(bucket, rules, &settings, observer);
        Self {
            inner: Arc::new(TailWriterState {
                committer,
                settings,
                in_flight_bytes: Arc::default(),
                lanes: Mutex::default(),
                is_ending: AtomicBool::default(),
                burst_batches: AtomicU64::default(),
            }),
        }
    }

    /// Reserves room for rows, so that [`write_admitted`](Self::write_admitted) does not refuse them for the bytes in
    /// flight. Called before changes for the rows that would remain without them, such as new tables.
    ///
    /// # Errors
    ///
    /// [`WriteError::Empty`], [`WriteError::TooLarge`] or [`WriteError::Overloaded`].
    pub fn admit(&self, rows: &[EncodedRows]) -> Result<InFlightRoom, WriteError> {
        let limit = self.inner.settings.max_in_flight_bytes;
        self.inner.reserve(checked_rows_size(rows, limit)?)
    }

    /// Writes the rows of a request and waits until they are acknowledged. Requires a Tokio runtime.
    ///
    /// One segment contains all rows of the request, so they become visible together, or never. A request that is
    /// dropped before its PUT starts is not put.
    ///
    /// # Errors
    ///
    /// The write is not acknowledged. [`WriteError`] says whether it may exist nevertheless. Every error that occurs
    /// after a stamp was taken has the stamp.
    pub async fn write(
        &self,
        database: DatabaseId,
        request: WriteRequest,
    ) -> Result<WriteReceipt, WriteError> {
        // A segment that only marks the progress of an import job has no rows.
        let room = match request.progress {
            Some(_) if request.rows.is_empty() => self.inner.reserve(0)?,
            _ => self.admit(&request.rows)?,
        };
        self.write_admitted(database, request, room).await
    }

    /// Writes like [`write`](Self::write) the rows of a request for which there is room.
    ///
    /// # Errors
    ///
    /// Same as [`write`](Self::write), except those of [`admit`](Self::admit).
    pub async fn write_admitted(
        &self,
        database: DatabaseId,
        request: WriteRequest,
        room: InFlightRoom,
    ) -> Result<WriteReceipt, WriteError> {
        let preconditions = CommitPreconditions {
            arrived: request.arrived,
            proof: request.proof,
            after: request.after,
            order: request.order,
            progress: request.progress,
        };
        let lane = LaneKey { database, depth: request.depth };
        let load = WritePayload::Rows(request.rows);
        self.check_tail(database, &request.proof)?;
        let reservation = InFlightReservation { room, _deletes: None };
        self.put(lane, preconditions, load, reservation).await
    }

    /// Writes the row deletes of a request and waits until they are acknowledged, by the same rules. They get a segment
    /// of their own: they apply to rows of requests that joined the group commit before, and not to rows of requests
    /// that join it later. Requires a Tokio runtime.
    ///
    /// # Errors
    ///
    /// Same as [`TailWriter::write`].
    pub async fn delete(
        &self,
        database: DatabaseId,
        request: DeleteRequest,
    ) -> Result<WriteReceipt, WriteError> {
        let preconditions = CommitPreconditions {
            arrived: request.arrived,
            proof: request.proof,
            after: request.after,
            order: WriteOrder::Strict,
            progress: request.progress,
        };
        let bytes = request.deletes.iter().map(RowDelete::stored_bytes).sum();
        let size = checked_deletes_size(&request.deletes)?;
        let load = WritePayload::Deletes(request.deletes);
        let lane = LaneKey { database, depth: 0 };
        self.check_tail(database, &request.proof)?;
        let limits = self.inner.settings.deletes;
        let tails = self.inner.committer.tails();
        let deletes = tails.reserve_deletes(database, bytes, request.recorded, limits)?;
        let reservation =
            InFlightReservation { room: self.inner.reserve(size)?, _deletes: Some(deletes) };
        self.put(lane, preconditions, load, reservation).await
    }

    async fn put(
        &self,
        lane: LaneKey,
        preconditions: CommitPreconditions,
        load: WritePayload,
        reservation: InFlightReservation,
    ) -> Result<WriteReceipt, WriteError> {
        let answer = self.inner.join(lane, preconditions, load, reservation);
        answer.await.unwrap_or(Err(WriteError::ShuttingDown))
    }

    /// Puts waiting batches at once and disables waiting for the flush interval. Called when the instance shuts down
    /// and takes no more requests.
    pub fn begin_shutdown(&self) {
        self.inner.is_ending.store(true, Ordering::Relaxed);
        for lane in self.inner.lanes().lanes.values() {
            lane.is_full.notify_one();
        }
    }

    /// Records the low-water mark and the tail state of a database, as read from its manifest.
    pub fn observe_tail(&self, database: DatabaseId, mark: Stamp, tail: Option<TailState>) {
        self.inner.committer.tails().observe(database, mark, tail);
    }

    /// Checks whether the tail of the database is short enough for another write, according to the request's proof and
    /// the PUTs of this writer.
    ///
    /// # Errors
    ///
    /// [`WriteError::TailTooLong`].
    pub fn check_tail(
        &self,
        database: DatabaseId,
        proof: &FreshnessProof,
    ) -> Result<(), WriteError> {
        let tails = self.inner.committer.tails();
        match tails.observe(database, proof.mark, proof.tail) {
            Backpressure::Stop => Err(WriteError::TailTooLong),
            Backpressure::None | Backpressure::Slow => Ok(()),
        }
    }

    /// Returns the counters of this writer.
    pub fn stats(&self) -> TailWriterStats {
        let in_flight = self.inner.in_flight_bytes.load(Ordering::Relaxed);
        TailWriterStats {
            in_flight_bytes: u64::try_from(in_flight).unwrap_or(u64::MAX),
            burst_batches: self.inner.burst_batches.load(Ordering::Relaxed),
            ..self.inner.committer.stats()
        }
    }
}

impl TailWriterState {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request to its lane, and starts the lane's task unless it is running.
    fn join(
        self: &Arc<Self>,
        key: LaneKey,
        preconditions: CommitPreconditions,
        load: WritePayload,
        reservation: InFlightReservation,
    ) -> oneshot::Receiver<Result<WriteReceipt, WriteError>> {
        let (reply, answer) = oneshot::channel();
        let bytes = reservation.room.bytes.bytes;
        let pending = PendingRequest::new(preconditions, reply, reservation);
        let mut lanes = self.lanes();
        let lane = lanes.lane(key);
        lane.queue.push_back(QueuedRequest { pending, load });
        lane.queued_bytes = lane.queued_bytes.saturating_add(bytes);
        if lane.queued_bytes >= self.settings.full_batch_bytes {
            lane.is_full.notify_one();
        }
        if !lane.is_running {
            lane.is_running = true;
            let lane = LaneTask { inner: Arc::clone(self), key, has_ended: false };
            tokio::spawn(lane.run());
        }
        answer
    }

    fn reserve(&self, bytes: usize) -> Result<InFlightRoom, WriteError> {
        let limit = self.settings.max_in_flight_bytes;
        self.in_flight_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(bytes).filter(|taken| *taken <= limit)
            })
            .map_err(|in_flight| WriteError::Overloaded { in_flight, limit })?;
        Ok(InFlightRoom {
            bytes: Arc::new(InFlightBytes { bytes, of: Arc::clone(&self.in_flight_bytes) }),
        })
    }

    fn put_rate(&self, pressure: Backpressure) -> PutRate {
        if self.is_ending.load(Ordering::Relaxed) {
            return PutRate::UNLIMITED;
        }
        let interval = self.settings.flush_interval;
        let (interval, burst) = match pressure {
            Backpressure::None => (interval, self.settings.flush_burst),
            Backpressure::Slow | Backpressure::Stop => {
                (interval.saturating_mul(2).max(SLOW_INTERVAL), 0)
            }
        };
        PutRate {
            // A request that waited longer than rule W1 allows would be refused.
            interval: interval.min(self.committer.longest_interval()),
            burst,
        }
    }
}

/// The next step of a lane's task.
enum LaneStep {
    /// Wait until the budget has a token, or the batch is full.
    Wait(Duration, Arc<Notify>),
    Put(VecDeque<QueuedRequest>),
    /// End the task, because the queue is empty.
    End,
}

/// The task of a lane. The lane can be started again however the task ends.
struct LaneTask {
    inner: Arc<TailWriterState>,
    key: LaneKey,
    has_ended: bool,
}

impl LaneTask {
    async fn run(mut self) {
        loop {
            match self.next_step() {
                LaneStep::Wait(duration, is_full) => {
                    let world = self.inner.committer.bucket().world();
                    world.timeout(duration, is_full.notified()).await;
                }
                LaneStep::Put(queued) => self.put(queued).await,
                LaneStep::End => {
                    self.has_ended = true;
                    return;
                }
            }
        }
    }

    fn next_step(&self) -> LaneStep {
        let now = self.inner.committer.bucket().world().clock.monotonic();
        let mut lanes = self.inner.lanes();
        let tails = self.inner.committer.tails();
        let pressure = tails.pressure(self.key.database);
        let rate = self.inner.put_rate(pressure);
        let lane = lanes.lane(self.key);
        if lane.queue.is_empty() {
            lane.is_running = false;
            return LaneStep::End;
        }
        let wait = lane.budget.wait(now, rate);
        let is_full = lane.queued_bytes >= self.inner.settings.full_batch_bytes;
        if !wait.is_zero() && !is_full {
            lane.has_waited = true;
            return LaneStep::Wait(wait, Arc::clone(&lane.is_full));
        }
        let has_waited = std::mem::take(&mut lane.has_waited);
        if lane.budget.take(now, rate) && !has_waited {
            self.inner.burst_batches.fetch_add(1, Ordering::Relaxed);
        }
        lane.queued_bytes = 0;
        LaneStep::Put(std::mem::take(&mut lane.queue))
    }

    async fn put(&self, queued: VecDeque<QueuedRequest>) {
        // Drop requests whose callers are gone.
        let open = queued.into_iter().filter(|queued| queued.pending.is_open());
        let (mut requests, loads): (Vec<_>, Vec<_>) =
            open.map(|queued| (queued.pending, queued.load)).unzip();
        let committer = &self.inner.committer;
        let LaneKey { database, depth } = self.key;
        committer.follow_tail(database, &mut requests).await;
        for shares in pack_segments(loads, SHARED_SEGMENT_BYTES) {
            committer.put(database, depth, shares, &mut requests).await;
        }
    }
}

impl Drop for LaneTask {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        // The task was aborted. Dropping the queued requests answers their callers.
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
