//! Whether the process should be sent requests: `/ready`.
//!
//! `/health` says that the process is alive, and a supervisor starts it again if it is not. `/ready` says that
//! it can work, for whoever distributes requests: the store answers, and the process was not asked to stop.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use neap_bucket::World;
use neap_catalog::Catalog;
use tokio_util::sync::CancellationToken;

/// How old the last answer of the store may be.
const MAX_AGE: Duration = Duration::from_secs(10);
/// How long the store may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What readiness depends on.
#[derive(Clone, Debug)]
pub(super) struct Readiness {
    pub(super) catalog: Arc<Catalog>,
    pub(super) stop: CancellationToken,
    pub(super) world: World,
}

/// The route `/ready`.
pub(super) fn routes(readiness: Readiness) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    if readiness.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    let root = readiness.catalog.root(MAX_AGE);
    match readiness.world.timeout(TIMEOUT, root).await {
        Some(Ok(_)) => (StatusCode::OK, "OK"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer"),
    }
}
