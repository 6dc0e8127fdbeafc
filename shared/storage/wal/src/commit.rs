//! The commit rules: take the stamp, check the preconditions, PUT once, check the answer.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use neap_bucket::{
    Bucket, ClockReading, Key, ProtocolRules, Put, PutMode, SegmentName, Stamp, StoreError,
    StoreResponse, StoreTime, WriteOrder,
};
use neap_row_delete::RowDelete;
use neap_schema::DatabaseId;

use crate::{
    BackpressureLimits, DeleteLimits, EncodedRows, ImportProgress, MAX_SEGMENT_BYTES,
    NotAcknowledged, Segment, StampSource, WriteError, WriteReceipt,
    backpressure::KnownTails,
    batch::{BatchShare, CommitPreconditions, PendingRequest, WritePayload},
};

/// Maximum duration of an acknowledged PUT, by any clock.
const MAX_PUT_DURATION: Duration = Duration::from_secs(10);

/// The settings of a [`crate::TailWriter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailWriterSettings {
    /// The time in which a database may start one PUT, on average. Zero for stores where a PUT costs nothing. Capped at
    /// half of the acknowledgement limit.
    pub flush_interval: Duration,
    /// The PUTs of a database that may start before the flush interval ends. A new writer has all of them; each flush
    /// interval without a PUT returns one.
    pub flush_burst: u32,
    /// A batch of this many bytes of encoded rows is put without waiting for the flush interval.
    pub full_batch_bytes: usize,
    /// Maximum bytes of encoded rows queued or in flight, across all databases.
    pub max_in_flight_bytes: usize,
    /// The timeout of a PUT. Values above 10 s have no effect, because a slower PUT is not acknowledged.
    pub put_timeout: Duration,
    /// The lengths of the tail above which writes are delayed or refused.
    pub pressure: BackpressureLimits,
    /// The limits on the row deletes of a database.
    pub deletes: DeleteLimits,
}

impl TailWriterSettings {
    /// For stores behind a network, where every request costs money.
    pub const NETWORK: Self = Self {
        flush_interval: Duration::from_secs(1),
        flush_burst: 60,
        // A PUT costs as much as storing 1 MiB for a few months, so a batch of this size is worth one.
        full_batch_bytes: 1 << 20,
        max_in_flight_bytes: 128 << 20,
        put_timeout: MAX_PUT_DURATION,
        pressure: BackpressureLimits::DEFAULT,
        deletes: DeleteLimits::DEFAULT,
    };

    /// For a directory or memory.
    pub const LOCAL: Self = Self { flush_interval: Duration::ZERO, ..Self::NETWORK };
}

/// Receives segments after they are put and before the requests in them are answered.
pub trait SegmentObserver: fmt::Debug + Send + Sync + 'static {
    /// Called when a segment exists, acknowledged or not.
    fn segment_put(&self, database: DatabaseId, segment: Arc<Segment>);

    /// Called when a PUT was not answered: the segment may exist, now or later. Only a listing can tell.
    fn put_unknown(&self, database: DatabaseId);
}

/// The counters of a writer since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailWriterStats {
    /// PUTs that were started.
    pub puts: u64,
    /// Bytes of the segments whose PUTs succeeded.
    pub bytes: u64,
    /// Rows of the segments whose PUTs succeeded.
    pub rows: u64,
    /// Row deletes of the segments whose PUTs succeeded.
    pub deletes: u64,
    /// Requests that joined a group commit and were not acknowledged.
    pub refused: u64,
    /// PUTs with an unknown outcome.
    pub unknown: u64,
    /// Stamps of other instances that were too far ahead to be followed.
    pub stamps_not_followed: u64,
    /// Bytes that are queued or in flight now.
    pub in_flight_bytes: u64,
    /// Batches that were put at once although the flush interval had not ended, with a token of the burst.
    pub burst_batches: u64,
}

#[derive(Debug, Default)]
pub(crate) struct CommitCounters {
    puts: AtomicU64,
    bytes: AtomicU64,
    rows: AtomicU64,
    deletes: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
}

/// Puts batches according to the commit rules.
#[derive(Debug)]
pub(crate) struct SegmentCommitter {
    bucket: Bucket,
    rules: ProtocolRules,
    put_timeout: Duration,
    observer: Option<Arc<dyn SegmentObserver>>,
    stamps: StampSource,
    tails: KnownTails,
    counters: CommitCounters,
}

enum PutOutcome {
    Stored(Result<(), NotAcknowledged>),
    Unknown(String),
    Refused(StoreError),
}

