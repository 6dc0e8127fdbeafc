//! What each route needs before its handler runs, and so before a body is read. What is needed of the very database is
//! checked by the handler, which knows it.

use http::Method;
use neap_catalog::{DatabaseAction, SystemEndpoint, TokenAction};

use super::{Caller, Unguarded, answers};
use crate::ApiError;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// A token, whatever it is for: the handler asks the [`Caller`] for more.
    Token,
    /// Permission for any of these on some database.
    Database(&'static [DatabaseAction]),
    /// Permission for an endpoint about the server.
    Endpoint(SystemEndpoint),
    /// Permission for tokens.
    Tokens(TokenAction),
    /// An administrator.
    Admin,
}

/// The creation of the first token, which nobody can present one for. It fails if there is one.
const FIRST_TOKEN: &str = "/api/v3/configure/token/admin";

/// Which protocol QuestDB's clients are to use: they ask without their credentials.
const QUEST_DB_SETTINGS: &str = "/settings";

/// The paths of tokens, which a server that asks for none has not.
const TOKEN_PATHS: [&str; 2] = [
    "/api/v3/configure/token",
    "/api/v3/enterprise/configure/token",
];

/// Whether a request asks for the first token, which takes none.
pub(super) fn is_first_token(method: &Method, path: &str) -> bool {
    method == Method::POST && path == FIRST_TOKEN
}

/// Whether another request is let through without a token.
pub(super) fn is_open(method: &Method, path: &str, unguarded: &[Unguarded]) -> bool {
    let guard = match path {
        QUEST_DB_SETTINGS => return matches!(*method, Method::GET | Method::HEAD),
        "/health" | "/api/v1/health" => Unguarded::Health,
        "/ping" => Unguarded::Ping,
        "/metrics" => Unguarded::Metrics,
        "/ready" => Unguarded::Ready,
        _ => return false,
    };
    unguarded.contains(&guard)
}

/// Whether a request is about tokens.
pub(crate) fn is_about_tokens(path: &str) -> bool {
    TOKEN_PATHS.iter().any(|prefix| path.starts_with(prefix))
}

/// Refuses a caller who may not use a route at all.
///
/// # Errors
/// `Forbidden`.
pub(super) fn check(caller: &Caller, method: &Method, route: &str) -> Result<(), ApiError> {
    if caller.is_nobody() {
        // Let through to this very path.
        return Ok(());
    }
    let allowed = match needs(method, route) {
        Needs::Token => true,
        Needs::Database(actions) => caller.may_somewhere(actions),
        Needs::Endpoint(endpoint) => caller.may_ask(endpoint),
        Needs::Tokens(action) => return caller.require_tokens(action),
        Needs::Admin => caller.is_admin(),
    };
    if allowed {
        Ok(())
    } else {
        Err(answers::forbidden())
    }
}

/// The table. A route that is not in it is for administrators.
fn needs(method: &Method, route: &str) -> Needs {
    use DatabaseAction::{Create, Delete, Read, Write};
    // A route that answers to GET answers to HEAD, too.
    let method = match method.as_str() {
        "HEAD" => "GET",
        method => method,
    };
    match (method, route) {
        ("POST", "/api/v3/write_lp" | "/api/v2/write" | "/write")
        | ("POST", "/api/v2/delete" | "/api/v3/delete_rows") => Needs::Database(&[Write]),
        ("GET" | "POST", "/api/v3/query_sql") => Needs::Database(&[Read]),
        // Its statements are of all kinds.
        ("GET" | "POST", "/api/v3/query_influxql" | "/query") => {
            Needs::Database(DatabaseAction::ALL)
        }
        // Any method: the database is that of the trigger. The rest of the processing engine is for administrators.
        (_, "/api/v3/engine/{*path}") => Needs::Database(&[Read, Write]),
        // Lists show what there is permission for, and nothing to whom there is none.
        ("GET", "/api/v3/configure/database" | "/api/v3/configure/retention")
        | ("GET", QUEST_DB_SETTINGS)
        // Its handler refuses who comes when there is an operator token already.
        | ("POST", FIRST_TOKEN) => Needs::Token,
        ("POST", "/api/v3/configure/database") => Needs::Database(&[Create]),
        ("POST", "/api/v3/configure/table") => Needs::Database(&[Create, Write]),
        ("DELETE", "/api/v3/configure/database" | "/api/v3/configure/table")
        | (
            "POST",
            "/api/v3/configure/database/undelete" | "/api/v3/configure/table/undelete",
        ) => Needs::Database(&[Delete]),
        (
            "POST",
            "/api/v3/configure/last_cache"
            | "/api/v3/configure/distinct_cache"
            | "/api/v3/configure/file_index"
            | "/api/v3/enterprise/configure/file_index",
        ) => Needs::Database(&[Create]),
        (
            "DELETE",
            "/api/v3/configure/last_cache"
            | "/api/v3/configure/distinct_cache"
            | "/api/v3/configure/file_index"
            | "/api/v3/enterprise/configure/file_index",
        ) => Needs::Database(&[Delete]),
        ("POST", "/api/v3/configure/token" | "/api/v3/enterprise/configure/token") => {
            Needs::Tokens(TokenAction::Create)
        }
        ("DELETE", "/api/v3/configure/token" | "/api/v3/enterprise/configure/token") => {
            Needs::Tokens(TokenAction::Delete)
        }
        ("GET", "/health" | "/api/v1/health") => Needs::Endpoint(SystemEndpoint::Health),
        ("GET" | "POST", "/ping") => Needs::Endpoint(SystemEndpoint::Ping),
        ("GET", "/metrics") => Needs::Endpoint(SystemEndpoint::Metrics),
        ("GET", "/ready") => Needs::Endpoint(SystemEndpoint::Ready),
        _ => Needs::Admin,
    }
}
