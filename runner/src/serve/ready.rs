//! Whether the process should be sent requests: `/ready`.
//!
//! `/health` says that the process is alive, and a supervisor starts it again if it is not. `/ready` says that
//! it can work, for whoever distributes requests: the store answers, and the process was not asked to stop. Damaged
//! objects don't keep it from working with the others, so they are only named.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use neap_bucket::World;
use neap_catalog::Catalog;
use tokio_util::sync::CancellationToken;

use super::damage::DamageMonitor;

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
    pub(super) damage: Arc<DamageMonitor>,
}

/// The route `/ready`.
pub(super) fn routes(readiness: Readiness) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, Cow<'static, str>) {
    if readiness.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping".into());
    }
    let root = readiness.catalog.root(MAX_AGE);
    match readiness.world.timeout(TIMEOUT, root).await {
        Some(Ok(_)) => match readiness.damage.detail() {
            None => (StatusCode::OK, "OK".into()),
            Some(detail) => (StatusCode::OK, format!("OK\n{detail}").into()),
        },
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the store does not answer".into(),
        ),
    }
}
