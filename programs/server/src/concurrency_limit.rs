//! Limits the number of concurrent requests.
//!
//! Each request uses memory from its head on. Above the limit, requests wait up to 2 seconds for a permit and are then
//! answered with 503. Requests whose bodies are incomplete hold no permit and have separate limits.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use neap_bucket::World;
use neap_http::{
    ApiError, BodyLimits, ClientNetwork, CounterFamily, GuardedBody, Kind, Metrics, PeerAddress,
    expected_bytes,
};

use super::{
    incoming_bodies::{IncomingBodies, IncomingBodyLimits},
    request_body::{AnnouncedBody, RequestBody, RequestPermit, RequestPermits, RequestRejection},
};

/// Value of the `Retry-After` header.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Limits on the number and size of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLimits {
    /// Maximum number of concurrent requests.
    pub(super) requests: usize,
    /// Maximum announced bytes of stalled bodies.
    pub(super) stalled_bytes: usize,
    /// Maximum bytes of a body.
    pub(super) body_bytes: usize,
}

#[derive(Debug)]
struct ConcurrencyLimiter {
    places: RequestPermits,
    incoming: Arc<IncomingBodies>,
    body_limits: BodyLimits,
    turned_away: CounterFamily,
}

impl ConcurrencyLimiter {
    fn turn_away(&self, why: RequestRejection) -> Response {
        self.turned_away.add(&[], 1);
        let kind = match why {
            RequestRejection::NoPermit | RequestRejection::Incomplete => Kind::Unavailable,
            RequestRejection::IncompletePerClient => Kind::TooManyRequests,
        };
        ApiError::json(kind, why.to_string())
            .retry_after(Some(RETRY_AFTER))
            .into_response()
    }

    /// Wraps the body of a request so that it releases the permit while it arrives.
    fn wrap_body(&self, request: Request, place: &Arc<RequestPermit>) -> Request {
        if request.body().is_end_stream() {
            return request;
        }
        let peer = request.extensions().get::<PeerAddress>();
        let announced = AnnouncedBody {
            client: ClientNetwork::from_address(peer.map(|peer| peer.0.ip())),
            bytes: expected_bytes(request.headers(), &self.body_limits),
        };
        request.map(|body| {
            Body::new(RequestBody::new(
                body,
                announced,
                Arc::clone(place),
                self.places.clone(),
                Arc::clone(&self.incoming),
            ))
        })
    }
}

/// Limits the concurrent requests of the routes. A request counts from its head to the end of the response, except
/// while its body arrives.
pub(super) fn limit_concurrency(
    routes: Router,
    limits: RequestLimits,
    metrics: &Metrics,
    world: &World,
) -> Router {
    let turned_away = metrics.counter(
        "neap_http_requests_turned_away_total",
        "Requests that were answered with 503 or 429 because too many were under way.",
        &[],
    );
    turned_away.add(&[], 0);
    let RequestLimits { requests, stalled_bytes, body_bytes } = limits;
    let incoming = IncomingBodyLimits::new(requests, stalled_bytes, body_bytes);
    let crowd = ConcurrencyLimiter {
        places: RequestPermits::new(requests, world.clone()),
        incoming: Arc::new(IncomingBodies::new(incoming)),
        body_limits: BodyLimits::with_max_bytes(body_bytes),
        turned_away,
    };
    routes.layer(from_fn_with_state(Arc::new(crowd), handle_with_permit))
}

async fn handle_with_permit(
    State(crowd): State<Arc<ConcurrencyLimiter>>,
    request: Request,
    next: Next,
) -> Response {
    let place = match crowd.places.acquire().await {
        Ok(permit) => Arc::new(RequestPermit::from_permit(permit)),
        Err(why) => return crowd.turn_away(why),
    };
    let answer = next.run(crowd.wrap_body(request, &place)).await;
    if let Some(why) = place.rejected() {
        return crowd.turn_away(why);
    }
    answer.map(|body| {
        if body.is_end_stream() {
            body
        } else {
            // The response holds the permit until it ends.
            Body::new(GuardedBody::new(body, place))
        }
    })
}

#[cfg(test)]
mod tests;
