//! How many requests are worked on at once.
//!
//! Each request takes memory from its head on. Beyond a number, requests wait a moment for others to end, and
//! are then told to come back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use neap_bucket::World;
use neap_http::{ApiError, CounterFamily, Kind, Metrics};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for others to end.
const WAIT: Duration = Duration::from_secs(2);
/// When the client should come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Crowd {
    places: Arc<Semaphore>,
    turned_away: CounterFamily,
    world: World,
}

/// The routes, of which at most so many requests are worked on at once, from the head to the end of the answer.
pub(super) fn limited(routes: Router, limit: usize, metrics: &Metrics, world: &World) -> Router {
    let turned_away = metrics.counter(
        "neap_http_requests_turned_away_total",
        "Requests that were answered with 503 because too many were under way.",
        &[],
    );
    turned_away.add(&[], 0);
    let crowd = Crowd {
        places: Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS))),
        turned_away,
        world: world.clone(),
    };
    routes.layer(from_fn_with_state(Arc::new(crowd), admit))
}

async fn admit(State(crowd): State<Arc<Crowd>>, request: Request, next: Next) -> Response {
    let place = Arc::clone(&crowd.places).acquire_owned();
    let Some(Ok(place)) = crowd.world.timeout(WAIT, place).await else {
        crowd.turned_away.add(&[], 1);
        return ApiError::json(Kind::Unavailable, "too many requests are under way")
            .retry_after(Some(RETRY_AFTER))
            .into_response();
    };
    let answer = next.run(request).await;
    answer.map(|body| match body.is_end_stream() {
        true => body,
        false => Body::new(Placed {
            body,
            _place: place,
        }),
    })
}

/// A body that has its place until it has ended.
struct Placed {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use futures::stream;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn request() -> Request {
        Request::new(Body::empty())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_beyond_the_limit_waits_and_is_told_to_come_back() {
        let never = || stream::pending::<Result<Bytes, std::io::Error>>();
        let routes = Router::new().route("/", get(async move || Body::from_stream(never())));
        let metrics = Metrics::default();
        let routes = limited(routes, 2, &metrics, &World::system());
        let first = routes.clone().oneshot(request()).await.unwrap();
        let second = routes.clone().oneshot(request()).await.unwrap();
        assert_eq!(second.status(), 200);
        let third = routes.clone().oneshot(request()).await.unwrap();
        assert_eq!(third.status(), 503);
        assert_eq!(third.headers()["retry-after"], "1");
        let body = third.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"error":"too many requests are under way"}"#);
        let shown = metrics.render();
        assert!(
            shown.contains("\nneap_http_requests_turned_away_total 1\n"),
            "{shown}"
        );
        drop(first);
        let fourth = routes.oneshot(request()).await.unwrap();
        assert_eq!(fourth.status(), 200);
    }
}
