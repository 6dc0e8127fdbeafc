//! The logs of plugins, kept in the bucket for some days so that every instance can show them.
//!
//! ```text
//!   engine                                     store                              reader
//!     |-- add a line to a bounded buffer         |                                  |
//!     |-- PUT engine/<db>/log/<ulid> ----------> |  <-- LIST, GET of the newest ----|
//!     |   all buffered lines, compressed         |
//!    (a crash loses the lines in memory)         |  ENGINE_LOG_AGE: garbage
//! ```
//!
//! An object is a header followed by the lines, each as JSON on its own line. The header names the process that wrote
//! the lines, so that a process which still has them in memory does not show them twice.

mod log_line;
mod unsaved_lines;

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Bucket, Get, GetOptions, Key, Operation, PrefixListing, PutMode, StoreError};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

pub use log_line::EngineLogLine;
use unsaved_lines::{LogLineBatch, UnsavedLines};

/// Retention of log objects: older ones are neither shown nor kept.
pub const ENGINE_LOG_RETENTION: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Maximum bytes of a line; the rest is truncated.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Maximum number of databases whose lines are buffered.
const MAX_DATABASES: usize = 1_000;

/// Maximum decompressed bytes of an object. This program never writes a larger one.
const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// Maximum number of listing pages that are read.
const MAX_PAGES: usize = 50;

/// Number of further objects that are read after enough lines are found and the objects are too old for the newest
/// lines. They are read because a single plugin may have logged all lines found so far; an engine that saves once a
/// minute writes this many objects in an hour.
const MAX_FURTHER_OBJECTS: usize = 60;

/// Number of objects that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// Maximum difference between the clocks of instances and of the store for which lines are shown in order.
const CLOCK_SKEW_NS: i64 = 5_000_000_000;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
struct EngineLogHeader {
    /// A random id of the instance, generated when it started.
    source: u64,
    /// The number of the first line; the following lines count up.
    first: u64,
}

/// The logs of plugins: the lines added by this instance, and those saved by all instances.
#[derive(Debug)]
pub struct EngineLogs {
    bucket: Bucket,
    source: u64,
    unsaved: Mutex<BTreeMap<DatabaseId, UnsavedLines>>,
}

impl EngineLogs {
    /// Creates the logs of a bucket.
    pub fn new(bucket: Bucket) -> Self {
        Self {
            source: bucket.world().entropy.next_u64(),
            bucket,
            unsaved: Mutex::default(),
        }
    }

