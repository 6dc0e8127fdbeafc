//! Rows of every input format as Arrow columns, validated against the tables of a database.
//!
//! | module | input |
//! |---|---|
//! | [`line_protocol`] | text of InfluxDB and QuestDB |
//! | [`columnar`] | Arrow record batches, and points of other protocols |
//!
//! Both check the same limits and return the same columns for the same rows.

pub mod columnar;
pub mod line_protocol;
