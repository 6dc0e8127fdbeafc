//! `/api/v2/query`, the interface of InfluxDB 2: Flux, and InfluxQL.
//!
//! ```text
//!   body -> Program: a pipeline for each result -> plans of a pipeline, one after the other -> annotated CSV
//! ```
//!
//! Each plan of a result is a query of its own, with a permit, a snapshot and a place in the query log. Later plans of a request
//! accept the snapshot of an earlier one. An error before the first bytes of the answer has a status; a later one is a table.

mod answer_stream;
mod buckets;
mod error;
mod http;
mod planner;
mod query_body;

pub(crate) use http::routes;

#[cfg(test)]
mod tests;
