//! Decides from [`ENDPOINTS`] whether a request needs a token, and whether its caller may use the route.

use http::Method;
use neap_catalog::SystemEndpoint;

use super::{Caller, error_answers};
use crate::{
    ApiError,
    endpoints::{ENDPOINTS, EndpointAccess},
};

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

/// The page of the console, and the prefix of its files.
const CONSOLE_PAGE: &str = "/";
const CONSOLE_ASSETS: &str = "/console/assets/";

/// The prefix of the endpoints that only the console needs.
const CONSOLE_API: &str = "/api/v3/console/";

/// The prefixes of the endpoints for tokens and users, which a server without authentication does not have.
const CREDENTIAL_PATHS: [&str; 10] = [
    "/api/v3/configure/token",
    "/api/v3/enterprise/configure/token",
    "/api/v3/configure/user",
    "/api/v3/authorize",
    "/api/v3/auth/",
    "/api/v3/users",
    "/api/v3/roles",
    "/.well-known/jwks.json",
    "/api/v2/authorizations",
    "/api/v2/setup",
];

/// Returns whether a request creates the first token or user, which requires no token.
pub(super) fn is_first_credential(method: &Method, path: &str) -> bool {
    ENDPOINTS.iter().any(|endpoint| {
        endpoint.access == EndpointAccess::FirstCredential
            && endpoint.serves(method.as_str())
            && endpoint.has_path(path)
    })
}

/// Returns whether another request requires no token.
pub(super) fn is_open(method: &Method, path: &str, unguarded: &[ExemptEndpoint]) -> bool {
    ENDPOINTS.iter().filter(|endpoint| endpoint.has_path(path)).any(|endpoint| {
        match endpoint.access {
            EndpointAccess::Public => endpoint.serves(method.as_str()),
            access => exemption(access).is_some_and(|exemption| unguarded.contains(&exemption)),
        }
    })
}

/// Returns the exemption that opens an endpoint, with all methods of its path.
fn exemption(access: EndpointAccess) -> Option<ExemptEndpoint> {
    match access {
        EndpointAccess::System(SystemEndpoint::Health) => Some(ExemptEndpoint::Health),
        EndpointAccess::System(SystemEndpoint::Metrics) => Some(ExemptEndpoint::Metrics),
        EndpointAccess::System(SystemEndpoint::Ping) => Some(ExemptEndpoint::Ping),
        EndpointAccess::System(SystemEndpoint::Ready) => Some(ExemptEndpoint::Ready),
        EndpointAccess::Profiles => Some(ExemptEndpoint::Profiles),
        _ => None,
    }
}

/// Returns whether a path is an endpoint for tokens or users.
pub(super) fn is_about_credentials(path: &str) -> bool {
    CREDENTIAL_PATHS.iter().any(|prefix| path.starts_with(prefix))
}

/// Returns whether web pages of other servers must not read the answers of a path: those about tokens and users,
/// and those of the console, whose page is on this server.
pub(crate) fn is_for_own_pages(path: &str) -> bool {
    let is_of_console = path.starts_with(CONSOLE_API) || path.starts_with(CONSOLE_ASSETS);
    path == CONSOLE_PAGE || is_of_console || is_about_credentials(path)
}

/// Refuses a caller that may not use a route at all.
/// Fails with `Forbidden`.
pub(super) fn check(caller: &Caller, method: &Method, route: &str) -> Result<(), ApiError> {
    if caller.is_anonymous() {
        // The caller was admitted to exactly this path.
        return Ok(());
    }
    let allowed = match required_access(method, route) {
        EndpointAccess::Public | EndpointAccess::FirstCredential | EndpointAccess::Token => true,
        EndpointAccess::Database(actions) => caller.may_on_some_database(actions),
        EndpointAccess::System(endpoint) => caller.may_use_endpoint(endpoint),
        EndpointAccess::Tokens(action) => return caller.require_tokens(action),
        EndpointAccess::Users(action) => return caller.require_users(action),
        EndpointAccess::Audit => return caller.require_audit(),
        EndpointAccess::Profiles | EndpointAccess::Admin => caller.is_admin(),
    };
    if allowed {
        Ok(())
    } else {
        Err(error_answers::forbidden())
    }
}

/// Returns who may use a route. Routes that are not listed, such as those that refuse all requests, require an
/// administrator; to read, an auditor.
fn required_access(method: &Method, route: &str) -> EndpointAccess {
    let mut endpoints = ENDPOINTS.iter();
    let listed =
        endpoints.find(|endpoint| endpoint.path == route && endpoint.serves(method.as_str()));
    match listed {
        Some(endpoint) => endpoint.access,
        None if matches!(*method, Method::GET | Method::HEAD) => EndpointAccess::Audit,
        None => EndpointAccess::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_tokens_and_users_are_about_credentials() {
        for endpoint in ENDPOINTS {
            let changes_credentials = matches!(
                endpoint.access,
                EndpointAccess::FirstCredential
                    | EndpointAccess::Tokens(_)
                    | EndpointAccess::Users(_)
            );
            assert!(
                !changes_credentials || is_about_credentials(endpoint.path),
                "{}",
                endpoint.path
            );
        }
    }
}
