//! The clients of a history: they draw requests from the seed, send them, and record what happens.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    history::{Cell, CellValues, Event, Operation, Outcome, ReadConsistency, Stamp, Table},
};
use crate::harness::{Reply, STAMP, ServerClient, now, pause};

/// The database of a history.
pub(super) const DATABASE: &str = "history";
/// Maximum wait for an answer.
const LIMIT: Duration = Duration::from_secs(20);
/// The number of points of a request to the log.
const LOG_ROWS: u64 = 3;
/// The distance of the times of two requests to the log, in seconds.
const LOG_STEP: u64 = 4;
/// The number of points that are overwritten without and with strict order.
const FIELD_POINTS: u32 = 5;
const REGISTER_POINTS: u32 = 3;
/// The staleness that stale reads allow.
const STALENESS: Duration = Duration::from_secs(5);

/// What the clients of a history share.
pub(super) struct Recorder {
    begun: Instant,
    events: Mutex<Vec<Event>>,
    /// Answers that no promise permits, and their numbers.
    unexpected: Mutex<BTreeMap<String, u64>>,
    /// The numbers of answers without a result, by kind of request.
    unanswered: Mutex<BTreeMap<&'static str, u64>>,
    last_value: AtomicI64,
    /// The number of requests of each client to the log.
    log_requests: Vec<AtomicU64>,
}

impl Recorder {
    pub(super) fn new(clients: usize) -> Self {
        Self {
            begun: now(),
            events: Mutex::default(),
            unexpected: Mutex::default(),
            unanswered: Mutex::default(),
            last_value: AtomicI64::new(0),
            log_requests: (0..clients).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Returns the time since the history began.
    pub(super) fn time(&self) -> Duration {
        self.begun.elapsed()
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, event: Event) {
        self.events().push(event);
    }

    fn unexpected(&self, what: &str, reply: &Reply) {
        let text = reply.text();
        let text: String = text.chars().take(300).collect();
        let text = format!("{what}: {} {text}", reply.status);
        let mut unexpected = self
            .unexpected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *unexpected.entry(text).or_default() += 1;
    }

    fn count_unanswered(&self, kind: &'static str) {
        let mut unanswered = self
            .unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *unanswered.entry(kind).or_default() += 1;
    }

    /// Returns a stamp that a request has received, if there is one.
    fn draw_stamp(&self, rng: &mut StdRng) -> Option<Stamp> {
        let stamps: Vec<Stamp> = self.events().iter().filter_map(Event::stamp).collect();
        stamps.choose(rng).copied()
    }

    /// Returns the events, the unexpected answers, and the numbers of requests without a result.
    pub(super) fn into_parts(self) -> RecordedParts {
        fn inner<T>(mutex: Mutex<T>) -> T {
            mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
        RecordedParts {
            events: inner(self.events),
            unexpected: inner(self.unexpected),
            unanswered: inner(self.unanswered),
        }
    }
}

/// The contents of a [`Recorder`].
pub(super) struct RecordedParts {
    pub(super) events: Vec<Event>,
    pub(super) unexpected: BTreeMap<String, u64>,
    pub(super) unanswered: BTreeMap<&'static str, u64>,
}

/// A client. It sends one request after the other to random instances.
pub(super) struct Client<'a> {
    pub(super) number: usize,
    pub(super) cluster: &'a Cluster,
    pub(super) recorder: &'a Recorder,
    pub(super) rng: StdRng,
    /// Whether the client sends the newest stamp that it has received with each request.
    pub(super) has_session: bool,
    pub(super) stamp: Option<Stamp>,
}

impl Client<'_> {
    /// Sends requests until the load ends.
    pub(super) fn run(mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            match self.rng.random_range(0..100) {
                0..20 => self.write_log(),
                20..32 => {
                    let fields: &[&[u8]] = &[&[0], &[1], &[0, 1]];
                    let fields = fields.choose(&mut self.rng).unwrap();
                    self.write_fields(fields);
                }
                32..47 => self.write_register(),
                47..50 => self.delete_register(),
                50..52 => self.delete_log(),
                52..60 => self.write_dropped(),
                60..68 => self.read_log(ReadConsistency::Strong),
                68..74 => self.read(Table::Fields, None, ReadConsistency::Strong),
                74..86 => self.read(Table::Registers, None, ReadConsistency::Strong),
                86..90 => self.read(Table::Dropped, None, ReadConsistency::Strong),
                90..93 => self.read_log(ReadConsistency::Stale(STALENESS)),
                93..97 => self.read(Table::Fields, None, ReadConsistency::Stale(STALENESS)),
                97..98 => self.read_log(ReadConsistency::AsOf),
                _ => self.read(Table::Fields, None, ReadConsistency::AsOf),
            }
            pause(Duration::from_millis(self.rng.random_range(10..150)));
        }
    }