impl SegmentCommitter {
    pub(crate) fn new(
        bucket: Bucket,
        rules: ProtocolRules,
        settings: &TailWriterSettings,
        observer: Option<Arc<dyn SegmentObserver>>,
    ) -> Self {
        let stamps = StampSource::new(&bucket.world().entropy, &rules);
        Self {
            bucket,
            rules,
            put_timeout: settings.put_timeout,
            observer,
            stamps,
            tails: KnownTails::new(settings.pressure),
            counters: CommitCounters::default(),
        }
    }

    pub(crate) fn tails(&self) -> &KnownTails {
        &self.tails
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Returns the maximum flush interval that leaves a request time to be put.
    pub(crate) fn longest_interval(&self) -> Duration {
        self.rules.wait_limit / 2
    }

    pub(crate) fn stats(&self) -> TailWriterStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TailWriterStats {
            puts: read(&self.counters.puts),
            bytes: read(&self.counters.bytes),
            rows: read(&self.counters.rows),
            deletes: read(&self.counters.deletes),
            refused: read(&self.counters.refused),
            unknown: read(&self.counters.unknown),
            stamps_not_followed: self.stamps.not_followed(),
            in_flight_bytes: 0,
            burst_batches: 0,
        }
    }

    /// Orders the segments of a batch after all writes acknowledged before, if a request of the batch has strict order:
    /// lists the tail once, and refuses the requests of strict order if the listing fails. The listing starts after
    /// every request arrived, and ends before the first stamp of the batch is taken.
    pub(crate) async fn follow_tail<R>(
        &self,
        database: DatabaseId,
        requests: &mut [PendingRequest<R>],
    ) {
        let now = self.bucket.clock().now();
        let is_strict = |pending: &PendingRequest<R>| {
            let preconditions = &pending.preconditions;
            let is_current = now.is_some_and(|now| self.check_clock(now, preconditions).is_ok());
            preconditions.order == WriteOrder::Strict && (is_current || now.is_none())
        };
        if !self.rules.tail_is_followed || !requests.iter().any(is_strict) {
            return;
        }
        if let Err(error) = self.follow_newest(database).await {
            for pending in requests.iter_mut().filter(|pending| is_strict(pending)) {
                self.refuse(pending, error.clone());
            }
        }
    }

    /// Moves later stamps above every stamp of the database that was acknowledged before this call. Only stamps that
    /// are ahead of this instance's clock matter. A stamp that is more than 1 min ahead was not acknowledged and is
    /// ignored.
    async fn follow_newest(&self, database: DatabaseId) -> Result<(), WriteError> {
        let started_at = self.bucket.clock().now().ok_or(WriteError::NoClock)?;
        let passed = self.stamps.pass(started_at);
        // The other requests of the batch must still be put in time.
        let limit = self.rules.wait_limit / 2;
        let listing = self.bucket.newest_stamp(database, passed);
        let newest = match self.bucket.world().timeout(limit, listing).await {
            Some(Ok(newest)) => newest,
            Some(Err(error)) => {
                let reason = error.to_string();
                return Err(WriteError::TailNotListed { reason });
            }
            None => {
                let reason = format!("no answer within {} ms", limit.as_millis());
                return Err(WriteError::TailNotListed { reason });
            }
        };
        let Some(newest) = newest else {
            return Ok(());
        };
        let now = self.bucket.clock().now().map_or(started_at, |now| now.max(started_at));
        Ok(self.stamps.follow(newest, now)?)
    }

    /// Puts one segment with the requests that pass the checks, and answers them.
    pub(crate) async fn put<R>(
        &self,
        database: DatabaseId,
        depth: u8,
        mut shares: Vec<BatchShare>,
        requests: &mut [PendingRequest<R>],
    ) {
        let started_at = self.bucket.world().clock_reading();
        let Some(stamp) = self.admit(&mut shares, requests) else {
            return;
        };
        let needs_catalog = preconditions_of(&shares, requests)
            .map(|preconditions| preconditions.proof.catalog_version)
            .max()
            .unwrap_or(0);
        let nonce = self.bucket.world().entropy.next_u64();
        let name = SegmentName { stamp, nonce };
        let progress = preconditions_of(&shares, requests)
            .filter_map(|preconditions| preconditions.progress)
            .collect();
        let result = match self.encode(database, name, needs_catalog, depth, &shares, progress) {
            Some(segment) => self.store(segment, started_at).await,
            None => Err(WriteError::TooLarge {
                bytes: rows_of(&shares).map(EncodedRows::size_bytes).sum(),
                limit: MAX_SEGMENT_BYTES,
            }),
        };
        for share in &shares {
            let Some(pending) = requests.get_mut(share.request) else {
                continue;
            };
            match &result {
                Ok(()) => pending.answer(Ok(WriteReceipt { stamp })),
                Err(error) => self.refuse(pending, error.clone()),
            }
        }
    }

