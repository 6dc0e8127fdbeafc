//! PostgreSQL's protocol, version 3.0, over the query and the write function.
//!
//! ```text
//!   TCP ── TLS ── startup, password ── Connection ── statements ── QueryEngine ── rows as text or binary
//!                                          │
//!                                          └ INSERT, COPY FROM ── record batches ── WriteService
//! ```
//!
//! | module | purpose |
//! |---|---|
//! | `frontend`, `wire` | decode the messages of clients within limits, and buffer answers |
//! | `listener`, `startup`, `credential` | the start of a connection: TLS, the password, the database |
//! | `command` | recognizes the statements that the engine does not execute |
//! | `connection`, `extended`, `portal` | the messages of a connection: simple queries, prepared statements, portals |
//! | `execution`, `writing` | the execution of statements |
//! | `session`, `savepoints`, `variables` | variables, the transaction, and the options of queries |
//! | `parameters`, `arrays`, `numeric`, `rows`, `column_encoder`, `value_text`, `copy_out` | values of placeholders, and rows of answers |
//! | `copy_in`, `copy_options` | rows that a client copies, and the formats of `COPY` |
//! | `cancel_registry` | cancels the query of another connection |
//! | `tool_catalog`, `tool_schema`, `tool_functions`, `format_function`, `tool_rewriting` | `pg_catalog`, `information_schema` and functions, for statements of tools |
//!
//! `neap-sql-changes` splits texts into statements, and changes rows, tables and databases.
//!
//! Messages of clients are decoded here, because the decoders of `pgwire` panic on truncated messages. Its encoders are
//! used for all messages but rows, whose values are encoded here or, if their types are less common, by `arrow-pg`. The
//! tables of `datafusion-pg-catalog` are used.

mod arrays;
mod cancel_registry;
mod close_reason;
mod column_encoder;
mod columns;
mod command;
mod connection;
mod context;
mod copy_in;
mod copy_options;
mod copy_out;
mod credential;
mod error_response;
mod execution;
mod extended;
mod format_function;
mod frontend;
#[doc(hidden)]
pub mod fuzzing;
mod listener;
mod message_failure;
mod metrics;
mod numeric;
mod parameters;
mod portal;
mod rows;
mod savepoints;
mod session;
mod startup;
mod tool_catalog;
mod tool_functions;
mod tool_rewriting;
mod tool_schema;
mod value_text;
mod variables;
mod wire;
mod writing;

pub use context::PostgresSettings;
pub use listener::{PostgresListener, PostgresParts};

#[cfg(test)]
mod tests;
