//! Failures of workers, as opposed to errors of statements.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use neap_operators::CANCELLED;

/// A worker that did not do its part of a query. Another worker may succeed.
#[derive(Debug, thiserror::Error)]
#[error("worker {worker} failed: {source}")]
pub struct WorkerError {
    /// The URL of the worker.
    pub worker: String,
    /// The reason.
    #[source]
    pub source: DataFusionError,
}

/// The end of the name of a worker in the text of a [`WorkerError`].
const FAILED: &str = " failed: ";

/// The start of the text of a [`WorkerError`].
const WORKER: &str = "worker ";

/// The start of the library's error if the plan of a task does not arrive.
const NO_PLAN: &str = "Worker::execute_task timed-out";

/// Names the worker in an error, unless the error is one of the statement or names a worker already.
pub(crate) fn name_worker(error: DataFusionError, worker: &str) -> DataFusionError {
    if is_caused_by_statement(&error) || failed_worker(&error).is_some() {
        error
    } else {
        worker_error(error, worker)
    }
}

/// Wraps an error as a failure of a worker.
pub(crate) fn worker_error(source: DataFusionError, worker: &str) -> DataFusionError {
    DataFusionError::External(Box::new(WorkerError { worker: worker.to_owned(), source }))
}

/// Whether the statement causes the error, on any process: a value that can't be computed, or too little memory.
fn is_caused_by_statement(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => neap_operators::is_of_statement(error),
        DataFusionError::Internal(text) => neap_operators::is_of_pattern(text),
        // A worker cancels its part if it loses the coordinator, or if the ticket expires.
        DataFusionError::Execution(text) => !text.contains(NO_PLAN) && !text.contains(CANCELLED),
        DataFusionError::ResourcesExhausted(_) => true,
        _ => false,
    }
}

/// Returns the URL of the worker whose failure caused an error; `None` if no worker failed. The error may have been
/// sent by another worker as text.
pub fn failed_worker(error: &DataFusionError) -> Option<String> {
    match error {
        DataFusionError::External(error) => match error.downcast_ref::<WorkerError>() {
            // A worker names the one that it reads from, which is the cause.
            Some(failure) => {
                failed_worker(&failure.source).or_else(|| Some(failure.worker.clone()))
            }
            None => match error.downcast_ref::<DataFusionError>() {
                Some(error) => failed_worker(error),
                None => named_worker(&error.to_string()),
            },
        },
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ExternalError(error) => match error.downcast_ref::<DataFusionError>() {
                Some(error) => failed_worker(error),
                None => named_worker(&error.to_string()),
            },
            _ => None,
        },
        DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => {
            failed_worker(error)
        }
        DataFusionError::Shared(error) => failed_worker(error),
        DataFusionError::Collection(errors) => errors.iter().find_map(failed_worker),
        _ => None,
    }
}

/// Returns the last worker that the text of a [`WorkerError`] names.
fn named_worker(text: &str) -> Option<String> {
    let mut found = None;
    for (at, _) in text.match_indices(WORKER) {
        let Some(rest) = text.get(at + WORKER.len()..) else {
            continue;
        };
        let Some((name, _)) = rest.split_once(FAILED) else {
            break;
        };
        if url::Url::parse(name).is_ok() {
            found = Some(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::common::{exec_datafusion_err, internal_datafusion_err};

    use super::*;

    #[test]
    fn a_failure_names_its_worker_through_contexts_and_as_text() {
        let lost = name_worker(internal_datafusion_err!("connection closed"), "http://a:1/");
        assert_eq!(failed_worker(&lost).as_deref(), Some("http://a:1/"));
        let text = lost.to_string();
        let shared = DataFusionError::Shared(Arc::new(lost.context("reading rows")));
        assert_eq!(failed_worker(&shared).as_deref(), Some("http://a:1/"));
        let sent = DataFusionError::External(text.into());
        assert_eq!(failed_worker(&sent).as_deref(), Some("http://a:1/"));
        // The worker that reads from the failed one is not the cause.
        let nested = name_worker(sent, "http://b:2/");
        assert_eq!(failed_worker(&nested).as_deref(), Some("http://a:1/"));
    }

    #[test]
    fn errors_of_the_statement_are_no_failures_of_workers() {
        let division = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        let error = name_worker(division, "http://a:1/");
        assert!(failed_worker(&error).is_none(), "{error}");
        let error = name_worker(exec_datafusion_err!("bad value"), "http://a:1/");
        assert!(failed_worker(&error).is_none(), "{error}");
        let error = exec_datafusion_err!("{NO_PLAN} while waiting for the plan");
        let error = name_worker(error, "http://a:1/");
        assert!(failed_worker(&error).is_some(), "{error}");
    }
}
