//! The tools: their names, descriptions and schemas, and the dispatch of calls.

mod call;
mod change;
mod cost;
mod health;
mod query;
mod schema;

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool as ToolDescription, ToolAnnotations};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strum::{IntoStaticStr, VariantArray};

use self::query::{DEFAULT_BYTES, DEFAULT_ROWS, DEFAULT_SECONDS, MAX_BYTES, MAX_ROWS, MAX_SECONDS};
pub(crate) use self::{call::ToolCall, change::MAX_LINE_PROTOCOL_BYTES};
use crate::error::ToolError;

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Tool {
    ListDatabases,
    DescribeSchema,
    Sample,
    Query,
    Explain,
    Health,
    Cost,
    Write,
    CreateDatabase,
}

impl Tool {
    /// All tools, in the order of the list.
    pub(crate) const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the tool with a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tool| tool.name() == name)
    }

    /// Returns whether the tool changes data.
    pub(crate) fn changes_data(self) -> bool {
        matches!(self, Self::Write | Self::CreateDatabase)
    }

    /// Returns the description of the tool for agents.
    pub(crate) fn description(self) -> ToolDescription {
        let annotations = ToolAnnotations::new()
            .read_only(!self.changes_data())
            .destructive(self == Self::Write)
            .idempotent(true)
            .open_world(false);
        ToolDescription::new(self.name(), self.text(), Arc::new(self.schema()))
            .with_annotations(annotations)
    }

    fn name(self) -> &'static str {
        self.into()
    }

    fn text(self) -> &'static str {
        match self {
            Self::ListDatabases => "Lists the databases that the token may see.",
            Self::DescribeSchema => {
                "Lists the tables of a database with their columns. The type `tag` is an indexed string that identifies a \
                 series, `time` is the time of a row, all other types are fields. Call it before you write a query, and \
                 name the table if you know it: the list of all tables may be long."
            }
            Self::Sample => {
                "Returns a few rows of a table, to see what values look like. The rows are not the newest ones, and they \
                 are in no order. It reads only the last 24 hours, or `within_hours`; if it returns nothing, the table \
                 has no rows in that time."
            }
            Self::Query => {
                "Runs one statement in SQL (DataFusion) or InfluxQL and returns rows. It can't change data. A query is \
                 paid by what it reads, so: bound it by time in WHERE (a LIMIT alone does not bound what is read); name \
                 the columns instead of SELECT *; filter by tags; aggregate with date_bin(INTERVAL '5 minutes', time) \
                 and GROUP BY instead of fetching rows. For the newest row of each series use a last value cache if \
                 there is one: SELECT * FROM last_cache('table'). A statement without a condition on time is refused \
                 unless `whole_history` is true. The result is cut at `max_rows` and `max_bytes`; then `truncated` is \
                 true and `truncated_by` names the limit."
            }
            Self::Explain => {
                "Shows the plan of a statement in SQL without running it: which sections of the table it reads and how \
                 it filters them. Use it before a query over a long time range."
            }
            Self::Health => {
                "Shows whether the server is alive and ready, its version, and the conditions that an operator should \
                 fix."
            }
            Self::Cost => {
                "Counts the requests of the server process to its object store since its start, by operation and kind of \
                 object, and estimates their price at the list prices of Amazon S3. Needs an administrator's token."
            }
            Self::Write => {
                "Writes rows in line protocol: one line per row, `table,tag=value field=1.5,other=2i 1767225600000000000`. \
                 All lines are stored, or none. A row with the same table, tags and time as an existing one replaces its \
                 fields. New tables and columns are created, also those with a wrong name, so call \
                 describe_schema first. Send many lines in one call: each call costs a request to the store."
            }
            Self::CreateDatabase => {
                "Creates a database. Rows older than `retention_period` disappear; without it they are kept for ever."
            }
        }
    }

    fn schema(self) -> JsonObject {
        let database = json!({ "type": "string", "description": "The name of the database." });
        let (properties, required): (Value, &[&str]) = match self {
            Self::ListDatabases | Self::Health | Self::Cost => (json!({}), &[]),
            Self::DescribeSchema => (
                json!({
                    "database": database,
                    "table": { "type": "string", "description": "Only this table." },
                }),
                &["database"],
            ),
            Self::Sample => (
                json!({
                    "database": database,
                    "table": { "type": "string" },
                    "rows": { "type": "integer", "minimum": 1, "maximum": 50, "default": 5 },
                    "within_hours": {
                        "type": "integer", "minimum": 1, "maximum": 87600, "default": 24,
                        "description": "Only rows of the last hours.",
                    },
                }),
                &["database", "table"],
            ),
            Self::Query => (query_properties(&database), &["database", "statement"]),
            Self::Explain => (
                json!({
                    "database": database,
                    "statement": { "type": "string", "description": "A SELECT, without EXPLAIN." },
                }),
                &["database", "statement"],
            ),
            Self::Write => (
                json!({
                    "database": database,
                    "lines": { "type": "string", "maxLength": MAX_LINE_PROTOCOL_BYTES },
                    "precision": {
                        "enum": ["nanosecond", "microsecond", "millisecond", "second"],
                        "default": "nanosecond",
                        "description": "The unit of the times in the lines.",
                    },
                }),
                &["database", "lines"],
            ),
            Self::CreateDatabase => (
                json!({
                    "database": database,
                    "retention_period": {
                        "type": "string", "description": "A duration such as 30d.", "examples": ["30d"],
                    },
                }),
                &["database"],
            ),
        };
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        match schema {
            Value::Object(schema) => schema,
            _ => JsonObject::new(),
        }
    }
}

fn query_properties(database: &Value) -> Value {
    json!({
        "database": database,
        "statement": { "type": "string", "maxLength": query::MAX_STATEMENT_BYTES },
        "language": { "enum": ["sql", "influxql"], "default": "sql" },
        "max_rows": { "type": "integer", "minimum": 1, "maximum": MAX_ROWS, "default": DEFAULT_ROWS },
        "max_bytes": { "type": "integer", "minimum": 1, "maximum": MAX_BYTES, "default": DEFAULT_BYTES },
        "timeout_seconds": { "type": "integer", "minimum": 1, "maximum": MAX_SECONDS, "default": DEFAULT_SECONDS },
        "whole_history": {
            "type": "boolean", "default": false,
            "description": "The statement shall read rows of all times.",
        },
    })
}

impl ToolCall<'_> {
    /// Runs a tool with its arguments.
    pub(crate) async fn run(&self, tool: Tool, arguments: JsonObject) -> Result<Value, ToolError> {
        match tool {
            Tool::ListDatabases => {
                parse::<NoArguments>(arguments)?;
                self.list_databases().await
            }
            Tool::DescribeSchema => self.describe_schema(parse(arguments)?).await,
            Tool::Sample => self.sample(parse(arguments)?).await,
            Tool::Query => self.query(parse(arguments)?).await,
            Tool::Explain => self.explain(parse(arguments)?).await,
            Tool::Health => {
                parse::<NoArguments>(arguments)?;
                self.health().await
            }
            Tool::Cost => {
                parse::<NoArguments>(arguments)?;
                self.cost().await
            }
            Tool::Write => self.write(parse(arguments)?).await,
            Tool::CreateDatabase => self.create_database(parse(arguments)?).await,
        }
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArguments {}

fn parse<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, ToolError> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| ToolError::Arguments(error.to_string()))
}
