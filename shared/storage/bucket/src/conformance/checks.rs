//! The implementation of the checks. Each check returns a description of the violation.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::join_all, stream};

use super::{Check, CheckOutcome, ConformanceReport};
use crate::{
    ETag, Get, GetOptions, Key, ListEntry, ListPage, ListRequest, MAX_DELETE_KEYS, Object,
    Operation, Put, PutMode, Store, StoreError, StoreResponse, StoreTime, World,
};

/// Number of concurrent writers that race for one key.
const RACERS: u32 = 16;

/// More keys than S3 lists on a page.
const PAGED_KEYS: usize = 1_050;

/// Number of concurrent requests in checks that do not race.
const CONCURRENCY: usize = 8;

/// Maximum difference between the dates of a store's answers. They differ because the clocks of the store's hosts
/// differ and HTTP dates are whole seconds.
const DATE_TOLERANCE: Duration = Duration::from_secs(4);

/// Maximum difference between the store's clock and this machine's clock without a warning.
const WALL_TOLERANCE: Duration = Duration::from_secs(300);

/// The `Date` of an answer, and the monotonic time when it came.
#[derive(Clone, Copy)]
struct ObservedDate {
    operation: Operation,
    date: Option<StoreTime>,
    at: Duration,
}

pub(super) struct ConformanceSuite<'a> {
    store: &'a Arc<dyn Store>,
    world: &'a World,
    run: u64,
    dates: Mutex<Vec<ObservedDate>>,
}

type CheckResult<T = ()> = Result<T, String>;

fn ensure(condition: bool, wrong: impl FnOnce() -> String) -> CheckResult {
    if condition { Ok(()) } else { Err(wrong()) }
}

impl<'a> ConformanceSuite<'a> {
    pub(super) fn new(store: &'a Arc<dyn Store>, world: &'a World, run: u64) -> Self {
        Self { store, world, run, dates: Mutex::default() }
    }

    fn key(&self, name: impl Into<String>) -> String {
        Key::Probe(self.run, name.into()).to_string()
    }

    fn record_date<T>(
        &self,
        operation: Operation,
        answer: Result<StoreResponse<T>, StoreError>,
    ) -> CheckResult<StoreResponse<T>> {
        let answer = answer.map_err(|error| error.to_string())?;
        let dated = ObservedDate {
            operation,
            date: answer.date,
            at: self.world.clock.monotonic(),
        };
        let mut dates = self.dates.lock().unwrap_or_else(PoisonError::into_inner);
        dates.push(dated);
        Ok(answer)
    }

    async fn get(&self, key: &str, options: GetOptions) -> CheckResult<Get> {
        let answer = self.store.get(key, options).await;
        Ok(self.record_date(Operation::Get, answer)?.value)
    }

    async fn read(&self, key: &str) -> CheckResult<Object> {
        match self.get(key, GetOptions::default()).await? {
            Get::Found(object) => Ok(object),
            other => Err(format!("reading '{key}' after it was put gave {other:?}")),
        }
    }

    async fn put(&self, key: &str, body: impl Into<Bytes>, mode: PutMode) -> CheckResult<Put> {
        let answer = self.store.put(key, body.into(), mode).await;
        Ok(self.record_date(Operation::Put, answer)?.value)
    }

    /// Puts an object without a concurrent writer, so that the put must succeed.
    async fn write(&self, key: &str, body: impl Into<Bytes>, mode: PutMode) -> CheckResult<ETag> {
        match self.put(key, body, mode).await? {
            Put::Done(etag) => Ok(etag),
            Put::Refused => Err(format!("a put of '{key}' without a rival was refused")),
        }
    }

