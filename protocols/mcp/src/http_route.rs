//! `/mcp`: the protocol over streamable HTTP.
//!
//! A server keeps no sessions, so that any process behind a load balancer can answer any request, and each answer is
//! one JSON document. Requests with an `Origin` are those of browsers. They are refused unless the origin is this
//! machine or is listed, because a web page could otherwise reach a server in the user's network under a name of its own
//! (DNS rebinding).

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use http::{HeaderMap, header};
use neap_bucket::World;
use neap_http::{ApiError, BodyLimits, read_body};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};

use crate::{HttpApi, WriteAccess, server::ToolServer, tools::MAX_LINE_PROTOCOL_BYTES};

/// The origins of pages on this machine, at any port.
const LOCAL_ORIGINS: [&str; 6] = [
    "http://localhost:*",
    "http://127.0.0.1:*",
    "http://[::1]:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://[::1]:*",
];

/// Maximum bytes of a request. In JSON a line of text may take up twice its bytes.
const MAX_REQUEST_BYTES: usize = 2 * MAX_LINE_PROTOCOL_BYTES + (256 << 10);

/// The settings of `/mcp`.
#[derive(Clone, Debug)]
pub struct McpRouteSettings {
    /// Whether agents may change data.
    pub writes: WriteAccess,
    /// The origins of web pages that may send requests beside those on this machine, such as
    /// `https://agents.example.com:443`.
    pub allowed_origins: Vec<String>,
    /// The version of Neap.
    pub version: &'static str,
}

#[derive(Clone)]
struct McpRoute {
    service: StreamableHttpService<ToolServer, NeverSessionManager>,
    world: World,
}

/// Returns the route `/mcp`, whose tools call `api`.
pub fn mcp_routes(api: Arc<dyn HttpApi>, settings: McpRouteSettings, world: World) -> Router {
    let origins = LOCAL_ORIGINS.map(str::to_owned).into_iter();
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        .with_sse_retry(None)
        // The host is that of a load balancer or a container. The check of the origin protects from web pages.
        .disable_allowed_hosts()
        .with_allowed_origins(origins.chain(settings.allowed_origins))
        .with_max_request_body_bytes(MAX_REQUEST_BYTES);
    let server = ToolServer {
        api,
        writes: settings.writes,
        world: world.clone(),
        version: settings.version,
    };
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    Router::new().route("/mcp", any(answer)).with_state(McpRoute { service, world })
}

async fn answer(State(route): State<McpRoute>, request: Request) -> Result<Response, ApiError> {
    let (mut head, body) = request.into_parts();
    let limits = BodyLimits::with_max_bytes(MAX_REQUEST_BYTES);
    // The body is read here, because this read has a timeout and decodes gzip.
    let body = read_body(&head.headers, body, &limits, &route.world).await?;
    remove_body_headers(&mut head.headers);
    if let Some(authorization) = head.headers.get_mut(header::AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    let request = Request::from_parts(head, Body::from(body));
    Ok(route.service.handle(request).await.map(Body::new))
}

/// Removes the headers that describe the body as it was sent.
fn remove_body_headers(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
}