    fn new_value(&self) -> i64 {
        self.recorder.last_value.fetch_add(1, Ordering::Relaxed)
    }

    fn tag(&self) -> u32 {
        u32::try_from(self.number).unwrap()
    }

    fn write_log(&mut self) {
        let request = self.recorder.log_requests[self.number].fetch_add(1, Ordering::Relaxed);
        let cells = (0..LOG_ROWS).map(|row| Cell {
            table: Table::Log,
            tag: self.tag(),
            time: request * LOG_STEP + row,
            field: 0,
        });
        let values = cells.map(|cell| (cell, self.new_value())).collect();
        self.write(values, false);
    }

    fn write_fields(&mut self, fields: &[u8]) {
        let tag = self.rng.random_range(0..FIELD_POINTS);
        let cells = fields.iter().map(|field| Cell {
            table: Table::Fields,
            tag,
            time: 1,
            field: *field,
        });
        let values = cells.map(|cell| (cell, self.new_value())).collect();
        self.write(values, false);
    }

    fn write_register(&mut self) {
        let cell = Cell {
            table: Table::Registers,
            tag: self.rng.random_range(0..REGISTER_POINTS),
            time: 1,
            field: 0,
        };
        self.write([(cell, self.new_value())].into(), true);
    }

    fn write_dropped(&mut self) {
        let value = self.new_value();
        let cell = Cell {
            table: Table::Dropped,
            tag: self.tag(),
            time: value.unsigned_abs(),
            field: 0,
        };
        self.write([(cell, value)].into(), false);
    }

    /// Writes one row into each table, so that all tables and columns exist.
    pub(super) fn create_tables(&mut self) {
        self.write_log();
        self.write_fields(&[0, 1]);
        self.write_register();
        self.write_dropped();
    }

    /// Draws an instance, waits while there is none.
    fn instance(&mut self, role: &str) -> (Option<u64>, ServerClient) {
        loop {
            let instances = self.cluster.instances(role);
            if let Some(instance) = instances.choose(&mut self.rng) {
                return instance.clone();
            }
            pause(Duration::from_millis(100));
        }
    }

    fn write(&mut self, values: CellValues, is_strict: bool) {
        let (instance, server) = self.instance("ingest");
        let path = format!("/api/v3/write_lp?db={DATABASE}&precision=second");
        let mut request = server.request("POST", &path).body(lines(&values));
        if is_strict {
            request = request.header("x-neap-order", "strict");
        }
        let operation = Operation::Write { values, is_strict };
        self.change("writes", instance, operation, request);
    }

    fn delete_register(&mut self) {
        let tag = self.rng.random_range(0..REGISTER_POINTS);
        self.delete(Table::Registers, tag, 0..10);
    }

    /// Deletes some requests of a client from the log.
    fn delete_log(&mut self) {
        let client = self.rng.random_range(0..self.recorder.log_requests.len());
        let requests = self.recorder.log_requests[client].load(Ordering::Relaxed);
        let first = self.rng.random_range(0..=requests);
        let end = first + self.rng.random_range(1..4);
        let tag = u32::try_from(client).unwrap();
        self.delete(Table::Log, tag, first * LOG_STEP..end * LOG_STEP);
    }

