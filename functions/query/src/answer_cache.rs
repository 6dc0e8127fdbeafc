//! Complete answers of statements that clients repeat while the data does not change.
//!
//! ```text
//!   statement, database, format ── permit, snapshot ──► kept for this snapshot ──────────────► client
//!                                        └─ not kept ─► plan, rows, encoder ─┬─────────────► client
//!                                                                            └─ recorder ──► kept
//! ```
//!
//! Many viewers of a dashboard send the same statements. An answer is kept with the identity of its snapshot, so that it is
//! valid as long as each new snapshot has the same contents, which costs the usual requests. Names and permissions are
//! resolved before, for each request.
//!
//! Only answers that follow from the snapshot alone are kept: those of plans that read tables and call no function such as
//! `now()`. A table with a retention must be read from a time on that has not expired.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use moka::{policy::EvictionPolicy, sync::Cache};
use neap_catalog::INTERNAL_DATABASE_ID;
use neap_manifest::SnapshotIdentity;
use neap_schema::DatabaseId;
use neap_tables::{QueryContext, ScannedTimes};

use crate::{
    AnswerEncoding, Parameters, QueryRequest, RollupUse,
    request::{QueryDatabases, StatementLanguage},
};

/// Maximum size of a kept answer, and of its statement with parameters, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Hits, misses and size of the answer cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerCacheStats {
    /// Number of answers that were kept ones.
    pub hits: u64,
    /// Number of answers that were computed although they may be kept.
    pub misses: u64,
    /// Bytes of kept answers, and of those that are being recorded.
    pub bytes: u64,
}

/// Identifies an answer, apart from the contents of the database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AnswerKey {
    database: DatabaseId,
    language: StatementLanguage,
    encoding: AnswerEncoding,
    rollups: RollupUse,
    text: String,
    parameters: Parameters,
}

impl AnswerKey {
    /// Returns the size in memory, in bytes.
    fn size_bytes(&self) -> usize {
        let values = self.parameters.0.iter();
        let parameters: usize = values.map(|(name, value)| name.len() + value.size()).sum();
        size_of::<Self>() + self.text.len() + parameters
    }
}

/// A complete encoded answer.
#[derive(Debug)]
pub(crate) struct KeptAnswer {
    pub(crate) body: Bytes,
    /// The number of rows.
    pub(crate) rows: usize,
    snapshot: SnapshotIdentity,
    times: ScannedTimes,
}

impl KeptAnswer {
    /// Returns the size in memory, in bytes.
    fn size_bytes(&self) -> usize {
        let references = self.snapshot.held_bytes() + self.times.held_bytes();
        size_of::<Self>() + self.body.len() + references
    }
}

/// What the encoder of an answer does with the answer cache.
#[derive(Debug)]
pub(crate) enum AnswerReuse {
    /// Nothing.
    None,
    /// It sends this answer instead of the rows.
    Kept(Arc<KeptAnswer>),
    /// It passes what it sends to this recorder.
    Recorded(Box<AnswerRecorder>),
}

