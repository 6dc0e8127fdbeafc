//! Options: limits for clients.

use std::time::Duration;

use clap::Args;
use neap_assembly::options::{parse_bytes, parse_count, parse_duration};
use neap_catalog::CatalogLimits;

/// Limits for clients, as with `neap serve`.
#[derive(Args, Clone, Debug)]
pub struct LimitOptions {
    /// Maximum size of the body of a write in bytes, before and after decompression
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "10MiB")]
    pub max_http_request_size: usize,

    /// Maximum number of databases; unlimited by default
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    pub max_databases: Option<usize>,

    /// Maximum number of tables in all databases; unlimited by default
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    pub max_tables: Option<usize>,

    /// Maximum number of tables in one database
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value_t = CatalogLimits::TABLES_PER_DATABASE)]
    pub max_tables_per_database: usize,

    /// Maximum number of tags and fields of a table
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value_t = CatalogLimits::COLUMNS_PER_TABLE)]
    pub max_columns_per_table: usize,

    /// Maximum number of tags of a table; unlimited by default
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    pub max_tags_per_table: Option<usize>,

    /// How long the data of a dropped database or table is kept, unless the drop request sets another time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "72h")]
    pub hard_delete_default_duration: Duration,
}

impl LimitOptions {
    /// Returns the limits of the catalog.
    pub fn of_catalog(&self) -> CatalogLimits {
        CatalogLimits {
            databases: self.max_databases,
            tables: self.max_tables,
            tables_per_database: Some(self.max_tables_per_database),
            columns_per_table: Some(self.max_columns_per_table),
            tags_per_table: self.max_tags_per_table,
        }
    }
}
