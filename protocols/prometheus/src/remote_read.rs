//! Prometheus's remote read and HTTP interface.
//!
//! | route | answer |
//! |---|---|
//! | `POST /api/v1/read`, `POST /api/v1/prom/read` | remote read: all samples in one message, or a stream of chunks |
//! | `GET`, `POST /api/v1/query`, `/query_range` | the value of an expression at one time, or at several ones |
//! | `GET`, `POST /api/v1/format_query`, `/parse_query` | an expression, formatted or as a syntax tree |
//! | `GET`, `POST /api/v1/labels` | the names of labels |
//! | `GET /api/v1/label/{name}/values` | the values of a label |
//! | `GET`, `POST /api/v1/series` | the labels of series |
//! | `GET /api/v1/metadata` | the descriptions of metrics |
//! | `GET /api/v1/rules`, `/alerts` | rules and their alerts |
//! | `GET`, `POST /api/v1/query_exemplars` | the exemplars of the series that an expression selects |
//! | `GET /api/v1/status/buildinfo` | a version of Prometheus |
//!
//! `/prometheus/config/v1/rules` changes rules, as in Mimir.
//!
//! All of them except remote read are also below `/prometheus/api/v1`. Remote read and the lists:
//!
//! ```text
//! matchers ── metrics by __name__ ── one SELECT each ── rows in the order of the tags ── series
//!                                                                                              │
//!                            frames of 1 MiB  ◄── sorted by labels, one group of metrics at a time
//! ```
//!
//! The metrics of tables are those of PromQL ([`neap_query::promql`]). [`router`] returns the routes.

mod answer;
mod context;
mod exemplars;
mod expressions;
mod failure;
mod label_name;
mod label_reader;
mod list_params;
mod list_texts;
mod lists;
mod params;
mod query_params;
mod read;
mod read_permits;
mod result_stats;
mod result_stream;
mod result_text;
mod route;
mod row_series;
mod rule_config;
mod rule_list;
mod selector;
mod series;
#[cfg(test)]
mod tests;

pub use route::router;