    /// Encodes the segment of these shares: rows, or the deletes of one request.
    fn encode(
        &self,
        database: DatabaseId,
        name: SegmentName,
        needs_catalog: u64,
        depth: u8,
        shares: &[BatchShare],
        progress: Vec<ImportProgress>,
    ) -> Option<Segment> {
        let salt = self.stamps.salt();
        if let [share] = shares
            && let WritePayload::Deletes(deletes) = &share.load
        {
            return Segment::encode_deletes(database, name, salt, needs_catalog, deletes, progress);
        }
        let rows: Vec<_> = rows_of(shares).cloned().collect();
        Segment::encode(database, name, salt, needs_catalog, depth, &rows, progress)
    }

    /// Takes the stamp, then checks the requests against it. Answers the requests that fail and removes their shares.
    /// Returns `None` if no share is left.
    fn admit<R>(
        &self,
        shares: &mut Vec<BatchShare>,
        requests: &mut [PendingRequest<R>],
    ) -> Option<Stamp> {
        let now = self.bucket.clock().now();
        self.retain_shares(shares, requests, |preconditions| self.check_order(now, preconditions));
        if shares.is_empty() {
            return None;
        }
        let after = preconditions_of(shares, requests)
            .filter_map(|preconditions| preconditions.after)
            .max();
        // This can't fail: each `after` was admitted, and without a time every share was removed.
        let now = now?;
        let stamp = self.stamps.next(now, after).ok()?;
        self.retain_shares(shares, requests, |preconditions| {
            self.check_stamp(now, stamp, preconditions)
        });
        (!shares.is_empty()).then_some(stamp)
    }

    fn retain_shares<R>(
        &self,
        shares: &mut Vec<BatchShare>,
        requests: &mut [PendingRequest<R>],
        check: impl Fn(&CommitPreconditions) -> Result<(), WriteError>,
    ) {
        shares.retain(|share| {
            let pending = requests.get_mut(share.request);
            // Skip a request that has failed, or whose caller is gone.
            let Some(pending) = pending.filter(|pending| pending.is_open()) else {
                return false;
            };
            let checked = check(&pending.preconditions);
            let keep = checked.is_ok();
            if let Err(error) = checked {
                self.refuse(pending, error);
            }
            keep
        });
    }

