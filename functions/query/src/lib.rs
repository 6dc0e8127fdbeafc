//! The query function: SQL, InfluxQL, Flux and PromQL over the databases of a bucket.
//!
//! ```text
//!   request -> database by name -> snapshot -> plan -> scan -> rows -> JSON, CSV, Parquet, ...
//!                                  |                   |
//!                                  catalog, manifest,  sections that can hold an answer, read by exact
//!                                  tail: one round     ranges; the tail from memory; deduplicated
//!                                  trip                where they overlap in time
//! ```
//!
//! [`QueryEngine`] answers a [`QueryRequest`] with [`Rows`]; [`router`] serves the same over HTTP, compatible with
//! InfluxDB 3. One statement is not a query: `DELETE FROM table WHERE ...` becomes a condition on time and tags, which
//! a [`RowDeleter`](neap_row_delete::RowDeleter) commits in the order of writes. A `COPY` statement writes the rows of a
//! query as a file into the bucket. The only state is caches of immutable data, each with a limit in bytes.

#[cfg(test)]
#[macro_use]
mod testing;

mod alter;
mod answer_cache;
mod answer_encoding;
mod as_of;
mod cache_refresh;
mod client_query;
mod client_statement;
mod concurrency_limit;
mod copy;
mod database_reader;
mod databases;
mod delete;
mod dialect;
mod distribution;
mod engine;
mod error;
mod error_kind;
mod executor;
mod export;
mod flux;
mod former_column;
mod hidden_aliases;
mod http;
mod http_request;
mod http_response;
mod influxql;
mod logged_text;
mod parameters;
mod placeholders;
mod plan_cache;
mod planning_memory;
pub mod promql;
mod query_counters;
mod query_log;
mod query_permits;
mod query_task;
mod quoted_sql;
mod request;
mod rows;
mod rules;
mod schema_planner;
mod session_extension;
mod settings;
mod span_propagation;
mod sql_planner;
mod statement;
mod statement_size;
mod table_list;
mod text_pieces;
mod unsupported;
mod views;

pub use answer_cache::AnswerCacheStats;
pub use answer_encoding::AnswerEncoding;
pub use as_of::AS_OF_HEADER;
pub use client_query::ClientQueryError;
pub use client_statement::{ClientQuery, StatementDescription};
pub use concurrency_limit::concurrency_limit_router;
pub use copy::CopyError;
pub use database_reader::DatabaseReader;
pub use distribution::{
    DistributedPlan, Distribution, DistributionAttempt, DistributionStats, PlanDistributor,
    WorkerFailure,
};
pub use engine::{MemoryStats, QueryEngine};
pub use error::QueryError;
pub use error_kind::QueryErrorKind;
pub use executor::{Executor, THREAD_STACK_BYTES};
pub use export::export_router;
pub use http::router;
pub use http_request::{EMPTY_TABLE_HEADER, query_request};
pub use http_response::WORKERS_HEADER;
pub use neap_rules::{Notifier, NotifierError, TargetOption};
pub use neap_scan::DataCacheStats;
pub use neap_tables::{CacheStats, PluginFile, PluginFiles, PluginFilesError, StoreRequests};
pub use parameters::{ParameterError, Parameters};
pub use placeholders::number_placeholders;
pub use query_counters::QueryStats;
pub use quoted_sql::{quoted_name, quoted_text};
pub use request::{Language, QueryRequest, RollupUse};
pub use rows::{BatchStream, Rows};
pub use rules::{AllRulesReport, RuleList, RuleReport};
pub use session_extension::SessionExtension;
pub use settings::QuerySettings;
pub use span_propagation::propagate_spans;
pub use table_list::ListedTable;
pub use text_pieces::{PieceStream, TextPieces};
pub use views::{AllViewsReport, RefreshViewsError, view_router};

#[cfg(test)]
mod tests;
