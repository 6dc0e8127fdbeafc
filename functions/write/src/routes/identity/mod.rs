//! The endpoints of users: signing in and out, users, and roles, with the paths and bodies of InfluxDB 3 Enterprise.
//!
//! | call | required permission |
//! |---|---|
//! | `POST /api/v3/authorize`, `…/refresh`, `…/reset-password` | the credentials in the body |
//! | `POST /api/v3/authorize/logout` | a session |
//! | `GET /api/v3/auth/oauth/config`, `/.well-known/jwks.json` | none |
//! | `POST /api/v3/configure/user` | none, as long as there is no user and no administrator token; refused for web pages |
//! | `GET /api/v3/users`, `/api/v3/roles` and below | `user:*:read` |
//! | `POST`, `PUT`, `PATCH`, `DELETE` of the same | `user:*:create`, `update` or `delete`, and all permissions that are granted or taken away |
//!
//! A server that lets no users sign in answers 405.

mod answers;
mod roles;
mod sign_in;
mod users;

use std::sync::Arc;

use axum::{Router, extract::Request};
use neap_catalog::RootCatalog;
use neap_http::{ApiError, Kind, read_json};
use neap_identity::IdentityService;
use serde::de::DeserializeOwned;

use crate::WriteService;

/// Maximum bytes of a body.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Returns the routes of this module.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    sign_in::routes()
        .merge(users::routes())
        .merge(roles::routes())
}

/// Returns the service that signs users in.
///
/// # Errors
/// `NotAllowed`: the server lets no users sign in.
fn enabled(service: &WriteService) -> Result<&Arc<IdentityService>, ApiError> {
    let text = "endpoint disabled, started without user auth";
    let identity = service.identity();
    identity.ok_or_else(|| ApiError::text(Kind::NotAllowed, text))
}

/// Returns the root catalog, which may be as old as those that requests begin with.
async fn root(service: &WriteService) -> Result<Arc<RootCatalog>, ApiError> {
    Ok(service.catalog.root(service.max_age).await?.value)
}

async fn json<T: DeserializeOwned>(
    service: &WriteService,
    request: Request,
) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let mut limits = service.settings.body_limits();
    limits.max_bytes = limits.max_bytes.min(MAX_BODY_BYTES);
    read_json(&head.headers, body, &limits, &service.world).await
}

fn invalid(text: &str) -> ApiError {
    ApiError::text(Kind::Invalid, text)
}

fn not_found(what: String) -> ApiError {
    ApiError::json(
        Kind::NotFound,
        format!("the requested resource was not found: {what}"),
    )
}
