//! Calls the plugin of a trigger, with its code.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use neap_catalog::Trigger;
use neap_schema::DatabaseId;
use tokio_util::sync::CancellationToken;

use crate::{
    CompletedRun, PluginCodeError, PluginCodeStore, PluginInput, PluginOnDisk, PluginRun,
    RunContext, RunError, RunLimits, TriggerKey, WorkerPool,
};

/// An error of calling a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginCallError {
    /// The plugin did not start, through no fault of its own: its code can't be fetched now, or no process can be
    /// started. Holds a description.
    #[error("{0}")]
    NotStarted(String),
    /// The plugin failed.
    #[error(transparent)]
    Failed(#[from] RunError),
}

impl PluginCallError {
    /// Classifies the error of a run.
    pub(crate) fn of_run(error: RunError) -> Self {
        match error {
            RunError::NoPython { .. } => Self::NotStarted(error.to_string()),
            error => Self::Failed(error),
        }
    }
}

/// Runs plugins: loads the code of triggers, and calls it in processes.
#[async_trait]
pub trait PluginRuntime: fmt::Debug + Send + Sync + 'static {
    /// Calls the plugin of a trigger.
    ///
    /// # Errors
    /// There is no code, or the plugin failed or reached a limit.
    async fn run(&self, call: PluginCall) -> Result<CompletedRun, PluginCallError>;

    /// Stops the runs of a trigger and drops its cache. Called when the trigger was disabled or deleted.
    fn forget(&self, trigger: &TriggerKey);

    /// Stops all runs. Later runs fail.
    async fn stop(&self);
}

/// The runtime of plugins in Python.
#[derive(Clone, Debug)]
pub struct PythonPluginRuntime {
    code: Arc<PluginCodeStore>,
    workers: Arc<WorkerPool>,
}

impl PythonPluginRuntime {
    /// Creates the runtime over a store of code and a pool of processes.
    pub fn new(code: Arc<PluginCodeStore>, workers: Arc<WorkerPool>) -> Self {
        Self { code, workers }
    }
}

#[async_trait]
impl PluginRuntime for PythonPluginRuntime {
    async fn run(&self, call: PluginCall) -> Result<CompletedRun, PluginCallError> {
        let trigger = &call.trigger;
        let code = self.code.on_disk(&trigger.plugin, trigger.code).await;
        let code = match code {
            Ok(code) => code,
            Err(error @ (PluginCodeError::Store(_) | PluginCodeError::Catalog(_))) => {
                return Err(PluginCallError::NotStarted(error.to_string()));
            }
            Err(error) => {
                return Err(PluginCallError::Failed(RunError::Plugin {
                    text: error.to_string(),
                    traceback: None,
                }));
            }
        };
        let run = call.of_code(code);
        self.workers.run(run).await.map_err(PluginCallError::of_run)
    }

    fn forget(&self, trigger: &TriggerKey) {
        self.workers.forget(trigger);
    }

    async fn stop(&self) {
        self.workers.stop().await;
    }
}

/// A call of the plugin of a trigger.
#[derive(Clone, Debug)]
pub struct PluginCall {
    /// The database of the trigger.
    pub database: DatabaseId,
    /// The name of the database.
    pub database_name: Arc<str>,
    /// The trigger.
    pub trigger: Arc<Trigger>,
    /// The function to call, with its input.
    pub call: PluginInput,
    /// Overrides of the limits in the settings.
    pub limits: RunLimits,
    /// Cancelled when the trigger is disabled or deleted, which ends the run.
    pub stop: CancellationToken,
    /// Cancelled when no caller waits for the run any more. A run that has not started then ends.
    pub abandoned: CancellationToken,
    /// The receiver of the plugin's log lines, queries and writes.
    pub context: Arc<dyn RunContext>,
}

impl PluginCall {
    /// Combines the call with the code to run.
    fn of_code(self, code: PluginOnDisk) -> PluginRun {
        PluginRun {
            trigger: TriggerKey::Trigger { database: self.database, trigger: self.trigger.id },
            database_name: self.database_name,
            trigger_name: Arc::from(self.trigger.name.as_str()),
            code,
            arguments: self.trigger.arguments.clone(),
            call: self.call,
            is_async: self.trigger.run_async,
            limits: self.limits,
            stop: self.stop,
            abandoned: self.abandoned,
            context: self.context,
        }
    }
}
