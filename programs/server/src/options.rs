//! The options of `neap serve`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use neap_assembly::{
    NotifierOptions, ProcessingOptions,
    options::{OptionValueError, parse_bytes, parse_duration, parse_nonzero_duration},
};
use neap_bucket::StoreConfig;
use neap_catalog::{DatabaseNameError, validate_database_name};
use neap_http::PingAnswer;
use neap_wal::TailWriterSettings;
use neap_write::LegacyWrites;

use crate::publish_options::PublishArgs;

use super::{
    access::AccessArgs,
    assistant_options::AssistantArgs,
    backups::BackupArgs,
    cluster::ClusterArgs,
    legacy_flags::LegacyFlags,
    limits::LimitArgs,
    listen_address::parse_address,
    mcp::McpArgs,
    memory::{MemoryAmount, parse_limit},
    sync_options::SyncArgs,
    tls::TlsVersion,
    traces::TraceArgs,
    unitless_sizes::UnitlessSizes,
};

/// The default number of queries that `system.queries` shows.
const DEFAULT_QUERY_LOG_ENTRIES: usize = 1_000;

/// The options of `neap serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    // First, because the fields take their values out of the parsed arguments in this order.
    #[command(flatten)]
    pub(super) sizes: UnitlessSizes,

    /// The address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "0.0.0.0:8181")]
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

    /// The roles of this process.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub(super) mode: Vec<ServeMode>,

    #[command(flatten)]
    pub(super) access: AccessArgs,

    #[command(flatten)]
    pub(super) limits: LimitArgs,

    #[command(flatten)]
    pub(super) cluster: ClusterArgs,

    #[command(flatten)]
    pub(super) mcp: McpArgs,

    #[command(flatten)]
    pub(super) assistant: AssistantArgs,

    #[command(flatten)]
    pub(super) traces: TraceArgs,

    #[command(flatten, next_help_heading = "Plugins")]
    pub(super) plugins: ProcessingOptions,

    /// A file to write the address into, once it is listened on.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(super) tcp_listener_file_path: Option<PathBuf>,

    /// The database of writes that name none, such as those of QuestDB's clients.
    #[arg(long, value_name = "NAME", value_parser = parse_database_name)]
    pub(super) default_database: Option<String>,

    /// What /write and /api/v2/write do with the valid lines of a request if others are refused: store them, as InfluxDB 1
    /// and 2 do (partial), or refuse them as well, as InfluxDB 3 does (strict).
    #[arg(long, value_name = "MODE", default_value = "partial")]
    pub(super) legacy_writes: LegacyWrites,

    /// How /ping is answered: with 204 to clients that show that they are of InfluxDB 1, and with 200 and JSON to others
    /// (auto), or with 204 to all, as InfluxDB 1 does (v1).
    #[arg(long, value_name = "VERSION", default_value = "auto")]
    pub(super) ping: PingAnswer,

    /// The address to listen on for QuestDB's clients over TCP, such as 0.0.0.0:9009; with TLS if the server has a
    /// certificate. Their rows go to --default-database.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, requires = "default_database")]
    pub(super) questdb_bind: Option<String>,

    /// Accept QuestDB's clients over TCP without a key. They may write to --default-database, and do nothing else.
    #[arg(long, requires = "questdb_bind")]
    pub(super) questdb_without_auth: bool,

    /// The address to listen on for clients of PostgreSQL, such as 127.0.0.1:5432; with TLS if the server has a
    /// certificate. The password is a token, or the password of a user.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) postgres_bind: Option<String>,

    /// The memory that this process may use: bytes, or a share of what there is. By default all that its control group
    /// or the machine has.
    #[arg(long, value_name = "BYTES|PERCENT", value_parser = parse_limit)]
    pub(super) memory_limit: Option<usize>,

    /// The memory of all running queries together: bytes, or a share of the memory there is. By default about 18%.
    #[arg(long, value_name = "BYTES|PERCENT")]
    pub(super) exec_mem_pool_size: Option<MemoryAmount>,

    /// The folder for spill files of queries; by default the system's folder for temporary files. The files are deleted
    /// when the process ends.
    #[arg(long, value_name = "FOLDER")]
    pub(super) spill_dir: Option<PathBuf>,

    /// Maximum size of the spill files in --spill-dir.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "8GiB")]
    pub(super) max_spill_bytes: usize,

    /// Maximum staleness of results, for queries that set none. With 0s, a query sees all writes that were answered
    /// before it began.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    pub(super) max_staleness: Duration,

    /// The time for each write of a database to the store, on average: points that arrive in between are written
    /// together. By default 0s for a directory or memory, and 1s for network stores, where every write costs a request.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) wal_flush_interval: Option<Duration>,

    /// Writes of a database to the store that need not wait for --wal-flush-interval. A server starts with all of them,
    /// and regains one for each interval without a write.
    #[arg(long, value_name = "NUMBER", default_value_t = TailWriterSettings::NETWORK.flush_burst)]
    pub(super) wal_flush_burst: u32,

    /// Queries that `system.queries` shows: those that run, and the last ones that did. By default 1,000.
    #[arg(long, value_name = "NUMBER")]
    pub(super) query_log_max_entries: Option<usize>,

    /// The memory for answers of queries, which are sent again while the data stays the same: at most half of what there is for
    /// parts of sections. By default about 0.7% of the memory. 0 keeps no answers.
    #[arg(long, value_name = "BYTES", value_parser = parse_cache_size)]
    pub(super) answer_cache_size: Option<usize>,

    /// Answer queries of last and distinct value caches from the tables instead of the caches, and keep no answers.
    #[arg(long)]
    pub(super) disable_caches: bool,

    /// How long the data of a dropped database or table is kept, unless the drop request sets another time.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "72h")]
    pub(super) hard_delete_default_duration: Duration,

    /// How far back queries can read an earlier state (`x-neap-as-of`): dropped data is kept for this time.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1h")]
    pub(super) time_travel: Duration,

    /// Interval of the maintenance of all databases: expired, dropped and unreferenced data is deleted, and days
    /// without new writes are merged.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30m")]
    pub(super) retention_check_interval: Duration,

    /// Interval in which all data is read once in the background, to find damage before a query needs the rows. Damaged
    /// objects are replaced by the copies of backups at a place of --backup-to. `0s` switches it off.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30d")]
    pub(super) scrub_interval: Duration,

    /// Interval at which new data is flushed in databases with materialized views or continuous queries, which are
    /// refreshed after each flush.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "60s")]
    pub(super) rollup_interval: Duration,

    #[command(flatten)]
    pub(super) notifications: NotifierOptions,

    /// Merges that run at once, in the background.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(super) compaction_jobs: usize,

    #[command(flatten)]
    pub(super) backups: BackupArgs,

    #[command(flatten)]
    pub(super) sync: SyncArgs,

    #[command(flatten)]
    pub(super) publish: PublishArgs,

    /// Promise that no other process writes to this store, which saves queries a listing each, and drops the time
    /// until other processes know of them: those that only answer queries may show what was dropped for 5s. Always so
    /// in memory.
    #[arg(long)]
    pub(super) sole_writer: bool,

    /// Trust the store's clock even if this machine's clock differs from it by more than five minutes.
    #[arg(long)]
    pub(super) trust_store_clock: bool,

    /// The certificates to serve HTTPS with, as a PEM file. Needs --tls-key. When the files change, new
    /// connections get the new certificate.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,

    /// The private key of the first certificate, as a PEM file. Needs --tls-cert.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,

    /// The oldest version of TLS to speak.
    #[arg(long, value_enum, value_name = "VERSION", default_value = "tls-1.2")]
    pub(super) tls_minimum_version: TlsVersion,

    /// Log filter, such as `info` or `warn,neap_compact=debug`.
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
    pub(super) renamed: RenamedFlags,

    #[command(flatten)]
    pub(super) legacy: LegacyFlags,
}

