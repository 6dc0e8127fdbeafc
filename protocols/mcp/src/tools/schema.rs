//! `list_databases`, `describe_schema` and `sample`: what data there is.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ToolCall,
    query::{LIST_LIMITS, check_limit, to_json},
};
use crate::{
    ApiRequest,
    error::ToolError,
    row_reader::{RowLimits, read_rows},
};

/// The name of the column in a list of databases.
const DATABASE_COLUMN: &str = "iox::database";

/// Maximum and default number of sampled rows.
const MAX_SAMPLE_ROWS: usize = 50;
const DEFAULT_SAMPLE_ROWS: usize = 5;
/// Maximum bytes of sampled rows.
const MAX_SAMPLE_BYTES: usize = 64 << 10;
/// Maximum and default age of sampled rows, in hours.
const MAX_SAMPLE_HOURS: u64 = 87_600;
const DEFAULT_SAMPLE_HOURS: u64 = 24;

/// The arguments of `describe_schema`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaArguments {
    database: String,
    table: Option<String>,
}

/// The arguments of `sample`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SampleArguments {
    database: String,
    table: String,
    rows: Option<usize>,
    within_hours: Option<u64>,
}

/// A row of `system.influxdb_schema`.
#[derive(Debug, Deserialize)]
struct SchemaRow {
    measurement: String,
    key: String,
    data_type: String,
}

impl ToolCall<'_> {
    /// Returns the names of the databases.
    pub(super) async fn list_databases(&self) -> Result<Value, ToolError> {
        let query = vec![("format", "jsonl".to_owned())];
        let answer = self
            .send(ApiRequest::get("/api/v3/configure/database", query))
            .await?
            .accepted()
            .await?;
        let read = read_rows(answer.body, LIST_LIMITS).await?;
        let names: Vec<_> =
            read.rows.iter().filter_map(|row| row.get(DATABASE_COLUMN)?.as_str()).collect();
        Ok(json!({ "databases": names, "truncated": read.cut.is_some() }))
    }

    /// Returns the columns of the tables of a database.
    pub(super) async fn describe_schema(
        &self,
        arguments: SchemaArguments,
    ) -> Result<Value, ToolError> {
        let of_table = match &arguments.table {
            Some(table) => format!(" WHERE measurement = {}", literal(table)),
            None => String::new(),
        };
        let statement = format!(
            "SELECT measurement, key, data_type FROM system.influxdb_schema{of_table} ORDER BY measurement, key"
        );
        let read = self.sql_rows(&arguments.database, &statement, LIST_LIMITS).await?;
        let mut tables: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for row in read.rows {
            let row: SchemaRow = serde_json::from_value(row)
                .map_err(|error| ToolError::UnexpectedAnswer(error.to_string()))?;
            let columns = tables.entry(row.measurement).or_default();
            columns.push(json!({ "name": row.key, "type": row.data_type }));
        }
        let tables: Vec<_> = tables
            .into_iter()
            .map(|(name, columns)| json!({ "name": name, "columns": columns }))
            .collect();
        Ok(json!({ "tables": tables, "truncated": read.cut.is_some() }))
    }

    /// Returns some rows of a table.
    pub(super) async fn sample(&self, arguments: SampleArguments) -> Result<Value, ToolError> {
        let rows = arguments.rows.unwrap_or(DEFAULT_SAMPLE_ROWS);
        let hours = arguments.within_hours.unwrap_or(DEFAULT_SAMPLE_HOURS);
        check_limit("rows", rows, MAX_SAMPLE_ROWS)?;
        check_limit("within_hours", hours, MAX_SAMPLE_HOURS)?;
        let statement = format!(
            "SELECT * FROM {} WHERE time >= now() - INTERVAL '{hours} hours' LIMIT {rows}",
            identifier(&arguments.table)
        );
        let limits = RowLimits { rows, bytes: MAX_SAMPLE_BYTES };
        let read = self.sql_rows(&arguments.database, &statement, limits).await?;
        Ok(to_json(read))
    }
}

/// Quotes a string in SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Quotes a name in SQL.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
