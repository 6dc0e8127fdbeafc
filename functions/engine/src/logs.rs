//! Writes log lines of plugins to the logs of the database and to the log of the process.

use std::{sync::Arc, time::Duration};

use neap_bucket::{ClockReading, World};
use neap_catalog::{EngineLogLine, EngineLogs};
use neap_schema::DatabaseId;

use crate::LogLevel;

/// The sink for log lines of all triggers.
#[derive(Clone, Debug)]
pub(crate) struct PluginLog {
    logs: Arc<EngineLogs>,
    world: World,
}

/// The trigger that a log line belongs to.
#[derive(Clone, Debug)]
pub(crate) struct LogSource {
    pub(crate) database: DatabaseId,
    pub(crate) database_name: Arc<str>,
    pub(crate) trigger: Arc<str>,
}

impl PluginLog {
    pub(crate) fn new(logs: Arc<EngineLogs>, world: World) -> Self {
        Self { logs, world }
    }

    /// Adds a line. Does not block.
    pub(crate) fn add(&self, of: &LogSource, level: LogLevel, text: String) {
        let (database, trigger) = (&*of.database_name, &*of.trigger);
        match level {
            LogLevel::Info => tracing::info!(database, trigger, text, "plugin"),
            LogLevel::Warn => tracing::warn!(database, trigger, text, "plugin"),
            LogLevel::Error => tracing::error!(database, trigger, text, "plugin"),
        }
        let line = EngineLogLine {
            time_ns: self.world.clock.wall_micros().saturating_mul(1_000),
            trigger: trigger.to_owned(),
            level: level.as_str().to_owned(),
            text,
        };
        self.logs.add(of.database, line);
    }

    /// Returns the current instant.
    pub(crate) fn clock_reading(&self) -> ClockReading {
        self.world.clock_reading()
    }

    pub(crate) fn elapsed(&self, since: &ClockReading) -> Duration {
        self.world.elapsed(since)
    }

    pub(crate) fn logs(&self) -> &EngineLogs {
        &self.logs
    }
}