    async fn page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        page_token: Option<String>,
    ) -> CheckResult<ListPage> {
        let request = ListRequest { prefix, start_after, page_token };
        let answer = self.store.list(request).await;
        Ok(self.record_date(Operation::List, answer)?.value)
    }

    /// Reads all pages of a listing. Fails if the listing has more than [`PAGED_KEYS`] + 1 pages.
    async fn list(&self, prefix: &str, start_after: Option<&str>) -> CheckResult<Vec<ListEntry>> {
        let mut entries = Vec::new();
        let mut page_token = None;
        for _ in 0..=PAGED_KEYS {
            let page = self.page(prefix, start_after, page_token).await?;
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_none() {
                return Ok(entries);
            }
        }
        Err("a listing does not end".to_owned())
    }

    async fn delete(&self, keys: &[String]) -> CheckResult {
        for keys in keys.chunks(MAX_DELETE_KEYS) {
            let answer = self.store.delete(keys).await;
            self.record_date(Operation::Delete, answer)?;
        }
        Ok(())
    }

    pub(super) async fn create_race(&self) -> CheckResult {
        let key = self.key("created");
        let racers = (0..RACERS).map(|racer| {
            let key = &key;
            async move { (racer, self.put(key, racer.to_string(), PutMode::Create).await) }
        });
        let mut winners = Vec::new();
        for (racer, put) in join_all(racers).await {
            if let Put::Done(_) = put? {
                winners.push(racer);
            }
        }
        let object = self.read(&key).await?;
        ensure(winners.len() <= 1, || {
            format!("{} of {RACERS} creators of one object succeeded", winners.len())
        })?;
        let found = String::from_utf8_lossy(&object.bytes).into_owned();
        ensure(winners.iter().all(|winner| winner.to_string() == found), || {
            format!("creator {winners:?} succeeded, but the object is of creator {found}")
        })
    }

    pub(super) async fn update_race(&self) -> CheckResult {
        let key = self.key("counter");
        self.write(&key, "0", PutMode::Create).await?;
        let racers = (0..RACERS).map(|_| self.increment(&key));
        for increment in join_all(racers).await {
            increment?;
        }
        let object = self.read(&key).await?;
        let count = number(&object)?;
        ensure(count == RACERS, || {
            format!("{RACERS} increments succeeded, but the counter is at {count}")
        })
    }

    /// Increments a counter. Retries refused updates.
    async fn increment(&self, key: &str) -> CheckResult {
        for _ in 0..100 * RACERS {
            let object = self.read(key).await?;
            let next = (number(&object)? + 1).to_string();
            // Yield, because a store that answers immediately would not let other writers interleave.
            tokio::task::yield_now().await;
            if let Put::Done(_) = self.put(key, next, PutMode::Update(object.etag)).await? {
                return Ok(());
            }
        }
        Err("updates of the newest version are refused".to_owned())
    }

    pub(super) async fn stale_update(&self) -> CheckResult {
        let key = self.key("updated");
        let first = self.write(&key, "first", PutMode::Create).await?;
        ensure(self.put(&key, "other", PutMode::Create).await? == Put::Refused, || {
            "an object was created although it was there".to_owned()
        })?;
        let update = PutMode::Update(first.clone());
        let second = self.write(&key, "second", update.clone()).await?;
        ensure(first != second, || "two versions of an object have the same ETag".to_owned())?;
        ensure(self.put(&key, "third", update).await? == Put::Refused, || {
            "an update of an old version succeeded".to_owned()
        })?;
        let object = self.read(&key).await?;
        ensure(object.bytes == "second" && object.etag == second, || {
            format!("after an update, a read gave {:?}, not {second:?}", object.etag)
        })?;
        let missing = self.key("never-there");
        ensure(self.put(&missing, "", PutMode::Update(second)).await? == Put::Refused, || {
            "an update of a missing object succeeded".to_owned()
        })
    }

    pub(super) async fn overwrite(&self) -> CheckResult {
        let key = self.key("overwritten");
        for round in 0..10 {
            let body = format!("round {round}");
            let etag = self.write(&key, body.clone(), PutMode::Overwrite).await?;
            let object = self.read(&key).await?;
            ensure(object.bytes == body && object.etag == etag, || {
                format!("a read after the put of '{body}' gave {:?}", object.bytes)
            })?;
        }
        Ok(())
    }

    pub(super) async fn missing(&self) -> CheckResult {
        let key = self.key("missing");
        match self.get(&key, GetOptions::default()).await? {
            Get::Missing => Ok(()),
            other => Err(format!("a missing object was read: {other:?}")),
        }
    }

    pub(super) async fn range(&self) -> CheckResult {
        let key = self.key("range");
        let body = Bytes::from_static(b"0123456789");
        self.write(&key, body.clone(), PutMode::Create).await?;
        for (range, expected) in [
            (0..10, 0..10),
            (0..1, 0..1),
            (3..7, 3..7),
            (8..20, 8..10),
            (4..4, 4..4),
            (10..12, 10..10),
            (15..20, 10..10),
        ] {
            let options = GetOptions { range: Some(range.clone()), if_none_match: None };
            match self.get(&key, options).await? {
                Get::Found(object) if object.bytes == body.slice(expected) => {}
                other => return Err(format!("the bytes {range:?} were read as {other:?}")),
            }
        }
        Ok(())
    }

    pub(super) async fn unchanged(&self) -> CheckResult {
        let key = self.key("unchanged");
        let first = self.write(&key, "first", PutMode::Create).await?;
        let unless_first = GetOptions { range: None, if_none_match: Some(first) };
        match self.get(&key, unless_first.clone()).await? {
            Get::Unchanged => {}
            other => return Err(format!("an unchanged object was read as {other:?}")),
        }
        self.write(&key, "second", PutMode::Overwrite).await?;
        match self.get(&key, unless_first).await? {
            Get::Found(object) if object.bytes == "second" => Ok(()),
            other => Err(format!("a changed object was read as {other:?}")),
        }
    }

    /// Lists one object that was just put.
    pub(super) async fn first_listing(&self) -> CheckResult {
        let key = self.key("listed/one");
        self.write(&key, "12345", PutMode::Overwrite).await?;
        let entries = self.list(&self.key("listed/"), None).await?;
        let found: Vec<_> = entries.iter().map(|entry| (&entry.key, entry.size_bytes)).collect();
        ensure(found == [(&key, 5)], || format!("the listing is {found:?}"))
    }

    pub(super) async fn listing(&self) -> CheckResult {
        let mut expected = BTreeSet::new();
        self.write(&self.key("listing.beside"), "", PutMode::Create).await?;
        for round in 0..10 {
            let key = self.key(format!("listing/{}/{round}", round % 3));
            self.write(&key, vec![0; round], PutMode::Create).await?;
            expected.insert((key, round as u64));
            let entries = self.list(&self.key("listing/"), None).await?;
            let count = entries.len();
            let found: BTreeSet<_> =
                entries.into_iter().map(|entry| (entry.key, entry.size_bytes)).collect();
            ensure(found == expected && count == expected.len(), || {
                format!("after {} puts, {count} objects are listed", expected.len())
            })?;
        }
        Ok(())
    }

    pub(super) async fn start_after(&self) -> CheckResult {
        let prefix = self.key("after/");
        // In the order of keys, '.' is before '/': directories must not be sorted by their names.
        let names = ["a.b", "a/b", "a/c", "aa", "b"];
        for name in names {
            self.write(&format!("{prefix}{name}"), name, PutMode::Create).await?;
        }
        for (from, marker) in names.into_iter().enumerate() {
            self.expect_after(&prefix, marker, names.get(from + 1..)).await?;
        }
        self.expect_after(&prefix, "a/", names.get(1..)).await?;
        self.expect_after(&prefix, "", Some(&names)).await
    }

    async fn expect_after(
        &self,
        prefix: &str,
        marker: &str,
        expected: Option<&[&str]>,
    ) -> CheckResult {
        let entries = self.list(prefix, Some(&format!("{prefix}{marker}"))).await?;
        let found: BTreeSet<_> =
            entries.iter().filter_map(|entry| entry.key.strip_prefix(prefix)).collect();
        let expected: BTreeSet<_> = expected.unwrap_or_default().iter().copied().collect();
        ensure(found == expected, || {
            format!("after '{marker}', {found:?} are listed instead of {expected:?}")
        })
    }

    pub(super) async fn paging(&self) -> CheckResult {
        let prefix = self.key("paged/");
        let keys: Vec<_> = (0..PAGED_KEYS).map(|n| format!("{prefix}{n:04}")).collect();
        let mut puts = stream::iter(&keys)
            .map(|key| self.write(key, "", PutMode::Overwrite))
            .buffer_unordered(CONCURRENCY);
        while let Some(put) = puts.next().await {
            put?;
        }
        let entries = self.list(&prefix, None).await?;
        let mut found: Vec<_> = entries.into_iter().map(|entry| entry.key).collect();
        ensure(!self.store.is_sorted() || found.is_sorted(), || {
            "a listing is not sorted by key".to_owned()
        })?;
        found.sort();
        ensure(found == keys, || format!("of {PAGED_KEYS} objects, {} are listed", found.len()))?;
        self.delete(&keys).await?;
        let left = self.list(&prefix, None).await?;
        ensure(left.is_empty(), || {
            format!("after the deletion of all, {} objects are listed", left.len())
        })
    }

    pub(super) async fn deletion(&self) -> CheckResult {
        let (one, two) = (self.key("deleted/one"), self.key("deleted/two"));
        self.write(&one, "", PutMode::Create).await?;
        let keys = [one.clone(), two];
        for _ in 0..2 {
            self.delete(&keys).await?;
            match self.get(&one, GetOptions::default()).await? {
                Get::Missing => {}
                other => return Err(format!("after its deletion, an object is {other:?}")),
            }
        }
        self.write(&one, "again", PutMode::Create).await?;
        Ok(())
    }

    pub(super) async fn modification_times(&self) -> CheckResult {
        let key = self.key("times/one");
        let answer = self.store.put(&key, Bytes::new(), PutMode::Create).await;
        let put = self.record_date(Operation::Put, answer)?.date;
        let read = self.read(&key).await?.last_modified;
        let listed = self
            .list(&self.key("times/"), None)
            .await?
            .first()
            .map(|entry| entry.last_modified);
        let (Some(put), Some(listed)) = (put, listed) else {
            return Err("the put had no Date, or the listing no object".to_owned());
        };
        // A header has whole seconds, whereas a listing has fractions of a second.
        ensure(read.distance(listed) <= Duration::from_secs(1), || {
            let apart = read.distance(listed);
            format!("a read and a listing differ by {apart:?} on when an object was put")
        })?;
        ensure(put.distance(listed) <= DATE_TOLERANCE, || {
            let apart = put.distance(listed);
            format!("the modification time is {apart:?} from the Date of the put")
        })
    }

    /// Removes the objects of the checks, and checks the dates of all answers.
    pub(super) async fn finish(&self, report: &mut ConformanceReport) {
        let cleaned = async {
            let prefix = Key::probe_prefix(self.run);
            let entries = self.list(&prefix, None).await?;
            let keys: Vec<_> = entries.into_iter().map(|entry| entry.key).collect();
            self.delete(&keys).await
        };
        report.add("the objects of the check can be deleted", cleaned.await);
        let dates = self.dates.lock().unwrap_or_else(PoisonError::into_inner);
        report.add("every answer has the store's Date", present(&dates));
        report.add("the store's clock advances evenly across operations", even(&dates));
        report.checks.push(Check {
            name: "the store's clock is near this machine's",
            outcome: self.near(&dates),
        });
    }

    fn near(&self, dates: &[ObservedDate]) -> CheckOutcome {
        let Some((date, at)) = dates.iter().rev().find_map(|d| Some((d.date?, d.at))) else {
            return CheckOutcome::Warning("no answer had a Date".to_owned());
        };
        let since = self.world.clock.monotonic().saturating_sub(at);
        let wall = StoreTime::from_micros(self.world.clock.wall_micros());
        let apart = date.plus(since).distance(wall);
        if apart <= WALL_TOLERANCE {
            CheckOutcome::Passed
        } else {
            let seconds = apart.as_secs();
            CheckOutcome::Warning(format!("they are {seconds} s apart; set this machine's clock"))
        }
    }
}

fn number(object: &Object) -> CheckResult<u32> {
    let text = String::from_utf8_lossy(&object.bytes);
    text.parse().map_err(|_| format!("the counter was read as '{text}'"))
}

fn present(dates: &[ObservedDate]) -> CheckResult {
    let missing = dates.iter().filter(|dated| dated.date.is_none()).count();
    ensure(missing == 0, || {
        let all = dates.len();
        format!("{missing} of {all} answers had none, or came from a cache (Age)")
    })
}

/// Checks that the dates advance like the monotonic clock, across all operations.
fn even(dates: &[ObservedDate]) -> CheckResult {
    // For each answer, the store's time at which the monotonic clock was at zero.
    let origins = dates.iter().filter_map(|dated| {
        let date = dated.date?;
        Some((date.minus(dated.at), dated.operation))
    });
    let (first, last) = (origins.clone().min(), origins.max());
    let (Some((first, by_first)), Some((last, by_last))) = (first, last) else {
        return Err("no answer had a Date".to_owned());
    };
    ensure(last.since(first) <= DATE_TOLERANCE, || {
        let apart = last.since(first);
        format!("the dates of a {by_first} and a {by_last} are {apart:?} off each other")
    })
}
