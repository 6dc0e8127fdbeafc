//! Tests of plugins in real processes with a real interpreter.

mod api;
mod cache;
mod code;
mod limits;
mod permits;
mod pool;
mod response;
mod rows;
mod sandbox;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use neap_bucket::World;
use neap_schema::{DatabaseId, TriggerId};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    CompletedRun, DatabaseAccessError, LogLevel, PLUGIN_USER, PluginInput, PluginOnDisk,
    PluginResponse, PluginRun, QueryRows, RunContext, RunError, RunLimits, TriggerKey, WorkerPool,
    WorkerSettings,
};

/// A query as it arrived: database, statement, parameters.
type RecordedQuery = (String, String, Vec<(String, String)>);

/// Records the log lines, queries and writes of a plugin.
#[derive(Debug, Default)]
struct RecordingContext {
    log: Mutex<Vec<String>>,
    asked: Mutex<Vec<RecordedQuery>>,
    written: Mutex<Vec<(String, String, bool)>>,
    answer: Mutex<Vec<RecordBatch>>,
}

impl RecordingContext {
    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

#[async_trait]
impl RunContext for RecordingContext {
    fn log(&self, level: LogLevel, text: String) {
        self.log.lock().unwrap().push(format!("{level}: {text}"));
    }

    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError> {
        let asked = (database.to_owned(), sql.to_owned(), parameters.to_vec());
        self.asked.lock().unwrap().push(asked);
        if sql.contains("wrong") {
            return Err(DatabaseAccessError("no such table".to_owned()));
        }
        let batches = self.answer.lock().unwrap().clone();
        let schema = batches
            .first()
            .map_or_else(|| arrow_schema::Schema::empty().into(), RecordBatch::schema);
        let broken = sql.contains("breaks");
        let end = broken.then(|| Err(DatabaseAccessError("it broke off".to_owned())));
        let batches = batches.into_iter().map(Ok).chain(end);
        Ok(QueryRows { schema, batches: futures::stream::iter(batches).boxed() })
    }

    async fn write_now(
        &self,
        database: &str,
        lines: Bytes,
        no_sync: bool,
    ) -> Result<(), DatabaseAccessError> {
        if database == "refused" {
            return Err(DatabaseAccessError("not this one".to_owned()));
        }
        let lines = String::from_utf8(lines.to_vec()).unwrap();
        self.written.lock().unwrap().push((database.to_owned(), lines, no_sync));
        Ok(())
    }
}

/// A plugin and the processes that run it.
struct WorkerFixture {
    workers: WorkerPool,
    recorder: Arc<RecordingContext>,
    folder: TempDir,
    run: PluginRun,
}

fn settings() -> WorkerSettings {
    WorkerSettings {
        grace: Duration::from_millis(500),
        wall_time: Duration::from_secs(60),
        ..WorkerSettings::default()
    }
}

fn trigger(number: u32) -> TriggerKey {
    TriggerKey::Trigger {
        database: DatabaseId::new(1),
        trigger: TriggerId::new(number),
    }
}

fn request() -> PluginInput {
    PluginInput::Request {
        method: "POST".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Bytes::new(),
    }
}

impl WorkerFixture {
    fn new(source: &str) -> Self {
        Self::with(settings(), source)
    }

    fn with(settings: WorkerSettings, source: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.py");
        std::fs::write(&path, source).unwrap();
        let recorder = Arc::new(RecordingContext::default());
        let run = PluginRun {
            trigger: trigger(1),
            database_name: "home".into(),
            trigger_name: "t".into(),
            code: PluginOnDisk { path, version: "1".into() },
            arguments: None,
            call: request(),
            is_async: false,
            limits: RunLimits::default(),
            stop: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            context: Arc::clone(&recorder) as Arc<dyn RunContext>,
        };
        let workers = WorkerPool::new(settings, World::system());
        Self { workers, recorder, folder, run }
    }

    /// Creates a plugin whose `process_request` has this body, in which `local` is `influxdb3_local`.
    fn of_body(body: &str) -> Self {
        Self::new(&request_function(body))
    }

    /// Replaces the file of the plugin.
    fn rewrite(&mut self, source: &str, version: &str) {
        std::fs::write(&self.run.code.path, source).unwrap();
        self.run.code.version = version.into();
    }

    async fn run(&self) -> Result<CompletedRun, RunError> {
        self.workers.run(self.run.clone()).await
    }

    async fn respond(&self) -> PluginResponse {
        self.run().await.unwrap().response.unwrap()
    }

    /// Returns the response of the plugin as text.
    async fn text(&self) -> String {
        String::from_utf8(self.respond().await.body.to_vec()).unwrap()
    }

    /// Returns the error message of a failing plugin.
    async fn failure(&self) -> String {
        match self.run().await {
            Err(RunError::Plugin { text, .. }) => text,
            other => panic!("{other:?}"),
        }
    }
}

/// Makes plugins the owner of a file or folder, if they have a user of their own.
fn give_to_plugins(path: &Path) {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(PLUGIN_USER), None).unwrap();
    }
}

fn request_function(body: &str) -> String {
    let body: String = body.trim().lines().map(|line| format!("    {line}\n")).collect();
    format!("def process_request(local, query, headers, body, args=None):\n{body}")
}

fn lines(database: &str, lines: &[&str]) -> BTreeMap<String, Vec<String>> {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    BTreeMap::from([(database.to_owned(), lines)])
}
