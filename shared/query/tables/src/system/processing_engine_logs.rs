//! `system.processing_engine_logs`: the recent log lines of plugins, with the columns of InfluxDB 3.
//!
//! A database shows the lines of its own triggers, `_internal` those of all databases. The column of times is `time`; a
//! statement that names it `event_time`, as before InfluxDB 3.11, gets a column of that name, too.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::{EngineLogLine, EngineLogs, keep_log_lines};
use neap_scan::external;
use neap_schema::DatabaseId;

use super::{
    source::SystemTableSource, system_sources::SystemSources, table_builder::SystemTableBuilder,
};

/// The name of the column `time` before InfluxDB 3.11.
pub const FORMER_TIME_COLUMN: &str = "event_time";

/// Maximum number of lines that are shown.
const MAX_SHOWN_LINES: usize = 10_000;

/// The lines of a database, or of all of them.
#[derive(Debug)]
pub(super) struct PluginLogsSource {
    pub(super) cluster: Arc<SystemSources>,
    pub(super) database: Option<DatabaseId>,
    /// Whether to show the former column.
    pub(super) has_former_column: bool,
}

impl PluginLogsSource {
    /// Returns the logs: lines of this process that are not saved yet, and those in the bucket.
    fn logs(&self) -> &EngineLogs {
        let bucket = self.cluster.catalog.bucket();
        let logs = &self.cluster.plugin_logs;
        logs.get_or_init(|| Arc::new(EngineLogs::new(bucket.clone())))
    }

    /// The databases whose lines are shown.
    async fn databases(&self) -> Result<Vec<DatabaseId>> {
        if let Some(database) = self.database {
            return Ok(vec![database]);
        }
        let answer = self.cluster.catalog.root(Duration::ZERO).await;
        let root = answer.map_err(external)?.value;
        let databases = root.databases_with_triggers();
        Ok(databases.map(|(database, _)| database).collect())
    }
}

fn rows(lines: &[EngineLogLine], has_former_column: bool) -> Result<RecordBatch> {
    let table = SystemTableBuilder::new(lines)
        .times("time", |line| line.time_ns)
        .utf8("trigger_name", |line| &line.trigger)
        .utf8("log_level", |line| &line.level)
        .utf8("log_text", |line| &line.text);
    if has_former_column {
        table.times(FORMER_TIME_COLUMN, |line| line.time_ns).finish()
    } else {
        table.finish()
    }
}

#[async_trait]
impl SystemTableSource for PluginLogsSource {
    /// Costs 1 LIST for each database that is shown and 1 GET for each object that contains its newest lines; in
    /// `_internal` also 1 GET of the root catalog.
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        let mut lines: Vec<EngineLogLine> = Vec::new();
        for database in self.databases().await? {
            let newest = self.logs().newest(database, MAX_SHOWN_LINES).await;
            lines.extend(newest.map_err(external)?);
            keep_log_lines(&mut lines, MAX_SHOWN_LINES);
        }
        rows(&lines, self.has_former_column)
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&[], self.has_former_column)
    }
}
