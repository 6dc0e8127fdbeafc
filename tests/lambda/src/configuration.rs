//! The configuration of the emulator, one JSON document.
//!
//! In the values of environment variables, the placeholders `${STORE_ENDPOINT}`, `${BUCKET}`, `${LAMBDA_ENDPOINT}`, and
//! `${QUEUE_URL:name}` are replaced when the ports are known.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::gateway::GatewayKind;

/// The configuration of the emulator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The folder for logs and temporary files of instances.
    pub folder: PathBuf,
    /// The port of the control interface and of the queues; by default any free one.
    #[serde(default)]
    pub control_port: u16,
    /// The HTTP gateway.
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
    /// Notifications of new objects.
    pub notifications: Option<NotificationSettings>,
}

/// Settings of the HTTP gateway.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySettings {
    /// The port; by default any free one.
    pub port: u16,
    /// The emulated AWS gateway.
    pub event: GatewayKind,
    /// Whether functions may stream their responses.
    pub streaming: bool,
}

/// Settings of the S3 server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// The directory of its buckets.
    pub directory: PathBuf,
    /// The port; by default any free one.
    #[serde(default)]
    pub port: u16,
    /// The bucket.
    #[serde(default = "default_bucket")]
    pub bucket: String,
}

fn default_bucket() -> String {
    "neap".to_owned()
}

/// Settings of a function.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSettings {
    /// The program.
    pub program: PathBuf,
    /// Its environment variables, in addition to those that Lambda sets.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Its permissions on the bucket; everything if there is no policy.
    pub policy: Option<PolicySource>,
    /// Limits of its execution.
    #[serde(default)]
    pub limits: FunctionLimits,
}

/// The source of a policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicySource {
    /// The deployed policy of the function of this name.
    Deployed(String),
    /// An IAM policy in the configuration itself.
    Document(serde_json::Value),
}

/// Limits of the execution of a function.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FunctionLimits {
    /// Maximum duration of an event in seconds.
    pub timeout_seconds: f64,
    /// Maximum duration of a start in seconds.
    pub init_seconds: f64,
    /// The memory size that is announced to the function, in MiB.
    pub memory_mib: u32,
    /// Maximum number of instances at a time.
    pub max_instances: usize,
    /// Maximum number of events that an instance handles at a time; more than 1 as on Managed Instances.
    pub concurrency: usize,
    /// Whether an instance is frozen between events.
    pub freeze: bool,
    /// Selection among several idle instances.
    pub placement: InstancePlacement,
    /// Whether an event is rejected, instead of queued, if no instance is free.
    pub throttle: bool,
    /// Pause in seconds before a failed asynchronous event is sent again, which happens at most twice.
    pub retry_seconds: f64,
}

impl Default for FunctionLimits {
    /// Lambda's own limits, except for the number of instances and for queued events.
    fn default() -> Self {
        Self {
            timeout_seconds: 30.0,
            init_seconds: 10.0,
            memory_mib: 512,
            max_instances: 10,
            concurrency: 1,
            freeze: true,
            placement: InstancePlacement::default(),
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

/// Selection among several idle instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstancePlacement {
    /// The most recently used one, as on Lambda; another one is started if all are busy.
    #[default]
    Recent,
    /// Round robin; all instances that the limit allows are started.
    InTurn,
}

/// Settings of a queue.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// The function that gets the messages; without one, messages stay in the queue.
    pub function: Option<String>,
    /// Time in seconds for which a received message is invisible.
    pub visibility_seconds: f64,
    /// Maximum number of messages in an event.
    pub batch_size: usize,
    /// Maximum number of times that a message is received before it goes to the dead-letter queue.
    pub max_receives: u32,
    /// The dead-letter queue; without one, a message is received again forever.
    pub dead_letters: Option<String>,
}

/// Settings of a schedule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// The function that gets the event.
    pub function: String,
    /// Interval between two events, and before the first one, in seconds.
    pub every_seconds: f64,
    /// The event.
    pub input: serde_json::Value,
}

/// Settings of the notifications of new objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationSettings {
    /// Prefix of the keys that are reported.
    pub prefix: String,
    /// The form of the notifications.
    pub shape: NotificationShape,
    /// The function, or the queue for [`NotificationShape::Queue`].
    pub target: String,
    /// Injected faults.
    #[serde(default)]
    pub faults: NotificationFaults,
}

/// The form of a notification.
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

/// Faults of notifications. Rates are probabilities from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotificationFaults {
    /// Whether all notifications are held until a test delivers them.
    pub hold: bool,
    /// Rate of lost notifications.
    pub loss: f64,
    /// Rate of notifications that are delivered twice.
    pub duplicates: f64,
    /// Maximum delay of a notification in seconds, which also changes their order.
    pub delay_seconds: f64,
}

/// Converts seconds from a document to a duration; invalid values become zero.
pub(crate) fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}
