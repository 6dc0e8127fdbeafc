//! Dry runs: a plugin runs with real queries, and its log lines and writes are returned instead of stored.
//!
//! As in InfluxDB 3 Core, a plugin failure does not fail the request. Lines are validated after the run, so that all
//! errors are reported at once.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use axum::{Json, Router, extract::State, routing::post};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use neap_bucket::StoreTime;
use neap_catalog::{DatabaseCatalog, validate_database_name};
use neap_http::ApiError;
use neap_rows::line_protocol::{Options, ParsedBody, Precision, SchemaView, TableView, parse};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{EngineRoutes, parts::RoutesCall};
use crate::{
    CompletedRun, DatabaseAccess, DatabaseAccessError, LogLevel, PluginInput, PluginOnDisk,
    PluginRun, QueryRows, RunContext, RunLimits, Timetable, TriggerKey,
};

/// The cache of dry runs without a cache name.
const SHARED_CACHE: &str = "_shared_test";
/// The schedule of dry runs without a schedule: every second.
const EVERY_SECOND: &str = "* * * * * *";
/// Maximum bytes that a dry run may write synchronously.
const MAX_WRITTEN_BYTES: usize = 64 << 20;
/// Maximum number of cells in the rows of a dry run.
const MAX_CELLS: usize = 10_000_000;
/// Maximum number of errors reported for the lines of a database.
const MAX_ERRORS: usize = 100;

/// The routes of this module.
pub(super) fn routes() -> Router<Arc<EngineRoutes>> {
    Router::new()
        .route("/api/v3/plugin_test/wal", post(wal))
        .route("/api/v3/plugin_test/schedule", post(schedule))
}

