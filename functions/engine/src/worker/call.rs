//! What a run is given and what comes of it.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use neap_bucket::{SegmentName, StoreTime};
use neap_schema::{DatabaseId, TriggerId};

use crate::{PortError, QueryRows};

/// Whose processes and whose cache a run uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TriggerKey {
    /// A trigger's own.
    Trigger {
        /// Its database.
        database: DatabaseId,
        /// The trigger.
        trigger: TriggerId,
    },
    /// Those of dry runs that name this cache. What they put into either cache stays apart, for half an hour unless they
    /// say for how long.
    DryRun(Arc<str>),
}

/// The code of a plugin in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginOnDisk {
    /// A file, or a folder with an `__init__.py`, which is imported as a package.
    pub path: PathBuf,
    /// Changes whenever the code may have changed: then it is read again.
    pub version: Arc<str>,
}

/// How grave a line of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// It tells what happens.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something went wrong.
    Error,
}

impl LogLevel {
    /// The name in `system.processing_engine_logs` and in the answer of a dry run.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a plugin can do while it runs.
#[async_trait]
pub trait RunContext: fmt::Debug + Send + Sync + 'static {
    /// Takes a line that the plugin logs or prints. It must not wait.
    fn log(&self, level: LogLevel, text: String);

    /// Answers one statement in SQL.
    ///
    /// # Errors
    /// There is no such database, or the query fails: the plugin gets a `QueryError`.
    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<QueryRows, PortError>;

    /// Writes lines at once, with times in nanoseconds, all of them or none.
    ///
    /// # Errors
    /// A line is refused, or the rows are not acknowledged: the plugin gets an `Exception`.
    async fn write_now(&self, database: &str, lines: Bytes, no_sync: bool)
    -> Result<(), PortError>;
}

/// Which function of a plugin is called, and with what.
#[derive(Clone, Debug)]
pub enum Call {
    /// `process_writes`.
    Writes {
        /// Rows by table, as they lie in a segment: a row is given the columns that it has. Each item becomes one of
        /// `table_batches`.
        tables: Vec<(String, Vec<RecordBatch>)>,
        /// The segment that they came in, for plugins that write so that a repeated run changes nothing.
        stamp: Option<SegmentName>,
    },
    /// `process_scheduled_call`.
    Schedule {
        /// When it was to run; the plugin sees whole seconds.
        time: StoreTime,
    },
    /// `process_request`.
    Request {
        /// The method. Plugins of InfluxDB 3 are not told, ours find it as `influxdb3_local.method`.
        method: String,
        /// Parameters of the query; of a name that comes twice the last one counts.
        query: Vec<(String, String)>,
        /// Headers. The plugin gets their names in lower case, and no `authorization`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Bytes,
    },
}

/// The limits of one run; by default those of [`crate::WorkerSettings`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// The time that it may take. If it is given, it covers the wait for a process and its start, too.
    pub wall_time: Option<Duration>,
    /// The processor time that it may take, in whole seconds, rounded up.
    pub cpu_time: Option<Duration>,
    /// The bytes that it may log, queue and answer.
    pub output_bytes: Option<usize>,
}

/// One call of a plugin.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whose processes and cache it uses.
    pub trigger: TriggerKey,
    /// The database that queries and writes go to by default.
    pub database_name: Arc<str>,
    /// The trigger's name, for messages.
    pub trigger_name: Arc<str>,
    /// The code.
    pub code: PluginOnDisk,
    /// What the plugin gets as `args`.
    pub arguments: Option<BTreeMap<String, String>>,
    /// What is called.
    pub call: Call,
    /// Whether runs of this trigger may overlap. They share a cache then whose values are pickled.
    pub is_async: bool,
    /// Where it differs from the settings.
    pub limits: RunLimits,
    /// Where its log, its queries and its writes go.
    pub context: Arc<dyn RunContext>,
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginResponse {
    /// The status: a number of 16 bits, not more is checked.
    pub status: u16,
    /// The headers, as the plugin gave them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// A run that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The lines that it queued, by database, in their order. A line may hold a line break within a string.
    pub queued: BTreeMap<String, Vec<String>>,
    /// What it answered, if it was a request.
    pub response: Option<PluginResponse>,
    /// How long the plugin ran.
    pub took: Duration,
}
