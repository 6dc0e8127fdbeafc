//! Command-line options that limit the catalog, shared by `neap serve` and the functions.

use clap::Args;
use neap_catalog::CatalogLimits;

use crate::options::parse_count;

/// Limits on databases, tables and columns.
#[derive(Args, Clone, Debug)]
pub struct CatalogLimitOptions {
    /// Maximum number of databases; unlimited by default.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    max_databases: Option<usize>,

    /// Maximum number of tables in all databases; unlimited by default.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    max_tables: Option<usize>,

    /// Maximum number of tables in one database.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value_t = CatalogLimits::TABLES_PER_DATABASE)]
    max_tables_per_database: usize,

    /// Maximum number of tags and fields of a table.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value_t = CatalogLimits::COLUMNS_PER_TABLE)]
    max_columns_per_table: usize,

    /// Maximum number of tags of a table; unlimited by default.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    max_tags_per_table: Option<usize>,
}

impl CatalogLimitOptions {
    /// Returns the limits of the catalog.
    pub fn limits(&self) -> CatalogLimits {
        CatalogLimits {
            databases: self.max_databases,
            tables: self.max_tables,
            tables_per_database: Some(self.max_tables_per_database),
            columns_per_table: Some(self.max_columns_per_table),
            tags_per_table: self.max_tags_per_table,
        }
    }
}
