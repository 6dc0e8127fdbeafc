//! The operator of a history: drops a table, compacts, and restores earlier states, while all else goes on.

use std::{
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rand::{Rng, seq::IndexedRandom};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    clients::{Client, DATABASE},
    derived_data::create_view,
    history::{
        Event, Operation, Outcome, ReadConsistency, ReadPath, ReadSelection, Stamp, Table,
        TableRead,
    },
    statements::{CACHED_ROWS, LONG_WINDOW, answer, select},
};
use crate::harness::{Reply, neap, neap_binary, pause, program, try_wait_for};

/// Maximum wait for a command. Commands that take longer are killed.
const COMMAND: Duration = Duration::from_secs(60);

/// Numbers of operations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OperatorCounts {
    pub(super) compactions: u64,
    pub(super) killed_compactions: u64,
    pub(super) restores: u64,
}

/// An operator, which also is a client.
pub(super) struct Operator<'a> {
    pub(super) client: Client<'a>,
    pub(super) counts: OperatorCounts,
    /// Whether a view of the view is wanted. It can be created when the view has rows.
    pub(super) wants_view_of_view: bool,
}

impl Operator<'_> {
    /// Operates until the load ends.
    pub(super) fn run(mut self, is_over: &AtomicBool) -> OperatorCounts {
        while !is_over.load(Ordering::Relaxed) {
            match self.client.rng.random_range(0..10) {
                0..2 => self.client.drop_table(),
                2..5 => self.restore(),
                5..7 => self.compact(true),
                _ => self.compact(false),
            }
            if self.wants_view_of_view {
                self.wants_view_of_view = !create_view(self.client.cluster, LONG_WINDOW);
            }
            let rest = self.client.rng.random_range(500..4_000);
            pause(Duration::from_millis(rest));
        }
        self.counts
    }

    /// Compacts. With `is_killed`, the process is killed at a random moment.
    fn compact(&mut self, is_killed: bool) {
        let folder = TempDir::new().unwrap();
        let mut command = program(&neap_binary(), folder.path());
        let store = &self.client.cluster.store;
        command.args(store.after(&["compact", "--settle-after", "0s"]));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let limit = if is_killed {
            Duration::from_millis(self.client.rng.random_range(50..2_500))
        } else {
            COMMAND
        };
        let ended = try_wait_for(limit, || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
            self.counts.killed_compactions += 1;
        } else {
            self.counts.compactions += 1;
        }
    }

    /// Restores a version of the database as a new one, and records its contents as a read as of this version.
    fn restore(&mut self) {
        let Some(mark) = self.versions().choose(&mut self.client.rng).copied() else {
            return;
        };
        let name = format!("restored_{}", self.counts.restores);
        let as_of = mark.to_string();
        let store = &self.client.cluster.store;
        let command = ["restore", "-d", DATABASE, "--as-of", &as_of, "--to", &name];
        let begin = self.client.recorder.time();
        let restored = neap(&store.after(&command));
        if restored.status != Some(0) {
            return;
        }
        let end = self.client.recorder.time();
        self.counts.restores += 1;
        // A flush shortly after the one that made the version replaces it. The restore then had the version before, as it
        // says. A version that is there now was there all the time.
        if !self.versions().contains(&mark) {
            return;
        }
        let as_of = ReadConsistency::AsOf;
        let newest = TableRead {
            selection: ReadSelection::Newest(CACHED_ROWS),
            path: ReadPath::Cache,
            ..TableRead::rows(Table::Samples, None, as_of)
        };
        let rows = [Table::Log, Table::Fields, Table::Samples]
            .map(|table| TableRead::rows(table, None, as_of));
        for read in rows.into_iter().chain([newest]) {
            let Some(rows) = self.rows(&name, &read) else {
                continue;
            };
            self.client.recorder.record(Event {
                client: self.client.number,
                instance: None,
                after: None,
                begin,
                end,
                operation: Operation::Read(read),
                outcome: Outcome::Answer(answer(&read, &rows), Some(mark)),
            });
        }
    }

    /// Returns the low-water marks of the versions that can be restored; none if they can't be read.
    fn versions(&self) -> Vec<Stamp> {
        let store = &self.client.cluster.store;
        let command = ["show", "versions", "-d", DATABASE, "--format", "json"];
        let shown = neap(&store.after(&command));
        let versions: Vec<Value> = serde_json::from_str(&shown.out).unwrap_or_default();
        let marks = versions.iter().filter_map(|version| version["stamp"].as_u64());
        marks.filter(|mark| *mark > 0).collect()
    }

    /// Returns the rows of a read of a restored database. `None` if no instance answers, or if the table did not exist.
    fn rows(&mut self, database: &str, read: &TableRead) -> Option<Vec<Value>> {
        let body = serde_json::json!({ "db": database, "q": select(read) }).to_string();
        try_wait_for(COMMAND, || {
            let instances = self.client.cluster.instances("query");
            let (_, server) = instances.choose(&mut self.client.rng)?;
            let request = server.request("POST", "/api/v3/query_sql");
            let reply = Reply::receive(request.body(body.clone()).timeout(COMMAND / 4)).ok()?;
            match reply.status {
                200 => Some(serde_json::from_slice(&reply.bytes).ok()),
                502..=504 => None,
                _ => Some(None),
            }
        })
        .flatten()
    }
}
