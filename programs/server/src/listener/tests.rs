//! Tests of HTTP/2 connections with misbehaving clients.

use std::sync::atomic::Ordering;

use axum::routing::get;
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};

use super::*;

/// A short timeout.
const SHORT: Duration = Duration::from_millis(300);

struct RunningListener {
    address: SocketAddr,
    stats: Arc<ConnectionStats>,
}

impl RunningListener {
    async fn start(bound: ListenerSettings) -> Self {
        let listener = Listener::bind("127.0.0.1:0", bound, World::system()).await.unwrap();
        let serving = Self {
            address: listener.address().unwrap(),
            stats: listener.stats(),
        };
        let piece = || Ok::<_, io::Error>(Bytes::from(vec![b'x'; 64 << 10]));
        let endless = async move || Body::from_stream(stream::repeat_with(piece));
        let silent = async || Body::from_stream(stream::pending::<io::Result<Bytes>>());
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/endless", get(endless))
            .route("/silent", get(silent));
        tokio::spawn(listener.serve(router, std::future::pending(), Duration::ZERO));
        serving
    }

    /// Connects an HTTP/2 client; the task ends with the connection.
    async fn connect(&self) -> (SendRequest<Empty<Bytes>>, tokio::task::JoinHandle<()>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (client, connection) = handshake.await.unwrap();
        let ended = tokio::spawn(async move {
            connection.await.ok();
        });
        (client, ended)
    }
}

fn request(path: &str) -> axum::http::request::Builder {
    Request::builder().uri(format!("http://localhost{path}"))
}

fn bound() -> ListenerSettings {
    ListenerSettings {
        patience: SHORT,
        idle: SHORT,
        ..ListenerSettings::with_tls(None)
    }
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let serving = RunningListener::start(ListenerSettings::with_tls(None)).await;
    let (mut client, _) = serving.connect().await;
    let large = request("/").header("x-large", "x".repeat(200 << 10));
    let answer = client.send_request(large.body(Empty::new()).unwrap()).await;
    // The client may see the end of the stream instead of the status.
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
    let (mut client, _) = serving.connect().await;
    let small = request("/").header("x-small", "x".repeat(60 << 10));
    let answer = client.send_request(small.body(Empty::new()).unwrap());
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_response_without_window_updates_is_aborted_while_others_continue() {
    let serving =
        RunningListener::start(ListenerSettings { idle: Duration::from_secs(60), ..bound() }).await;
    let (mut client, _) = serving.connect().await;
    let endless = client
        .send_request(request("/endless").body(Empty::new()).unwrap())
        .await
        .unwrap();
    assert_eq!(serving.stats.requests.count(), 1);
    // The client does not read the response.
    serving.stats.requests.wait_until_zero().await;
    assert!(serving.stats.traffic.stalled.load(Ordering::Relaxed) >= 1);
    let other = client
        .send_request(request("/").body(Empty::new()).unwrap())
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(other.to_bytes(), "hello");
    assert!(endless.into_body().collect().await.is_err());
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let serving = RunningListener::start(bound()).await;
    let (mut client, ended) = serving.connect().await;
    let answer = client.send_request(request("/").body(Empty::new()).unwrap());
    answer.await.unwrap().into_body().collect().await.unwrap();
    ended.await.unwrap();
    serving.stats.open.wait_until_zero().await;
    assert_eq!(serving.stats.taken.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_until_another_one_ends() {
    let serving = RunningListener::start(ListenerSettings {
        connections: 1,
        ..ListenerSettings::with_tls(None)
    })
    .await;
    let (mut first, _) = serving.connect().await;
    // The operating system connects the second client.
    let (mut second, _) = serving.connect().await;
    let answer = first.send_request(request("/").body(Empty::new()).unwrap());
    answer.await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(serving.stats.taken.load(Ordering::Relaxed), 1);
    drop(first);
    let answer = second.send_request(request("/").body(Empty::new()).unwrap());
    assert_eq!(answer.await.unwrap().status(), 200);
    assert_eq!(serving.stats.taken.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_request_beyond_the_limit_of_its_connection_waits_until_another_one_ends() {
    let serving = RunningListener::start(ListenerSettings::with_tls(None)).await;
    let (mut client, _) = serving.connect().await;
    let mut answers = Vec::new();
    for _ in 0..MAX_STREAMS {
        let answer = client.send_request(request("/silent").body(Empty::new()).unwrap());
        answers.push(answer.await.unwrap());
    }
    assert_eq!(serving.stats.requests.count(), answers.len());
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move {
        let answer = waiting.send_request(request("/").body(Empty::new()).unwrap());
        answer.await.unwrap().status()
    });
    // Other connections are not affected. This request gives the waiting one time to be sent.
    let (mut other, _) = serving.connect().await;
    let answer = other.send_request(request("/").body(Empty::new()).unwrap());
    assert_eq!(answer.await.unwrap().status(), 200);
    assert!(!waiting.is_finished());
    drop(answers.pop());
    assert_eq!(waiting.await.unwrap(), 200);
}
