//! The settings of everything, one JSON document.
//!
//! In the values of environment variables `${STORE_ENDPOINT}`, `${BUCKET}` and `${QUEUE_URL:name}` stand for
//! what is known once the ports are.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::gateway::EventKind;

/// The settings of everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Where logs of instances and their temporary files are.
    pub folder: PathBuf,
    /// The port of the control interface and of the queues; any free one by default.
    #[serde(default)]
    pub control_port: u16,
    /// What turns HTTP requests into events.
    #[serde(default)]
    pub gateway: GatewaySettings,
    /// The S3 server.
    pub store: StoreSettings,
    /// The functions by name.
    pub functions: BTreeMap<String, FunctionSettings>,
    /// The queues by name.
    #[serde(default)]
    pub queues: BTreeMap<String, QueueSettings>,
    /// The schedules.
    #[serde(default)]
    pub schedules: Vec<ScheduleSettings>,
    /// Who is told of new objects.
    pub notifications: Option<NotificationSettings>,
}

/// What turns HTTP requests into events.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySettings {
    /// The port; any free one by default.
    pub port: u16,
    /// Which service the gateway stands for.
    pub event: EventKind,
    /// Whether a function may stream its response.
    pub streaming: bool,
}

/// The S3 server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// The directory of its buckets.
    pub directory: PathBuf,
    /// The port; any free one by default.
    #[serde(default)]
    pub port: u16,
    /// The bucket.
    #[serde(default = "default_bucket")]
    pub bucket: String,
}

fn default_bucket() -> String {
    "neap".to_owned()
}

/// A function.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSettings {
    /// The program.
    pub program: PathBuf,
    /// Its environment, besides what Lambda sets.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What it may do with the bucket; everything without a policy.
    pub policy: Option<PolicySource>,
    /// How it is run.
    #[serde(default)]
    pub limits: FunctionLimits,
}

/// Where a policy is from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicySource {
    /// The deployment of the function of this name.
    Deployed(String),
    /// An IAM policy in the configuration itself.
    Document(serde_json::Value),
}

/// How a function is run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FunctionLimits {
    /// The longest that an event may take.
    pub timeout_seconds: f64,
    /// The longest that a start may take.
    pub init_seconds: f64,
    /// The memory that the function is told it has, in MiB.
    pub memory_mib: u32,
    /// The most instances at a time.
    pub max_instances: usize,
    /// The events that an instance handles at a time; more than 1 as on Managed Instances.
    pub concurrency: usize,
    /// Whether an instance is stopped between two events.
    pub freeze: bool,
    /// Which of several idle instances gets the next event.
    pub placement: Placement,
    /// Whether an event that no instance is free for is refused rather than kept waiting.
    pub throttle: bool,
    /// The wait before an asynchronous event that failed is sent again, twice at most.
    pub retry_seconds: f64,
}

impl Default for FunctionLimits {
    /// Lambda's own, but for the number of instances and that events wait.
    fn default() -> Self {
        Self {
            timeout_seconds: 30.0,
            init_seconds: 10.0,
            memory_mib: 512,
            max_instances: 10,
            concurrency: 1,
            freeze: true,
            placement: Placement::default(),
            throttle: false,
            retry_seconds: 60.0,
        }
    }
}

impl FunctionLimits {
    pub(crate) fn timeout(&self) -> Duration {
        seconds(self.timeout_seconds)
    }

    pub(crate) fn init(&self) -> Duration {
        seconds(self.init_seconds)
    }

    pub(crate) fn retry(&self) -> Duration {
        seconds(self.retry_seconds)
    }
}

/// Which of several idle instances gets the next event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// The one that was used last, as on Lambda; another one is started when all are busy.
    #[default]
    Recent,
    /// Each in turn, and all that there may be are started.
    InTurn,
}

/// A queue, and the function that gets its messages.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// The function that gets the messages; without one they stay.
    pub function: Option<String>,
    /// How long a message that was handed out is invisible.
    pub visibility_seconds: f64,
    /// The most messages of an event.
    pub batch_size: usize,
    /// How often a message is handed out at most before it goes to the dead.
    pub max_receives: u32,
    /// The queue of the dead; without one a message is handed out for ever.
    pub dead_letters: Option<String>,
}

/// An event that comes again and again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// The function that gets it.
    pub function: String,
    /// The time between two of them, and before the first.
    pub every_seconds: f64,
    /// The event.
    pub input: serde_json::Value,
}

/// Who is told of new objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationSettings {
    /// Only of objects whose keys begin with this.
    pub prefix: String,
    /// How the function gets it.
    pub shape: NotificationShape,
    /// The function, or for [`NotificationShape::Queue`] the queue.
    pub target: String,
    /// What happens to notifications on their way.
    #[serde(default)]
    pub faults: NotificationFaults,
}

/// How a function gets a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationShape {
    /// As an event of S3.
    Direct,
    /// As messages of a queue.
    Queue,
    /// As an event of EventBridge.
    EventBridge,
}

/// What happens to notifications on their way. Rates are probabilities from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotificationFaults {
    /// Whether all are kept until they are asked for, one by one.
    pub hold: bool,
    /// How often one is lost.
    pub loss: f64,
    /// How often one comes twice.
    pub duplicates: f64,
    /// The longest that one takes, which also changes their order.
    pub delay_seconds: f64,
}

/// A number of seconds from a document; nonsense is no time at all.
pub(crate) fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}
