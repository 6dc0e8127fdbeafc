//! The input and the result of a run.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use neap_bucket::{SegmentName, StoreTime};
use neap_schema::{DatabaseId, TriggerId};
use tokio_util::sync::CancellationToken;

use crate::{DatabaseAccessError, QueryRows};

/// Identifies the processes and the cache of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TriggerKey {
    /// The processes and the cache of a trigger.
    Trigger {
        /// The database of the trigger.
        database: DatabaseId,
        /// The trigger.
        trigger: TriggerId,
    },
    /// The processes and the cache of dry runs with this cache name. Their local and global values are separate from
    /// those of triggers, with a default TTL of 30 minutes.
    DryRun(Arc<str>),
}

/// The code of a plugin in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginOnDisk {
    /// A file, or a folder with an `__init__.py`, which is imported as a package.
    pub path: PathBuf,
    /// Changes whenever the code may have changed, so that processes read the code again.
    pub version: Arc<str>,
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
pub enum LogLevel {
    /// Informational.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something went wrong.
    Error,
}

impl LogLevel {
    /// Returns the name in `system.processing_engine_logs` and in responses of dry runs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Receives the log lines, queries and writes of a running plugin.
#[async_trait]
pub trait RunContext: fmt::Debug + Send + Sync + 'static {
    /// Adds a line that the plugin logs or prints. Must not block.
    fn log(&self, level: LogLevel, text: String);

    /// Runs one SQL statement.
    ///
    /// # Errors
    /// There is no such database, or the query fails. The plugin gets a `QueryError`.
    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError>;

    /// Writes lines synchronously, with timestamps in nanoseconds, all or none.
    ///
    /// # Errors
    /// A line is rejected, or the rows are not acknowledged. The plugin gets an `Exception`.
    async fn write_now(
        &self,
        database: &str,
        lines: Bytes,
        no_sync: bool,
    ) -> Result<(), DatabaseAccessError>;
}

/// The function of a plugin to call, with its input.
#[derive(Clone, Debug)]
pub enum PluginInput {
    /// `process_writes`.
    Writes {
        /// Rows by table, as they are in a segment: a row has only the columns that were written. Each item becomes one
        /// of `table_batches`.
        tables: Vec<(String, Vec<RecordBatch>)>,
        /// The segment of the rows, which lets plugins write idempotently.
        stamp: Option<SegmentName>,
    },
    /// `process_scheduled_call`.
    Schedule {
        /// The time for which the run is scheduled; the plugin sees whole seconds.
        time: StoreTime,
    },
    /// `process_request`.
    Request {
        /// The HTTP method. InfluxDB 3 does not pass it; here plugins read it as `influxdb3_local.method`.
        method: String,
        /// Parameters of the query string. If a name is repeated, the plugin gets the last value.
        query: Vec<(String, String)>,
        /// Headers. The plugin gets their names in lower case, without `authorization`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Bytes,
    },
}

/// The limits of one run, which override those of [`crate::WorkerSettings`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// The wall time limit. If it is given, it includes the wait for a process and the start of the process.
    pub wall_time: Option<Duration>,
    /// The CPU time limit, rounded up to whole seconds.
    pub cpu_time: Option<Duration>,
    /// Maximum bytes of log, queued lines and response together.
    pub output_bytes: Option<usize>,
}

/// One call of a plugin.
#[derive(Clone, Debug)]
pub struct PluginRun {
    /// The processes and the cache to use.
    pub trigger: TriggerKey,
    /// The default database of queries and writes.
    pub database_name: Arc<str>,
    /// The trigger's name, for messages.
    pub trigger_name: Arc<str>,
    /// The code.
    pub code: PluginOnDisk,
    /// The arguments that the plugin gets as `args`.
    pub arguments: Option<BTreeMap<String, String>>,
    /// The function to call, with its input.
    pub call: PluginInput,
    /// Whether runs of this trigger may overlap. If so, they share a cache of pickled values.
    pub is_async: bool,
    /// Overrides of the limits in the settings.
    pub limits: RunLimits,
    /// Cancelled when the trigger is disabled or deleted. Then the run is interrupted, and killed after the grace
    /// period.
    pub stop: CancellationToken,
    /// Cancelled when no caller waits for the run any more. A run that has not started then does not start.
    pub abandoned: CancellationToken,
    /// The receiver of the plugin's log lines, queries and writes.
    pub context: Arc<dyn RunContext>,
}

/// The response of a plugin to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginResponse {
    /// The status. Any number of 16 bits; its range is not checked.
    pub status: u16,
    /// The headers, as the plugin gave them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// The result of a successful run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedRun {
    /// The queued lines by database, in their order. A line may contain a line break within a string.
    pub queued: BTreeMap<String, Vec<String>>,
    /// The response, if the call was a request.
    pub response: Option<PluginResponse>,
    /// The duration of the run.
    pub took: Duration,
}
