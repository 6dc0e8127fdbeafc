//! Authentication and authorization in the layers around all routes.

use axum::extract::Request;
use http::request::Parts;
use neap_catalog::ChangeOrigin;

use super::{AccessControl, Caller, PeerAddress, error_answers, policy};
use crate::{ApiError, RequestId};

/// The sender and origin of an admitted request.
#[derive(Debug)]
pub(crate) struct AdmittedRequest {
    /// The sender.
    pub(crate) caller: Caller,
    /// The origin of the changes that the request makes.
    pub(crate) origin: ChangeOrigin,
}

/// Authenticates a request before it is routed, so that unknown paths need a token, too.
/// Fails with `NotAllowed` for the token endpoints of a server without authentication, and the errors of
/// [`Authenticator::caller`](super::Authenticator).
pub(crate) async fn admit(
    access: &AccessControl,
    head: &Parts,
    id: RequestId,
) -> Result<AdmittedRequest, ApiError> {
    let (method, uri) = (&head.method, &head.uri);
    let address = head.extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
    let caller = match access {
        AccessControl::Open if policy::is_about_credentials(uri.path()) => {
            return Err(error_answers::tokens_disabled());
        }
        AccessControl::Open => Caller::unrestricted(),
        AccessControl::Tokens(authenticator) => {
            let caller = authenticator.caller(method, uri, &head.headers, address);
            caller.await?
        }
    };
    let origin = caller.change_origin(address, id.to_string());
    Ok(AdmittedRequest { caller, origin })
}

/// Refuses a request whose sender may not use the matched route.
/// Fails with `Forbidden`; `Unauthenticated` if the request has no caller.
pub(crate) fn check_route(request: &Request, route: &str) -> Result<(), ApiError> {
    let caller = request
        .extensions()
        .get::<Caller>()
        .ok_or_else(error_answers::unauthenticated)?;
    policy::check(caller, request.method(), route)
}
