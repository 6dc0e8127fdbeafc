//! `query` and `explain`: statements that only read.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::ToolCall;
use crate::{
    ApiRequest,
    error::ToolError,
    row_reader::{FirstRows, RowLimits, read_rows},
    time_bound::reads_whole_history,
};

/// Maximum and default number of rows of a result.
pub(super) const MAX_ROWS: usize = 1_000;
pub(super) const DEFAULT_ROWS: usize = 100;
/// Maximum and default bytes of the rows of a result: a result fills the context of an agent.
pub(super) const MAX_BYTES: usize = 1 << 20;
pub(super) const DEFAULT_BYTES: usize = 64 << 10;
/// Maximum and default time of a query, in seconds.
pub(super) const MAX_SECONDS: u64 = 120;
pub(super) const DEFAULT_SECONDS: u64 = 20;
/// Maximum bytes of a statement. It is sent in the URL, which has at most 64 KiB, and a byte may take up three there.
pub(super) const MAX_STATEMENT_BYTES: usize = 16 << 10;

/// Limits of the rows of a plan, and of lists of names.
pub(super) const LIST_LIMITS: RowLimits = RowLimits { rows: 5_000, bytes: 512 << 10 };

/// The arguments of `query`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryArguments {
    database: String,
    statement: String,
    #[serde(default)]
    language: StatementLanguage,
    max_rows: Option<usize>,
    max_bytes: Option<usize>,
    timeout_seconds: Option<u64>,
    #[serde(default)]
    whole_history: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StatementLanguage {
    #[default]
    Sql,
    InfluxQl,
}

impl StatementLanguage {
    fn path(self) -> &'static str {
        match self {
            Self::Sql => "/api/v3/query_sql",
            Self::InfluxQl => "/api/v3/query_influxql",
        }
    }
}

/// The arguments of `explain`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainArguments {
    database: String,
    statement: String,
}

impl ToolCall<'_> {
    /// Runs a statement, and returns its first rows.
    pub(super) async fn query(&self, arguments: QueryArguments) -> Result<Value, ToolError> {
        let seconds = arguments.timeout_seconds.unwrap_or(DEFAULT_SECONDS);
        let limits = RowLimits {
            rows: arguments.max_rows.unwrap_or(DEFAULT_ROWS),
            bytes: arguments.max_bytes.unwrap_or(DEFAULT_BYTES),
        };
        check_limit("max_rows", limits.rows, MAX_ROWS)?;
        check_limit("max_bytes", limits.bytes, MAX_BYTES)?;
        check_limit("timeout_seconds", seconds, MAX_SECONDS)?;
        if !arguments.whole_history && reads_whole_history(&arguments.statement) {
            return Err(ToolError::NoTimeBound);
        }
        let path = arguments.language.path();
        let rows = self.rows(path, &arguments.database, &arguments.statement, limits);
        let timeout = Duration::from_secs(seconds);
        let rows = self.world.timeout(timeout, rows).await;
        Ok(to_json(rows.ok_or(ToolError::TimedOut(timeout))??))
    }

    /// Returns the plan of a statement.
    pub(super) async fn explain(&self, arguments: ExplainArguments) -> Result<Value, ToolError> {
        let statement = arguments.statement.trim_start();
        let first = statement.split_ascii_whitespace().next().unwrap_or_default();
        // `EXPLAIN ANALYZE` runs the statement.
        if ["explain", "analyze", "verbose"]
            .iter()
            .any(|word| first.eq_ignore_ascii_case(word))
        {
            let text = "statement: pass the SELECT alone, without EXPLAIN";
            return Err(ToolError::Arguments(text.to_owned()));
        }
        let statement = format!("EXPLAIN {statement}");
        let plan = self.sql_rows(&arguments.database, &statement, LIST_LIMITS).await?;
        Ok(to_json(plan))
    }

    /// Runs a statement in SQL.
    pub(super) async fn sql_rows(
        &self,
        database: &str,
        statement: &str,
        limits: RowLimits,
    ) -> Result<FirstRows, ToolError> {
        self.rows(StatementLanguage::Sql.path(), database, statement, limits).await
    }

    /// Sends a statement in the URL: the server refuses statements that change data there.
    async fn rows(
        &self,
        path: &'static str,
        database: &str,
        statement: &str,
        limits: RowLimits,
    ) -> Result<FirstRows, ToolError> {
        check_limit("bytes of statement", statement.len(), MAX_STATEMENT_BYTES)?;
        let query = vec![
            ("db", database.to_owned()),
            ("q", statement.to_owned()),
            ("format", "jsonl".to_owned()),
        ];
        let answer = self.send(ApiRequest::get(path, query)).await?;
        read_rows(answer.accepted().await?.body, limits).await
    }
}

/// Refuses zero, and values above a maximum.
pub(super) fn check_limit<N: PartialOrd + Default + std::fmt::Display>(
    name: &str,
    value: N,
    maximum: N,
) -> Result<(), ToolError> {
    if value > N::default() && value <= maximum {
        return Ok(());
    }
    let text = format!("{name}: {value} is not between 1 and {maximum}");
    Err(ToolError::Arguments(text))
}

/// Returns rows as a result that says whether it was cut.
pub(super) fn to_json(first: FirstRows) -> Value {
    let mut result = json!({
        "row_count": first.rows.len(),
        "truncated": first.cut.is_some(),
        "rows": first.rows,
    });
    if let Some(cut) = first.cut {
        result["truncated_by"] = json!(cut.as_str());
    }
    result
}
