//! A database without tables, for targets that validate rows.

use std::sync::Arc;

use neap_rows::{
    SchemaLimits,
    line_protocol::{Options, Precision, SchemaView, TableView},
};

/// A database without tables.
#[derive(Debug)]
pub(crate) struct EmptySchema;

impl SchemaView for EmptySchema {
    fn table(&self, _name: &str) -> Option<Arc<TableView>> {
        None
    }
}

/// The options of a write with limits. All errors are reported, so that targets can count them.
pub(crate) const WRITE_OPTIONS: Options = Options {
    dialect: neap_rows::line_protocol::Dialect::InfluxDb,
    precision: Precision::Nanosecond,
    default_time_ns: 7,
    stop_at_first_error: false,
    limits: SchemaLimits {
        max_columns_per_table: Some(20),
        max_tags_per_table: Some(10),
        auto_create: neap_schema::AutoCreate::All,
    },
    tables: None,
    max_cells: Some(100_000),
    max_errors: None,
};
