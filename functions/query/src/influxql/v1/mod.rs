//! `/query`: the interface of InfluxDB 1.x, which its clients, Telegraf and Grafana speak.
//!
//! ```text
//!   parameters, body -> statements -> rows of each -> series -> JSON | chunks of JSON | CSV | MessagePack
//! ```
//!
//! Statements are executed in order. An error of a statement appears in its result; the status is 200. Rows are
//! streamed. Only MessagePack is buffered in memory, because its lists begin with their lengths.

mod answer_stream;
mod body;
mod handler;
mod params;

pub(crate) use handler::answer_bucket_query;
pub(super) use handler::routes;
