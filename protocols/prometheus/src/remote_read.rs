//! Prometheus remote read, and the part of Prometheus's HTTP interface that lists labels, series and metrics.
//!
//! | route | answer |
//! |---|---|
//! | `POST /api/v1/read`, `POST /api/v1/prom/read` | remote read: all samples in one message, or a stream of chunks |
//! | `GET`, `POST /api/v1/labels` | the names of labels |
//! | `GET /api/v1/label/{name}/values` | the values of a label |
//! | `GET`, `POST /api/v1/series` | the labels of series |
//! | `GET /api/v1/metadata` | the descriptions of metrics |
//!
//! ```text
//! matchers ── tables by __name__ ── one SELECT per table ── rows in the order of the tags ── series
//!                                                                                              │
//!                            frames of 1 MiB  ◄── sorted by labels, one group of tables at a time
//! ```
//!
//! The mapping of series to tables is that of [the crate](crate). [`router`] returns the routes.

mod condition;
mod context;
mod failure;
mod json;
mod matcher;
mod metric_table;
mod params;
mod pattern;
mod read;
mod read_permits;
mod route;
mod row_series;
mod selector;
mod series;
#[cfg(test)]
mod tests;

pub use route::router;