/// The kept answers.
#[derive(Debug)]
pub(crate) struct AnswerCache {
    answers: Cache<AnswerKey, Arc<KeptAnswer>>,
    /// Maximum size of an answer, and of its key, in bytes; zero: none is kept.
    max_answer_bytes: usize,
    /// Maximum bytes of all answers that are being recorded.
    max_recorded_bytes: usize,
    recorded_bytes: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl AnswerCache {
    /// Creates an empty cache of this size. A quarter is for answers that are being recorded.
    pub(crate) fn new(bytes: usize) -> Self {
        let max_recorded_bytes = bytes / 4;
        let weigh = |key: &AnswerKey, answer: &Arc<KeptAnswer>| {
            u32::try_from(key.size_bytes() + answer.size_bytes()).unwrap_or(u32::MAX)
        };
        Self {
            answers: Cache::builder()
                .max_capacity((bytes - max_recorded_bytes) as u64)
                .eviction_policy(EvictionPolicy::lru())
                .weigher(weigh)
                .build(),
            max_answer_bytes: (bytes / 16).min(MAX_ANSWER_BYTES),
            max_recorded_bytes,
            recorded_bytes: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Returns the key of the answer to a request; `None` if it is not kept: it is of an earlier state, of several databases, of
    /// the internal one, whose snapshots never are the same, or without caches, the caller does not encode it, or the statement is
    /// longer than answers may be.
    pub(crate) fn key(
        &self,
        databases: &QueryDatabases,
        language: StatementLanguage,
        request: &QueryRequest,
    ) -> Option<AnswerKey> {
        let is_excluded = self.max_answer_bytes == 0
            || !databases.named.is_empty()
            || databases.first == INTERNAL_DATABASE_ID
            || request.as_of.is_some()
            || request.without_caches
            || request.extension.is_some();
        let encoding = request.encoding.filter(|_| !is_excluded)?;
        let key = AnswerKey {
            database: databases.first,
            language,
            encoding,
            rollups: request.rollups,
            text: request.text.clone(),
            parameters: request.parameters.clone(),
        };
        (key.size_bytes() <= self.max_answer_bytes).then_some(key)
    }

    /// Returns the kept answer if it is that of this view of the database.
    pub(crate) fn find(&self, key: &AnswerKey, context: &QueryContext) -> Option<Arc<KeptAnswer>> {
        let kept = self.answers.get(key)?;
        if kept.snapshot.matches(&context.snapshot) && kept.times.are_retained(context) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Some(kept);
        }
        self.answers.invalidate(key);
        None
    }

    /// Returns the recorder of an answer that was not kept; `None` if rows that its plan reads have expired, so that the next
    /// answer may have fewer.
    pub(crate) fn recorder(
        self: &Arc<Self>,
        key: &AnswerKey,
        context: &QueryContext,
        times: ScannedTimes,
    ) -> Option<Box<AnswerRecorder>> {
        if !times.are_retained(context) {
            return None;
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(AnswerRecorder {
            cache: Arc::clone(self),
            key: key.clone(),
            snapshot: context.snapshot.identity(),
            times,
            rows: Arc::default(),
            body: Some(Vec::new()),
            reserved: 0,
        }))
    }

    /// Drops all answers.
    pub(crate) fn release(&self) {
        self.answers.invalidate_all();
        // Otherwise they would stay in memory until the cache is used again.
        self.answers.run_pending_tasks();
    }

    /// Returns the size, hits and misses.
    pub(crate) fn stats(&self) -> AnswerCacheStats {
        self.answers.run_pending_tasks();
        AnswerCacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.answers.weighted_size()
                + self.recorded_bytes.load(Ordering::Relaxed) as u64,
        }
    }

    /// Reserves memory for an answer that is being recorded. Returns false if there is none.
    fn reserve(&self, bytes: usize) -> bool {
        let before = self.recorded_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= self.max_recorded_bytes;
        if !fits {
            self.recorded_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }
}

/// Collects an answer while it is sent. Dropping it drops what it has collected, because the answer is incomplete.
#[derive(Debug)]
pub(crate) struct AnswerRecorder {
    cache: Arc<AnswerCache>,
    key: AnswerKey,
    snapshot: SnapshotIdentity,
    times: ScannedTimes,
    rows: Arc<AtomicUsize>,
    /// `None`: the answer is too large to be kept.
    body: Option<Vec<u8>>,
    /// The capacity of the body, in bytes.
    reserved: usize,
}

impl AnswerRecorder {
    /// The number of rows that the encoder has received.
    pub(crate) fn rows(&self) -> &Arc<AtomicUsize> {
        &self.rows
    }

    /// Adds a part of the encoded answer.
    pub(crate) fn push(&mut self, part: &[u8]) {
        let Some(body) = &mut self.body else {
            return;
        };
        let (length, max) = (body.len() + part.len(), self.cache.max_answer_bytes);
        // Twice as much as before, so that each byte is copied few times.
        let capacity = if length > self.reserved {
            length.max(2 * self.reserved).min(max)
        } else {
            self.reserved
        };
        if length <= max && self.cache.reserve(capacity - self.reserved) {
            self.reserved = capacity;
            body.reserve_exact(capacity - body.len());
            body.extend_from_slice(part);
        } else {
            self.discard();
        }
    }

    /// Keeps the answer, which is complete.
    pub(crate) fn finish(mut self) {
        let Some(body) = &self.body else {
            return;
        };
        let answer = KeptAnswer {
            // A copy, because the buffer has room for more.
            body: Bytes::copy_from_slice(body),
            rows: self.rows.load(Ordering::Relaxed),
            snapshot: self.snapshot.clone(),
            times: mem::take(&mut self.times),
        };
        self.cache.answers.insert(self.key.clone(), Arc::new(answer));
        // Otherwise up to 64 answers more than fit would stay in memory.
        self.cache.answers.run_pending_tasks();
    }

    /// Passes the parts of an answer on, and keeps the answer at their end. An error drops it.
    pub(crate) fn record<E>(
        self,
        parts: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> impl Stream<Item = Result<Bytes, E>> + Send
    where
        E: Send,
    {
        stream::unfold((Box::pin(parts), Some(self)), async |(mut parts, mut recorder)| match parts
            .next()
            .await
        {
            Some(Ok(part)) => {
                if let Some(recorder) = &mut recorder {
                    recorder.push(&part);
                }
                Some((Ok(part), (parts, recorder)))
            }
            Some(Err(error)) => Some((Err(error), (parts, None))),
            None => {
                if let Some(recorder) = recorder {
                    recorder.finish();
                }
                None
            }
        })
    }

    fn discard(&mut self) {
        self.body = None;
        let reserved = mem::take(&mut self.reserved);
        self.cache.recorded_bytes.fetch_sub(reserved, Ordering::Relaxed);
    }
}

impl Drop for AnswerRecorder {
    fn drop(&mut self) {
        self.discard();
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::{StoreTime, VersionedValue, World};
    use neap_formats::Format;
    use neap_manifest::Snapshot;

    use super::*;

    fn empty_snapshot() -> Snapshot {
        Snapshot {
            database: DatabaseId::new(1),
            catalog: VersionedValue::absent(None),
            manifest: VersionedValue::absent(None),
            tail: Arc::default(),
            taken: World::system().clock_reading(),
            shown: StoreTime::from_micros(0),
            as_of: None,
        }
    }

    fn recorder(cache: &Arc<AnswerCache>, number: usize) -> AnswerRecorder {
        let snapshot = empty_snapshot();
        AnswerRecorder {
            cache: Arc::clone(cache),
            key: AnswerKey {
                database: snapshot.database,
                language: StatementLanguage::Sql,
                encoding: AnswerEncoding::Table { format: Format::Json, has_empty_columns: false },
                rollups: RollupUse::default(),
                text: format!("SELECT {number}"),
                parameters: Parameters::default(),
            },
            snapshot: snapshot.identity(),
            times: ScannedTimes::default(),
            rows: Arc::default(),
            body: Some(Vec::new()),
            reserved: 0,
        }
    }

    #[test]
    fn many_answers_in_a_moment_stay_within_the_size_of_the_cache() {
        const BYTES: usize = 64 << 10;
        let cache = Arc::new(AnswerCache::new(BYTES));
        for number in 0..50 {
            let mut recorder = recorder(&cache, number);
            recorder.push(&[b' '; 3_000]);
            recorder.finish();
            let answers = cache.answers.iter();
            let bytes: usize = answers.map(|(_, answer)| answer.size_bytes()).sum();
            assert!((1..=BYTES).contains(&bytes), "{bytes}");
        }
    }

    #[test]
    fn an_answer_that_is_recorded_counts_with_all_memory_that_it_holds() {
        let cache = Arc::new(AnswerCache::new(64 << 10));
        let recorded = || cache.recorded_bytes.load(Ordering::Relaxed);
        let mut recorder = recorder(&cache, 0);
        for _ in 0..4 {
            recorder.push(&[b' '; 1_000]);
            assert_eq!(recorder.body.as_ref().map(Vec::capacity), Some(recorded()));
        }
        assert_eq!(recorded(), 4_000);
        // Not twice as much, because no answer may have more.
        recorder.push(b" ");
        assert_eq!(recorded(), cache.max_answer_bytes);
        recorder.push(&[b' '; 96]);
        assert!(recorder.body.is_none());
        assert_eq!(recorded(), 0);
    }
}