    fn unsaved(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, UnsavedLines>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line. This instance shows it immediately, other instances once it is saved.
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

    /// Returns whether there are unsaved lines.
    pub fn is_unsaved(&self) -> bool {
        let unsaved = self.unsaved();
        unsaved.values().any(UnsavedLines::is_waiting)
    }

    /// Returns the number of lines that were dropped because they could not be saved in time.
    pub fn dropped(&self) -> u64 {
        self.unsaved().values().map(UnsavedLines::dropped).sum()
    }

    /// Saves the added lines: one PUT for each database with new lines.
    ///
    /// # Errors
    /// The store returns an error or does not answer. The unsaved lines stay in memory.
    pub async fn save(&self) -> Result<(), StoreError> {
        let databases: Vec<DatabaseId> = self.unsaved().keys().copied().collect();
        for database in databases {
            let taken = self.unsaved().get_mut(&database).and_then(UnsavedLines::take);
            let Some(lines) = taken else {
                continue;
            };
            // If the future fails or is dropped, the lines are queued again.
            let mut settled = SaveGuard { logs: self, database, is_saved: false };
            self.put(database, &lines).await?;
            settled.is_saved = true;
        }
        Ok(())
    }

    async fn put(&self, database: DatabaseId, lines: &LogLineBatch) -> Result<(), StoreError> {
        let key = Key::EngineLog(database, self.bucket.draw_ulid());
        let body = encode(self.source, lines).map_err(|reason| StoreError::Unavailable {
            operation: Operation::Put,
            key: key.to_string(),
            reason,
        })?;
        let request = self.bucket.put(&key, body, PutMode::Overwrite);
        self.bucket.in_time(REQUEST_TIMEOUT, Operation::Put, &key, request).await?;
        Ok(())
    }

    /// Returns the newest lines of a database, oldest first: one LIST, and a GET for each object that contains them.
    /// If there are more than `limit` lines, the oldest lines of the trigger with the most lines are omitted first, so
    /// that one trigger does not displace the lines of others. A bounded number of further objects is read for that.
    ///
    /// # Errors
    /// The store returns an error or does not answer.
    pub async fn newest(
        &self,
        database: DatabaseId,
        limit: usize,
    ) -> Result<Vec<EngineLogLine>, StoreError> {
        // Memory is read first, so that lines saved in the meantime are known to be in both places.
        let own = self.unsaved().get(&database).map(UnsavedLines::all);
        let mut lines: Vec<EngineLogLine> = Vec::new();
        let own_first = own.as_ref().map_or(u64::MAX, |own| own.first);
        lines.extend(own.into_iter().flat_map(|own| own.lines));
        let keys = self.keys(database).await?;
        let mut objects = stream::iter(keys.into_iter().rev())
            .map(|(saved, key)| async move { Ok((saved, self.read(key).await?)) })
            .buffered(CONCURRENT_READS);
        let (mut oldest_shown, mut further) = (None, 0);
        while let Some((saved, (header, read))) = objects.try_next().await? {
            oldest_shown = oldest_shown.or_else(|| nth_newest(&mut lines, limit));
            if oldest_shown.is_some_and(|oldest| saved.saturating_add(CLOCK_SKEW_NS) < oldest) {
                further += 1;
            }
            if further > MAX_FURTHER_OBJECTS {
                break;
            }
            let numbered = (header.first..).zip(read);
            let new =
                numbered.filter(|(number, _)| header.source != self.source || *number < own_first);
            lines.extend(new.map(|(_, line)| line));
            if oldest_shown.is_some() {
                keep_log_lines(&mut lines, limit);
            }
        }
        keep_log_lines(&mut lines, limit);
        Ok(lines)
    }

    /// Returns the keys of the objects that are young enough, oldest first, with the time of each save in nanoseconds
    /// since the Unix epoch.
    async fn keys(&self, database: DatabaseId) -> Result<Vec<(i64, Key)>, StoreError> {
        let prefix = Key::engine_log_prefix(database);
        let mut keys = Vec::new();
        let mut listing = PrefixListing::new(&self.bucket, &prefix);
        for _ in 0..MAX_PAGES {
            let page = listing.next();
            let answer = self.bucket.in_time(REQUEST_TIMEOUT, Operation::List, &prefix, page);
            let Some(page) = answer.await? else {
                break;
            };
            keys.extend(page.value.into_iter().filter_map(|entry| {
                let age = page.date.map(|date| date.since(entry.last_modified));
                let is_young = age.is_none_or(|age| age < ENGINE_LOG_RETENTION);
                let key = entry.key.parse().ok().filter(|_| is_young)?;
                let Key::EngineLog(_, ulid) = key else {
                    return None;
                };
                let millis = i64::try_from(ulid.timestamp_ms()).unwrap_or(i64::MAX);
                Some((millis.saturating_mul(1_000_000), key))
            }));
        }
        keys.sort();
        Ok(keys)
    }

    /// Reads an object. Returns no lines if it is missing or cannot be decoded.
    async fn read(&self, key: Key) -> Result<(EngineLogHeader, Vec<EngineLogLine>), StoreError> {
        let request = self.bucket.get(&key, GetOptions::default());
        let got = self.bucket.in_time(REQUEST_TIMEOUT, Operation::Get, &key, request).await?;
        let read = match got.value {
            Get::Found(object) => decode(&object.bytes),
            Get::Missing | Get::Unchanged => None,
        };
        Ok(read.unwrap_or_else(|| {
            let nothing = EngineLogHeader { source: 0, first: 0 };
            (nothing, Vec::new())
        }))
    }
}

/// Returns taken lines to the queue when dropped, unless they are saved. Covers a cancelled save.
struct SaveGuard<'a> {
    logs: &'a EngineLogs,
    database: DatabaseId,
    is_saved: bool,
}

impl Drop for SaveGuard<'_> {
    fn drop(&mut self) {
        if let Some(unsaved) = self.logs.unsaved().get_mut(&self.database) {
            unsaved.finish_save(self.is_saved);
        }
    }
}

/// Returns the time of the oldest line to show, if there are at least `limit` lines.
fn nth_newest(lines: &mut [EngineLogLine], limit: usize) -> Option<i64> {
    lines.sort_by_key(|line| line.time_ns);
    let at = lines.len().checked_sub(limit)?;
    lines.get(at).map(|line| line.time_ns)
}

/// Sorts lines by time and keeps `limit` of them. Removes the oldest line of the trigger with the most lines first, so
/// that a trigger that logs continuously does not displace the lines of others.
pub fn keep_log_lines(lines: &mut Vec<EngineLogLine>, limit: usize) {
    lines.sort_by_key(|line| line.time_ns);
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines.iter() {
        *left.entry(&line.trigger).or_default() += 1;
    }
    let mut to_drop: BTreeMap<String, usize> = BTreeMap::new();
    for _ in limit..lines.len() {
        if let Some((trigger, left)) = left.iter_mut().max_by_key(|(_, left)| **left) {
            *left -= 1;
            *to_drop.entry((*trigger).to_owned()).or_default() += 1;
        }
    }
    lines.retain(|line| match to_drop.get_mut(&line.trigger) {
        Some(number @ 1..) => {
            *number -= 1;
            false
        }
        _ => true,
    });
}

