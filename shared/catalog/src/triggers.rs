//! Triggers: when which plugin runs, and what it is given.
//!
//! The grammar of specifications and the forms that system tables show are those of InfluxDB 3 Core
//! (`TriggerSpecificationDefinition`).

use std::{collections::BTreeMap, time::Duration};

use neap_bucket::{CodeHash, StoreTime};
use neap_schema::TriggerId;
use serde::{Deserialize, Serialize};

/// When a plugin runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerSpecification {
    /// On rows that are written to a table, which need not exist yet.
    SingleTableWalWrite {
        /// The table.
        table_name: String,
    },
    /// On rows that are written to any table.
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
    /// Whether rows that are written make it run.
    pub fn is_of_writes(&self) -> bool {
        matches!(
            self,
            Self::SingleTableWalWrite { .. } | Self::AllTablesWalWrite
        )
    }

    /// The text that is in it; none where there is nothing to name.
    pub(crate) fn text(&self) -> Option<&String> {
        match self {
            Self::SingleTableWalWrite { table_name } => Some(table_name),
            Self::Schedule { schedule } => Some(schedule),
            Self::RequestPath { path } => Some(path),
            Self::AllTablesWalWrite | Self::Every { .. } => None,
        }
    }

    /// Whether time makes it run.
    pub fn is_of_time(&self) -> bool {
        matches!(self, Self::Schedule { .. } | Self::Every { .. })
    }
}

/// What is done when a plugin fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorBehavior {
    /// It is logged.
    #[default]
    Log,
    /// It runs again, later and later.
    Retry,
    /// The trigger is disabled.
    Disable,
}

impl ErrorBehavior {
    /// The name in `system.processing_engine_triggers`.
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
    /// Its place in keys, never given again.
    pub id: TriggerId,
    /// Its name, unique in the database.
    pub name: String,
    /// The plugin as the user named it: a path below the plugin folder, an uploaded plugin, or `gh:` and a path.
    pub plugin: String,
    /// The code in the bucket that it runs; `None`: what lies in the plugin folder when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeHash>,
    /// When it runs.
    pub specification: TriggerSpecification,
    /// What the plugin is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<BTreeMap<String, String>>,
    /// Whether it may run again while it still runs.
    #[serde(default)]
    pub run_async: bool,
    /// What is done when the plugin fails.
    #[serde(default)]
    pub error_behavior: ErrorBehavior,
    /// Whether it does not run.
    #[serde(default)]
    pub disabled: bool,
    /// When it was created or enabled last, by the store's clock: earlier rows are not for it.
    pub since: StoreTime,
}

impl Trigger {
    /// About how many bytes of memory it takes.
    pub(crate) fn size_bytes(&self) -> usize {
        let arguments = self.arguments.iter().flatten();
        let arguments = arguments.map(|(name, value)| name.len() + value.len());
        let text = self.specification.text().map_or(0, String::len);
        size_of::<Self>() + self.name.len() + self.plugin.len() + text + arguments.sum::<usize>()
    }
}