    fn delete(&mut self, table: Table, tag: u32, times: std::ops::Range<u64>) {
        let (instance, server) = self.instance("ingest");
        let body = json!({
            "db": DATABASE,
            "table": table.name(),
            "start": date(times.start),
            // Both ends are included.
            "stop": date(times.end - 1),
            "condition": format!("series = '{tag}'"),
        });
        let request = server.request("POST", "/api/v3/delete_rows");
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        let operation = Operation::Delete { table, tag, times };
        self.change("deletes", instance, operation, request);
    }

    /// Drops the table that is dropped again and again.
    pub(super) fn drop_table(&mut self) {
        let (instance, server) = self.instance("ingest");
        let table = Table::Dropped;
        let path = format!(
            "/api/v3/configure/table?db={DATABASE}&table={}",
            table.name()
        );
        let request = server.request("DELETE", &path);
        self.change("drops", instance, Operation::Drop(table), request);
    }

    /// Sends a change, and records its outcome.
    fn change(
        &mut self,
        kind: &'static str,
        instance: Option<u64>,
        operation: Operation,
        request: reqwest::blocking::RequestBuilder,
    ) {
        let after = self.stamp.filter(|_| self.has_session);
        let request = match after {
            Some(after) => request.header(STAMP, after),
            None => request,
        };
        let begin = self.recorder.time();
        let reply = Reply::of(request.timeout(LIMIT));
        let end = self.recorder.time();
        let outcome = match &reply {
            Ok(reply) => match reply.status {
                200 | 204 => Outcome::Acknowledged(reply.stamp()),
                502..=504 => Outcome::Unknown(reply.stamp()),
                // Another drop was first.
                404 if kind == "drops" => Outcome::Refused,
                status => {
                    self.recorder.unexpected(kind, reply);
                    match status {
                        400..500 => Outcome::Refused,
                        _ => Outcome::Unknown(None),
                    }
                }
            },
            // The request was not sent.
            Err(error) if error.is_connect() => Outcome::Refused,
            Err(_) => Outcome::Unknown(None),
        };
        if let Outcome::Acknowledged(stamp) = outcome {
            self.stamp = self.stamp.max(stamp);
        } else {
            self.recorder.count_unanswered(kind);
        }
        self.recorder.record(Event {
            client: self.number,
            instance,
            after,
            begin,
            end,
            operation,
            outcome,
        });
    }

    /// Reads the log of one client.
    fn read_log(&mut self, consistency: ReadConsistency) {
        let client = self.rng.random_range(0..self.recorder.log_requests.len());
        let tag = u32::try_from(client).unwrap();
        self.read(Table::Log, Some(tag), consistency);
    }

    fn read(&mut self, table: Table, tag: Option<u32>, consistency: ReadConsistency) {
        let (instance, server) = self.instance("query");
        self.read_at(DATABASE, (instance, server), table, tag, consistency);
    }

    /// Reads a table through an instance. Returns whether there was an answer.
    pub(super) fn read_at(
        &mut self,
        database: &str,
        (instance, server): (Option<u64>, ServerClient),
        table: Table,
        tag: Option<u32>,
        consistency: ReadConsistency,
    ) -> bool {
        let body = json!({ "db": database, "q": select(table, tag) }).to_string();
        let mut request = server.request("POST", "/api/v3/query_sql").body(body);
        let after = self.stamp.filter(|_| self.has_session);
        let after = after.filter(|_| consistency != ReadConsistency::AsOf);
        if let Some(after) = after {
            request = request.header(STAMP, after);
        }
        match consistency {
            ReadConsistency::Strong => {}
            ReadConsistency::Stale(age) => {
                let age = format!("{}ms", age.as_millis());
                request = request.header("x-neap-max-staleness", age);
            }
            ReadConsistency::AsOf => {
                let Some(stamp) = self.recorder.draw_stamp(&mut self.rng) else {
                    return false;
                };
                request = request.header("x-neap-as-of", stamp);
            }
        }
        let begin = self.recorder.time();
        let reply = Reply::of(request.timeout(LIMIT));
        let end = self.recorder.time();
        let Some((values, mark)) = self.rows(table, consistency, reply) else {
            self.recorder.count_unanswered("reads");
            return false;
        };
        self.recorder.record(Event {
            client: self.number,
            instance,
            after,
            begin,
            end,
            operation: Operation::Read {
                table,
                tag,
                consistency,
            },
            outcome: Outcome::Answer(values, mark),
        });
        true
    }

