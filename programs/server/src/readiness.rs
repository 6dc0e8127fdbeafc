//! The `/ready` endpoint: whether the process should receive requests.
//!
//! `/health` shows that the process is alive, and a supervisor restarts it if not. `/ready` shows load balancers that
//! it can work: the store answers, and the process was not asked to stop. A ready process answers `OK` in the first
//! line; further lines list conditions that an operator should fix.

use std::{fmt, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use neap_bucket::World;
use neap_catalog::Catalog;
use tokio_util::sync::CancellationToken;

/// Maximum age of the store's last response.
const MAX_AGE: Duration = Duration::from_secs(10);
/// Timeout of the store.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A condition that an operator should fix, while the process still answers requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadinessCondition {
    /// The affected component, in one word.
    pub(super) name: &'static str,
    /// Description in one line.
    pub(super) text: String,
}

impl fmt::Display for ReadinessCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text.replace('\n', " "))
    }
}

/// A component that reports conditions.
pub(super) trait ConditionSource: fmt::Debug + Send + Sync {
    /// Returns the current conditions.
    fn conditions(&self) -> Vec<ReadinessCondition>;
}

/// Inputs of the readiness check.
#[derive(Clone, Debug)]
pub(super) struct Readiness {
    pub(super) catalog: Arc<Catalog>,
    pub(super) stop: CancellationToken,
    pub(super) world: World,
    /// Components whose conditions are listed.
    pub(super) conditions: Vec<Arc<dyn ConditionSource>>,
}

/// Returns the route `/ready`.
pub(super) fn routes(readiness: Readiness) -> Router {
    Router::new().route("/ready", get(ready)).with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    let unavailable = |text: &str| (StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
    if readiness.stop.is_cancelled() {
        return unavailable("stopping");
    }
    let root = readiness.catalog.root(MAX_AGE);
    match readiness.world.timeout(TIMEOUT, root).await {
        Some(Ok(_)) => (StatusCode::OK, readiness.detail()),
        _ => unavailable("the store does not answer"),
    }
}

impl Readiness {
    /// Returns `OK` and one line per condition.
    fn detail(&self) -> String {
        let conditions = self.conditions.iter().flat_map(|part| part.conditions());
        let mut detail = "OK".to_owned();
        for condition in conditions {
            detail.push('\n');
            detail.push_str(&condition.to_string());
        }
        detail
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::{Bucket, MemoryStore, ProtocolMargins};

    use super::*;

    #[derive(Debug)]
    struct FixedConditions(Vec<&'static str>);

    impl ConditionSource for FixedConditions {
        fn conditions(&self) -> Vec<ReadinessCondition> {
            let texts = self.0.iter().map(|text| (*text).to_owned());
            texts
                .map(|text| ReadinessCondition {
                    name: "flush",
                    text,
                })
                .collect()
        }
    }

    #[tokio::test]
    async fn a_ready_process_lists_its_conditions() {
        let world = World::system();
        let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let bucket = Bucket::new(store, world.clone());
        let parts = [vec!["clocks differ:\nset one"], Vec::new(), vec!["damage"]];
        let readiness = Readiness {
            catalog: Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None)),
            stop: CancellationToken::new(),
            world,
            conditions: parts.map(|texts| Arc::new(FixedConditions(texts)) as _).into(),
        };
        let (status, text) = ready(State(readiness)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(text, "OK\nflush: clocks differ: set one\nflush: damage");
    }
}
