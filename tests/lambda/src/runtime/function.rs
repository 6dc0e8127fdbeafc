//! A function and the operations on it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;

use super::{
    FunctionCredentials, FunctionReply, InvocationFailure, InvocationFailureKind,
    account::{ACCOUNT, REGION},
    invocation::{Invocation, REQUEST_LIMIT},
    state::{FunctionInstance, FunctionState},
};
use crate::{configuration::FunctionSettings, world};

/// Number of retries of a failed asynchronous event.
const MAX_RETRIES: u32 = 2;
/// Time that an instance has to end after SIGTERM.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);
/// Interval of checks whether an instance has ended.
const PAUSE: Duration = Duration::from_millis(5);
/// Maximum time to wait for a killed process.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);

/// A function and its instances.
#[derive(Debug)]
pub struct LocalFunction {
    pub(super) name: String,
    pub(super) settings: FunctionSettings,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) identity: FunctionCredentials,
    pub(super) folder: PathBuf,
    state: Mutex<FunctionState>,
}

/// Error: the instance does not exist.
#[derive(Debug, thiserror::Error)]
#[error("there is no instance {0}")]
pub struct UnknownInstance(pub u32);

/// The state of an instance.
#[derive(Clone, Debug, Serialize)]
pub struct InstanceReport {
    /// Its number. Numbers start at 1 and are not reused.
    pub number: u32,
    /// The id of the process.
    pub pid: i32,
    /// The port of its Runtime API.
    pub port: u16,
    /// `starting`, `idle` or `running`.
    pub phase: &'static str,
    /// Whether its processes are stopped by SIGSTOP.
    pub frozen: bool,
    /// Whether it has registered an extension, so that it receives SIGTERM.
    pub extension: bool,
    /// Number of events that it has answered.
    pub handled: u64,
    /// Duration of the start in milliseconds.
    pub init_ms: Option<f64>,
}

