//! Tests with a store behind a router that drops the state of connections.

use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use neap_s3_server::{Options, S3Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use super::*;
use crate::{
    Bucket, CommitOutcome, Get, GetOptions, Key, ListRequest, ObjectFormat, ObjectStoreAdapter,
    PutMode, Register, RegisterChange, RegisterValue, RemoteOptions, Store, World,
    remote::observing_connector::ObservingConnector, s3_fixture::s3_builder,
};

/// A proxy to a server whose open connections can stop passing data.
struct FreezingProxy {
    address: String,
    forgotten: watch::Sender<()>,
    accepted: Arc<AtomicUsize>,
}

impl FreezingProxy {
    async fn to(server: &S3Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let inside = server.endpoint().replace("http://", "");
        let (forgotten, _) = watch::channel(());
        let accepted = Arc::new(AtomicUsize::new(0));
        let (sender, count) = (forgotten.clone(), Arc::clone(&accepted));
        tokio::spawn(async move {
            while let Ok((outside, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let inside = TcpStream::connect(&inside).await.unwrap();
                let (from_outside, to_outside) = outside.into_split();
                let (from_inside, to_inside) = inside.into_split();
                tokio::spawn(pass(from_outside, to_inside, sender.subscribe()));
                tokio::spawn(pass(from_inside, to_outside, sender.subscribe()));
            }
        });
        Self { address, forgotten, accepted }
    }

    /// Stops all data on the open connections, including their close.
    fn forget(&self) {
        self.forgotten.send_replace(());
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut forgotten: watch::Receiver<()>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = forgotten.changed() => std::future::pending().await,
        };
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

fn options() -> RemoteOptions {
    RemoteOptions {
        allow_http: true,
        first_answer_timeout: Duration::from_millis(500),
        doubt_after: Duration::ZERO,
        ..RemoteOptions::default()
    }
}

fn adapter(
    server: &S3Server,
    router: &FreezingProxy,
    health: &Arc<ConnectionHealth>,
) -> Arc<ObjectStoreAdapter> {
    let builder = s3_builder(server).with_endpoint(router.address.as_str());
    let connector = ObservingConnector(ReconnectingConnector(Arc::clone(health)));
    Arc::new(ObjectStoreAdapter::s3_with_connector(builder, &options(), &connector).unwrap())
}

/// Returns a health by whose clock no answer takes time. The store never counts as slow, however busy this machine is,
/// and each call begins with a short wait.
fn timeless_health() -> Arc<ConnectionHealth> {
    Arc::new(ConnectionHealth { clock: || 1_000, ..options().connection_health() })
}

async fn put(store: &ObjectStoreAdapter) {
    let body = Bytes::from_static(b"body");
    let put = store.put("data/1", body, PutMode::Overwrite).await;
    assert!(put.unwrap().date.is_some());
}

async fn get(store: &ObjectStoreAdapter, key: &str) -> Get {
    let got = store.get(key, GetOptions::default()).await;
    got.unwrap().value
}

async fn list(store: &ObjectStoreAdapter) -> usize {
    store.list(ListRequest::new("data/")).await.unwrap().value.entries.len()
}

/// Opens pooled connections of both clients.
async fn open_connections(store: &ObjectStoreAdapter) {
    put(store).await;
    let gets = (0..4).map(|_| get(store, "data/1"));
    futures::future::join_all(gets).await;
    get(store, "data/1.parquet").await;
}

#[tokio::test]
async fn requests_over_connections_that_died_unnoticed_succeed_on_retry() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let router = FreezingProxy::to(&server).await;
    let store = adapter(&server, &router, &timeless_health());
    open_connections(&store).await;

    router.forget();
    put(&store).await;
    open_connections(&store).await;
    router.forget();
    assert!(matches!(get(&store, "data/1").await, Get::Found(_)));
    router.forget();
    assert_eq!(list(&store).await, 1);
    router.forget();
    store.delete(&["data/1".to_owned()]).await.unwrap();
    assert_eq!(list(&store).await, 0);
}

#[tokio::test]
async fn one_timeout_discards_all_connections_of_a_store() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let router = FreezingProxy::to(&server).await;
    let health = timeless_health();
    let store = adapter(&server, &router, &health);
    open_connections(&store).await;
    assert!(router.accepted() >= 3);

    router.forget();
    get(&store, "data/1").await;
    let accepted = router.accepted();
    // The store counts as slow from here on. Over an old connection, this request would wait for the full time limit.
    health.record_answer(0, 10_000);
    get(&store, "data/1.parquet").await;
    get(&store, "data/1").await;
    assert_eq!(router.accepted(), accepted + 1);
}

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct TestNumber(u64);

impl RegisterValue for TestNumber {
    const FORMAT: ObjectFormat = ObjectFormat { magic: *b"TEST", kind: "number", version: 1 };
}

#[tokio::test]
async fn a_commit_whose_connection_died_is_committed_once() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let router = FreezingProxy::to(&server).await;
    let store = adapter(&server, &router, &timeless_health());
    let bucket = Bucket::new(store, World::system());
    let register: Register<TestNumber> = Register::new(bucket, Key::RootCatalog, 64);
    let add = async |known| {
        let commit = register.commit(known, |old| {
            Ok::<_, String>(RegisterChange::Put(TestNumber(old.value.0 + 1), ()))
        });
        match commit.await.unwrap() {
            CommitOutcome::Committed { current, .. } => current,
            other => panic!("{other:?}"),
        }
    };
    let first = add(None).await;
    router.forget();
    let second = add(Some(first)).await;
    assert_eq!((second.value.0, second.version), (2, 2));
}

