//! The service, the catalog and the body of a request about users.

use std::sync::Arc;

use axum::extract::Request;
use neap_catalog::RootCatalog;
use neap_http::{ApiError, Kind, ResourceCall, read_json};
use neap_identity::IdentityService;
use serde::de::DeserializeOwned;

use crate::WriteService;

/// The parameters of a handler whose path has the id of a user or a role.
pub(super) type ItemCall = ResourceCall<Arc<WriteService>, u64>;

/// Maximum bytes of a body.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Returns the service that signs users in.
/// Fails with `NotAllowed`: the server lets no users sign in.
pub(super) fn enabled(service: &WriteService) -> Result<&Arc<IdentityService>, ApiError> {
    let text = "endpoint disabled, started without user auth";
    let identity = service.identity();
    identity.ok_or_else(|| ApiError::text(Kind::NotAllowed, text))
}

/// Returns the root catalog, which may be as old as those that requests begin with.
pub(super) async fn root(service: &WriteService) -> Result<Arc<RootCatalog>, ApiError> {
    Ok(service.catalog.root(service.max_age).await?.value)
}

pub(super) async fn json<T: DeserializeOwned>(
    service: &WriteService,
    request: Request,
) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let mut limits = service.settings.body_limits();
    limits.max_bytes = limits.max_bytes.min(MAX_BODY_BYTES);
    read_json(&head.headers, body, &limits, &service.world).await
}
