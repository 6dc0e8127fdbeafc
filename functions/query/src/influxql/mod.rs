//! InfluxQL over the databases of a bucket.
//!
//! ```text
//!   text -> statements, each with its database -> plan or catalog -> rows and their series
//!                                                                    |
//!              /api/v3/query_influxql: one statement ----------------+-- one table, as for SQL
//!              /query (v1): any number of statements ----------------+-- series: JSON, chunks, CSV, MessagePack
//! ```
//!
//! `neap-influxql-planner` plans `SELECT`. `SHOW` reads the catalog and the rows of tables. Statements that change
//! databases, tables or users go to the catalog; deletes of rows and the rows of `SELECT ... INTO` enter the commit order of
//! writes.

mod changes;
mod continuous_queries;
mod databases;
mod error;
mod http;
mod planners;
mod prepared_statement;
mod request_catalogs;
mod rule_rows;
mod select_into;
#[cfg(test)]
mod select_tests;
mod server_statements;
mod session;
mod users;
mod v1;
mod window_rows;

pub(crate) use error::InfluxqlError;
pub(crate) use http::routes;
pub(crate) use rule_rows::{check_rule, rule_rows};
pub(crate) use session::InfluxqlSession;
pub(crate) use v1::answer_bucket_query;
pub(crate) use window_rows::window_rows;

#[cfg(test)]
mod tests;
