//! The permission that each route requires before its handler runs and before a body is read. The handler checks the
//! permission for the specific database, because only the handler knows the database.

use http::Method;
use neap_catalog::{DatabaseAction, SystemEndpoint, TokenAction, UserAction};

use super::{Caller, error_answers};
use crate::ApiError;

/// An endpoint that can be exempt from authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExemptEndpoint {
    /// `/health` and `/api/v1/health`.
    Health,
    /// `/ping`.
    Ping,
    /// `/metrics`.
    Metrics,
    /// `/ready`.
    Ready,
    /// `/debug/pprof`.
    Profiles,
}

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
    /// Permission for an action on users and roles.
    Users(UserAction),
    /// An administrator or an auditor.
    Audit,
    /// An administrator.
    Admin,
}

/// The path that creates the first token. It requires no token, because none exists, and fails if one exists.
const FIRST_TOKEN: &str = "/api/v3/configure/token/admin";

/// The path that creates the first user, under the same conditions.
const FIRST_USER: &str = "/api/v3/configure/user";

/// The paths that sign users in, and the public documents about it.
const SIGN_IN: [&str; 3] = [
    "/api/v3/authorize",
    "/api/v3/authorize/refresh",
    "/api/v3/authorize/reset-password",
];
const SIGN_IN_DOCUMENTS: [&str; 2] = ["/api/v3/auth/oauth/config", "/.well-known/jwks.json"];

/// The path with the protocol settings for QuestDB's clients, which read it without credentials.
const QUEST_DB_SETTINGS: &str = "/settings";

/// The page of the console, and the prefix of its files. They contain no data, and a browser requests them before the
/// user enters a token.
const CONSOLE_PAGE: &str = "/";
const CONSOLE_ASSETS: &str = "/console/assets/";

/// The prefix of the endpoints that only the console needs.
const CONSOLE_API: &str = "/api/v3/console/";

/// The endpoint of materialized views.
const MATERIALIZED_VIEW: &str = "/api/v3/configure/materialized_view";

/// The methods of Arrow Flight.
const FLIGHT_METHOD: &str = "/arrow.flight.protocol.FlightService/{method}";

/// The tools for agents.
const AGENT_TOOLS: &str = "/mcp";

/// The profiles of the process.
const CPU_PROFILE: &str = "/debug/pprof/profile";
const HEAP_PROFILE: &str = "/debug/pprof/heap";

/// The methods of OpenTelemetry over gRPC.
const OTLP_METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const OTLP_LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const OTLP_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The prefixes of the endpoints for tokens and users, which a server without authentication does not have.
const CREDENTIAL_PATHS: [&str; 8] = [
    "/api/v3/configure/token",
    "/api/v3/enterprise/configure/token",
    FIRST_USER,
    "/api/v3/authorize",
    "/api/v3/auth/",
    "/api/v3/users",
    "/api/v3/roles",
    "/.well-known/jwks.json",
];

/// Returns whether a request creates the first token or user, which requires no token.
pub(super) fn is_first_credential(method: &Method, path: &str) -> bool {
    method == Method::POST && [FIRST_TOKEN, FIRST_USER].contains(&path)
}

/// Returns whether another request requires no token.
pub(super) fn is_open(method: &Method, path: &str, unguarded: &[ExemptEndpoint]) -> bool {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let guard = match path {
        QUEST_DB_SETTINGS | CONSOLE_PAGE => return is_read,
        _ if path.starts_with(CONSOLE_ASSETS) => return is_read,
        // The handlers check the credentials in the body.
        _ if SIGN_IN.contains(&path) => return method == Method::POST,
        _ if SIGN_IN_DOCUMENTS.contains(&path) => return is_read,
        "/health" | "/api/v1/health" => ExemptEndpoint::Health,
        "/ping" => ExemptEndpoint::Ping,
        "/metrics" => ExemptEndpoint::Metrics,
        "/ready" => ExemptEndpoint::Ready,
        CPU_PROFILE | HEAP_PROFILE => ExemptEndpoint::Profiles,
        _ => return false,
    };
    unguarded.contains(&guard)
}

/// Returns whether a path is an endpoint for tokens or users.
pub(super) fn is_about_credentials(path: &str) -> bool {
    CREDENTIAL_PATHS
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// Returns whether web pages of other servers must not read the answers of a path: those about tokens and users,
/// and those of the console, whose page is on this server.
pub(crate) fn is_for_own_pages(path: &str) -> bool {
    let is_of_console = path.starts_with(CONSOLE_API) || path.starts_with(CONSOLE_ASSETS);
    path == CONSOLE_PAGE || is_of_console || is_about_credentials(path)
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
        RouteRequirement::Users(action) => return caller.require_users(action),
        RouteRequirement::Audit => return caller.require_audit(),
        RouteRequirement::Admin => caller.is_admin(),
    };
    if allowed {
        Ok(())
    } else {
        Err(error_answers::forbidden())
    }
}

