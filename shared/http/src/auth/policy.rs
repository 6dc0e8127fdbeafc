//! The permission that each route requires before its handler runs and before a body is read. The handler checks the
//! permission for the specific database, because only the handler knows the database.

use http::Method;
use neap_catalog::{DatabaseAction, SystemEndpoint, TokenAction};

use super::{Caller, ExemptEndpoint, error_answers};
use crate::ApiError;

/// The requirement of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RouteRequirement {
    /// Any token. The handler checks the permissions of the [`Caller`].
    Token,
    /// Permission for any of these on some database.
    Database(&'static [DatabaseAction]),
    /// Permission for a server endpoint.
    Endpoint(SystemEndpoint),
    /// Permission for an action on tokens.
    Tokens(TokenAction),
    /// An administrator.
    Admin,
}

/// The path that creates the first token. It requires no token, because none exists, and fails if one exists.
const FIRST_TOKEN: &str = "/api/v3/configure/token/admin";

/// The path with the protocol settings for QuestDB's clients, which read it without credentials.
const QUEST_DB_SETTINGS: &str = "/settings";

/// The methods of Arrow Flight.
const FLIGHT_METHOD: &str = "/arrow.flight.protocol.FlightService/{method}";

/// The methods of OpenTelemetry over gRPC.
const OTLP_METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const OTLP_LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const OTLP_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The prefixes of the token endpoints, which a server without authentication does not have.
const TOKEN_PATHS: [&str; 2] = [
    "/api/v3/configure/token",
    "/api/v3/enterprise/configure/token",
];

/// Returns whether a request creates the first token, which requires no token.
pub(super) fn is_first_token(method: &Method, path: &str) -> bool {
    method == Method::POST && path == FIRST_TOKEN
}

/// Returns whether another request requires no token.
pub(super) fn is_open(method: &Method, path: &str, unguarded: &[ExemptEndpoint]) -> bool {
    let guard = match path {
        QUEST_DB_SETTINGS => return matches!(*method, Method::GET | Method::HEAD),
        "/health" | "/api/v1/health" => ExemptEndpoint::Health,
        "/ping" => ExemptEndpoint::Ping,
        "/metrics" => ExemptEndpoint::Metrics,
        "/ready" => ExemptEndpoint::Ready,
        _ => return false,
    };
    unguarded.contains(&guard)
}

/// Returns whether a path is a token endpoint.
pub(crate) fn is_about_tokens(path: &str) -> bool {
    TOKEN_PATHS.iter().any(|prefix| path.starts_with(prefix))
}

/// Refuses a caller that may not use a route at all.
///
/// # Errors
/// `Forbidden`.
pub(super) fn check(caller: &Caller, method: &Method, route: &str) -> Result<(), ApiError> {
    if caller.is_anonymous() {
        // The caller was admitted to exactly this path.
        return Ok(());
    }
    let allowed = match requirement(method, route) {
        RouteRequirement::Token => true,
        RouteRequirement::Database(actions) => caller.may_on_some_database(actions),
        RouteRequirement::Endpoint(endpoint) => caller.may_use_endpoint(endpoint),
        RouteRequirement::Tokens(action) => return caller.require_tokens(action),
        RouteRequirement::Admin => caller.is_admin(),
    };
    if allowed {
        Ok(())
    } else {
        Err(error_answers::forbidden())
    }
}

/// Returns the requirement of a route. Routes that are not listed require an administrator.
fn requirement(method: &Method, route: &str) -> RouteRequirement {
    use DatabaseAction::{Create, Delete, Read, Write};
    // A route that answers GET answers HEAD, too.
    let method = match method.as_str() {
        "HEAD" => "GET",
        method => method,
    };
    match (method, route) {
        ("POST", "/api/v3/write_lp" | "/api/v2/write" | "/write")
        | ("POST", "/api/v2/delete" | "/api/v3/delete_rows") => RouteRequirement::Database(&[Write]),
        ("POST", "/api/v3/write_file" | "/api/v1/write" | "/api/v1/prom/write" | "/imp") => {
            RouteRequirement::Database(&[Write])
        }
        ("GET" | "POST", "/api/v3/query_sql" | "/api/v1/labels" | "/api/v1/series")
        | ("POST", "/api/v1/read" | "/api/v1/prom/read")
        | ("GET", "/api/v1/label/{name}/values" | "/api/v1/metadata" | "/exec") => {
            RouteRequirement::Database(&[Read])
        }
        ("POST", "/v1/metrics" | "/v1/logs" | "/v1/traces")
        | ("POST", OTLP_METRICS | OTLP_LOGS | OTLP_TRACES) => RouteRequirement::Database(&[Write]),
        // The handlers check the permission for the database of each command.
        ("POST", FLIGHT_METHOD) => RouteRequirement::Token,
        // The statements may be of any kind.
        ("GET" | "POST", "/api/v3/query_influxql" | "/query") => {
            RouteRequirement::Database(DatabaseAction::ALL)
        }
        // Any method: the database is that of the trigger. Other routes of the processing engine require an
        // administrator.
        (_, "/api/v3/engine/{*path}") => RouteRequirement::Database(&[Read, Write]),
        // Lists contain only resources that the caller has a permission for, and may be empty.
        ("GET", "/api/v3/configure/database" | "/api/v3/configure/retention")
        | ("GET", QUEST_DB_SETTINGS)
        // The handler refuses the request if there is an operator token already.
        | ("POST", FIRST_TOKEN) => RouteRequirement::Token,
        ("POST", "/api/v3/configure/database") => RouteRequirement::Database(&[Create]),
        ("POST", "/api/v3/configure/table") => RouteRequirement::Database(&[Create, Write]),
        ("DELETE", "/api/v3/configure/database" | "/api/v3/configure/table")
        | (
            "POST",
            "/api/v3/configure/database/undelete" | "/api/v3/configure/table/undelete",
        ) => RouteRequirement::Database(&[Delete]),
        (
            "POST",
            "/api/v3/configure/last_cache"
            | "/api/v3/configure/distinct_cache"
            | "/api/v3/configure/file_index"
            | "/api/v3/enterprise/configure/file_index",
        ) => RouteRequirement::Database(&[Create]),
        (
            "DELETE",
            "/api/v3/configure/last_cache"
            | "/api/v3/configure/distinct_cache"
            | "/api/v3/configure/file_index"
            | "/api/v3/enterprise/configure/file_index",
        ) => RouteRequirement::Database(&[Delete]),
        ("POST", "/api/v3/configure/token" | "/api/v3/enterprise/configure/token") => {
            RouteRequirement::Tokens(TokenAction::Create)
        }
        ("DELETE", "/api/v3/configure/token" | "/api/v3/enterprise/configure/token") => {
            RouteRequirement::Tokens(TokenAction::Delete)
        }
        ("GET", "/health" | "/api/v1/health") => RouteRequirement::Endpoint(SystemEndpoint::Health),
        ("GET" | "POST", "/ping") => RouteRequirement::Endpoint(SystemEndpoint::Ping),
        ("GET", "/metrics") => RouteRequirement::Endpoint(SystemEndpoint::Metrics),
        ("GET", "/ready") => RouteRequirement::Endpoint(SystemEndpoint::Ready),
        _ => RouteRequirement::Admin,
    }
}
