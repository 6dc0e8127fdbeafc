//! Options that limit requests.

use std::time::Duration;

use clap::Args;
use neap_assembly::{
    CatalogLimitOptions,
    options::{parse_bytes, parse_count, parse_duration, parse_nonzero_duration},
};
use neap_write::WriteSettings;

/// Limits on the size and duration of requests and on catalog objects.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Maximum size of the body of a write, before and after decompression.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "10MiB")]
    pub(super) max_http_request_size: usize,

    /// Maximum number of concurrent requests, without those whose bodies still arrive. Further requests wait for two
    /// seconds and are then answered with 503.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value = "1024")]
    pub(super) max_concurrent_requests: usize,

    /// How long a client may take for the head of a request, for the body of a write, and for a piece of the
    /// answer. An idle connection is closed after that, too.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "30s")]
    pub(super) http_timeout: Duration,

    /// How long a query may take, from its start to the end of its answer.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "5m")]
    pub(super) query_timeout: Duration,

    /// How long requests in progress may take after the process was asked to stop. Then their connections are closed.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "15s")]
    pub(super) shutdown_timeout: Duration,

    /// Maximum number of rows in a query result; a larger result ends with an error. Unlimited by default.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    pub(super) max_result_rows: Option<usize>,

    /// Maximum number of windows of time that a query fills for one series, in `GROUP BY time()` of InfluxQL and
    /// `date_bin_gapfill` of SQL.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value = "5000000")]
    pub(super) max_windows: usize,

    /// Maximum number of concurrent queries; others wait.
    #[arg(long, value_name = "NUMBER", default_value_t = 32)]
    pub(super) max_concurrent_queries: usize,

    #[command(flatten)]
    pub(super) catalog: CatalogLimitOptions,

    /// Maximum number of tables that one write creates.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value_t = WriteSettings::MAX_NEW_TABLES)]
    pub(super) max_new_tables: usize,
}