#[derive(Debug, Deserialize)]
struct WalBody {
    filename: String,
    database: String,
    input_lp: String,
    cache_name: Option<String>,
    input_arguments: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct ScheduleBody {
    filename: String,
    database: String,
    schedule: Option<String>,
    cache_name: Option<String>,
    input_arguments: Option<BTreeMap<String, String>>,
}

/// The response of a dry run.
#[derive(Debug, Default, Serialize)]
struct DryRunOutcome {
    log_lines: Vec<String>,
    /// Lines by database.
    database_writes: BTreeMap<String, Vec<String>>,
    errors: Vec<String>,
}

impl DryRunOutcome {
    fn failed(error: impl ToString) -> Self {
        Self { errors: vec![error.to_string()], ..Self::default() }
    }
}

/// The response of a dry run of a schedule.
#[derive(Debug, Serialize)]
struct ScheduleDryRunOutcome {
    /// The time at which the plugin would run: the next time of the schedule.
    trigger_time: Option<String>,
    #[serde(flatten)]
    outcome: DryRunOutcome,
}

/// `POST /api/v3/plugin_test/wal`
async fn wal((State(parts), caller, request): RoutesCall) -> Result<Json<DryRunOutcome>, ApiError> {
    caller.require_admin()?;
    let body: WalBody = parts.json(request, parts.body.max_bytes).await?;
    parts.require_dependencies(&body.filename).await?;
    let code = parts.code.on_disk_by_name(&body.filename).await?;
    let tables = match parts.parse(&body.database, &body.input_lp, true).await? {
        Err(error) => {
            let error = format!("line protocol parse error: {error}");
            return Ok(Json(DryRunOutcome::failed(error)));
        }
        Ok(parsed) => parsed.tables.into_iter(),
    };
    let call = PluginInput::Writes {
        tables: tables.map(|table| (table.name, vec![table.batch])).collect(),
        stamp: None,
    };
    let run = DryRun {
        plugin: body.filename,
        database: body.database,
        cache: body.cache_name,
        arguments: body.input_arguments,
        begins: "starting execution of wal plugin.".to_owned(),
    };
    Ok(Json(parts.dry_run(run, code, call).await?))
}

/// `POST /api/v3/plugin_test/schedule`
async fn schedule(
    (State(parts), caller, request): RoutesCall,
) -> Result<Json<ScheduleDryRunOutcome>, ApiError> {
    caller.require_admin()?;
    let body: ScheduleBody = parts.json(request, parts.body.max_bytes).await?;
    parts.require_dependencies(&body.filename).await?;
    let code = parts.code.on_disk_by_name(&body.filename).await?;
    let failed = |error: &str| {
        Ok(Json(ScheduleDryRunOutcome {
            trigger_time: None,
            outcome: DryRunOutcome::failed(error),
        }))
    };
    let known = parts.catalog.database_by_name(&body.database, parts.catalog.max_age());
    if known.await?.is_none() {
        return failed("couldn't find db");
    }
    let cron = body.schedule.as_deref().unwrap_or(EVERY_SECOND);
    let time = match Timetable::cron(cron) {
        Err(reason) => return failed(&format!("invalid cron syntax: {reason}")),
        Ok(table) => table.next_after(parts.now()),
    };
    let shown = time.and_then(|time| DateTime::from_timestamp_micros(time.micros()));
    let (Some(time), Some(shown)) = (time, shown) else {
        return failed(&format!("cron schedule never triggers: {cron}"));
    };
    let run = DryRun {
        plugin: body.filename,
        database: body.database,
        cache: body.cache_name,
        arguments: body.input_arguments,
        begins: format!("starting execution with scheduled time {}", display(shown)),
    };
    let outcome = parts.dry_run(run, code, PluginInput::Schedule { time }).await?;
    Ok(Json(ScheduleDryRunOutcome {
        trigger_time: Some(shown.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        outcome,
    }))
}

fn display(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

struct DryRun {
    plugin: String,
    database: String,
    cache: Option<String>,
    arguments: Option<BTreeMap<String, String>>,
    /// The first line of the log.
    begins: String,
}

impl EngineRoutes {
    fn now(&self) -> StoreTime {
        let bucket = self.catalog.bucket();
        let now = bucket.clock().now();
        now.unwrap_or_else(|| StoreTime::from_micros(bucket.world().clock.wall_micros()))
    }

    async fn dry_run(
        &self,
        dry_run: DryRun,
        code: PluginOnDisk,
        call: PluginInput,
    ) -> Result<DryRunOutcome, ApiError> {
        let recorder = Arc::new(DryRunContext {
            database: Arc::clone(&self.database),
            recorded: Mutex::default(),
        });
        let run = PluginRun {
            trigger: TriggerKey::DryRun(dry_run.cache.as_deref().unwrap_or(SHARED_CACHE).into()),
            database_name: dry_run.database.into(),
            trigger_name: dry_run.plugin.into(),
            code,
            arguments: dry_run.arguments,
            call,
            is_async: false,
            limits: RunLimits::default(),
            stop: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            context: Arc::clone(&recorder) as Arc<dyn RunContext>,
        };
        let ran = self.workers.run(run).await;
        let DryRunEffects { mut log_lines, mut writes, .. } = mem::take(&mut *recorder.recorded());
        let CompletedRun { queued, took, .. } = match ran {
            Ok(finished) => finished,
            Err(error) => {
                let error = format!("error executing plugin: {error}");
                return Ok(DryRunOutcome { log_lines, ..DryRunOutcome::failed(error) });
            }
        };
        // In the order of real writes: synchronous writes first, then queued lines.
        for (database, lines) in queued {
            writes.entry(database).or_default().extend(lines);
        }
        let took = humantime::format_duration(took);
        log_lines.insert(0, line(LogLevel::Info, &dry_run.begins));
        log_lines.push(line(LogLevel::Info, &format!("finished execution in {took}")));
        let mut errors = Vec::new();
        for (database, lines) in &writes {
            if let Err(error) = self.parse(database, &lines.join("\n"), false).await? {
                errors
                    .push(format!("line protocol parse error on write to db {database}: {error}"));
            }
        }
        Ok(DryRunOutcome { log_lines, database_writes: writes, errors })
    }

    /// Validates lines against the tables of a database, without creating tables. A database that does not exist is
    /// valid, because a write would create it.
    async fn parse(
        &self,
        database: &str,
        lines: &str,
        stop_at_first_error: bool,
    ) -> Result<Result<ParsedBody, String>, ApiError> {
        let max_age = self.catalog.max_age();
        let found = self.catalog.database_by_name(database, max_age).await?;
        let catalog = match found {
            Some(id) => self.catalog.database(id, max_age).await?.value,
            None => match validate_database_name(database) {
                Ok(()) => Arc::default(),
                Err(error) => return Ok(Err(error.to_string())),
            },
        };
        let options = Options {
            precision: Precision::Nanosecond,
            default_time_ns: self.now().micros().saturating_mul(1_000),
            stop_at_first_error,
            max_cells: Some(MAX_CELLS),
            max_errors: Some(MAX_ERRORS),
            ..Options::default()
        };
        Ok(match parse(lines.as_bytes(), &CatalogSchemaView(&catalog), &options) {
            Err(error) => Err(error.to_string()),
            Ok(parsed) if parsed.errors.is_empty() => Ok(parsed),
            Ok(parsed) => {
                let of_line = |error: &neap_rows::line_protocol::LineError| {
                    let (number, line) = (error.line_number, &error.original_line);
                    format!("line {number}: {} in '{line}'", error.error_message)
                };
                let errors: Vec<_> = parsed.errors.iter().map(of_line).collect();
                Err(errors.join("; "))
            }
        })
    }
}

struct CatalogSchemaView<'a>(&'a DatabaseCatalog);

impl SchemaView for CatalogSchemaView<'_> {
    fn table(&self, name: &str) -> Option<Arc<TableView>> {
        Some(self.0.table(name)?.view())
    }
}

fn line(level: LogLevel, text: &str) -> String {
    format!("{level}: {text}")
}

/// The log lines and writes of a dry run.
#[derive(Debug, Default)]
struct DryRunEffects {
    log_lines: Vec<String>,
    /// Synchronously written lines by database.
    writes: BTreeMap<String, Vec<String>>,
    written_bytes: usize,
}

/// Runs the queries of a plugin and records its log lines and writes. The worker limits the size of logs and queued
/// lines.
#[derive(Debug)]
struct DryRunContext {
    database: Arc<dyn DatabaseAccess>,
    recorded: Mutex<DryRunEffects>,
}

impl DryRunContext {
    fn recorded(&self) -> MutexGuard<'_, DryRunEffects> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RunContext for DryRunContext {
    fn log(&self, level: LogLevel, text: String) {
        self.recorded().log_lines.push(line(level, &text));
    }

    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError> {
        self.database.query(database, sql, parameters).await
    }

    async fn write_now(
        &self,
        database: &str,
        lines: Bytes,
        _: bool,
    ) -> Result<(), DatabaseAccessError> {
        let lines =
            std::str::from_utf8(&lines).map_err(|error| DatabaseAccessError(error.to_string()))?;
        let mut recorded = self.recorded();
        recorded.written_bytes += lines.len();
        if recorded.written_bytes > MAX_WRITTEN_BYTES {
            let text = format!("a dry run writes at most {MAX_WRITTEN_BYTES} bytes");
            return Err(DatabaseAccessError(text));
        }
        let writes = recorded.writes.entry(database.to_owned()).or_default();
        writes.push(lines.to_owned());
        Ok(())
    }
}
