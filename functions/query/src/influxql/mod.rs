//! InfluxQL over the databases of a bucket.
//!
//! ```text
//!   text -> statements, each with its database -> plan or catalog -> rows and their series
//!                                                                    |
//!              /api/v3/query_influxql: one statement ----------------+-- one table, as for SQL
//!              /query (v1): any number of statements ----------------+-- series: JSON, chunks, CSV, MessagePack
//! ```
//!
//! `SELECT` is planned in [`select`]; what `SHOW` tells comes out of the catalog and the rows of tables; what
//! changes something goes to the catalog, and deletes of rows into the order of writes.

mod changes;
mod databases;
mod error;
mod group_key;
mod http;
mod plan;
mod prepared;
mod seen;
mod select;
mod series;
mod session;
mod show;
mod v1;

pub(crate) use http::routes;

#[cfg(test)]
mod tests;