    fn refuse<R>(&self, pending: &mut PendingRequest<R>, error: WriteError) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        pending.answer(Err(error));
    }

    /// Refuses a request that has waited too long, or whose proof is too old at the present time. Called before a stamp
    /// is taken, because a stamp of a wrong time would persist after the clock is corrected.
    fn check_clock(
        &self,
        now: StoreTime,
        preconditions: &CommitPreconditions,
    ) -> Result<(), WriteError> {
        self.check_wait(Stamp::new(now, self.stamps.salt()), preconditions)?;
        let age = now.since(preconditions.proof.current_at);
        let limit = self.rules.proof_age;
        if age > limit {
            let stamp = Stamp::new(now, self.stamps.salt());
            return Err(WriteError::ProofExpired { stamp, age, limit });
        }
        Ok(())
    }

    fn check_order(
        &self,
        now: Option<StoreTime>,
        preconditions: &CommitPreconditions,
    ) -> Result<(), WriteError> {
        let now = now.ok_or(WriteError::NoClock)?;
        self.check_clock(now, preconditions)?;
        match preconditions.after {
            Some(after) => Ok(self.stamps.admit(now, after)?),
            None => Ok(()),
        }
    }

    /// Checks that the request has waited no longer than rule W1 allows.
    fn check_wait(
        &self,
        stamp: Stamp,
        preconditions: &CommitPreconditions,
    ) -> Result<(), WriteError> {
        let waited = self.bucket.world().elapsed(&preconditions.arrived);
        let limit = self.rules.wait_limit;
        if waited > limit {
            return Err(WriteError::WaitedTooLong { stamp, waited, limit });
        }
        Ok(())
    }

    /// Checks rule W1, the age of the proof, and the low-water mark. Called only after the stamp is taken: this check
    /// detects a freeze of the machine before it, and a later freeze leaves an old stamp, which rule W2 refuses.
    fn check_stamp(
        &self,
        now: StoreTime,
        stamp: Stamp,
        preconditions: &CommitPreconditions,
    ) -> Result<(), WriteError> {
        self.check_wait(stamp, preconditions)?;
        // A stamp that follows another one may be ahead of the present. This does not make the proof older.
        let ahead = stamp.time().since(now).min(self.stamps.followed_ahead());
        let age = stamp.time().since(preconditions.proof.current_at).saturating_sub(ahead);
        // The store's clock lags by the latency of its answers. Rule D counts by the machine's clock, which does not
        // lag.
        let age = age.max(self.bucket.world().elapsed(&preconditions.proof.asked));
        let limit = self.rules.proof_age;
        if age > limit {
            return Err(WriteError::ProofExpired { stamp, age, limit });
        }
        let mark = preconditions.proof.mark;
        if self.rules.mark_is_checked && stamp <= mark {
            return Err(WriteError::NotAboveMark { stamp, mark });
        }
        Ok(())
    }

    async fn store(&self, segment: Segment, started_at: ClockReading) -> Result<(), WriteError> {
        let (database, stamp) = (segment.database(), segment.name().stamp);
        self.counters.puts.fetch_add(1, Ordering::Relaxed);
        let deletes = u64::try_from(segment.deletes().len()).unwrap_or(u64::MAX);
        let outcome = self.put_object(&segment, started_at).await;
        if !matches!(outcome, PutOutcome::Refused(_)) {
            let bytes = segment.deletes().iter().map(RowDelete::stored_bytes);
            self.tails.record_put(database, stamp, bytes.sum());
        }
        match outcome {
            PutOutcome::Stored(judgement) => {
                let bytes = u64::try_from(segment.size_bytes()).unwrap_or(u64::MAX);
                let rows = segment.tables().map(|table| table.rows).sum();
                self.counters.deletes.fetch_add(deletes, Ordering::Relaxed);
                self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
                self.counters.rows.fetch_add(rows, Ordering::Relaxed);
                if let Some(observer) = &self.observer {
                    observer.segment_put(database, Arc::new(segment));
                }
                judgement.map_err(|doubt| WriteError::NotAcknowledged { stamp, doubt })
            }
            PutOutcome::Unknown(reason) => {
                self.counters.unknown.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%database, %stamp, %reason, "a PUT was not answered");
                if let Some(observer) = &self.observer {
                    observer.put_unknown(database);
                }
                let doubt = NotAcknowledged::NoAnswer(reason);
                Err(WriteError::NotAcknowledged { stamp, doubt })
            }
            PutOutcome::Refused(error) => Err(WriteError::Refused { stamp, error }),
        }
    }

    async fn put_object(&self, segment: &Segment, started_at: ClockReading) -> PutOutcome {
        let world = self.bucket.world();
        let key = Key::Segment(segment.database(), segment.name());
        let object = segment.object().clone();
        let put = self.bucket.put(&key, object, PutMode::Overwrite);
        let answer = world.timeout(self.put_timeout, put).await;
        let took = world.elapsed(&started_at);
        match answer {
            None => PutOutcome::Unknown(format!("no answer within {} ms", took.as_millis())),
            Some(Err(error @ StoreError::Unavailable { .. })) => {
                PutOutcome::Unknown(error.to_string())
            }
            Some(Err(error @ StoreError::Rejected { .. })) => PutOutcome::Refused(error),
            Some(Ok(StoreResponse { value: Put::Refused, .. })) => {
                PutOutcome::Unknown("the store refused a put without a condition".to_owned())
            }
            Some(Ok(StoreResponse { value: Put::Done(_), date })) => {
                PutOutcome::Stored(self.check_answer(segment.name().stamp, date, took))
            }
        }
    }

    /// Checks rule W2.
    fn check_answer(
        &self,
        stamp: Stamp,
        date: Option<StoreTime>,
        took: Duration,
    ) -> Result<(), NotAcknowledged> {
        let distance = date.ok_or(NotAcknowledged::NoDate)?.distance(stamp.time());
        let limit = self.rules.acknowledgement_limit;
        if distance > limit {
            return Err(NotAcknowledged::DateTooFar { distance, limit });
        }
        if took > MAX_PUT_DURATION {
            let limit = MAX_PUT_DURATION;
            return Err(NotAcknowledged::SlowPut { took, limit });
        }
        Ok(())
    }
}

/// Returns the rows of a segment.
fn rows_of(shares: &[BatchShare]) -> impl Iterator<Item = &EncodedRows> {
    shares.iter().flat_map(|share| match &share.load {
        WritePayload::Rows(rows) => rows.as_slice(),
        WritePayload::Deletes(_) => &[],
    })
}

/// Returns the preconditions of the requests that have a share in a segment.
fn preconditions_of<'a, R>(
    shares: &'a [BatchShare],
    requests: &'a [PendingRequest<R>],
) -> impl Iterator<Item = &'a CommitPreconditions> {
    let requests = shares.iter().filter_map(|share| requests.get(share.request));
    requests.map(|pending| &pending.preconditions)
}
