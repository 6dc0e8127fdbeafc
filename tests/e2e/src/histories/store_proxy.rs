//! A TCP proxy between one process and its store, with faults of the network and of the store.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinSet,
};

/// Maximum number of bytes that are forwarded at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Maximum size of the head of a request that is answered with an error.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// A fault between a process and its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreFault {
    None,
    /// Each part of a request or answer arrives later by this time.
    Slow(Duration),
    /// All connections are closed, and new ones at once.
    Closed,
    /// Requests do not arrive.
    LostRequests,
    /// Requests take effect, and their answers do not arrive.
    LostAnswers,
    /// Requests are answered with this status and code, and have no effect.
    Error(u16, &'static str),
}

impl StoreFault {
    /// Whether the fault ends all connections when it begins.
    fn closes_connections(self) -> bool {
        matches!(self, Self::Closed | Self::Error(..))
    }
}

/// The thread of all proxies.
#[derive(Clone, Debug)]
pub(super) struct ProxyRuntime(Arc<Runtime>);

impl ProxyRuntime {
    pub(super) fn start() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self(Arc::new(runtime.unwrap()))
    }
}

/// A running proxy. Dropping it closes its connections.
#[derive(Debug)]
pub(super) struct StoreProxy {
    address: SocketAddr,
    fault: watch::Sender<StoreFault>,
    accept: tokio::task::JoinHandle<()>,
    _runtime: ProxyRuntime,
}

impl StoreProxy {
    /// Starts a proxy to the store at a URL without path.
    pub(super) fn start(runtime: &ProxyRuntime, endpoint: &str) -> Self {
        let store: SocketAddr = endpoint
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .replace("localhost", "127.0.0.1")
            .parse()
            .unwrap();
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.0.block_on(listen).unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, faults) = watch::channel(StoreFault::None);
        let accept = runtime.0.spawn(accept(listener, store, faults));
        Self { address, fault, accept, _runtime: runtime.clone() }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn set_fault(&self, fault: StoreFault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for StoreProxy {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: TcpListener, store: SocketAddr, fault: watch::Receiver<StoreFault>) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((client, _)) = listener.accept().await {
            connections.spawn(connection(client, store, fault.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(client: TcpStream, store: SocketAddr, mut fault: watch::Receiver<StoreFault>) {
    let present = *fault.borrow_and_update();
    match present {
        StoreFault::Closed => return,
        StoreFault::Error(status, code) => return answer_with_error(client, status, code).await,
        _ => {}
    }
    let Ok(server) = TcpStream::connect(store).await else {
        return;
    };
    // Without `TCP_NODELAY`, small requests wait for delayed acknowledgements.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (requests, to_client) = client.into_split();
    let (answers, to_server) = server.into_split();
    let closed = fault.clone();
    tokio::select! {
        () = forward(requests, to_server, fault.clone(), StoreFault::LostRequests) => {}
        () = forward(answers, to_client, fault, StoreFault::LostAnswers) => {}
        () = until_closed(closed) => {}
    }
}

/// Waits for a fault that ends all connections.
async fn until_closed(mut fault: watch::Receiver<StoreFault>) {
    let closed = fault.wait_for(|fault| fault.closes_connections()).await;
    // An error means that the proxy has ended.
    drop(closed);
}

/// Forwards one direction of a connection, until it ends. Under the fault `lost`, all bytes are discarded.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<StoreFault>,
    lost: StoreFault,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut is_incomplete = false;
    loop {
        let bytes = tokio::select! {
            read = from.read(&mut chunk) => match read {
                Ok(bytes) if bytes > 0 => bytes,
                _ => return,
            },
            changed = fault.changed() => {
                // After lost bytes, the rest of the connection would be read as something else.
                if is_incomplete || changed.is_err() {
                    return;
                }
                continue;
            }
        };
        let present = *fault.borrow();
        if present == lost {
            is_incomplete = true;
            continue;
        }
        if let StoreFault::Slow(delay) = present {
            sleep(delay).await;
        }
        if to.write_all(&chunk[..bytes]).await.is_err() {
            return;
        }
    }
}

/// Answers the first request of a connection with an error, as S3 does.
async fn answer_with_error(mut client: TcpStream, status: u16, code: &str) {
    let mut request = Vec::new();
    let (head, body) = loop {
        if let Some(head) = request.windows(4).position(|part| part == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length = text.lines().find_map(|line| {
                let length = line.strip_prefix("content-length:")?;
                length.trim().parse::<usize>().ok()
            });
            break (head + 4, length.unwrap_or(0));
        }
        if request.len() > MAX_HEAD_BYTES || !matches!(client.read_buf(&mut request).await, Ok(1..))
        {
            return;
        }
    };
    let mut left = (head + body).saturating_sub(request.len());
    let mut chunk = vec![0; CHUNK_BYTES];
    while left > 0 {
        match client.read(&mut chunk).await {
            Ok(bytes) if bytes > 0 => left = left.saturating_sub(bytes),
            _ => return,
        }
    }
    let text = format!("<Error><Code>{code}</Code><Message>injected fault</Message></Error>");
    let answer = format!(
        "HTTP/1.1 {status} {code}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    if client.write_all(answer.as_bytes()).await.is_ok() {
        client.shutdown().await.ok();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "other processes live in real time"
)]
async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

#[test]
fn a_fault_affects_requests_until_it_ends() {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::mpsc,
        thread,
    };

    use crate::harness::{Reply, ServerClient};

    // A store that answers each connection once, and reports the requests that arrived.
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", store.local_addr().unwrap());
    let (arrived, arrivals) = mpsc::channel();
    thread::spawn(move || {
        for mut connection in store.incoming().flatten() {
            let mut request = [0; 4096];
            if connection.read(&mut request).is_ok_and(|bytes| bytes > 0) {
                arrived.send(()).ok();
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                connection.write_all(answer.as_bytes()).ok();
            }
        }
    });
    let proxy = StoreProxy::start(&ProxyRuntime::start(), &endpoint);
    let client = ServerClient::at(&proxy.url());
    let send = |fault| {
        proxy.set_fault(fault);
        let request = client.request("PUT", "/key").body("contents");
        let reply = Reply::receive(request.timeout(Duration::from_secs(1)));
        (reply.ok().map(|reply| reply.status), arrivals.try_iter().count())
    };
    assert_eq!(send(StoreFault::None), (Some(200), 1));
    assert_eq!(send(StoreFault::Error(503, "SlowDown")), (Some(503), 0));
    assert_eq!(send(StoreFault::Closed), (None, 0));
    assert_eq!(send(StoreFault::LostRequests), (None, 0));
    assert_eq!(send(StoreFault::LostAnswers), (None, 1));
    let slow = StoreFault::Slow(Duration::from_millis(20));
    assert_eq!(send(slow), (Some(200), 1));
    assert_eq!(send(StoreFault::None), (Some(200), 1));
}
