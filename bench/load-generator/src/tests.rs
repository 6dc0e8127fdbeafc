//! Tests with a server that gives the same answer to every request.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// The number of requests that a server has received.
type Received = Arc<AtomicUsize>;

/// Starts a server that gives this answer to each request. Returns its address.
async fn serve(answer: &'static str) -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let received = Received::default();
    let count = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_all(stream, answer, Arc::clone(&count)));
        }
    });
    (address, received)
}

/// Answers each request whose body is `one` or `two`.
async fn answer_all(mut stream: TcpStream, answer: &'static str, count: Received) {
    let mut received = Vec::new();
    while stream.read_buf(&mut received).await.is_ok_and(|read| read > 0) {
        if received.ends_with(b"\r\n\r\none") || received.ends_with(b"\r\n\r\ntwo") {
            assert!(received.starts_with(b"POST /path?x=1 HTTP/1.1\r\n"));
            received.clear();
            count.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

async fn report(address: &str, seconds: u64) -> Report {
    let bodies = tempfile::NamedTempFile::new().unwrap();
    fs::write(&bodies, r#"["one", "two"]"#).unwrap();
    let url = format!("http://{address}/path?x=1");
    let seconds = format!("--seconds={seconds}");
    let path = format!("--bodies={}", bodies.path().display());
    let arguments = ["load", &url, "--connections=3", &seconds, &path];
    run(Arguments::parse_from(arguments)).await.unwrap()
}

#[tokio::test]
async fn answered_requests_are_counted() {
    let (address, received) = serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let report = report(&address, 1).await;
    let json = report.to_json();
    let requests = received.load(Ordering::Relaxed);
    assert!(requests > 3, "{json}");
    assert_eq!(json["requests"], requests);
    assert_eq!(json["outcomes"], serde_json::json!({ "200": requests }));
    assert_eq!(json["response_bytes"], 2 * requests);
    assert_eq!(json["first_error"], serde_json::Value::Null);
    assert!(json["requests_per_second"].as_f64() > Some(0.0));
    assert!(json["latency_ms"]["p50"].as_f64() <= json["latency_ms"]["p99"].as_f64());
    assert_eq!(report.failed(), 0);
}

#[tokio::test]
async fn refused_and_unanswered_requests_are_failures() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";
    let (address, _) = serve(busy).await;
    let refused = report(&address, 1).await;
    assert!(refused.failed() > 0);
    assert_eq!(refused.to_json()["first_error"], "503 busy");
    assert_eq!(refused.to_json()["requests_per_second"], 0.0);

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let unanswered = report(&address, 1).await;
    assert!(unanswered.failed() > 0);
    let outcomes = unanswered.to_json()["outcomes"].clone();
    assert_eq!(outcomes, serde_json::json!({ "unanswered": unanswered.failed() }));
}

/// Answers the first request with 503, and the others with 204. Returns the number of lines of the others.
async fn refuse_once(listener: TcpListener) -> usize {
    let (mut stream, _) = listener.accept().await.unwrap();
    let (mut received, mut requests, mut lines) = (Vec::new(), 0, 0);
    while stream.read_buf(&mut received).await.is_ok_and(|read| read > 0) {
        let Some(count) = lines_of_request(&received) else {
            continue;
        };
        received.clear();
        let status = if requests == 0 {
            "503 Service Unavailable"
        } else {
            lines += count;
            "204 No Content"
        };
        requests += 1;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    lines
}

/// Returns the number of lines of a request's body, when all of it is received.
fn lines_of_request(received: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(received);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    (body.len() >= length.parse::<usize>().ok()?).then(|| body.lines().count())
}

#[tokio::test]
async fn all_rows_are_sent_once_and_again_only_if_they_were_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/path", listener.local_addr().unwrap());
    let server = tokio::spawn(refuse_once(listener));
    let arguments = ["load", &url, "--connections=1", "--seconds=600", "--rows=25000", "--hosts=5"];
    let report = run(Arguments::parse_from(arguments)).await.unwrap();
    assert_eq!(server.await.unwrap(), 25_000);
    assert_eq!(report.to_json()["outcomes"], serde_json::json!({ "204": 3, "503": 1 }));
}

#[tokio::test]
async fn unusable_arguments_are_refused() {
    let url = Arguments::parse_from(["load", "https://localhost/"]);
    assert!(matches!(run(url).await, Err(ArgumentError::Url(_))));
    let arguments = ["load", "http://localhost/", "--bodies", "/nonexistent"];
    let bodies = run(Arguments::parse_from(arguments)).await;
    assert!(matches!(bodies, Err(ArgumentError::Bodies(..))));
    assert!(Arguments::try_parse_from(["load", "http://x/", "--header", "none"]).is_err());
}
