//! `/api/v3/enterprise/configure/node`: an operator records that a process has stopped, or removes its record.

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    routing::post,
};
use neap_bucket::Bucket;
use neap_catalog::{NodeChangeError, mark_node_stopped, remove_node};
use neap_http::{ApiError, BodyLimits, Kind, read_json};
use serde::{Deserialize, de::DeserializeOwned};

/// Maximum bytes of a request.
const MAX_BODY_BYTES: usize = 64 << 10;

/// The body of a stop.
#[derive(Debug, Deserialize)]
struct StopBody {
    node_id: String,
}

/// The body of a removal.
#[derive(Debug, Deserialize)]
struct RemoveBody {
    node_id: String,
    #[serde(default)]
    force_finalize: bool,
}

/// Returns the routes.
pub(super) fn routes(bucket: Bucket) -> Router {
    Router::new()
        .route("/api/v3/enterprise/configure/node/stop", post(stop))
        .route("/api/v3/enterprise/configure/node/remove", post(remove))
        .with_state(bucket)
}

async fn stop(State(bucket): State<Bucket>, request: Request) -> Result<StatusCode, ApiError> {
    let StopBody { node_id } = body(&bucket, request).await?;
    let stopped = mark_node_stopped(&bucket, &node_id).await;
    stopped.map_err(refusal)?;
    Ok(StatusCode::OK)
}

async fn remove(State(bucket): State<Bucket>, request: Request) -> Result<StatusCode, ApiError> {
    let RemoveBody {
        node_id,
        force_finalize,
    } = body(&bucket, request).await?;
    let removed = remove_node(&bucket, &node_id, force_finalize).await;
    removed.map_err(refusal)?;
    Ok(StatusCode::OK)
}

async fn body<T: DeserializeOwned>(bucket: &Bucket, request: Request) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits {
        max_bytes: MAX_BODY_BYTES,
        ..BodyLimits::default()
    };
    read_json(&head.headers, body, &limits, bucket.world()).await
}

fn refusal(error: NodeChangeError) -> ApiError {
    match error {
        NodeChangeError::NotFound { .. } => ApiError::json(Kind::NotFound, error.to_string()),
        NodeChangeError::Running { .. } => ApiError::json(Kind::Conflict, error.to_string()),
        NodeChangeError::Store(error) => ApiError::json(Kind::Unavailable, error.to_string()),
    }
}