fn encode(source: u64, lines: &LogLineBatch) -> Result<Bytes, String> {
    let first = lines.first;
    let mut text =
        serde_json::to_vec(&EngineLogHeader { source, first }).map_err(|e| e.to_string())?;
    for line in &lines.lines {
        text.push(b'\n');
        serde_json::to_writer(&mut text, line).map_err(|error| error.to_string())?;
    }
    let packed = zstd::encode_all(text.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL);
    Ok(Bytes::from(packed.map_err(|error| error.to_string())?))
}

fn decode(object: &[u8]) -> Option<(EngineLogHeader, Vec<EngineLogLine>)> {
    let mut text = String::new();
    let unpacked = zstd::Decoder::new(object).ok()?;
    unpacked.take(MAX_OBJECT_BYTES).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let header = serde_json::from_str(lines.next()?).ok()?;
    let lines = lines.map(|line| serde_json::from_str(line).ok());
    Some((header, lines.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::{unsaved_lines::MAX_UNSAVED_BYTES, *};
    use crate::tests::CatalogFixture;

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
    async fn lines_are_shown_locally_at_once_and_by_other_instances_once_saved() {
        let stage = CatalogFixture::new();
        let here = EngineLogs::new(stage.bucket.clone());
        let there = EngineLogs::new(stage.bucket.clone());
        here.add(DATABASE, line(1));
        assert!(here.is_unsaved());
        assert_eq!((shown(&here, 9).await, shown(&there, 9).await), (vec![1], vec![]));
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
    async fn saving_without_new_lines_makes_no_request() {
        let stage = CatalogFixture::new();
        let logs = EngineLogs::new(stage.bucket.clone());
        logs.save().await.unwrap();
        logs.add(DATABASE, line(1));
        logs.save().await.unwrap();
        logs.save().await.unwrap();
        assert_eq!(stage.taken().puts, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn unsaved_lines_are_kept_up_to_a_bound() {
        let stage = CatalogFixture::new();
        let logs = EngineLogs::new(stage.bucket.clone());
        logs.add(DATABASE, line(1));
        stage.fail(true);
        logs.save().await.unwrap_err();
        stage.fail(false);
        assert_eq!(shown(&logs, 9).await, [1]);
        logs.add(DATABASE, line(2));
        logs.save().await.unwrap();
        // The failed PUT may have taken effect, so each line is shown at least once.
        assert!(shown(&logs, 9).await.ends_with(&[2]));
        for number in 0..40 {
            let text = "x".repeat(2 * MAX_LINE_BYTES);
            logs.add(DATABASE, EngineLogLine { text, ..line(number) });
        }
        assert!(logs.dropped() > 0);
        assert!(logs.unsaved()[&DATABASE].bytes() <= MAX_UNSAVED_BYTES);
    }

    /// Adds one line of the trigger `quiet`, then `thousands` × 1,000 lines of another trigger.
    fn flood(logs: &EngineLogs, first: usize, thousands: usize) {
        let trigger = "quiet".to_owned();
        logs.add(DATABASE, EngineLogLine { trigger, ..line(first) });
        for number in 1..=1_000 * thousands {
            logs.add(DATABASE, line(first + number));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flooding_plugin_loses_only_its_own_lines() {
        let stage = CatalogFixture::new();
        let logs = EngineLogs::new(stage.bucket.clone());
        flood(&logs, 0, 30);
        assert!(logs.dropped() > 0);
        assert_eq!(shown(&logs, 3).await, [0, 29_999, 30_000]);
        logs.save().await.unwrap();
        assert_eq!(shown(&logs, 3).await, [0, 29_999, 30_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_of_quiet_triggers_are_shown_despite_a_flooding_plugin() {
        let stage = CatalogFixture::new();
        let logs = EngineLogs::new(stage.bucket.clone());
        let clock = &stage.bucket.world().clock;
        let mut expected = Vec::new();
        for _ in 0..3 {
            let now_ns = clock.wall_micros() * 1_000;
            flood(&logs, usize::try_from(now_ns).unwrap(), 1);
            logs.save().await.unwrap();
            expected.push(now_ns);
            clock.sleep(Duration::from_secs(60)).await;
        }
        expected.extend([expected[2] + 999, expected[2] + 1_000]);
        let there = EngineLogs::new(stage.bucket.clone());
        assert_eq!(shown(&there, 5).await, expected);
    }

    #[test]
    fn a_decompressed_object_is_json_lines() {
        let lines = LogLineBatch { first: 7, lines: vec![line(1)] };
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