#[tokio::test]
async fn a_slow_store_gets_the_full_time_limit() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let router = FreezingProxy::to(&server).await;
    let store = adapter(&server, &router, &Arc::new(options().connection_health()));
    put(&store).await;
    server.set_faults(neap_s3_server::Faults {
        delay: Duration::from_millis(1_500),
        ..neap_s3_server::Faults::default()
    });
    assert!(matches!(get(&store, "data/1").await, Get::Found(_)));
    // The store counts as slow now, so no request is retried over another connection.
    let accepted = router.accepted();
    put(&store).await;
    put(&store).await;
    assert_eq!(router.accepted(), accepted);
}

#[test]
fn only_calls_that_are_retried_have_a_short_wait() {
    let limit = |options: &RemoteOptions| options.connector().0.0.first_answer;
    let options = RemoteOptions::default();
    assert_eq!(limit(&options), Some(options.first_answer_timeout));
    for options in [
        RemoteOptions { max_retries: 0, ..options.clone() },
        RemoteOptions { retry_timeout: options.first_answer_timeout, ..options },
    ] {
        assert_eq!(limit(&options), None);
    }
}

#[tokio::test]
async fn only_the_first_wait_of_a_call_is_short_and_only_for_small_requests() {
    let short = Some(Duration::from_secs(3));
    let silence = ConnectionHealth::new(short, Duration::from_secs(2));
    silence.record_answer(1_000, 1_000);
    let limits = async {
        let first =
            [0, SMALL_BYTES, SMALL_BYTES + 1].map(|bytes| silence.first_answer_limit(bytes, 3_000));
        exchange::record_short_timeout();
        (first, silence.first_answer_limit(0, 3_000))
    };
    let (limits, _) = exchange::with_exchange(limits).await;
    assert_eq!(limits, ([short, short, None], None));
    assert_eq!(silence.first_answer_limit(0, 3_000), None, "outside of a call");
}

#[tokio::test]
async fn a_wait_is_short_only_while_a_connection_may_have_died_and_the_store_is_not_slow() {
    let short = Some(Duration::from_secs(3));
    let silence = ConnectionHealth::new(short, Duration::from_secs(2));
    let limits = async {
        assert_eq!(silence.first_answer_limit(0, 10_000), None, "nothing was heard yet");
        silence.record_answer(10_000, 11_000);
        assert_eq!(silence.first_answer_limit(0, 12_999), None, "heard just now");
        assert_eq!(silence.first_answer_limit(0, 13_000), short);
        silence.record_answer(13_000, 13_100);
        assert_eq!(silence.first_answer_limit(0, 13_200), short, "others may be dead");
        assert_eq!(silence.first_answer_limit(0, 28_000), short, "nothing was heard again");
        silence.record_answer(28_000, 31_001);
        assert_eq!(silence.first_answer_limit(0, 40_000), None, "it is slow");
        assert_eq!(silence.first_answer_limit(0, 91_001), short, "it may have been");
    };
    exchange::with_exchange(limits).await;
}
