//! Rows of every input format as Arrow columns, validated against the tables of a database.
//!
//! | module | input |
//! |---|---|
//! | [`line_protocol`] | text of InfluxDB and QuestDB |
//! | [`columnar`] | Arrow record batches, and points of other protocols |
//!
//! Both check the same limits ([`SchemaLimits`], [`TableLimit`]) and return the same columns for the same rows.

pub mod columnar;
mod field_values;
pub mod line_protocol;
mod schema_limits;
#[cfg(test)]
mod test_database;

pub use schema_limits::{SchemaLimits, TableLimit};