/// Roles of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ServeMode {
    /// Everything.
    All,
    /// Take writes.
    Ingest,
    /// Answer queries.
    Query,
    /// Turn new data into larger objects.
    Compact,
    /// Run plugins.
    Process,
}

/// Destinations of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogDestination {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
}

/// Options of the server under their former names.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RenamedFlags {
    /// The former name of --exec-mem-pool-size.
    #[arg(long, value_name = "BYTES|PERCENT", hide = true)]
    pub(super) exec_mem_pool_bytes: Option<MemoryAmount>,

    /// The former name of --query-log-max-entries.
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub(super) query_log_size: Option<usize>,
}

impl ServeArgs {
    /// Returns whether the process has a role.
    pub(super) fn does(&self, mode: ServeMode) -> bool {
        self.mode.contains(&mode) || self.mode.contains(&ServeMode::All)
    }

    /// Returns the memory of all running queries together, if an option sets it.
    pub(super) fn query_memory(&self) -> Option<MemoryAmount> {
        self.exec_mem_pool_size.or(self.renamed.exec_mem_pool_bytes)
    }

    /// Returns the number of queries that `system.queries` shows.
    pub(super) fn query_log_entries(&self) -> usize {
        let entries = self.query_log_max_entries.or(self.renamed.query_log_size);
        entries.unwrap_or(DEFAULT_QUERY_LOG_ENTRIES)
    }
}

/// Parses a number of bytes; zero switches a cache off.
fn parse_cache_size(text: &str) -> Result<usize, OptionValueError> {
    match text.trim() {
        "0" | "0b" => Ok(0),
        size => parse_bytes(size),
    }
}

fn parse_database_name(name: &str) -> Result<String, DatabaseNameError> {
    validate_database_name(name)?;
    Ok(name.to_owned())
}
