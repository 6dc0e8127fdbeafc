//! `/api/v3/enterprise/configure/node`: an operator stops a process, or removes the record of a stopped one.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, Uri},
    routing::post,
};
use neap_bucket::Bucket;
use neap_catalog::{Node, NodeChangeError, named_nodes, remove_node, request_node_stop};
use neap_http::{ApiError, BodyLimits, Kind, parse_query, read_json};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::heartbeat::OwnNode;

/// Maximum bytes of a request.
const MAX_BODY_BYTES: usize = 64 << 10;

/// The name of a node, in the body of a stop and in the query of its progress.
#[derive(Debug, Deserialize)]
struct NamedNode {
    node_id: String,
}

/// The body of a removal.
#[derive(Debug, Deserialize)]
struct RemoveBody {
    node_id: String,
    #[serde(default)]
    force_finalize: bool,
}

/// The progress of a stop.
#[derive(Debug, Serialize)]
struct NodeStopStatus {
    node_id: String,
    /// The processes with this name, those included that have stopped within the last day.
    instances: Vec<InstanceStatus>,
}

/// The state of one process.
#[derive(Debug, Serialize)]
struct InstanceStatus {
    instance_id: String,
    /// `running`, `stopping` or `stopped`.
    state: &'static str,
    /// Whether this process answers the request.
    is_answering: bool,
}

#[derive(Clone, Debug)]
struct NodeRoutes {
    bucket: Bucket,
    own: Arc<OwnNode>,
}

/// Returns the routes of a process.
pub(super) fn routes(bucket: Bucket, own: Arc<OwnNode>) -> Router {
    Router::new()
        .route("/api/v3/enterprise/configure/node/stop", post(stop).get(stop_status))
        .route("/api/v3/enterprise/configure/node/remove", post(remove))
        .with_state(NodeRoutes { bucket, own })
}

impl NodeRoutes {
    fn status(&self, node_id: String, nodes: Vec<Node>) -> Json<NodeStopStatus> {
        let instances = nodes.into_iter().map(|node| InstanceStatus {
            instance_id: node.record.instance_id.to_string(),
            state: node.record.shown_state(),
            is_answering: node.record.instance_id == self.own.instance_id,
        });
        Json(NodeStopStatus { node_id, instances: instances.collect() })
    }
}

async fn stop(
    State(shared): State<NodeRoutes>,
    request: Request,
) -> Result<Json<NodeStopStatus>, ApiError> {
    let NamedNode { node_id } = body(&shared.bucket, request).await?;
    let nodes = request_node_stop(&shared.bucket, &node_id).await.map_err(refusal)?;
    shared.own.check_now();
    Ok(shared.status(node_id, nodes))
}

async fn stop_status(
    State(shared): State<NodeRoutes>,
    uri: Uri,
) -> Result<Json<NodeStopStatus>, ApiError> {
    let NamedNode { node_id } = parse_query(&uri)?;
    let nodes = named_nodes(&shared.bucket, &node_id).await;
    Ok(shared.status(node_id, nodes.map_err(refusal)?))
}

async fn remove(
    State(NodeRoutes { bucket, .. }): State<NodeRoutes>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let RemoveBody { node_id, force_finalize } = body(&bucket, request).await?;
    let removed = remove_node(&bucket, &node_id, force_finalize).await;
    removed.map_err(refusal)?;
    Ok(StatusCode::OK)
}

async fn body<T: DeserializeOwned>(bucket: &Bucket, request: Request) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits::with_max_bytes(MAX_BODY_BYTES);
    read_json(&head.headers, body, &limits, bucket.world()).await
}

fn refusal(error: NodeChangeError) -> ApiError {
    let kind = match error {
        NodeChangeError::NotFound { .. } => Kind::NotFound,
        NodeChangeError::Running { .. } => Kind::Conflict,
        NodeChangeError::Conflict { .. } | NodeChangeError::Store(_) => Kind::Unavailable,
    };
    ApiError::json(kind, error.to_string())
}
