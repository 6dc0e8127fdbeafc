//! Statements of InfluxDB 1 about the server: `SHOW QUERIES`, `KILL QUERY`, `SHOW STATS` and others.
//!
//! Neap has no shards and subscriptions, so that the statements about them have answers without rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use neap_formats::series::{AnswerInterface, SeriesLayout};
use neap_influxql::{ServerStatement, unknown_show_error};
use neap_influxql_planner::batch_of;
use neap_schema::DatabaseId;

use super::{
    databases::format_go_duration,
    error::InfluxqlError,
    session::{InfluxqlSession, StatementAnswer},
};
use crate::{QueryError, Rows};

/// The module of `SHOW STATS`, with the name that InfluxDB 1 has for it.
const QUERY_STATS: &str = "queryExecutor";

/// The module of `SHOW DIAGNOSTICS`, with the name that InfluxDB 1 has for it.
const BUILD: &str = "build";

impl InfluxqlSession {
    /// Answers a statement about the server. It needs no permit, so that it is answered while all permits are taken.
    pub(super) async fn describe_server(
        &self,
        statement: &ServerStatement,
        text: &str,
    ) -> Result<StatementAnswer, InfluxqlError> {
        if self.interface == AnswerInterface::V3 {
            return Err(unknown_show_error(text).into());
        }
        match statement {
            ServerStatement::ShowQueries => return self.queries().await,
            ServerStatement::ShowUsers => return self.users().await,
            ServerStatement::ShowGrants { user } => return self.grants(user).await,
            _ => self.caller.require_admin()?,
        }
        match statement {
            ServerStatement::ShowStats { module } => {
                module_answer(QUERY_STATS, module.as_deref(), self.query_stats())
            }
            ServerStatement::ShowDiagnostics { module } => {
                let version = StringArray::from(vec![env!("CARGO_PKG_VERSION")]);
                let columns = vec![("Version", Arc::new(version) as ArrayRef)];
                module_answer(BUILD, module.as_deref(), columns)
            }
            _ => Ok(StatementAnswer::done(None)),
        }
    }

    /// Answers `SHOW QUERIES` with the running queries of databases that the caller may see.
    async fn queries(&self) -> Result<StatementAnswer, InfluxqlError> {
        let root = self.seen.root(self.engine.catalog()).await?;
        let mut queries = self.engine.query_log().running();
        // The text of a query has names of all its databases.
        let can_see = |id: &DatabaseId| self.caller.can_see(*id);
        queries.retain(|query| query.databases.iter().all(can_see));
        let database = |id| {
            let mut live = root.live_databases();
            live.find(|(other, _)| *other == id).map(|(_, entry)| entry.name.clone())
        };
        let numbers: UInt64Array = queries.iter().map(|query| query.number).collect();
        let texts: StringArray = queries.iter().map(|query| Some(&query.text)).collect();
        let databases: StringArray = queries
            .iter()
            .map(|query| query.databases.first().copied().and_then(database))
            .map(|name| Some(name.unwrap_or_default()))
            .collect();
        let ages: StringArray =
            queries.iter().map(|query| Some(format_go_duration(query.age))).collect();
        let states: StringArray = queries
            .iter()
            .map(|query| {
                if query.is_killed {
                    Some("killed")
                } else {
                    Some("running")
                }
            })
            .collect();
        answer(
            None,
            vec![
                ("qid", Arc::new(numbers) as ArrayRef),
                ("query", Arc::new(texts)),
                ("database", Arc::new(databases)),
                ("duration", Arc::new(ages)),
                ("status", Arc::new(states)),
            ],
        )
    }

    /// The counters of queries with the names of InfluxDB 1.
    fn query_stats(&self) -> Vec<(&'static str, ArrayRef)> {
        let stats = self.engine.query_stats();
        let finished = stats.succeeded + stats.failed + stats.cancelled;
        let active = self.engine.query_log().running().len() as u64;
        let nanos = u64::try_from(stats.time.as_nanos()).unwrap_or(u64::MAX);
        let counter = |count: u64| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            Arc::new(Int64Array::from(vec![count])) as ArrayRef
        };
        vec![
            ("queriesActive", counter(active)),
            ("queriesExecuted", counter(finished + active)),
            ("queriesFinished", counter(finished)),
            ("queryDurationNs", counter(nanos)),
        ]
    }

    /// Ends a running query.
    pub(super) fn kill_query(&self, number: u64) -> Result<StatementAnswer, InfluxqlError> {
        self.caller.require_admin()?;
        if self.engine.query_log().kill(number) {
            Ok(StatementAnswer::done(None))
        } else {
            Err(InfluxqlError::Invalid(format!("no such query id: {number}")))
        }
    }
}

/// Returns the rows of a module, unless the statement names another one.
fn module_answer(
    module: &'static str,
    wanted: Option<&str>,
    columns: Vec<(&'static str, ArrayRef)>,
) -> Result<StatementAnswer, InfluxqlError> {
    if wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(module)) {
        answer(Some(module), columns)
    } else {
        Ok(StatementAnswer::done(None))
    }
}

pub(super) fn answer(
    name: Option<&'static str>,
    columns: Vec<(&'static str, ArrayRef)>,
) -> Result<StatementAnswer, InfluxqlError> {
    let rows: RecordBatch = batch_of(columns).map_err(QueryError::Execution)?;
    Ok(StatementAnswer {
        rows: Rows::from_batch(rows),
        series: SeriesLayout::Single(name),
    })
}
