//! The options of notifications, as command-line options of the server and of the query function.

use std::sync::Arc;

use clap::Args;
use neap_query::{Notifier, NotifierError, TargetOption};

/// The options of notifications about alerts.
#[derive(Args, Clone, Debug)]
pub struct NotifierOptions {
    /// The targets of notifications about alerts, separated by commas: alertmanager=URL, webhook=URL, slack=URL or ntfy=URL. No
    /// other address gets a notification. A URL may contain a name and a password.
    #[arg(
        long,
        value_name = "KIND=URL",
        value_delimiter = ',',
        hide_env_values = true
    )]
    notify_target: Vec<TargetOption>,
}

impl NotifierOptions {
    /// Returns the client that sends notifications; `None` if there are no targets.
    ///
    /// # Errors
    /// A target is not valid, or the certificates of the system can't be read.
    pub fn notifier(&self) -> Result<Option<Arc<Notifier>>, NotifierError> {
        Notifier::from_options(&self.notify_target)
    }
}
