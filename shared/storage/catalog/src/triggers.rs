//! Triggers: they define when a plugin runs, and its arguments.
//!
//! The grammar of specifications and the representation in system tables are those of InfluxDB 3 Core
//! (`TriggerSpecificationDefinition`).

use std::{collections::BTreeMap, time::Duration};

use neap_bucket::{CodeHash, StoreTime};
use neap_schema::TriggerId;
use serde::{Deserialize, Serialize};

/// When a plugin runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerSpecification {
    /// On writes to a table, which need not exist yet.
    SingleTableWalWrite {
        /// The table.
        table_name: String,
    },
    /// On writes to any table.
    AllTablesWalWrite,
    /// At the times of a cron expression with seconds.
    Schedule {
        /// The expression, of six or seven fields, with an optional time zone before it (`TZ=Europe/Berlin `).
        schedule: String,
    },
    /// At the multiples of a duration since the Unix epoch.
    Every {
        /// The duration.
        duration: Duration,
    },
    /// On requests to a path below `/api/v3/engine/`.
    RequestPath {
        /// The path.
        path: String,
    },
}

impl TriggerSpecification {
    /// Returns whether writes make it run.
    pub fn runs_on_writes(&self) -> bool {
        matches!(self, Self::SingleTableWalWrite { .. } | Self::AllTablesWalWrite)
    }

    /// Returns the text in the specification, if it has any.
    pub(crate) fn text(&self) -> Option<&String> {
        match self {
            Self::SingleTableWalWrite { table_name } => Some(table_name),
            Self::Schedule { schedule } => Some(schedule),
            Self::RequestPath { path } => Some(path),
            Self::AllTablesWalWrite | Self::Every { .. } => None,
        }
    }

    /// Returns whether it runs on a schedule.
    pub fn is_scheduled(&self) -> bool {
        matches!(self, Self::Schedule { .. } | Self::Every { .. })
    }
}

/// How a failure of a plugin is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorBehavior {
    /// The failure is logged.
    #[default]
    Log,
    /// The plugin runs again, with increasing delays.
    Retry,
    /// The trigger is disabled.
    Disable,
}

impl ErrorBehavior {
    /// Returns the name in `system.processing_engine_triggers`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Retry => "retry",
            Self::Disable => "disable",
        }
    }
}

/// A trigger of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// The id, used in keys and never reused.
    pub id: TriggerId,
    /// The name, unique in the database.
    pub name: String,
    /// The plugin, as given by the user: a path below the plugin folder, an uploaded plugin, or `gh:` and a path.
    pub plugin: String,
    /// The code in the bucket that it runs; `None`: the code in the plugin folder at the time of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeHash>,
    /// When it runs.
    pub specification: TriggerSpecification,
    /// The arguments that the plugin receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<BTreeMap<String, String>>,
    /// Whether runs may overlap.
    pub run_async: bool,
    /// How a failure of the plugin is handled.
    pub error_behavior: ErrorBehavior,
    /// Whether the run for a request ends when the client of the request disconnects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_on_disconnect: bool,
    /// Whether it is disabled.
    pub disabled: bool,
    /// When it was created or last enabled, by the store's clock. It does not run for earlier rows.
    pub since: StoreTime,
}

impl Trigger {
    /// Returns its approximate memory size, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let arguments =
            self.arguments.iter().flatten().map(|(name, value)| name.len() + value.len());
        let text = self.specification.text().map_or(0, String::len);
        size_of::<Self>() + self.name.len() + self.plugin.len() + text + arguments.sum::<usize>()
    }
}

/// Returns the id of the first trigger in a database.
pub(crate) fn first_id() -> TriggerId {
    TriggerId::new(1)
}

pub(crate) fn is_first_id(id: &TriggerId) -> bool {
    *id == first_id()
}
