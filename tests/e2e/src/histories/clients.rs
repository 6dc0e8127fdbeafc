//! The clients of a history: they draw requests from the seed, send them, and record what happens.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    history::{
        Cell, CellValues, Event, Operation, Outcome, ReadAnswer, ReadConsistency, ReadPath,
        ReadSelection, Stamp, Table, TableRead,
    },
    recorder::HistoryRecorder,
    statements::{CACHED_ROWS, LONG_WINDOW, SHORT_WINDOW, answer, date, lines, select},
};
use crate::harness::{Reply, STAMP, ServerClient, pause, try_wait_for};

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
/// The number of tags of the samples, the number of points of each one, and the distance of their times in seconds.
const SAMPLE_TAGS: u32 = 4;
const SAMPLE_POINTS: u64 = 12;
const SAMPLE_STEP: u64 = 5;
/// Maximum number of points of a request to the samples.
const SAMPLE_ROWS: u64 = 3;
/// The staleness that stale reads allow.
const STALENESS: Duration = Duration::from_secs(5);

/// A client. It sends one request after the other to random instances.
pub(super) struct Client<'a> {
    pub(super) number: usize,
    pub(super) cluster: &'a Cluster,
    pub(super) recorder: &'a HistoryRecorder,
    pub(super) rng: StdRng,
    /// Whether the client sends the newest stamp that it has received with each request.
    pub(super) has_session: bool,
    pub(super) stamp: Option<Stamp>,
}

