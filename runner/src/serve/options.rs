//! The options of `neap serve`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use neap_bucket::StoreConfig;

use super::{legacy::LegacyFlags, memory::MemoryAmount, tls::TlsVersion};
use crate::cli::{parse_bytes, parse_duration};

/// The options of `neap serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on. By default only this machine is served: there is no authentication yet,
    /// so whoever reaches the address can read, write and delete. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8181")]
    pub(super) http_bind: String,

    /// A name for this process in messages. Any number of processes may share a store, whatever their names.
    #[arg(long, value_name = "NAME")]
    pub(super) node_id: Option<String>,

    /// The environment variable that holds the name of this process, in place of --node-id.
    #[arg(long, value_name = "VARIABLE")]
    pub(super) node_id_from_env: Option<String>,

    /// A name for the cluster in messages. What makes a cluster is the store (and --key-prefix).
    #[arg(long, value_name = "NAME")]
    pub(super) cluster_id: Option<String>,

    /// What this process does.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub(super) mode: Vec<Mode>,

    /// Serve everybody. There is no authentication yet, so this changes nothing.
    #[arg(long)]
    pub(super) without_auth: bool,

    /// A file to write the address into, once it is listened on.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(super) tcp_listener_file_path: Option<PathBuf>,

    /// The largest body of a write, before and after decompression.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "10485760")]
    pub(super) max_http_request_size: usize,

    /// The memory of all running queries together: bytes, or a share of the memory there is.
    #[arg(long, value_name = "BYTES|PERCENT", default_value = "20%")]
    pub(super) exec_mem_pool_bytes: MemoryAmount,

    /// Queries that run at once; others wait.
    #[arg(long, value_name = "NUMBER", default_value_t = 32)]
    pub(super) max_concurrent_queries: usize,

    /// The age that a result may have, for queries that don't say. With 0s, a query sees all writes that were
    /// answered before it began.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    pub(super) max_staleness: Duration,

    /// The least time between two writes of a database to the store: what comes meanwhile is written together.
    /// By default 0s for a directory or memory, and 1s for stores behind a network, where every write costs.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) wal_flush_interval: Option<Duration>,

    /// Answer last and distinct value caches from the tables, as if nothing were kept of them.
    #[arg(long)]
    pub(super) disable_caches: bool,

    /// How long the data of a dropped database or table is kept, unless the drop says otherwise.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "72h")]
    pub(super) hard_delete_default_duration: Duration,

    /// How long queries can ask for an earlier state (`x-neap-as-of`): what was dropped is kept for so long.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1h")]
    pub(super) time_travel: Duration,

    /// How often every database is looked at: what has expired, was dropped or is not needed any more leaves
    /// the store, and days that are no longer written to are merged.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30m")]
    pub(super) retention_check_interval: Duration,

    /// Merges that run at once, in the background.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(super) compaction_jobs: usize,

    /// Promise that no other process writes to this store, which saves queries a listing each. Always so in
    /// memory.
    #[arg(long)]
    pub(super) sole_writer: bool,

    /// Believe the store's clock even if this machine's differs from it by more than five minutes.
    #[arg(long)]
    pub(super) trust_store_clock: bool,

    /// The certificates to serve HTTPS with, as a PEM file. Needs --tls-key.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,

    /// The private key of the first certificate, as a PEM file. Needs --tls-cert.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,

    /// The oldest version of TLS to speak.
    #[arg(long, value_enum, value_name = "VERSION", default_value = "tls-1.2")]
    pub(super) tls_minimum_version: TlsVersion,

    /// What to log, such as `info` or `warn,neap_compact=debug`.
    #[arg(long, value_name = "FILTER")]
    pub(super) log_filter: Option<String>,

    /// Where to log.
    #[arg(long, value_enum, value_name = "STREAM", default_value = "stdout")]
    pub(super) log_destination: LogDestination,

    /// Log more; twice, everything.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,

    #[command(flatten)]
    pub(super) store: StoreConfig,

    #[command(flatten)]
    pub(super) legacy: LegacyFlags,
}

/// What a process can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Everything.
    All,
    /// Take writes.
    Ingest,
    /// Answer queries.
    Query,
    /// Turn new data into larger objects.
    Compact,
    /// Run plugins, which is not there yet.
    Process,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogDestination {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
}

impl ServeArgs {
    /// Whether the process does what `mode` says.
    pub(super) fn does(&self, mode: Mode) -> bool {
        self.mode.contains(&mode) || self.mode.contains(&Mode::All)
    }
}
