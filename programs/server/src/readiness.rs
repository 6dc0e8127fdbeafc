//! The `/ready` endpoint: whether the process should receive requests.
//!
//! `/health` shows that the process is alive, and a supervisor restarts it if not. `/ready` shows load balancers that
//! it can work: the store answers, and the process was not asked to stop. A ready process answers `OK` in the first
//! line; further lines list conditions that an operator should fix. Clients of InfluxDB 2 get JSON.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, SecondsFormat};
use neap_bucket::World;
use neap_catalog::{Catalog, CatalogError};
use neap_http::{ApiError, Kind, expects_v2_json};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Maximum age of the store's last response.
const MAX_AGE: Duration = Duration::from_secs(10);
/// Timeout of the store.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A condition that an operator should fix, while the process still answers requests.
#[derive(Clone, Debug, PartialEq, Eq, derive_more::Display)]
#[display("{name}: {}", text.replace('\n', " "))]
pub(super) struct ReadinessCondition {
    /// The affected component, in one word.
    pub(super) name: &'static str,
    /// Description in one line.
    pub(super) text: String,
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
    /// When the process started, in microseconds since the Unix epoch.
    pub(super) started_micros: i64,
    /// Components whose conditions are listed.
    pub(super) conditions: Vec<Arc<dyn ConditionSource>>,
}

/// Returns the route `/ready`.
pub(super) fn routes(readiness: Readiness) -> Router {
    Router::new().route("/ready", get(ready)).with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>, headers: HeaderMap) -> Response {
    let is_json = expects_v2_json(&headers);
    match readiness.check().await {
        Ok(()) if is_json => Json(readiness.v2_answer()).into_response(),
        Ok(()) => readiness.detail().into_response(),
        Err(reason) if is_json => ApiError::v2(Kind::Unavailable, reason).into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

impl Readiness {
    /// Returns the reason why the process should receive no requests.
    async fn check(&self) -> Result<(), &'static str> {
        if self.stop.is_cancelled() {
            return Err("stopping");
        }
        let root = self.catalog.root(MAX_AGE);
        match self.world.timeout(TIMEOUT, root).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(CatalogError::OtherFormatLevel { .. })) => {
                Err("this release does not know the format level of the cluster")
            }
            _ => Err("the store does not answer"),
        }
    }

    fn conditions(&self) -> impl Iterator<Item = String> {
        let conditions = self.conditions.iter().flat_map(|part| part.conditions());
        conditions.map(|condition| condition.to_string())
    }

    /// Returns `OK` and one line per condition.
    fn detail(&self) -> String {
        let mut detail = "OK".to_owned();
        for condition in self.conditions() {
            detail.push('\n');
            detail.push_str(&condition);
        }
        detail
    }

    /// Returns the answer of InfluxDB 2, and the conditions.
    fn v2_answer(&self) -> Value {
        let started = DateTime::from_timestamp_micros(self.started_micros).unwrap_or_default();
        let micros = self.world.clock.wall_micros().saturating_sub(self.started_micros);
        let seconds = micros.max(0) / 1_000_000;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        json!({
            "status": "ready",
            "started": started.to_rfc3339_opts(SecondsFormat::Micros, true),
            "up": format!("{hours}h{minutes}m{}s", seconds % 60),
            "conditions": self.conditions().collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{
        HeaderName,
        header::{ACCEPT, USER_AGENT},
    };
    use http_body_util::BodyExt;
    use neap_bucket::{Bucket, FormatLevel, FormatLevels, ProtocolMargins};

    use super::*;

    #[derive(Debug)]
    struct FixedConditions(Vec<&'static str>);

    impl ConditionSource for FixedConditions {
        fn conditions(&self) -> Vec<ReadinessCondition> {
            let texts = self.0.iter().map(|text| (*text).to_owned());
            texts.map(|text| ReadinessCondition { name: "flush", text }).collect()
        }
    }

    #[tokio::test]
    async fn a_ready_process_lists_its_conditions() {
        let world = World::system();
        let bucket = Bucket::in_memory(world.clone());
        let parts = [vec!["clocks differ:\nset one"], Vec::new(), vec!["damage"]];
        let readiness = Readiness {
            catalog: Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None)),
            stop: CancellationToken::new(),
            started_micros: world.clock.wall_micros() - 3_725_000_000,
            world,
            conditions: parts.map(|texts| Arc::new(FixedConditions(texts)) as _).into(),
        };
        let answer = async |sent: &[(HeaderName, &str)]| {
            let headers = sent.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            let response = ready(State(readiness.clone()), headers.collect()).await;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        let text = "OK\nflush: clocks differ: set one\nflush: damage";
        assert_eq!(answer(&[]).await, (200, text.to_owned()));
        assert_eq!(answer(&[(ACCEPT, "*/*")]).await, (200, text.to_owned()));
        let (status, body) = answer(&[(USER_AGENT, "influxdb-client-go/2.14.0")]).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["status"]), (200, &json!("ready")));
        assert!(body["up"].as_str().unwrap().starts_with("1h2m"), "{body}");
        let conditions = json!(["flush: clocks differ: set one", "flush: damage"]);
        assert_eq!(body["conditions"], conditions);
        readiness.stop.cancel();
        let body = r#"{"code":"unavailable","message":"stopping"}"#;
        assert_eq!(answer(&[(USER_AGENT, "influx/2.7.5")]).await, (503, body.to_owned()));
    }

    #[tokio::test]
    async fn a_process_that_does_not_know_the_format_level_says_so() {
        let world = World::system();
        let bucket = Bucket::in_memory(world.clone());
        let later = FormatLevels {
            newest: FormatLevel::new(2),
            initial: FormatLevel::new(2),
            ..FormatLevels::SUPPORTED
        };
        let catalog = |bucket| Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None));
        let later_release = catalog(bucket.clone().with_format_levels(later));
        later_release.root(MAX_AGE).await.unwrap();
        let readiness = Readiness {
            catalog: catalog(bucket),
            stop: CancellationToken::new(),
            started_micros: 0,
            world,
            conditions: Vec::new(),
        };
        assert_eq!(
            readiness.check().await,
            Err("this release does not know the format level of the cluster")
        );
    }
}