impl LocalFunction {
    /// Creates a function without instances.
    pub fn new(
        name: String,
        settings: FunctionSettings,
        environment: BTreeMap<String, String>,
        identity: FunctionCredentials,
        folder: PathBuf,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            settings,
            environment,
            identity,
            folder,
            state: Mutex::default(),
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the Amazon resource name.
    pub fn arn(&self) -> String {
        format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", self.name)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, FunctionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether an instance is frozen between events. One that handles several events at a time never is.
    pub(super) fn freezes(&self) -> bool {
        self.settings.limits.freeze && self.settings.limits.concurrency <= 1
    }

    pub(super) fn log_of(&self, number: u32) -> PathBuf {
        let name = format!("logs/{}-{number}.log", self.name);
        self.folder.join(name)
    }

    /// Sends an event to any instance, or to the given one, and waits for the response.
    ///
    /// # Errors
    /// The function did not answer.
    pub async fn invoke(
        self: &Arc<Self>,
        payload: Bytes,
        streaming: bool,
        instance: Option<u32>,
    ) -> Result<FunctionReply, InvocationFailure> {
        if payload.len() > REQUEST_LIMIT {
            let message = format!(
                "Request must be smaller than {REQUEST_LIMIT} bytes for the InvokeFunction operation"
            );
            return Err(InvocationFailure::new(InvocationFailureKind::RequestTooLarge, message));
        }
        let (reply, answer) = oneshot::channel();
        let invocation = Invocation { id: world::fresh_id(), payload, streaming, reply };
        {
            let mut state = self.state();
            match instance {
                Some(number) => Self::give(&mut state, number, invocation),
                None => self.place(&mut state, invocation),
            }
        }
        let gone =
            || InvocationFailure::new(InvocationFailureKind::Exited, "the function was removed");
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Sends an asynchronous event, with retries. Returns the response, or the last failure.
    ///
    /// # Errors
    /// All attempts failed.
    pub async fn invoke_event(
        self: &Arc<Self>,
        payload: Bytes,
    ) -> Result<FunctionReply, InvocationFailure> {
        let mut attempt = 0;
        loop {
            match self.invoke(payload.clone(), false, None).await {
                Err(_) if attempt < MAX_RETRIES => {
                    attempt += 1;
                    world::sleep(self.settings.limits.retry()).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Starts another instance, regardless of the limit, and returns its number.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn start_instance(self: &Arc<Self>) -> std::io::Result<u32> {
        self.launch(&mut self.state())
    }

    fn with_instance<T>(
        &self,
        number: u32,
        act: impl FnOnce(&mut FunctionInstance) -> T,
    ) -> Result<T, UnknownInstance> {
        let mut state = self.state();
        let instance = state.instances.get_mut(&number).ok_or(UnknownInstance(number))?;
        Ok(act(instance))
    }

    /// Freezes an instance, even during an event, until it is thawed. A frozen instance gets only events that are sent
    /// to it by number.
    ///
    /// # Errors
    /// The instance does not exist.
    pub fn freeze(&self, number: u32) -> Result<(), UnknownInstance> {
        self.with_instance(number, |instance| {
            instance.held = true;
            instance.freeze();
        })
    }

    /// Resumes a frozen instance.
    ///
    /// # Errors
    /// The instance does not exist.
    pub fn thaw(self: &Arc<Self>, number: u32) -> Result<(), UnknownInstance> {
        self.with_instance(number, |instance| {
            instance.held = false;
            if instance.load() > 0 || !self.freezes() || instance.init.is_none() {
                instance.thaw();
            }
        })?;
        self.assign_waiting(&mut self.state());
        Ok(())
    }

    /// Kills an instance immediately, like a machine failure, and waits until it has ended.
    ///
    /// # Errors
    /// The instance does not exist.
    pub async fn kill(&self, number: u32) -> Result<(), UnknownInstance> {
        let failure =
            InvocationFailure::new(InvocationFailureKind::Exited, "the instance was killed");
        self.with_instance(number, |instance| instance.kill(failure))?;
        self.gone(number, KILL_TIMEOUT).await;
        Ok(())
    }

    /// Kills the instance that has worked longest, without waiting until it has ended. Returns whether there was one.
    pub(crate) fn kill_busy(&self) -> bool {
        let failure =
            InvocationFailure::new(InvocationFailureKind::Exited, "the instance was killed");
        let mut state = self.state();
        let busy = state.busy();
        if let Some(instance) = busy.and_then(|number| state.instances.get_mut(&number)) {
            instance.kill(failure);
        }
        busy.is_some()
    }

    /// Freezes the instance that has worked longest, as [`LocalFunction::freeze`] does, and returns its number.
    pub(crate) fn freeze_busy(&self) -> Option<u32> {
        let mut state = self.state();
        let number = state.busy()?;
        let instance = state.instances.get_mut(&number)?;
        instance.held = true;
        instance.freeze();
        Some(number)
    }

    /// Ends an instance as Lambda does: with SIGTERM first, if it has registered an extension.
    ///
    /// # Errors
    /// The instance does not exist.
    pub async fn shut_down(&self, number: u32) -> Result<(), UnknownInstance> {
        let is_told = self.with_instance(number, FunctionInstance::shut_down)?;
        if is_told && !self.gone(number, SHUTDOWN_TIMEOUT).await {
            return self.kill(number).await;
        }
        self.gone(number, KILL_TIMEOUT).await;
        Ok(())
    }

    /// Waits until an instance has ended; returns whether it ended within the limit.
    async fn gone(&self, number: u32, limit: Duration) -> bool {
        let started_at = world::now();
        while self.state().instances.contains_key(&number) {
            if started_at.elapsed() >= limit {
                return false;
            }
            world::sleep(PAUSE).await;
        }
        true
    }

    /// Closes the function: kills all instances and starts no more.
    pub async fn close(&self) {
        let numbers: Vec<u32> = {
            let mut state = self.state();
            state.closed = true;
            for invocation in state.waiting.drain(..) {
                invocation.fail(InvocationFailure::new(
                    InvocationFailureKind::Exited,
                    "the function is closed",
                ));
            }
            state.instances.keys().copied().collect()
        };
        for number in numbers {
            // The instance may have ended by itself.
            self.kill(number).await.ok();
        }
    }

    /// Returns the state of all instances, by number.
    pub fn report(&self) -> Vec<InstanceReport> {
        let state = self.state();
        let reports = state.instances.iter().map(|(number, instance)| {
            let phase = match (instance.init, instance.running.is_empty()) {
                (None, _) => "starting",
                (Some(_), true) => "idle",
                (Some(_), false) => "running",
            };
            InstanceReport {
                number: *number,
                pid: instance.pid.as_raw_nonzero().get(),
                port: instance.port,
                phase,
                frozen: instance.frozen,
                extension: instance.extension.is_registered(),
                handled: instance.handled,
                init_ms: instance.init.map(|init| init.as_secs_f64() * 1e3),
            }
        });
        reports.collect()
    }

    /// Returns the output of all instances so far, by number.
    pub fn logs(&self) -> BTreeMap<u32, String> {
        let started = self.state().started;
        let logs = (1..=started).map(|number| {
            let bytes = std::fs::read(self.log_of(number)).unwrap_or_default();
            (number, String::from_utf8_lossy(&bytes).into_owned())
        });
        logs.collect()
    }
}
