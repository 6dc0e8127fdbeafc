//! Whether the process should be sent requests: `/ready`.
//!
//! `/health` says that the process is alive, and a supervisor starts it again if it is not. `/ready` says that
//! it can work, for load balancers: the store answers, and the process was not asked to stop. A process
//! that can work says `OK` in the first line, and in further lines what an operator has to mend.

use std::{fmt, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use neap_bucket::World;
use neap_catalog::Catalog;
use tokio_util::sync::CancellationToken;

/// How old the last answer of the store may be.
const MAX_AGE: Duration = Duration::from_secs(10);
/// How long the store may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Something that an operator has to mend, of a process that answers requests all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadinessCondition {
    /// The part that it is about, in one word.
    pub(super) name: &'static str,
    /// For people, in one line.
    pub(super) text: String,
}

impl fmt::Display for ReadinessCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text.replace('\n', " "))
    }
}

/// A part of the process that knows conditions.
pub(super) trait ConditionSource: fmt::Debug + Send + Sync {
    /// The conditions that hold now.
    fn conditions(&self) -> Vec<ReadinessCondition>;
}

/// What readiness depends on.
#[derive(Clone, Debug)]
pub(super) struct Readiness {
    pub(super) catalog: Arc<Catalog>,
    pub(super) stop: CancellationToken,
    pub(super) world: World,
    /// The parts whose conditions are shown.
    pub(super) conditions: Vec<Arc<dyn ConditionSource>>,
}

/// The route `/ready`.
pub(super) fn routes(readiness: Readiness) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .with_state(readiness)
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
    /// `OK`, and a line for each condition.
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
    use neap_bucket::{Bucket, Margins, MemoryStore};

    use super::*;

    #[derive(Debug)]
    struct Mended(Vec<&'static str>);

    impl ConditionSource for Mended {
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
    async fn a_process_that_can_work_is_ready_and_names_what_is_to_be_mended() {
        let world = World::system();
        let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let bucket = Bucket::new(store, world.clone());
        let parts = [vec!["clocks differ:\nset one"], Vec::new(), vec!["damage"]];
        let readiness = Readiness {
            catalog: Arc::new(Catalog::new(bucket, Margins::LOCAL, None)),
            stop: CancellationToken::new(),
            world,
            conditions: parts.map(|texts| Arc::new(Mended(texts)) as _).into(),
        };
        let (status, text) = ready(State(readiness)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(text, "OK\nflush: clocks differ: set one\nflush: damage");
    }
}
