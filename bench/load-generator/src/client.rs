//! Connections that send one request after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::report::Report;

/// The pause after a request without an answer, so that a server that has ended is not asked in a busy loop.
const PAUSE: Duration = Duration::from_millis(100);

/// The requests of all connections.
#[derive(Debug)]
pub(crate) struct RequestSource {
    /// The host and the port.
    address: String,
    template: Request<()>,
    /// At least one.
    bodies: Vec<Bytes>,
    next: AtomicUsize,
    timeout: Duration,
}

impl RequestSource {
    /// Returns the requests to a URL; `None` if it is not an absolute URL of the scheme http.
    pub(crate) fn new(
        url: &Uri,
        method: Method,
        headers: Vec<(HeaderName, HeaderValue)>,
        bodies: Vec<Bytes>,
        timeout: Duration,
    ) -> Option<Self> {
        let authority = url.authority()?;
        if url.scheme_str() != Some("http") {
            return None;
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let mut template = Request::new(());
        *template.method_mut() = method;
        *template.uri_mut() = path.parse().ok()?;
        let host = HeaderValue::from_str(authority.as_str()).ok()?;
        template.headers_mut().insert(HOST, host);
        template.headers_mut().extend(headers);
        let port = authority.port_u16().unwrap_or(80);
        Some(Self {
            address: format!("{}:{port}", authority.host()),
            template,
            bodies,
            next: AtomicUsize::default(),
            timeout,
        })
    }

    fn next_request(&self) -> Request<Full<Bytes>> {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.bodies.len().max(1);
        let body = self.bodies.get(next).cloned().unwrap_or_default();
        self.template.clone().map(|()| Full::new(body))
    }
}

/// Sends requests over all connections until the duration ends, and waits for the last answers.
pub(crate) async fn send_requests(
    source: Arc<RequestSource>,
    connections: u16,
    duration: Duration,
) -> Report {
    let started_at = now();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let source = Arc::clone(&source);
        clients.spawn(run_connection(source, started_at + duration));
    }
    let mut report = Report::default();
    while let Some(client) = clients.join_next().await {
        match client {
            Ok(one) => report.merge(one),
            Err(error) => report.add(Duration::ZERO, Err(error.to_string())),
        }
    }
    report.finish(started_at.elapsed());
    report
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server that is measured lives in real time"
)]
async fn run_connection(source: Arc<RequestSource>, until: Instant) -> Report {
    let mut connection = None;
    let mut report = Report::default();
    while now() < until {
        let started_at = now();
        let exchange = exchange(&source, &mut connection);
        let answer = match tokio::time::timeout(source.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", source.timeout.as_secs())),
        };
        let is_answered = answer.is_ok();
        let outcome = answer.as_ref().map(|(status, body)| (*status, body.as_ref()));
        report.add(started_at.elapsed(), outcome.map_err(Clone::clone));
        if !is_answered {
            connection = None;
            tokio::time::sleep(PAUSE).await;
        }
    }
    report
}

/// Sends a request and reads the whole answer. Opens the connection if there is none, or if the server has closed it.
async fn exchange(
    source: &RequestSource,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
) -> Result<(u16, Bytes), String> {
    let open = connection.take().filter(|open| !open.is_closed());
    let mut open = match open {
        Some(open) => open,
        None => connect(&source.address).await?,
    };
    open.ready().await.map_err(|error| error.to_string())?;
    let answer = open
        .send_request(source.next_request())
        .await
        .map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_bytes();
    *connection = Some(open);
    Ok((status, body))
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends when the sender is dropped. Its errors are those of the requests.
    tokio::spawn(connection);
    Ok(sender)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server that is measured lives in real time"
)]
fn now() -> Instant {
    Instant::now()
}
