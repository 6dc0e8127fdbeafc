//! Access as part of the stack that is around all routes.

use axum::extract::Request;
use http::request::Parts;
use neap_catalog::Origin;

use super::{Access, Caller, Peer, answers, policy};
use crate::{ApiError, RequestId};

/// A request that is let in.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Who sent it.
    pub(crate) caller: Caller,
    /// Where the changes that it makes come from.
    pub(crate) origin: Origin,
}

/// Lets a request in, before it is routed: an unknown path, too, takes a token.
///
/// # Errors
/// `NotAllowed` for tokens where none are asked for, and those of [`Authenticator::caller`](super::Authenticator).
pub(crate) async fn admit(
    access: &Access,
    head: &Parts,
    id: RequestId,
) -> Result<Admitted, ApiError> {
    let (method, uri) = (&head.method, &head.uri);
    let address = head.extensions.get::<Peer>().map(|peer| peer.0.ip());
    let caller = match access {
        Access::Open if policy::is_about_tokens(uri.path()) => return Err(answers::disabled()),
        Access::Open => Caller::anyone(),
        Access::Tokens(authenticator) => {
            let caller = authenticator.caller(method, uri, &head.headers, address);
            caller.await?
        }
    };
    let token = caller.token().zip(caller.token_name().map(str::to_owned));
    let origin = Origin {
        token,
        address: address.map(|address| address.to_canonical().to_string()),
        request: id.to_string(),
    };
    Ok(Admitted { caller, origin })
}

/// Refuses a request whose sender may not use the route that it takes.
///
/// # Errors
/// `Forbidden`; `Unauthenticated` when nobody said who sent it.
pub(crate) fn check_route(request: &Request, route: &str) -> Result<(), ApiError> {
    let caller = request.extensions().get::<Caller>();
    let caller = caller.ok_or_else(answers::unauthenticated)?;
    policy::check(caller, request.method(), route)
}
