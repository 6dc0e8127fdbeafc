//! Tests of the adapter on a real server that answers, fails, or loses replies.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use neap_s3_server::{Deviation, Faults, ObservedRequest, Observer, Options, S3Server};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::*;
use crate::s3_fixture::{s3_builder, s3_store};

async fn server() -> S3Server {
    S3Server::start(Options::default()).await.unwrap()
}

fn adapter(server: &S3Server, bucket: &str, secret: &str) -> ObjectStoreAdapter {
    let builder = s3_builder(server).with_bucket_name(bucket).with_secret_access_key(secret);
    let options = RemoteOptions { max_retries: 1, ..RemoteOptions::default() };
    s3_store(builder, options)
}

fn good(server: &S3Server) -> ObjectStoreAdapter {
    adapter(server, server.bucket(), S3Server::SECRET_KEY)
}

async fn put(store: &ObjectStoreAdapter, mode: PutMode) -> Result<Put, StoreError> {
    let answer = store.put("catalog", Bytes::from_static(b"body"), mode).await?;
    Ok(answer.value)
}

async fn exists(store: &ObjectStoreAdapter) -> bool {
    let answer = store.get("catalog", GetOptions::default()).await.unwrap();
    matches!(answer.value, Get::Found(_))
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_bucket_are_rejected() {
    let server = server().await;
    for store in [
        adapter(&server, server.bucket(), "wrong"),
        adapter(&server, "no-such-bucket", S3Server::SECRET_KEY),
    ] {
        let list = ListRequest::new("tail/");
        let answers = [put(&store, PutMode::Overwrite).await.err(), store.list(list).await.err()];
        for error in answers {
            assert!(matches!(error, Some(StoreError::Rejected { .. })), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_busy_store_is_unavailable_and_nothing_happened() {
    let server = server().await;
    let store = good(&server);
    server.set_faults(Faults { unavailable: 1.0, ..Faults::default() });
    let outcome = put(&store, PutMode::Create).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    server.set_faults(Faults::default());
    assert!(!exists(&store).await);
}

#[tokio::test]
async fn a_conditional_put_whose_reply_is_lost_is_unavailable_although_it_happened() {
    let server = server().await;
    let store = good(&server);
    server.set_faults(Faults { lost_replies: 1.0, ..Faults::default() });
    let outcome = put(&store, PutMode::Create).await;
    // The client may have retried it, and conflicted with its own first attempt.
    assert!(
        matches!(outcome, Err(StoreError::Unavailable { .. }) | Ok(Put::Refused)),
        "{outcome:?}"
    );
    server.set_faults(Faults::default());
    assert!(exists(&store).await);
}

#[tokio::test]
async fn a_put_that_failed_after_its_effect_is_refused_on_the_retry() {
    let server = server().await;
    let store = good(&server);
    server.set_faults(Faults { failed_replies: 1.0, ..Faults::default() });
    assert_eq!(put(&store, PutMode::Create).await.unwrap(), Put::Refused);
    assert!(exists(&store).await);
}

#[tokio::test]
async fn an_unreachable_store_is_unavailable() {
    let server = server().await;
    let store = good(&server);
    drop(server);
    let error = store.get("catalog", GetOptions::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn each_of_many_concurrent_calls_has_the_date_of_its_own_answer() {
    let server = server().await;
    let store = Arc::new(good(&server));
    server.set_faults(Faults { date_skew: Duration::from_secs(1000), ..Faults::default() });
    let gets = (0..16).map(|_| store.get("catalog", GetOptions::default()));
    let answers = futures::future::join_all(gets).await;
    let dates: std::collections::BTreeSet<_> =
        answers.into_iter().map(|answer| answer.unwrap().date.unwrap()).collect();
    assert!(dates.len() > 8, "{dates:?}");
}

#[tokio::test]
async fn a_deletion_of_nothing_and_of_much_has_a_date() {
    let server = server().await;
    let store = good(&server);
    let keys: Vec<_> = (0..1000).map(|n| format!("tail/1/{n}")).collect();
    let answer = store.delete(&keys).await.unwrap();
    assert!(answer.date.is_some());
}

/// Clocks that a test sets: the wall clock and the monotonic one, in seconds.
#[derive(Debug, Default)]
struct SetClock {
    wall: AtomicU32,
    monotonic: AtomicU32,
}

impl SetClock {
    /// Lets time pass, during which this machine is suspended for some of it.
    fn pass(&self, seconds: u32, suspended: u32) {
        self.wall.fetch_add(seconds, Ordering::Relaxed);
        self.monotonic.fetch_add(seconds - suspended, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn wall_micros(&self) -> i64 {
        i64::from(self.wall.load(Ordering::Relaxed)) * 1_000_000
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.monotonic.load(Ordering::Relaxed).into())
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A store whose sessions have these secrets in turn, and the number of sessions.
fn session_store(
    server: &S3Server,
    clock: &Arc<SetClock>,
    secrets: &'static [&'static str],
) -> (ObjectStoreAdapter, Arc<AtomicU32>) {
    let sessions = Arc::new(AtomicU32::new(0));
    let (base, counted) = (s3_builder(server), Arc::clone(&sessions));
    let options = RemoteOptions { allow_http: true, max_retries: 1, ..RemoteOptions::default() };
    let own_options = options.clone();
    let create = move || {
        let number = usize::try_from(counted.fetch_add(1, Ordering::Relaxed)).unwrap();
        let secret = secrets.get(number).copied().unwrap_or(S3Server::SECRET_KEY);
        let builder = base.clone().with_secret_access_key(secret);
        s3_clients(&builder, &own_options, &own_options.connector())
    };
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let clients = ClientSource::with_sessions(Box::new(create), clock).unwrap();
    let store = ObjectStoreAdapter::new(clients, VersionScheme::ETags, StorageClass::S3, &options);
    (store, sessions)
}

#[tokio::test]
async fn a_call_that_is_denied_is_repeated_once_with_another_session() {
    let server = server().await;
    let clock: Arc<SetClock> = Arc::default();
    let (store, sessions) = session_store(&server, &clock, &["ended"]);
    clock.pass(20, 0);
    assert!(matches!(put(&store, PutMode::Create).await.unwrap(), Put::Done(_)));
    assert!(exists(&store).await);
    assert_eq!(sessions.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_store_that_denies_everything_gets_no_session_for_each_call() {
    let server = server().await;
    let clock: Arc<SetClock> = Arc::default();
    let (store, sessions) = session_store(&server, &clock, &["wrong", "wrong", "wrong"]);
    clock.pass(20, 0);
    for _ in 0..3 {
        let error = put(&store, PutMode::Create).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    }
    assert_eq!(sessions.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_session_is_renewed_after_a_suspension_that_the_monotonic_clock_does_not_count() {
    let server = server().await;
    let clock: Arc<SetClock> = Arc::default();
    let (store, sessions) = session_store(&server, &clock, &[]);
    for (seconds, suspended, expected) in [(240, 0, 1), (60, 40, 1), (600, 20, 2), (200, 0, 2)] {
        clock.pass(seconds, suspended);
        assert!(!exists(&store).await);
        assert_eq!(sessions.load(Ordering::Relaxed), expected);
    }
}

/// Records the storage classes of puts.
#[derive(Debug, Default)]
struct ClassRecorder(Mutex<Vec<Option<String>>>);

impl Observer for ClassRecorder {
    fn answered(&self, request: &ObservedRequest<'_>) {
        if request.operation == neap_s3_server::Operation::Put {
            let class = request.storage_class.map(str::to_owned);
            self.0.lock().unwrap().push(class);
        }
    }
}

#[tokio::test]
async fn an_object_is_put_into_a_storage_class_of_the_store_and_read_as_any_other() {
    let seen = Arc::new(ClassRecorder::default());
    let options = Options {
        observer: Some(Arc::<ClassRecorder>::clone(&seen)),
        ..Options::default()
    };
    let server = S3Server::start(options).await.unwrap();
    let store = good(&server);
    for mode in [
        PutMode::OverwriteIn(StorageClass::GlacierIr),
        PutMode::OverwriteIn(StorageClass::Cool),
        PutMode::Overwrite,
    ] {
        assert!(matches!(put(&store, mode).await, Ok(Put::Done(_))));
        assert!(exists(&store).await);
    }
    let classes = seen.0.lock().unwrap().clone();
    assert_eq!(classes, [Some("GLACIER_IR".to_owned()), None, None]);
}

#[tokio::test]
async fn requests_that_the_store_does_not_implement_are_rejected() {
    for (deviation, mode, reason) in [
        (
            Deviation::RefusedConditions,
            PutMode::Create,
            "Conditional object PUTs are not supported",
        ),
        (
            Deviation::RefusedStorageClasses,
            PutMode::OverwriteIn(StorageClass::GlacierIr),
            "InvalidStorageClass",
        ),
    ] {
        let options = Options { deviations: vec![deviation], ..Options::default() };
        let server = S3Server::start(options).await.unwrap();
        let store = good(&server);
        let error = put(&store, mode).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!exists(&store).await);
    }
}

/// Starts a server that sends one of these answers over each connection, in turn. Returns its URL.
async fn serve_answers(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = BufReader::new(&mut connection).lines();
            while head.next_line().await.unwrap().is_some_and(|line| !line.is_empty()) {}
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn a_range_at_the_end_of_an_object_is_empty_if_the_store_answers_206_instead_of_416() {
    const COMMON: &str =
        "ETag: \"1\"\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\nConnection: close\r\n\r\n";
    for (size, range) in [(10, "10-9/10"), (0, "0--1/0")] {
        let url = serve_answers(vec![
            format!("HTTP/1.1 206 Partial Content\r\nContent-Length: 0\r\nContent-Range: bytes {range}\r\n{COMMON}"),
            format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n{COMMON}"),
        ])
        .await;
        let builder = AmazonS3Builder::new()
            .with_endpoint(url)
            .with_bucket_name("bucket")
            .with_skip_signature(true);
        let store = s3_store(builder, RemoteOptions::default());
        let options = GetOptions { range: Some(size..size + 2), if_none_match: None };
        let read = store.get("catalog", options).await.unwrap().value;
        let Get::Found(object) = read else {
            panic!("{read:?}");
        };
        assert_eq!((object.bytes, object.etag), (Bytes::new(), ETag::new("\"1\"")));
    }
}
