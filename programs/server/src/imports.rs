//! The task that imports files that clients uploaded as jobs.

use std::sync::Arc;

use neap_files::{ImportSettings, ImportWorker};
use neap_write::WriteService;
use tokio_util::sync::CancellationToken;

use super::{options::ServeArgs, server_context::ServerContext};

/// Creates the worker of a process that accepts writes.
pub(super) fn worker(
    args: &ServeArgs,
    base: &ServerContext,
    service: &Arc<WriteService>,
) -> Arc<ImportWorker> {
    let settings = ImportSettings {
        spool_dir: args.spill_dir.clone(),
        ..ImportSettings::default()
    };
    Arc::new(ImportWorker::new(
        Arc::clone(service),
        base.uploads.clone(),
        settings,
        &base.metrics,
    ))
}

/// Imports files until `stop`, which interrupts a job. A later start, or another process, continues it.
pub(super) async fn run(worker: &ImportWorker, stop: &CancellationToken) {
    tokio::select! {
        () = worker.run() => {}
        () = stop.cancelled() => {}
    }
}
