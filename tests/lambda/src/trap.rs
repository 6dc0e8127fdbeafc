//! What befalls an instance in the middle of its work: when its function has asked the store so often.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{configuration::seconds, runtime::Function, world};

/// When a trap springs, and what happens then.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrapSettings {
    /// The requests of the function from now on after which it springs: the last has been carried out, and is not
    /// answered yet.
    pub after: u64,
    /// Whether it springs again after as many more.
    #[serde(default)]
    pub again: bool,
    /// For how long the instance is frozen; without it, it is killed.
    pub freeze_seconds: Option<f64>,
}

/// What has become of a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TrapReport {
    /// The requests that it has seen.
    pub requests: u64,
    /// How often an instance was caught.
    pub caught: u64,
}

/// A trap for the instances of a function.
#[derive(Debug)]
pub struct Trap {
    settings: TrapSettings,
    function: Arc<Function>,
    report: TrapReport,
}

impl Trap {
    /// A trap that has seen nothing.
    pub fn new(settings: TrapSettings, function: Arc<Function>) -> Self {
        Self {
            settings,
            function,
            report: TrapReport {
                requests: 0,
                caught: 0,
            },
        }
    }

    /// What has become of it.
    pub fn report(&self) -> TrapReport {
        self.report
    }

    /// Counts a request, and springs if it is time. Of several instances at work the one is caught that has been
    /// longest.
    pub(crate) fn count(&mut self) {
        self.report.requests += 1;
        let after = self.settings.after.max(1);
        let is_time = match self.settings.again {
            true => self.report.requests.is_multiple_of(after),
            false => self.report.requests == after,
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
            // It may have been killed meanwhile.
            function.thaw(number).ok();
        });
        true
    }
}
