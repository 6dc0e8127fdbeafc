//! Runs a trigger once: its log, its queries and writes, and the lines that it queues.
//!
//! ```text
//! code on disk ── plugin runs ──┬── fails: its queued lines are dropped
//!                     │         └── succeeds: its queued lines are written, per database, all or none
//!              log, query, write_sync        a crash here: the run is repeated, its segment is unprocessed
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use neap_bucket::World;
use neap_catalog::Trigger;
use neap_schema::DatabaseId;
use tokio_util::sync::CancellationToken;

use crate::{
    DatabaseAccess, DatabaseAccessError, LogLevel, PluginCall, PluginCallError, PluginInput,
    PluginResponse, PluginRuntime, PluginWriteOptions, QueryRows, RunContext, RunError, RunLimits,
    logs::{LogSource, PluginLog},
    metrics::EngineMetrics,
};

/// The time beyond its limit for which the engine waits for a run, because the worker enforces the limit itself.
const RUN_TIMEOUT_MARGIN: Duration = Duration::from_secs(1);

/// A trigger to run, with its input.
#[derive(Clone, Debug)]
pub(crate) struct TriggerRun {
    pub(crate) database: DatabaseId,
    pub(crate) database_name: Arc<str>,
    pub(crate) trigger: Arc<Trigger>,
    pub(crate) call: PluginInput,
    /// The number of plugins in a row that lead to the lines that this plugin writes.
    pub(crate) depth: u8,
    /// The time limit of the run, if it is lower than that of the settings.
    pub(crate) time: Option<Duration>,
    /// Cancelled when the trigger is disabled or deleted, which ends the run.
    pub(crate) stop: CancellationToken,
    /// Cancelled when no caller waits for the run any more. A run that has not started then ends.
    pub(crate) abandoned: CancellationToken,
}

impl TriggerRun {
    /// Returns the source of the log lines of the run.
    pub(crate) fn log_source(&self) -> LogSource {
        LogSource {
            database: self.database,
            database_name: Arc::clone(&self.database_name),
            trigger: Arc::from(self.trigger.name.as_str()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct TriggerRunOutcome {
    /// The response of the plugin, or its error.
    pub(crate) result: Result<Option<PluginResponse>, PluginCallError>,
    /// Whether queued lines could not be written.
    pub(crate) is_unwritten: bool,
}

impl TriggerRunOutcome {
    /// Returns whether a retry is unnecessary.
    pub(crate) fn is_success(&self) -> bool {
        self.result.is_ok() && !self.is_unwritten
    }
}

/// Runs triggers.
#[derive(Clone, Debug)]
pub(crate) struct TriggerRunner {
    pub(crate) plugins: Arc<dyn PluginRuntime>,
    pub(crate) database: Arc<dyn DatabaseAccess>,
    pub(crate) log: PluginLog,
    pub(crate) metrics: EngineMetrics,
    pub(crate) world: World,
}

impl TriggerRunner {
    /// Runs a trigger once and writes the lines that it queued.
    pub(crate) async fn run(&self, job: TriggerRun) -> TriggerRunOutcome {
        let of = job.log_source();
        let (depth, database) = (job.depth, Arc::clone(&of.database_name));
        let started_at = self.log.clock_reading();
        self.log_start(&of, &job.call);
        let context = Arc::new(PluginContext { runner: self.clone(), of: of.clone(), depth });
        let call = PluginCall {
            database: job.database,
            database_name: Arc::clone(&of.database_name),
            trigger: job.trigger,
            call: job.call,
            limits: RunLimits { wall_time: job.time, ..RunLimits::default() },
            stop: job.stop,
            abandoned: job.abandoned,
            context,
        };
        let run = self.plugins.run(call);
        let finished = match job.time {
            None => run.await,
            // The time limit of an event includes the wait for a process.
            Some(time) => {
                let ran = self.world.timeout(time.saturating_add(RUN_TIMEOUT_MARGIN), run).await;
                ran.unwrap_or(Err(PluginCallError::Failed(RunError::Stopping)))
            }
        };
        let took = self.log.elapsed(&started_at);
        let labels = (&*database, &*of.trigger);
        self.metrics.ran(labels, took, finished.as_ref().err());
        let finished = match finished {
            Ok(finished) => finished,
            Err(failure) => {
                self.log_failure(&of, &failure);
                return TriggerRunOutcome { result: Err(failure), is_unwritten: false };
            }
        };
        let is_unwritten = !self.write_queued(&of, finished.queued, depth).await;
        if is_unwritten {
            self.metrics.unwritten(labels);
        }
        let text = format!("finished execution in {}", humantime::format_duration(took));
        self.log.add(&of, LogLevel::Info, text);
        TriggerRunOutcome { result: Ok(finished.response), is_unwritten }
    }

    fn log_start(&self, of: &LogSource, call: &PluginInput) {
        let text = match call {
            PluginInput::Writes { .. } => "starting execution of wal plugin.".to_owned(),
            PluginInput::Schedule { time } => {
                match DateTime::from_timestamp_micros(time.micros()) {
                    Some(time) => format!("starting execution with scheduled time {time}"),
                    None => "starting execution of scheduled plugin.".to_owned(),
                }
            }
            PluginInput::Request { .. } => "starting execution of request plugin.".to_owned(),
        };
        self.log.add(of, LogLevel::Info, text);
    }

    fn log_failure(&self, of: &LogSource, failure: &PluginCallError) {
        let mut text = failure.to_string();
        if let PluginCallError::Failed(RunError::Plugin { traceback: Some(traceback), .. }) =
            failure
        {
            text.push('\n');
            text.push_str(traceback);
        }
        self.log.add(of, LogLevel::Error, text);
    }

    /// Writes the lines that a run queued. Returns whether all of them are stored; failures are logged.
    async fn write_queued(
        &self,
        of: &LogSource,
        queued: BTreeMap<String, Vec<String>>,
        depth: u8,
    ) -> bool {
        let mut is_complete = true;
        for (database, lines) in queued {
            if lines.is_empty() {
                continue;
            }
            let body = Bytes::from(lines.join("\n"));
            let options = of_trigger(of, &database, depth, false);
            if let Err(error) = self.database.write(&database, body, options).await {
                is_complete = false;
                let text = format!("error writing lines to {database}: {error}");
                self.log.add(of, LogLevel::Error, text);
            }
        }
        is_complete
    }
}

/// Returns the options for writing a trigger's lines to a database.
fn of_trigger(of: &LogSource, database: &str, depth: u8, no_sync: bool) -> PluginWriteOptions {
    PluginWriteOptions {
        depth,
        no_sync,
        only: (*database == *of.database_name).then_some(of.database),
    }
}

/// Handles the log lines, queries and writes of one run.
#[derive(Clone, Debug)]
struct PluginContext {
    runner: TriggerRunner,
    of: LogSource,
    depth: u8,
}

#[async_trait]
impl RunContext for PluginContext {
    fn log(&self, level: LogLevel, text: String) {
        self.runner.log.add(&self.of, level, text);
    }

    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError> {
        let port = &self.runner.database;
        port.query(database, sql, parameters).await
    }

    async fn write_now(
        &self,
        database: &str,
        lines: Bytes,
        no_sync: bool,
    ) -> Result<(), DatabaseAccessError> {
        let options = of_trigger(&self.of, database, self.depth, no_sync);
        let port = &self.runner.database;
        port.write(database, lines, options).await.map(drop)
    }
}
