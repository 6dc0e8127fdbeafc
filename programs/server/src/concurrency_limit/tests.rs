use std::{io, net::SocketAddr};

use axum::{
    body::Bytes,
    routing::{get, post},
};
use futures::{FutureExt, StreamExt, channel::mpsc, stream};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

const LIMITS: RequestLimits = RequestLimits { requests: 4, stalled_bytes: 40, body_bytes: 30 };

type ChunkSender = mpsc::UnboundedSender<Result<Bytes, io::Error>>;

/// Answers `GET /` with an endless body, and `POST /` with the request's body, or with 400 if it is interrupted.
fn routes(limits: RequestLimits, metrics: &Metrics) -> Router {
    let never = || stream::pending::<Result<Bytes, io::Error>>();
    let echo = async |body: Body| match body.collect().await {
        Ok(whole) => whole.to_bytes().into_response(),
        Err(_) => axum::http::StatusCode::BAD_REQUEST.into_response(),
    };
    let routes = Router::new()
        .route("/", get(async move || Body::from_stream(never())))
        .route("/", post(echo));
    limit_concurrency(routes, limits, metrics, &World::system())
}

fn request(method: &str, body: Body) -> Request {
    let request = axum::http::Request::builder().method(method).uri("/");
    request.body(body).unwrap()
}

/// Builds a request of a client whose body arrives as the test sends it.
fn arriving(client: u8, announced: usize) -> (ChunkSender, Request) {
    let (pieces, arriving) = mpsc::unbounded();
    let mut request = request("POST", Body::from_stream(arriving));
    let address = SocketAddr::new([192, 0, 2, client].into(), 1);
    request.extensions_mut().insert(PeerAddress(address));
    request.headers_mut().insert("content-length", announced.into());
    (pieces, request)
}

fn send(pieces: &ChunkSender, text: &'static str) {
    pieces.unbounded_send(Ok(Bytes::from(text))).unwrap();
}

async fn text(answer: Response) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_above_the_limit_waits_and_gets_503_with_retry_after() {
    let metrics = Metrics::default();
    let routes = routes(RequestLimits { requests: 2, ..LIMITS }, &metrics);
    let get = || routes.clone().oneshot(request("GET", Body::empty()));
    let first = get().await.unwrap();
    let second = get().await.unwrap();
    assert_eq!(second.status(), 200);
    let third = get().await.unwrap();
    assert_eq!(third.status(), 503);
    assert_eq!(third.headers()["retry-after"], "1");
    assert_eq!(text(third).await, r#"{"error":"too many concurrent requests"}"#);
    let shown = metrics.render();
    assert!(shown.contains("\nneap_http_requests_turned_away_total 1\n"), "{shown}");
    drop(first);
    assert_eq!(get().await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn requests_with_incomplete_bodies_hold_no_permit() {
    let routes = routes(RequestLimits { requests: 2, ..LIMITS }, &Metrics::default());
    let (pieces, started_at): (Vec<_>, Vec<_>) =
        [1, 2].map(|client| arriving(client, 10)).into_iter().unzip();
    let mut started_at: Vec<_> = started_at
        .into_iter()
        .map(|request| tokio::spawn(routes.clone().oneshot(request)))
        .collect();
    tokio::task::yield_now().await;
    send(&pieces[0], "half");
    tokio::task::yield_now().await;
    // Both permits are free; acquire both.
    let get = || routes.clone().oneshot(request("GET", Body::empty()));
    let places = [get().await.unwrap(), get().await.unwrap()];
    assert_eq!(places[1].status(), 200);
    // A request with a complete body waits for a permit like any other request.
    send(&pieces[0], " and half");
    for sender in pieces {
        sender.close_channel();
    }
    let second = started_at.pop().unwrap().await.unwrap().unwrap();
    assert_eq!(second.status(), 503);
    assert_eq!(text(second).await, r#"{"error":"too many concurrent requests"}"#);
    drop(places);
    assert_eq!(get().await.unwrap().status(), 200);
    let first = started_at.pop().unwrap().await.unwrap().unwrap();
    assert_eq!(first.status(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_body_in_pieces_arrives_whole() {
    let routes = routes(LIMITS, &Metrics::default());
    let (pieces, request) = arriving(1, 10);
    let answer = tokio::spawn(routes.oneshot(request));
    for piece in ["one", " two", " three"] {
        tokio::task::yield_now().await;
        send(&pieces, piece);
    }
    drop(pieces);
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(text(answer).await, "one two three");
}

#[tokio::test(start_paused = true)]
async fn a_client_with_too_many_incomplete_bodies_is_rejected_and_others_are_answered() {
    let routes = routes(LIMITS, &Metrics::default());
    let mut pieces = Vec::new();
    let mut answers = stream::FuturesUnordered::new();
    for _ in 0..3 {
        let (sender, request) = arriving(1, 1);
        pieces.push(sender);
        answers.push(routes.clone().oneshot(request));
    }
    let refused = answers.next().await.unwrap().unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    let said = text(refused).await;
    assert!(said.contains("of this client"), "{said}");
    for client in [1, 2] {
        let (sender, request) = arriving(client, 4);
        send(&sender, "body");
        drop(sender);
        let answer = routes.clone().oneshot(request).await.unwrap();
        assert_eq!(text(answer).await, "body");
    }
    assert!(answers.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn large_stalled_bodies_are_aborted() {
    let routes = routes(LIMITS, &Metrics::default());
    let mut pieces = Vec::new();
    let mut answers = stream::FuturesUnordered::new();
    for client in [1, 2] {
        let (sender, request) = arriving(client, 30);
        pieces.push(sender);
        answers.push(routes.clone().oneshot(request));
    }
    // One stalled body of 30 bytes is allowed; two exceed the limit of 40 bytes.
    let refused = answers.next().await.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    let said = text(refused).await;
    assert!(said.contains("with incomplete bodies"), "{said}");
    assert!(answers.next().now_or_never().is_none());
}
