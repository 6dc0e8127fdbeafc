//! `/query`: the interface of InfluxDB 1.x, which its clients, Telegraf and Grafana speak.
//!
//! ```text
//!   parameters, body -> statements -> rows of each -> series -> JSON | chunks of JSON | CSV | MessagePack
//! ```
//!
//! Statements are carried out in order, and an error of one is in its place of the answer, whose status is 200.
//! Rows leave as they come: nothing but MessagePack, whose lists begin with their lengths, is kept in memory.

mod body;
mod cell;
mod csv;
mod encoder;
mod handler;
mod json;
mod msgpack;
mod params;
mod rows;
mod stream;

pub(super) use handler::routes;

#[cfg(test)]
mod tests;
