//! Triggers on requests.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use neap_catalog::{ANY_AGE, CatalogError, ErrorBehavior};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    LogLevel, PluginCallError, PluginInput, PluginRequest, PluginResponse, RequestDispatcher,
    RequestTrigger, RunError,
    active_triggers::ActiveTrigger,
    checkpoint::TriggerRef,
    engine::Engine,
    logs::{LogSource, PluginLog},
    run::TriggerRun,
};

/// An unknown path is looked up again in the catalog if the last validation is older than this.
const MAX_CATALOG_AGE: Duration = Duration::from_secs(1);

#[async_trait]
impl RequestDispatcher for Engine {
    async fn find(&self, path: &str) -> Result<Option<RequestTrigger>, CatalogError> {
        let path = path.trim_start_matches('/');
        if !self.is_sole_writer() {
            self.refresh(self.settings.catalog_interval).await?;
        } else if self.has_unread_changes() {
            // A client that disabled a trigger through this instance must find its path gone at once.
            self.refresh(ANY_AGE).await?;
        }
        let mut found = self.roster.of_path(path);
        if found.is_none() {
            self.refresh(MAX_CATALOG_AGE).await?;
            found = self.roster.of_path(path);
        }
        Ok(found.map(|known| RequestTrigger {
            database: known.database,
            database_name: Arc::clone(&known.database_name),
            trigger: Arc::clone(&known.trigger),
        }))
    }

    /// The run goes on if the client disconnects, unless the trigger says otherwise: the plugin may have written rows
    /// already, and others are queued. A failed run is not retried, because the client can retry.
    async fn request(
        self: Arc<Self>,
        trigger: RequestTrigger,
        request: PluginRequest,
    ) -> Result<PluginResponse, RunError> {
        let key = TriggerRef { database: trigger.database, trigger: trigger.trigger.id };
        // The trigger may have been disabled while the body of the request arrived.
        let stop = self.closed(key).ok_or(RunError::Stopping)?.child_token();
        let job = TriggerRun {
            database: trigger.database,
            database_name: Arc::clone(&trigger.database_name),
            trigger: Arc::clone(&trigger.trigger),
            call: PluginInput::Request {
                method: request.method,
                query: request.query,
                headers: request.headers,
                body: request.body,
            },
            depth: 1,
            time: request.time,
            stop: stop.clone(),
            abandoned: CancellationToken::new(),
        };
        let mut client = WaitingClient {
            log: self.runner.log.clone(),
            source: job.log_source(),
            abandoned: job.abandoned.clone(),
            stop: trigger.trigger.cancel_on_disconnect.then_some(stop),
            is_answered: false,
        };
        let (sender, answer) = oneshot::channel();
        let engine = Arc::clone(&self);
        {
            let mut runs = self.request_runs();
            while runs.try_join_next().is_some() {}
            runs.spawn(async move {
                let _disconnected = sender.send(engine.run_request(&trigger, job).await);
            });
        }
        let answer = answer.await;
        client.is_answered = true;
        answer.unwrap_or(Err(RunError::Stopping))
    }

    fn changed(&self) {
        self.triggers_changed();
    }
}

impl Engine {
    async fn run_request(
        &self,
        trigger: &RequestTrigger,
        job: TriggerRun,
    ) -> Result<PluginResponse, RunError> {
        let answer = match self.runner.run(job).await.result {
            Ok(answer) => answer,
            Err(PluginCallError::NotStarted(text)) => {
                let traceback = None;
                return Err(RunError::Plugin { text, traceback });
            }
            Err(PluginCallError::Failed(error)) => {
                let is_to_disable = trigger.trigger.error_behavior == ErrorBehavior::Disable;
                let is_own = !matches!(
                    error,
                    RunError::Busy(_) | RunError::NoProcess(_) | RunError::Stopping
                );
                if is_to_disable && is_own {
                    self.disable(&known(trigger)).await;
                }
                return Err(error);
            }
        };
        answer.ok_or_else(|| RunError::Protocol("the plugin sent no response".to_owned()))
    }
}

/// The client of a request that is not answered yet. Dropping it means that the client has disconnected.
#[derive(Debug)]
struct WaitingClient {
    log: PluginLog,
    source: LogSource,
    /// Ends a run that has not started.
    abandoned: CancellationToken,
    /// Ends a run that has started; `None`: such a run goes on.
    stop: Option<CancellationToken>,
    is_answered: bool,
}

impl Drop for WaitingClient {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let text = if let Some(stop) = &self.stop {
            stop.cancel();
            "the client disconnected before the answer: the run ends, because the trigger has cancel_on_disconnect"
        } else {
            "the client disconnected before the answer: the run goes on, unless it has not started"
        };
        self.abandoned.cancel();
        self.log.add(&self.source, LogLevel::Warn, text.to_owned());
    }
}

fn known(of: &RequestTrigger) -> ActiveTrigger {
    ActiveTrigger {
        database: of.database,
        database_name: Arc::clone(&of.database_name),
        trigger: Arc::clone(&of.trigger),
    }
}
