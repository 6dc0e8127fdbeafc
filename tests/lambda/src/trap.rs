//! Traps: fault injection that kills or freezes an instance after a number of store requests by its function.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{configuration::seconds, runtime::LocalFunction, world};

/// Settings of a trap.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrapSettings {
    /// Number of store requests after which the trap acts. The last of them has been executed and is not answered yet.
    pub after: u64,
    /// Whether the trap acts again after each further `after` requests.
    #[serde(default)]
    pub again: bool,
    /// Time in seconds for which the instance is frozen; if it is not set, the instance is killed.
    pub freeze_seconds: Option<f64>,
}

/// The counters of a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TrapReport {
    /// Number of requests since the trap was set.
    pub requests: u64,
    /// Number of instances that were killed or frozen.
    pub caught: u64,
}

/// A trap for the instances of a function.
#[derive(Debug)]
pub struct Trap {
    settings: TrapSettings,
    function: Arc<LocalFunction>,
    report: TrapReport,
}

impl Trap {
    /// Creates a trap with counters at zero.
    pub fn new(settings: TrapSettings, function: Arc<LocalFunction>) -> Self {
        Self {
            settings,
            function,
            report: TrapReport { requests: 0, caught: 0 },
        }
    }

    /// Returns the counters.
    pub fn report(&self) -> TrapReport {
        self.report
    }

    /// Counts a request and acts if its number is reached. Among several busy instances, the one that has worked
    /// longest is killed or frozen.
    pub(crate) fn count(&mut self) {
        self.report.requests += 1;
        let after = self.settings.after.max(1);
        let is_time = if self.settings.again {
            self.report.requests.is_multiple_of(after)
        } else {
            self.report.requests == after
        };
        if !is_time {
            return;
        }
        let caught = match self.settings.freeze_seconds {
            None => self.function.kill_busy(),
            Some(time) => self.freeze(seconds(time)),
        };
        self.report.caught += u64::from(caught);
    }

    fn freeze(&self, time: Duration) -> bool {
        let Some(number) = self.function.freeze_busy() else {
            return false;
        };
        let function = Arc::clone(&self.function);
        tokio::spawn(async move {
            world::sleep(time).await;
            // It may have been killed in the meantime.
            function.thaw(number).ok();
        });
        true
    }
}
