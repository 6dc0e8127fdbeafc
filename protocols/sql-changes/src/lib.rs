//! SQL statements that change rows, tables and databases, over the query and the write function.
//!
//! ```text
//!   POST /api/v3/execute_sql ──┐
//!   Flight SQL, /exec ─────────┼── Change ── ChangeExecutor ──┬── QueryEngine: DELETE, ALTER, views; the rows of INSERT
//!   PostgreSQL's protocol ─────┘                              └── WriteService: rows, tables, databases
//! ```
//!
//! PostgreSQL's protocol executes `INSERT` by itself, because its transactions hold rows until `COMMIT`.
//!
//! | item | purpose |
//! |---|---|
//! | [`StatementText`], [`TokenCursor`] | split a text into statements, and read the tokens of one |
//! | [`Change`] | a statement that changes something, recognized by its first words |
//! | [`ChangeExecutor`] | executes a change |
//! | [`router`] | the route `/api/v3/execute_sql` |
//! | [`SqlError`], [`ChangeError`] | errors with the codes of PostgreSQL, and those of the functions |
//! | [`WrittenColumns`], [`PendingRows`] | the columns and rows of `INSERT` |

mod catalog_changes;
mod change;
mod change_error;
mod create_table;
mod data_definition;
mod executor;
mod http;
mod placeholder_types;
mod row_store;
mod sql_error;
mod statement;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use change::{Change, WriteTarget};
pub use change_error::ChangeError;
pub use create_table::NewTable;
pub use data_definition::{DataDefinition, DropTarget};
pub use executor::{ChangeExecutor, ChangeOutcome};
pub use http::router;
pub use row_store::{PendingRows, WrittenColumns};
pub use sql_error::{SqlError, SqlState};
pub use statement::{StatementText, TokenCursor};
