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
//! | `startup`, `credential` | the begin of a connection: TLS, the password, the database |
//! | `statement`, `command`, `definition` | split a text into statements, and recognize those that the engine does not execute |
//! | `connection`, `extended` | the messages of a connection: simple queries, prepared statements, portals |
//! | `execution`, `writing`, `catalog_changes` | the execution of statements |
//! | `session` | variables, the transaction, and the options of queries |
//! | `parameters`, `rows`, `copy_out` | values of placeholders, and rows of answers |
//! | `insert`, `copy_in`, `row_store` | rows that a client writes |
//! | `tool_catalog`, `tool_functions` | `pg_catalog` and its functions, for statements of tools |
//!
//! Messages of clients are decoded here, because the decoders of `pgwire` panic on truncated messages. Its encoders,
//! those of `arrow-pg`, and the tables of `datafusion-pg-catalog` are used.

mod cancel_registry;
mod catalog_changes;
mod close_reason;
mod columns;
mod command;
mod connection;
mod context;
mod copy_in;
mod copy_options;
mod copy_out;
mod create_table;
mod credential;
mod definition;
mod execution;
mod extended;
mod failure;
mod frontend;
#[doc(hidden)]
pub mod fuzzing;
mod insert;
mod listener;
mod metrics;
mod parameters;
mod portal;
mod row_store;
mod rows;
mod session;
mod sql_error;
mod startup;
mod statement;
mod tool_catalog;
mod tool_functions;
mod variables;
mod wire;
mod writing;

pub use context::PostgresSettings;
pub use listener::{PostgresListener, PostgresParts, TlsAcceptorSource};

#[cfg(test)]
mod tests;
