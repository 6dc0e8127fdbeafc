//! Connections that send one request after the other.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
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

use crate::{lines::FleetLines, report::Report};

/// The pause after a request without an answer, so that a server that has ended is not asked in a busy loop, and after
/// one that the server can't take yet.
const PAUSE: Duration = Duration::from_millis(100);

/// The bodies of the requests of all connections.
#[derive(Debug)]
pub(crate) enum RequestBodies {
    /// At least one body; all are sent in turn, again and again.
    Repeated {
        bodies: Vec<Bytes>,
        next: AtomicUsize,
    },
    /// Each body is sent until the server has taken it. Then the requests end.
    Lines(Mutex<FleetLines>),
}

impl RequestBodies {
    pub(crate) fn repeated(bodies: Vec<Bytes>) -> Self {
        Self::Repeated { bodies, next: AtomicUsize::default() }
    }

    fn next(&self) -> Option<Bytes> {
        match self {
            Self::Repeated { bodies, next } => {
                let index = next.fetch_add(1, Ordering::Relaxed) % bodies.len().max(1);
                Some(bodies.get(index).cloned().unwrap_or_default())
            }
            Self::Lines(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).next(),
        }
    }

    /// Returns whether a body is sent again after this answer. A server that can't take more rows yet says so with
    /// 429 or 503.
    fn is_repeated_after(&self, answer: &Result<(u16, Bytes), String>) -> bool {
        let is_refused = match answer {
            Ok((status, _)) => matches!(status, 429 | 503),
            Err(_) => true,
        };
        is_refused && matches!(self, Self::Lines(_))
    }
}

/// The requests of all connections.
#[derive(Debug)]
pub(crate) struct RequestSource {
    /// The host and the port.
    address: String,
    template: Request<()>,
    bodies: RequestBodies,
    timeout: Duration,
}

impl RequestSource {
    /// Returns the requests to a URL; `None` if it is not an absolute URL of the scheme http.
    pub(crate) fn new(
        url: &Uri,
        method: Method,
        headers: Vec<(HeaderName, HeaderValue)>,
        bodies: RequestBodies,
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
            timeout,
        })
    }
}

/// Sends requests over all connections until the duration or the bodies end, and waits for the last answers.
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
    let mut refused = None;
    while now() < until {
        let Some(body) = refused.take().or_else(|| source.bodies.next()) else {
            break;
        };
        let started_at = now();
        let exchange = exchange(&source, body.clone(), &mut connection);
        let answer = match tokio::time::timeout(source.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", source.timeout.as_secs())),
        };
        let outcome = answer.as_ref().map(|(status, text)| (*status, text.as_ref()));
        report.add(started_at.elapsed(), outcome.map_err(Clone::clone));
        refused = source.bodies.is_repeated_after(&answer).then_some(body);
        if answer.is_err() {
            connection = None;
        }
        if answer.is_err() || refused.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    report
}

/// Sends a request and reads the whole answer. Opens the connection if there is none, or if the server has closed it.
async fn exchange(
    source: &RequestSource,
    body: Bytes,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
) -> Result<(u16, Bytes), String> {
    let open = connection.take().filter(|open| !open.is_closed());
    let mut open = match open {
        Some(open) => open,
        None => connect(&source.address).await?,
    };
    open.ready().await.map_err(|error| error.to_string())?;
    let answer = open
        .send_request(source.template.clone().map(|()| Full::new(body)))
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