impl Client<'_> {
    /// Sends requests until the load ends.
    pub(super) fn run(mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let (strong, stale) = (ReadConsistency::Strong, ReadConsistency::Stale(STALENESS));
            match self.rng.random_range(0..100) {
                0..16 => self.write_log(),
                16..25 => self.write_fields(),
                25..37 => self.write_register(),
                37..40 => self.delete_register(),
                40..42 => self.delete_log(),
                42..48 => self.write_dropped(),
                48..58 => self.write_samples(),
                58..60 => self.delete_samples(),
                60..65 => self.read_log(strong),
                65..69 => self.read(TableRead::rows(Table::Fields, None, strong)),
                69..77 => self.read(TableRead::rows(Table::Registers, None, strong)),
                77..80 => self.read(TableRead::rows(Table::Dropped, None, strong)),
                80..82 => self.read_log(stale),
                82..85 => self.read(TableRead::rows(Table::Fields, None, stale)),
                85..86 => self.read_log(ReadConsistency::AsOf),
                86..88 => self.read(TableRead::rows(Table::Fields, None, ReadConsistency::AsOf)),
                _ => self.read_samples(),
            }
            pause(Duration::from_millis(self.rng.random_range(10..150)));
        }
    }

    fn new_value(&self) -> i64 {
        self.recorder.new_value()
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

    /// Draws the fields of a point.
    fn draw_fields(&mut self) -> &'static [u8] {
        let fields: [&[u8]; 3] = [&[0], &[1], &[0, 1]];
        fields.choose(&mut self.rng).unwrap()
    }

    fn write_fields(&mut self) {
        let fields = self.draw_fields();
        let tag = self.rng.random_range(0..FIELD_POINTS);
        self.write_points(Table::Fields, tag, &[1], fields);
    }

    fn write_samples(&mut self) {
        let fields = self.draw_fields();
        let tag = self.rng.random_range(0..SAMPLE_TAGS);
        let count = self.rng.random_range(1..=SAMPLE_ROWS);
        let times: Vec<u64> = (0..count)
            .map(|_| self.rng.random_range(0..SAMPLE_POINTS) * SAMPLE_STEP)
            .collect();
        self.write_points(Table::Samples, tag, &times, fields);
    }

    /// Writes the same fields of several points without strict order.
    fn write_points(&mut self, table: Table, tag: u32, times: &[u64], fields: &[u8]) {
        let cells = times.iter().flat_map(|time| {
            fields.iter().map(|field| Cell { table, tag, time: *time, field: *field })
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
        self.write_points(Table::Fields, 0, &[1], &[0, 1]);
        self.write_register();
        self.write_dropped();
        self.write_points(Table::Samples, 0, &[0], &[0, 1]);
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

    /// Deletes some or all samples of one tag.
    fn delete_samples(&mut self) {
        let tag = self.rng.random_range(0..SAMPLE_TAGS);
        let end = SAMPLE_POINTS * SAMPLE_STEP;
        let times = if self.rng.random_bool(0.5) {
            0..end
        } else {
            let first = self.rng.random_range(0..end);
            first..self.rng.random_range(first..end) + 1
        };
        self.delete(Table::Samples, tag, times);
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
        let request = server
            .request("POST", "/api/v3/delete_rows")
            .header("content-type", "application/json")
            .body(body.to_string());
        let operation = Operation::Delete { table, tag, times };
        self.change("deletes", instance, operation, request);
    }

    /// Drops the table that is dropped again and again.
    pub(super) fn drop_table(&mut self) {
        let (instance, server) = self.instance("ingest");
        let table = Table::Dropped;
        let path = format!("/api/v3/configure/table?db={DATABASE}&table={}", table.name());
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
        let reply = Reply::receive(request.timeout(LIMIT));
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
        self.read(TableRead::rows(Table::Log, Some(tag), consistency));
    }

    /// Reads the samples: themselves, through their caches, or their windows, which a view may answer.
    fn read_samples(&mut self) {
        let windows =
            ReadSelection::Windows(*[SHORT_WINDOW, LONG_WINDOW].choose(&mut self.rng).unwrap());
        let (selection, path) = match self.rng.random_range(0..12) {
            0..1 => (ReadSelection::Rows, ReadPath::Table),
            1..4 => (ReadSelection::Newest(CACHED_ROWS), ReadPath::Cache),
            4..5 => (ReadSelection::Newest(1), ReadPath::Table),
            5..7 => (ReadSelection::Tags, ReadPath::Cache),
            7..8 => (ReadSelection::Tags, ReadPath::Table),
            8..11 => (windows, ReadPath::Table),
            _ => (windows, ReadPath::WithoutViews),
        };
        let consistency = match self.rng.random_range(0..10) {
            0..6 => ReadConsistency::Strong,
            6..9 => ReadConsistency::Stale(STALENESS),
            _ => ReadConsistency::AsOf,
        };
        let has_tag = self.rng.random_bool(0.3);
        let tag = self.rng.random_range(0..SAMPLE_TAGS);
        self.read(TableRead {
            table: Table::Samples,
            tag: has_tag.then_some(tag),
            selection,
            path,
            consistency,
        });
    }

    fn read(&mut self, read: TableRead) {
        let instance = self.instance("query");
        self.read_at(DATABASE, instance, read);
    }

    /// Reads through an instance. Returns whether there was an answer.
    pub(super) fn read_at(
        &mut self,
        database: &str,
        (instance, server): (Option<u64>, ServerClient),
        read: TableRead,
    ) -> bool {
        let body = json!({ "db": database, "q": select(&read) }).to_string();
        let mut request = server.request("POST", "/api/v3/query_sql").body(body);
        let after = self
            .stamp
            .filter(|_| self.has_session)
            .filter(|_| read.consistency != ReadConsistency::AsOf);
        if let Some(after) = after {
            request = request.header(STAMP, after);
        }
        if read.path == ReadPath::WithoutViews {
            request = request.header("x-neap-rollups", "off");
        }
        match read.consistency {
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
        let reply = Reply::receive(request.timeout(LIMIT));
        let end = self.recorder.time();
        let Some((answer, mark)) = self.answer(&read, reply) else {
            self.recorder.count_unanswered("reads");
            return false;
        };
        self.recorder.record(Event {
            client: self.number,
            instance,
            after,
            begin,
            end,
            operation: Operation::Read(read),
            outcome: Outcome::Answer(answer, mark),
        });
        true
    }

    /// Reads the rows that the trigger has received, when these are all acknowledged rows of the log or the time is over.
    pub(super) fn read_deliveries(&mut self, limit: Duration) {
        let read = TableRead::strong(Table::Log, ReadSelection::Deliveries, ReadPath::Table);
        let expected = self.recorder.acknowledged_cells(read.table);
        try_wait_for(limit, || {
            let (_, server) = self.instance("query");
            let body = json!({ "db": DATABASE, "q": select(&read) }).to_string();
            let request = server.request("POST", "/api/v3/query_sql").body(body);
            let reply = Reply::receive(request.timeout(LIMIT));
            let (ReadAnswer::Cells(delivered), _) = self.answer(&read, reply)? else {
                return None;
            };
            let mut expected = expected.iter();
            let is_complete = expected.all(|(cell, value)| delivered.get(cell) == Some(value));
            is_complete.then_some(())
        });
        self.read(read);
    }

    /// Returns the rows of an answer, and the stamp up to which it reaches. `None` without an answer.
    fn answer(
        &self,
        read: &TableRead,
        reply: reqwest::Result<Reply>,
    ) -> Option<(ReadAnswer, Option<Stamp>)> {
        let reply = reply.ok()?;
        // The table of a view or of a trigger exists when it has its first row.
        let may_be_missing = read.table == Table::Dropped
            || read.path == ReadPath::View
            || read.selection == ReadSelection::Deliveries;
        match reply.status {
            200 => {
                let mark = reply.header("x-neap-as-of").and_then(|mark| mark.parse().ok());
                let rows: Vec<Value> = serde_json::from_slice(&reply.bytes).unwrap();
                Some((answer(read, &rows), mark))
            }
            502..=504 => None,
            _ if may_be_missing && reply.text().contains("not found") => {
                Some((answer(read, &[]), None))
            }
            // The state is older than the oldest version that is kept.
            404 | 400 if read.consistency == ReadConsistency::AsOf => None,
            _ => {
                self.recorder.unexpected("read", &reply);
                None
            }
        }
    }
}
