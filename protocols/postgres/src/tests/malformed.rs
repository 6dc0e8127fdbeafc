//! Messages that no client sends.

use std::time::Duration;

use neap_bucket::World;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::test_bed::{ListenerTestBed, PATIENCE, message, startup_message, texts};
use crate::PostgresSettings;

/// A startup, a prepared statement with a value, and a simple query.
fn session() -> Vec<u8> {
    let mut bytes = startup_message();
    let messages: [(u8, &[u8]); 7] = [
        (b'P', b"s\0SELECT n FROM cpu WHERE n > $1\0\0\x01\0\0\0\x14"),
        (b'D', b"Ss\0"),
        (b'B', b"\0s\0\0\x01\0\x01\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x01\0\x01\0\x01"),
        (b'E', b"\0\0\0\0\0"),
        (b'S', b""),
        (b'Q', b"COPY cpu FROM STDIN\0"),
        (b'X', b""),
    ];
    for (message_type, body) in messages {
        bytes.extend(message(message_type, body));
    }
    bytes
}

#[tokio::test]
async fn a_thousand_mutated_sessions_end_without_a_panic() {
    let settings = PostgresSettings {
        transfer_timeout: Duration::from_millis(50),
        startup_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..PostgresSettings::default()
    };
    let bed = ListenerTestBed::with(false, settings).await;
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let session = session();
    for _ in 0..1_000 {
        let (place, byte) = (0..session.len(), proptest::num::u8::ANY)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut mutated = session.clone();
        mutated[place] = byte;
        let mut stream = TcpStream::connect(bed.address).await.unwrap();
        stream.write_all(&mutated).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        World::system()
            .timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("the connection ends")
            .ok();
    }
    let client = bed.connect().await;
    assert_eq!(texts(&client, "SELECT 1").await, [["1"]]);
    // A task that panics does not count the end of its connection.
    let all_closed = async {
        while closed(&bed) < 1_000 {
            World::system().clock.sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = World::system().timeout(PATIENCE, all_closed).await;
    assert!(waited.is_some(), "{}", bed.metrics.render());
}

/// Returns the number of closed connections.
fn closed(bed: &ListenerTestBed) -> u64 {
    let metrics = bed.metrics.render();
    let samples = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("neap_postgres_connections_closed_total{"));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn idle_and_half_open_connections_are_closed() {
    let settings = PostgresSettings {
        startup_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..PostgresSettings::default()
    };
    let bed = ListenerTestBed::with(false, settings).await;
    let half = session();
    for sent in [&half[..0], &half[..6], &half[..33]] {
        let mut stream = TcpStream::connect(bed.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        World::system()
            .timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("the connection is closed")
            .unwrap();
    }
}
