//! Options: limits for clients.

use std::time::Duration;

use clap::Args;
use neap_assembly::{
    CatalogLimitOptions,
    options::{parse_bytes, parse_duration},
};

/// Limits for clients, as with `neap serve`.
#[derive(Args, Clone, Debug)]
pub struct LimitOptions {
    /// Maximum size of the body of a write in bytes, before and after decompression
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "10MiB")]
    pub max_http_request_size: usize,

    /// Limits of the catalog.
    #[command(flatten)]
    pub catalog: CatalogLimitOptions,

    /// How long the data of a dropped database or table is kept, unless the drop request sets another time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "72h")]
    pub hard_delete_default_duration: Duration,
}
