//! The outcomes of refreshes.

use std::time::Duration;

use crate::RefreshError;

/// Time after a failure when a view is refreshed again.
pub(super) const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// The outcome of a refresh of a view.
#[derive(Clone, Debug)]
pub enum RefreshOutcome {
    /// The view has all rows of the source up to its mark.
    Current,
    /// The view may be behind the source: the time limit is reached, another process refreshes it, its interval is not
    /// over, or it failed recently.
    Behind {
        /// Time until a refresh can continue.
        wait: Duration,
    },
    /// The source does not exist.
    NoSource,
    /// The view was not refreshed.
    Failed(RefreshError),
}

/// The work of a refresh of all views of a database.
#[derive(Clone, Debug, Default)]
pub struct RefreshReport {
    /// The number of computed windows.
    pub windows: u64,
    /// The number of rows written.
    pub rows: u64,
    /// The names of the views with the outcomes.
    pub views: Vec<(String, RefreshOutcome)>,
}

impl RefreshReport {
    /// Returns the time until another refresh is needed even without new data; `None` if all views are current.
    pub fn next_refresh(&self) -> Option<Duration> {
        let waits = self.views.iter().filter_map(|(_, outcome)| match outcome {
            RefreshOutcome::Current | RefreshOutcome::NoSource => None,
            RefreshOutcome::Behind { wait } => Some(*wait),
            RefreshOutcome::Failed(_) => Some(PAUSE_AFTER_FAILURE),
        });
        waits.min()
    }

    /// Returns the names of views that were not refreshed, with the errors.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &RefreshError)> {
        self.views.iter().filter_map(|(name, outcome)| match outcome {
            RefreshOutcome::Failed(error) => Some((name.as_str(), error)),
            _ => None,
        })
    }
}
