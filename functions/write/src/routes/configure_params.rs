//! Reads the parameters of configuration requests.

use axum::extract::Request;
use neap_http::{ApiError, BodyLimits, read_json, read_query_or_json};
use serde::de::DeserializeOwned;

use crate::WriteService;

/// Maximum bytes of a configuration body. Write bodies may be larger, because memory is reserved for them.
const MAX_CONFIGURE_BYTES: usize = 1 << 20;

/// Reads the JSON body of a configuration request.
pub(super) async fn json<T: DeserializeOwned>(
    service: &WriteService,
    request: Request,
) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    read_json(&head.headers, body, &body_limits(service), &service.world).await
}

/// Reads parameters from the query string if there is one, otherwise from the body.
pub(super) async fn query_or_json<T: DeserializeOwned>(
    service: &WriteService,
    request: Request,
) -> Result<T, ApiError> {
    read_query_or_json(request, &body_limits(service), &service.world).await
}

fn body_limits(service: &WriteService) -> BodyLimits {
    let limits = service.settings.body_limits();
    BodyLimits {
        max_bytes: limits.max_bytes.min(MAX_CONFIGURE_BYTES),
        ..limits
    }
}
