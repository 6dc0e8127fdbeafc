//! What plugins log, kept in the bucket for a while so that every instance can show it.
//!
//! ```text
//!   engine                                     store                              reader
//!     |-- a line: in memory, bounded             |                                  |
//!     |-- PUT engine/<db>/log/<ulid> ----------> |  <-- LIST, GET of the newest ----|
//!     |   all lines of a while, compressed       |
//!    (a crash loses the lines in memory)         |  ENGINE_LOG_AGE: garbage
//! ```
//!
//! An object is a header and then the lines, each JSON on a line of its own. The header says whose lines they are, so
//! that the one who still has them in memory does not show them twice.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Read,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Bucket, Get, GetOptions, Key, ListRequest, Operation, PutMode, StoreError};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

/// What is older is neither shown nor kept.
pub const ENGINE_LOG_AGE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The most bytes of one line; the rest is cut off.
const MAX_LINE_BYTES: usize = 64 << 10;

/// The most bytes of lines of a database that wait to be saved; the oldest go when more come.
const MAX_UNSAVED_BYTES: usize = 2 << 20;

/// The most databases of which lines are kept in memory.
const MAX_DATABASES: usize = 1_000;

/// What a line takes up in memory besides its text.
const LINE_BYTES: usize = 96;

/// The most bytes of an object once it is unpacked: what is larger was not written by this program.
const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// The most pages of the listing that are read.
const MAX_PAGES: usize = 50;

/// Objects that are read at once.
const READS: usize = 16;

/// How much the clocks of instances and of the store may differ for lines to be shown in their order.
const CLOCK_SKEW_NS: i64 = 5_000_000_000;

/// After this time a request counts as unanswered.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// A line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineLogLine {
    /// When it was logged, in nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The trigger.
    pub trigger: String,
    /// `INFO`, `WARN` or `ERROR`.
    pub level: String,
    /// The text.
    pub text: String,
}

impl EngineLogLine {
    fn bytes(&self) -> usize {
        LINE_BYTES + self.trigger.len() + self.text.len()
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    /// Drawn by the instance when it started.
    source: u64,
    /// The number of the first line; the others follow.
    first: u64,
}

/// Lines that follow each other.
#[derive(Clone, Debug, Default)]
struct Lines {
    /// The number of the first one.
    first: u64,
    lines: VecDeque<EngineLogLine>,
}

/// The lines of a database that are not saved, or not known to be.
#[derive(Debug, Default)]
struct Unsaved {
    /// What is being saved, which is older.
    saving: Option<Arc<Lines>>,
    waiting: Lines,
    bytes: usize,
    /// Lines that were dropped for want of room.
    dropped: u64,
}

impl Unsaved {
    fn add(&mut self, line: EngineLogLine) {
        self.bytes += line.bytes();
        self.waiting.lines.push_back(line);
        while self.bytes > MAX_UNSAVED_BYTES {
            let Some(oldest) = self.waiting.lines.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
            self.waiting.first += 1;
            self.dropped += 1;
        }
    }

    /// Takes what waits, to be saved.
    fn take(&mut self) -> Option<Arc<Lines>> {
        if self.waiting.lines.is_empty() || self.saving.is_some() {
            return None;
        }
        let lines = mem::take(&mut self.waiting);
        self.waiting.first = lines.first + lines.lines.len() as u64;
        self.bytes = 0;
        let lines = Arc::new(lines);
        self.saving = Some(Arc::clone(&lines));
        Some(lines)
    }

    /// Notes what became of what was taken.
    fn settle(&mut self, is_saved: bool) {
        let Some(lines) = self.saving.take().filter(|_| !is_saved) else {
            return;
        };
        let later = mem::take(&mut self.waiting);
        self.waiting = Arc::unwrap_or_clone(lines);
        self.bytes = self.waiting.lines.iter().map(EngineLogLine::bytes).sum();
        for line in later.lines {
            self.add(line);
        }
    }

