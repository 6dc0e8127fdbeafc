//! The endpoint of InfluxDB 3 Enterprise that reads and changes the number of concurrent queries of this process.
//!
//! A change lasts until the process ends. The number at the start is that of the settings.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use http::StatusCode;
use neap_http::{ApiError, BodyLimits, Caller, Kind, parse_query, read_json};
use serde::{Deserialize, Serialize};

use crate::{QueryEngine, http_request::EngineCall, query_permits::QueryPermits};

/// The path of the endpoint.
const PATH: &str = "/api/v3/configure/query_concurrency_limit";

/// The smallest limit without `force=true`, as in InfluxDB 3.
const MIN_UNFORCED_LIMIT: usize = 16;

/// Maximum bytes of a request body.
const MAX_BODY_BYTES: usize = 4 << 10;

/// Returns the routes that read and change the number of concurrent queries of this process.
pub fn concurrency_limit_router(engine: Arc<QueryEngine>) -> Router {
    let limit = get(read_limit).put(set_limit).delete(reset_limit);
    Router::new().route(PATH, limit).with_state(engine)
}

/// The answer to GET.
#[derive(Debug, Serialize)]
struct ConcurrencyLimit {
    /// Omitted if it is the largest possible limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrent_queries: Option<usize>,
}

async fn read_limit(
    State(engine): State<Arc<QueryEngine>>,
    caller: Caller,
) -> Result<Json<ConcurrencyLimit>, ApiError> {
    caller.require_audit()?;
    let limit = engine.concurrency_limit();
    let max_concurrent_queries = (limit < QueryPermits::MAX).then_some(limit);
    Ok(Json(ConcurrencyLimit { max_concurrent_queries }))
}

#[derive(Debug, Deserialize)]
struct SetLimitParams {
    #[serde(default)]
    force: bool,
}

/// Without a limit, or with `null`, the limit at the start of the process applies again.
#[derive(Debug, Deserialize)]
struct SetLimitBody {
    max_concurrent_queries: Option<u64>,
}

async fn set_limit((State(engine), caller, request): EngineCall) -> Result<StatusCode, ApiError> {
    caller.require_admin()?;
    let SetLimitParams { force } = parse_query(request.uri())?;
    let (head, body) = request.into_parts();
    let limits = BodyLimits::with_max_bytes(MAX_BODY_BYTES);
    let body: SetLimitBody = read_json(&head.headers, body, &limits, engine.world()).await?;
    let limit = match body.max_concurrent_queries {
        None => engine.settings().concurrent_queries,
        Some(limit) => check_limit(limit, force)?,
    };
    engine.set_concurrency_limit(limit);
    Ok(StatusCode::NO_CONTENT)
}

async fn reset_limit(
    State(engine): State<Arc<QueryEngine>>,
    caller: Caller,
) -> Result<StatusCode, ApiError> {
    caller.require_admin()?;
    engine.set_concurrency_limit(engine.settings().concurrent_queries);
    Ok(StatusCode::NO_CONTENT)
}

fn check_limit(limit: u64, force: bool) -> Result<usize, ApiError> {
    let refused = |message: String| Err(ApiError::json(Kind::Invalid, message));
    match usize::try_from(limit) {
        Ok(0) => refused("max_concurrent_queries must be greater than 0".to_owned()),
        Ok(limit) if limit < MIN_UNFORCED_LIMIT && !force => refused(format!(
            "max_concurrent_queries is below {MIN_UNFORCED_LIMIT}: set force=true to allow it"
        )),
        Ok(limit) if limit <= QueryPermits::MAX => Ok(limit),
        _ => refused(format!(
            "max_concurrent_queries must not be greater than {}",
            QueryPermits::MAX
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_limits_must_be_forced_and_zero_is_refused() {
        let limit = |limit, force| {
            let checked = check_limit(limit, force);
            checked.map_err(|error| error.message().to_owned())
        };
        assert_eq!(limit(16, false), Ok(16));
        assert_eq!(limit(1, true), Ok(1));
        assert_eq!(
            limit(15, false).unwrap_err(),
            "max_concurrent_queries is below 16: set force=true to allow it"
        );
        for force in [false, true] {
            assert_eq!(
                limit(0, force).unwrap_err(),
                "max_concurrent_queries must be greater than 0"
            );
        }
        assert!(limit(u64::MAX, true).is_err());
        assert!(limit(QueryPermits::MAX as u64, false).is_ok());
    }
}