    /// Returns the rows of an answer, and the stamp up to which it reaches. `None` without an answer.
    fn rows(
        &self,
        table: Table,
        consistency: ReadConsistency,
        reply: reqwest::Result<Reply>,
    ) -> Option<(CellValues, Option<Stamp>)> {
        let reply = reply.ok()?;
        match reply.status {
            200 => {
                let mark = reply.header("x-neap-as-of");
                let mark = mark.and_then(|mark| mark.parse().ok());
                let rows: Vec<Value> = serde_json::from_slice(&reply.bytes).unwrap();
                Some((cells(table, &rows), mark))
            }
            502..=504 => None,
            _ if table == Table::Dropped && reply.text().contains("not found") => {
                Some((CellValues::new(), None))
            }
            // The state is older than the oldest version that is kept.
            404 | 400 if consistency == ReadConsistency::AsOf => None,
            _ => {
                self.recorder.unexpected("read", &reply);
                None
            }
        }
    }
}

/// Returns the names of the fields of a table.
fn fields(table: Table) -> &'static [&'static str] {
    match table {
        Table::Fields => &["v", "w"],
        _ => &["v"],
    }
}

/// Returns a statement that reads a table, or the rows with one tag.
pub(super) fn select(table: Table, tag: Option<u32>) -> String {
    let condition = tag.map_or_else(String::new, |tag| format!(" WHERE series = '{tag}'"));
    format!(
        "SELECT series, {}, CAST(time AS BIGINT) / 1000000000 AS t FROM {}{condition}",
        fields(table).join(", "),
        table.name()
    )
}

/// Returns the cells of the rows of an answer.
pub(super) fn cells(table: Table, rows: &[Value]) -> CellValues {
    let mut values = CellValues::new();
    for row in rows {
        let tag = row["series"].as_str().unwrap().parse().unwrap();
        let time = row["t"].as_u64().unwrap();
        for (field, name) in (0..).zip(fields(table)) {
            let cell = Cell {
                table,
                tag,
                time,
                field,
            };
            if let Some(value) = row[name].as_i64() {
                let former = values.insert(cell, value);
                assert_eq!(former, None, "{cell:?} is in two rows");
            }
        }
    }
    values
}

/// Returns values as line protocol.
fn lines(values: &CellValues) -> String {
    let mut points: BTreeMap<(Table, u32, u64), Vec<String>> = BTreeMap::new();
    for (cell, value) in values {
        let name = fields(cell.table)[usize::from(cell.field)];
        let point = (cell.table, cell.tag, cell.time);
        points
            .entry(point)
            .or_default()
            .push(format!("{name}={value}i"));
    }
    let lines = points.into_iter().map(|((table, tag, time), fields)| {
        format!(
            "{},series={tag} {} {time}\n",
            table.name(),
            fields.join(",")
        )
    });
    lines.collect()
}

/// Returns a time of the first day of 1970.
fn date(seconds: u64) -> String {
    let (minutes, second) = (seconds / 60, seconds % 60);
    format!(
        "1970-01-01T{:02}:{:02}:{second:02}Z",
        minutes / 60,
        minutes % 60
    )
}