/// Returns the requirement of a route. Routes that are not listed require an administrator; to read, an auditor.
fn requirement(method: &Method, route: &str) -> RouteRequirement {
    use DatabaseAction::{Create, Delete, Read, Write};
    // A route that answers GET answers HEAD, too.
    let method = match method.as_str() {
        "HEAD" => "GET",
        method => method,
    };
    match (method, route) {
        ("POST", "/api/v3/write_lp" | "/api/v2/write" | "/write") => {
            RouteRequirement::Database(&[Write])
        }
        (
            "POST",
            "/api/v2/delete"
            | "/api/v3/delete_rows"
            | "/api/v3/row_delete_requests"
            | "/api/v3/row_delete_requests/{seq}/abort",
        ) => RouteRequirement::Database(&[Write, Delete]),
        // The handlers show only what the caller may see.
        (
            "GET",
            "/api/v3/row_delete_requests"
            | "/api/v3/enterprise/import"
            | "/api/v3/export/databases",
        ) => RouteRequirement::Database(DatabaseAction::ALL),
        ("POST", "/api/v3/enterprise/import") => RouteRequirement::Database(&[Write]),
        (
            "GET",
            "/api/v3/export/tables" | "/api/v3/export/windows" | "/api/v3/export/window_data",
        ) => RouteRequirement::Database(&[Read]),
        ("POST", "/api/v3/write_file" | "/api/v1/write" | "/api/v1/prom/write" | "/imp") => {
            RouteRequirement::Database(&[Write])
        }
        ("GET" | "POST", "/api/v3/query_sql" | "/api/v1/labels" | "/api/v1/series")
        | ("POST", "/api/v1/read" | "/api/v1/prom/read")
        | ("GET", "/api/v1/label/{name}/values" | "/api/v1/metadata" | "/exec") => {
            RouteRequirement::Database(&[Read])
        }
        ("GET", MATERIALIZED_VIEW) => RouteRequirement::Database(&[Read]),
        ("POST" | "DELETE", MATERIALIZED_VIEW) => RouteRequirement::Database(&[Write]),
        ("GET", "/api/v3/console/documents" | "/api/v3/console/documents/{id}") => {
            RouteRequirement::Database(&[Read])
        }
        ("POST", "/api/v3/console/documents")
        | ("PUT" | "DELETE", "/api/v3/console/documents/{id}") => {
            RouteRequirement::Database(&[Write])
        }
        ("POST", "/v1/metrics" | "/v1/logs" | "/v1/traces")
        | ("POST", OTLP_METRICS | OTLP_LOGS | OTLP_TRACES) => RouteRequirement::Database(&[Write]),
        // The handlers check the permission for the database of each command.
        ("POST", FLIGHT_METHOD) => RouteRequirement::Token,
        // Each call of a tool is a request of its own with the same token. Other methods are refused.
        (_, AGENT_TOOLS) => RouteRequirement::Token,
        // The statements may be of any kind.
        ("GET" | "POST", "/api/v3/query_influxql" | "/query") => {
            RouteRequirement::Database(DatabaseAction::ALL)
        }
        // Any method: the database is that of the trigger. Other routes of the processing engine require an
        // administrator.
        (_, "/api/v3/engine/{*path}") => RouteRequirement::Database(&[Read, Write]),
        // Lists contain only resources that the caller has a permission for, and may be empty.
        ("GET", "/api/v3/configure/database" | "/api/v3/configure/retention")
        | ("GET", QUEST_DB_SETTINGS | "/api/v3/console/session")
        // The handler refuses the request if there is an operator token or a user already.
        | ("POST", FIRST_TOKEN | FIRST_USER)
        // The handler ends the session of the caller.
        | ("POST", "/api/v3/authorize/logout") => RouteRequirement::Token,
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
        (
            "GET",
            "/api/v3/users"
            | "/api/v3/users/{id}"
            | "/api/v3/users/{id}/roles"
            | "/api/v3/users_by_oauth_id/{oauth_id}"
            | "/api/v3/roles"
            | "/api/v3/roles/{id}/permissions"
            | "/api/v3/roles_by_name/{name}",
        ) => RouteRequirement::Users(UserAction::Read),
        ("POST", "/api/v3/users" | "/api/v3/roles") => RouteRequirement::Users(UserAction::Create),
        ("PATCH", "/api/v3/users/{id}")
        | ("PUT", "/api/v3/users/{id}/roles" | "/api/v3/roles/{id}/permissions")
        | ("POST", "/api/v3/users/{id}/require-password-reset") => {
            RouteRequirement::Users(UserAction::Update)
        }
        ("DELETE", "/api/v3/users/{id}" | "/api/v3/roles/{id}") => {
            RouteRequirement::Users(UserAction::Delete)
        }
        ("GET", "/health" | "/api/v1/health") => RouteRequirement::Endpoint(SystemEndpoint::Health),
        ("GET" | "POST", "/ping") => RouteRequirement::Endpoint(SystemEndpoint::Ping),
        ("GET", "/metrics") => RouteRequirement::Endpoint(SystemEndpoint::Metrics),
        ("GET", "/ready") => RouteRequirement::Endpoint(SystemEndpoint::Ready),
        // Function names tell what others compute, and a profile takes processor time.
        ("GET", CPU_PROFILE | HEAP_PROFILE) => RouteRequirement::Admin,
        ("GET", _) => RouteRequirement::Audit,
        _ => RouteRequirement::Admin,
    }
}