    fn all(&self) -> Lines {
        let saving = self.saving.iter().flat_map(|lines| lines.lines.iter());
        let waiting = self.waiting.lines.iter();
        let first = self
            .saving
            .as_ref()
            .map_or(self.waiting.first, |lines| lines.first);
        Lines {
            first,
            lines: saving.chain(waiting).cloned().collect(),
        }
    }
}

/// The logs of plugins: what this instance adds, and what all of them have saved.
#[derive(Debug)]
pub struct EngineLogs {
    bucket: Bucket,
    source: u64,
    unsaved: Mutex<BTreeMap<DatabaseId, Unsaved>>,
}

impl EngineLogs {
    /// The logs in a bucket.
    pub fn new(bucket: Bucket) -> Self {
        Self {
            source: bucket.world().entropy.next_u64(),
            bucket,
            unsaved: Mutex::default(),
        }
    }

    fn unsaved(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, Unsaved>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line. It is shown from now on, here; elsewhere once it is saved.
    pub fn add(&self, database: DatabaseId, mut line: EngineLogLine) {
        if line.text.len() > MAX_LINE_BYTES {
            let end = line.text.floor_char_boundary(MAX_LINE_BYTES);
            line.text.truncate(end);
        }
        let mut unsaved = self.unsaved();
        if unsaved.len() < MAX_DATABASES || unsaved.contains_key(&database) {
            unsaved.entry(database).or_default().add(line);
        }
    }

    /// Whether there is something to save.
    pub fn is_unsaved(&self) -> bool {
        let unsaved = self.unsaved();
        unsaved
            .values()
            .any(|lines| !lines.waiting.lines.is_empty())
    }

    /// The lines that were dropped because they could not be saved in time.
    pub fn dropped(&self) -> u64 {
        self.unsaved().values().map(|lines| lines.dropped).sum()
    }

    /// Saves what was added: one request for each database with new lines.
    ///
    /// # Errors
    /// The store does not answer, or not well. What was not saved stays in memory.
    pub async fn save(&self) -> Result<(), StoreError> {
        let databases: Vec<DatabaseId> = self.unsaved().keys().copied().collect();
        for database in databases {
            let taken = self.unsaved().get_mut(&database).and_then(Unsaved::take);
            let Some(lines) = taken else {
                continue;
            };
            // However it ends, the lines are either saved or wait again.
            let mut settled = Settled {
                logs: self,
                database,
                is_saved: false,
            };
            self.put(database, &lines).await?;
            settled.is_saved = true;
        }
        Ok(())
    }

    async fn put(&self, database: DatabaseId, lines: &Lines) -> Result<(), StoreError> {
        let key = Key::EngineLog(database, self.bucket.draw_ulid());
        let body = encode(self.source, lines).map_err(|reason| StoreError::Unavailable {
            operation: Operation::Put,
            key: key.to_string(),
            reason,
        })?;
        let put = self.bucket.put(&key, body, PutMode::Overwrite);
        let put = self.bucket.world().timeout(REQUEST_LIMIT, put).await;
        put.ok_or_else(|| unanswered(Operation::Put, &key.to_string()))??;
        Ok(())
    }

    /// The newest lines of a database, the oldest of them first: a LIST, and a GET for each object that they are in.
    ///
    /// # Errors
    /// The store does not answer, or not well.
    pub async fn newest(
        &self,
        database: DatabaseId,
        limit: usize,
    ) -> Result<Vec<EngineLogLine>, StoreError> {
        // First what is in memory: what is saved meanwhile is then known to be in both places.
        let own = self.unsaved().get(&database).map(Unsaved::all);
        let mut lines: Vec<EngineLogLine> = Vec::new();
        let own_first = own.as_ref().map_or(u64::MAX, |own| own.first);
        lines.extend(own.into_iter().flat_map(|own| own.lines));
        let keys = self.keys(database).await?;
        let mut objects = stream::iter(keys.into_iter().rev())
            .map(|(saved, key)| async move { Ok((saved, self.read(key).await?)) })
            .buffered(READS);
        while let Some((saved, (header, read))) = objects.try_next().await? {
            let oldest_shown = nth_newest(&mut lines, limit);
            if oldest_shown.is_some_and(|oldest| saved.saturating_add(CLOCK_SKEW_NS) < oldest) {
                break;
            }
            let numbered = (header.first..).zip(read);
            let new =
                numbered.filter(|(number, _)| header.source != self.source || *number < own_first);
            lines.extend(new.map(|(_, line)| line));
        }
        lines.sort_by_key(|line| line.time_ns);
        let beyond = lines.len().saturating_sub(limit);
        lines.drain(..beyond);
        Ok(lines)
    }

    /// The keys of the objects that are not too old, the oldest first, with the times at which they were saved, in
    /// nanoseconds since the Unix epoch.
    async fn keys(&self, database: DatabaseId) -> Result<Vec<(i64, Key)>, StoreError> {
        let prefix = Key::engine_log_prefix(database);
        let (mut keys, mut page_token) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let request = ListRequest {
                prefix: &prefix,
                start_after: None,
                page_token,
            };
            let page = self.bucket.list(request);
            let page = self.bucket.world().timeout(REQUEST_LIMIT, page).await;
            let page = page.ok_or_else(|| unanswered(Operation::List, &prefix))??;
            keys.extend(page.value.entries.into_iter().filter_map(|entry| {
                let age = page.date.map(|date| date.since(entry.last_modified));
                let is_young = age.is_none_or(|age| age < ENGINE_LOG_AGE);
                let key = entry.key.parse().ok().filter(|_| is_young)?;
                let Key::EngineLog(_, ulid) = key else {
                    return None;
                };
                let millis = i64::try_from(ulid.timestamp_ms()).unwrap_or(i64::MAX);
                Some((millis.saturating_mul(1_000_000), key))
            }));
            page_token = page.value.next_page_token;
            if page_token.is_none() {
                break;
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// An object; nothing if it is gone or can't be understood.
    async fn read(&self, key: Key) -> Result<(Header, Vec<EngineLogLine>), StoreError> {
        let got = self.bucket.get(&key, GetOptions::default());
        let got = self.bucket.world().timeout(REQUEST_LIMIT, got).await;
        let got = got.ok_or_else(|| unanswered(Operation::Get, &key.to_string()))??;
        let read = match got.value {
            Get::Found(object) => decode(&object.bytes),
            Get::Missing | Get::Unchanged => None,
        };
        Ok(read.unwrap_or_else(|| {
            let nothing = Header {
                source: 0,
                first: 0,
            };
            (nothing, Vec::new())
        }))
    }
}

/// Sees to it that lines that were taken are settled, even if the one who saves them is stopped.
struct Settled<'a> {
    logs: &'a EngineLogs,
    database: DatabaseId,
    is_saved: bool,
}

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        if let Some(unsaved) = self.logs.unsaved().get_mut(&self.database) {
            unsaved.settle(self.is_saved);
        }
    }
}

/// The time of the oldest line that is shown, if there are as many as may be.
fn nth_newest(lines: &mut [EngineLogLine], limit: usize) -> Option<i64> {
    lines.sort_by_key(|line| line.time_ns);
    let at = lines.len().checked_sub(limit)?;
    lines.get(at).map(|line| line.time_ns)
}

fn encode(source: u64, lines: &Lines) -> Result<Bytes, String> {
    let first = lines.first;
    let mut text = serde_json::to_vec(&Header { source, first }).map_err(|e| e.to_string())?;
    for line in &lines.lines {
        text.push(b'\n');
        serde_json::to_writer(&mut text, line).map_err(|error| error.to_string())?;
    }
    let packed = zstd::encode_all(text.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL);
    Ok(Bytes::from(packed.map_err(|error| error.to_string())?))
}

fn decode(object: &[u8]) -> Option<(Header, Vec<EngineLogLine>)> {
    let mut text = String::new();
    let unpacked = zstd::Decoder::new(object).ok()?;
    unpacked
        .take(MAX_OBJECT_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    let mut lines = text.lines();
    let header = serde_json::from_str(lines.next()?).ok()?;
    let lines = lines.map(|line| serde_json::from_str(line).ok());
    Some((header, lines.collect::<Option<_>>()?))
}

fn unanswered(operation: Operation, key: &str) -> StoreError {
    StoreError::Unavailable {
        operation,
        key: key.to_owned(),
        reason: format!("no answer within {} s", REQUEST_LIMIT.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Stage;

    const DATABASE: DatabaseId = DatabaseId::new(3);

    fn line(number: usize) -> EngineLogLine {
        EngineLogLine {
            time_ns: i64::try_from(number).unwrap(),
            trigger: "t".to_owned(),
            level: "INFO".to_owned(),
            text: format!("line {number}"),
        }
    }

    async fn shown(logs: &EngineLogs, limit: usize) -> Vec<i64> {
        let lines = logs.newest(DATABASE, limit).await.unwrap();
        lines.into_iter().map(|line| line.time_ns).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_shown_at_once_here_and_elsewhere_once_they_are_saved() {
        let stage = Stage::new();
        let here = EngineLogs::new(stage.bucket.clone());
        let there = EngineLogs::new(stage.bucket.clone());
        here.add(DATABASE, line(1));
        assert!(here.is_unsaved());
        assert_eq!(
            (shown(&here, 9).await, shown(&there, 9).await),
            (vec![1], vec![])
        );
        here.save().await.unwrap();
        assert!(!here.is_unsaved());
        here.add(DATABASE, line(3));
        there.add(DATABASE, line(2));
        there.save().await.unwrap();
        assert_eq!(shown(&here, 9).await, [1, 2, 3]);
        assert_eq!(shown(&there, 9).await, [1, 2]);
        assert_eq!(shown(&here, 2).await, [2, 3]);
        assert!(here.newest(DatabaseId::new(4), 9).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_put_when_there_is_nothing_to_save() {
        let stage = Stage::new();
        let logs = EngineLogs::new(stage.bucket.clone());
        logs.save().await.unwrap();
        logs.add(DATABASE, line(1));
        logs.save().await.unwrap();
        logs.save().await.unwrap();
        assert_eq!(stage.taken().puts, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_saved_is_kept_and_bounded() {
        let stage = Stage::new();
        let logs = EngineLogs::new(stage.bucket.clone());
        logs.add(DATABASE, line(1));
        stage.fail(true);
        logs.save().await.unwrap_err();
        stage.fail(false);
        assert_eq!(shown(&logs, 9).await, [1]);
        logs.add(DATABASE, line(2));
        logs.save().await.unwrap();
        // The put that failed may have taken effect: each line is shown once at least.
        assert!(shown(&logs, 9).await.ends_with(&[2]));
        for number in 0..40 {
            let text = "x".repeat(2 * MAX_LINE_BYTES);
            logs.add(
                DATABASE,
                EngineLogLine {
                    text,
                    ..line(number)
                },
            );
        }
        assert!(logs.dropped() > 0);
        let kept: usize = logs.unsaved()[&DATABASE]
            .waiting
            .lines
            .iter()
            .map(EngineLogLine::bytes)
            .sum();
        assert!(kept <= MAX_UNSAVED_BYTES);
    }

    #[test]
    fn an_object_is_text_that_people_can_read_once_it_is_unpacked() {
        let lines = Lines {
            first: 7,
            lines: VecDeque::from([line(1)]),
        };
        let object = encode(5, &lines).unwrap();
        let text = zstd::decode_all(object.as_ref()).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r#"
        {"source":5,"first":7}
        {"time_ns":1,"trigger":"t","level":"INFO","text":"line 1"}
        "#);
        assert!(decode(&object).is_some());
        assert!(decode(b"garbage").is_none());
    }
}
