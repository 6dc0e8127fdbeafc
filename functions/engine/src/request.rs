//! Triggers on requests.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use neap_catalog::{ANY_AGE, CatalogError, ErrorBehavior};

use crate::{
    PluginCallError, PluginInput, PluginRequest, PluginResponse, RequestDispatcher, RequestTrigger,
    RunError, active_triggers::ActiveTrigger, checkpoint::TriggerRef, engine::Engine,
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

    /// A failed run is not retried, because the client can retry.
    async fn request(
        &self,
        trigger: &RequestTrigger,
        request: PluginRequest,
    ) -> Result<PluginResponse, RunError> {
        let key = TriggerRef {
            database: trigger.database,
            trigger: trigger.trigger.id,
        };
        // The trigger may have been disabled while the body of the request arrived.
        let stop = self.closed(key).ok_or(RunError::Stopping)?;
        let ran = self.runner.run(TriggerRun {
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
            stop,
        });
        let answer = match ran.await.result {
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

    fn changed(&self) {
        self.triggers_changed();
    }
}

fn known(of: &RequestTrigger) -> ActiveTrigger {
    ActiveTrigger {
        database: of.database,
        database_name: Arc::clone(&of.database_name),
        trigger: Arc::clone(&of.trigger),
    }
}
