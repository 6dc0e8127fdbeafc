//! The options of notifications.

use std::sync::Arc;

use clap::Args;
use neap_query::{Notifier, NotifierError, NotifyTarget};

/// The options of notifications about alerts.
#[derive(Args, Clone, Debug)]
pub(super) struct NotifyArgs {
    /// The targets of notifications about alerts, separated by commas: alertmanager=URL, webhook=URL, slack=URL or ntfy=URL. No
    /// other address gets a notification. A URL may contain a name and a password.
    #[arg(
        long,
        value_name = "KIND=URL",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(super) notify_target: Vec<NotifyTarget>,
}

impl NotifyArgs {
    /// Returns the client that sends notifications; `None` if there are no targets.
    ///
    /// # Errors
    /// The certificates of the system can't be read.
    pub(super) fn notifier(&self) -> Result<Option<Arc<Notifier>>, NotifierError> {
        if self.notify_target.is_empty() {
            return Ok(None);
        }
        Notifier::new(self.notify_target.clone()).map(|notifier| Some(Arc::new(notifier)))
    }
}
