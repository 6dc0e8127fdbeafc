//! Lines of clients without keys, from the socket to the store.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::io::AsyncWriteExt;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, ServerName},
    },
};

use super::test_bed::{ListenerTestBed, TestClient};
use crate::KeyPolicy;

/// A line of version 2 whose double has the bytes of a newline, with a time.
fn binary_line(time: usize) -> Vec<u8> {
    let value = [b"m v==\x10".as_slice(), b"\n\"\\= \n,\x01"].concat();
    [&value, format!(" {time}n\n").as_bytes()].concat()
}

async fn open_bed() -> ListenerTestBed {
    ListenerTestBed::new(KeyPolicy::Open).await
}

async fn open_bed_with_client() -> (ListenerTestBed, TestClient) {
    let fixture = open_bed().await;
    let client = fixture.connect().await;
    (fixture, client)
}

#[tokio::test]
async fn lines_are_stored_when_they_arrive() {
    let (fixture, mut client) = open_bed_with_client().await;
    client.send("m,t=a v=1 1\nm,t=a v=2 2\n").await;
    fixture.wait_for_metric("neap_questdb_lines_total 2").await;
    assert_eq!(fixture.rows().await, 2);
    fixture.wait_for_metric("neap_questdb_connections 1").await;
    client.send("\n# comment\nm,t=a v=3 3\n").await;
    fixture.wait_for_metric("neap_questdb_lines_total 3").await;
    client.finish().await;
    fixture.wait_for_end("client").await;
    fixture.wait_for_metric("neap_questdb_connections 0").await;
    fixture.wait_for_metric("neap_questdb_bytes_total 47").await;
}

#[tokio::test]
async fn lines_and_binary_values_may_be_split_anywhere() {
    let (fixture, mut client) = open_bed_with_client().await;
    let bytes = [binary_line(1), b"m v=1,s=\"a\nb\" 2\n".to_vec(), binary_line(3)].concat();
    for byte in bytes {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    client.finish().await;
    fixture.wait_for_end("client").await;
    assert_eq!(fixture.rows().await, 3);
}

#[tokio::test]
async fn binary_values_may_end_in_a_carriage_return() {
    let (fixture, mut client) = open_bed_with_client().await;
    client.send(b"m v==\x10\0\0\0\0\0\0\xf0\r\n").await;
    client.send(b"m d==\x17\x01\x01\r\r\n").await;
    client.send(b"m a==\x0e\n\x01\x01\0\0\0\0\0\0\0\0\0\xf0\r\n").await;
    client.finish().await;
    fixture.wait_for_end("client").await;
    assert_eq!(fixture.rows().await, 3);
}

#[tokio::test]
async fn rows_whose_values_are_all_null_are_skipped() {
    let (fixture, mut client) = open_bed_with_client().await;
    client.send("m,t=a v=NaN\n").await;
    fixture.wait_for_metric("neap_questdb_lines_skipped_total 1").await;
    client.send("m,t=a v=1 1\nm,t=a v=NaN,w=NaN 2\nm,t=a v=3 3\n").await;
    client.finish().await;
    fixture.wait_for_end("client").await;
    fixture.wait_for_metric("neap_questdb_lines_skipped_total 2").await;
    fixture.wait_for_metric("neap_questdb_lines_total 2").await;
    assert_eq!(fixture.rows().await, 2);
}

#[tokio::test]
async fn many_connections_store_all_lines_of_a_stream() {
    let fixture = open_bed().await;
    let clients = (0..4).map(|client| {
        let connected = fixture.connect();
        async move {
            let mut connected: TestClient = connected.await;
            for batch in 0..10 {
                let line = |row| format!("m,c={client} v=1,b={batch}i {}\n", batch * 1000 + row);
                connected.send((0..1000).map(line).collect::<String>()).await;
            }
            connected.finish().await;
        }
    });
    futures::future::join_all(clients).await;
    fixture.wait_for_metric("neap_questdb_lines_total 40000").await;
    fixture.wait_for_ends("client", 4).await;
    assert_eq!(fixture.rows().await, 40_000);
}

#[tokio::test]
async fn a_refused_line_ends_the_connection_after_the_lines_before_it() {
    let (fixture, mut client) = open_bed_with_client().await;
    client.send("m v=1 1\n").await;
    fixture.wait_for_metric("neap_questdb_lines_total 1").await;
    client.send("m v=2 2\nm v=\"text\" 3\nm v=4 4\n").await;
    client.wait_for_end().await;
    fixture.wait_for_end("refused_line").await;
    fixture.wait_for_metric("neap_questdb_lines_total 2").await;
    assert_eq!(fixture.rows().await, 2);
    client.try_send(b"m v=5 5\n").await;
}

#[tokio::test]
async fn bytes_that_are_not_text_refuse_their_line_only() {
    let (fixture, mut client) = open_bed_with_client().await;
    client.send(b"m v=1 1\nm,t=\xff v=2 2\n").await;
    client.wait_for_end().await;
    fixture.wait_for_end("refused_line").await;
    assert_eq!(fixture.rows().await, 1);
}

#[tokio::test]
async fn an_incomplete_last_line_is_not_stored() {
    let (fixture, mut client) = open_bed_with_client().await;
    client.send("m v=1 1\nm v=22 2").await;
    client.finish().await;
    fixture.wait_for_end("incomplete_line").await;
    assert_eq!(fixture.rows().await, 1);
}

#[tokio::test]
async fn a_line_has_a_limit() {
    let limit = 64 << 10;
    let fixture = ListenerTestBed::with(
        KeyPolicy::Open,
        |settings| crate::QuestDbSettings {
            max_line_bytes: limit,
            max_batch_bytes: limit,
            ..settings
        },
        None,
    )
    .await;
    let mut client = fixture.connect().await;
    let fits = format!("m s=\"{}\" 1\n", "x".repeat(limit - 100));
    client.send(&fits).await;
    fixture.wait_for_metric("neap_questdb_lines_total 1").await;
    client.try_send(format!("m s=\"{}", "x".repeat(2 * limit)).as_bytes()).await;
    client.wait_for_end().await;
    fixture.wait_for_end("line_too_long").await;
    assert_eq!(fixture.rows().await, 1);
}

#[tokio::test]
async fn idle_connections_and_slow_lines_end() {
    let brief = Duration::from_millis(50);
    let fixture = ListenerTestBed::with(
        KeyPolicy::Open,
        |settings| crate::QuestDbSettings {
            idle_timeout: Duration::from_millis(400),
            line_timeout: brief,
            ..settings
        },
        None,
    )
    .await;
    let mut slow = fixture.connect().await;
    slow.send("m v=1 1\nm v").await;
    slow.wait_for_end().await;
    fixture.wait_for_end("slow_line").await;
    let mut idle = fixture.connect().await;
    idle.send("m v=2 2\n").await;
    idle.wait_for_end().await;
    fixture.wait_for_end("idle").await;
    assert_eq!(fixture.rows().await, 2);
}

#[tokio::test]
async fn a_stop_stores_the_lines_that_have_arrived() {
    let mut fixture = open_bed().await;
    let mut client = fixture.connect().await;
    client.send("m v=1 1\nm v=2 2\nm v=").await;
    fixture.wait_for_metric("neap_questdb_bytes_total 20").await;
    fixture.stop().await;
    fixture.wait_for_end("stopped").await;
    assert_eq!(fixture.rows().await, 2);
    client.wait_for_end().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let fixture = ListenerTestBed::with(
        KeyPolicy::Open,
        |settings| crate::QuestDbSettings { max_connections: 1, ..settings },
        None,
    )
    .await;
    let mut first = fixture.connect().await;
    first.send("m v=1 1\n").await;
    fixture.wait_for_metric("neap_questdb_lines_total 1").await;
    let mut second = fixture.connect().await;
    second.send("m v=2 2\n").await;
    first.finish().await;
    fixture.wait_for_metric("neap_questdb_lines_total 2").await;
    second.finish().await;
}

#[tokio::test]
async fn lines_arrive_over_tls() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let tls = Arc::new(move || acceptor.clone());
    let fixture = ListenerTestBed::with(KeyPolicy::Open, |settings| settings, Some(tls)).await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = fixture.connect().await.0;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(&binary_line(1)).await.unwrap();
    stream.flush().await.unwrap();
    fixture.wait_for_metric("neap_questdb_lines_total 1").await;
    stream.shutdown().await.unwrap();
    fixture.wait_for_end("client").await;
    let mut plain = fixture.connect().await;
    plain.send("m v=1 1\n").await;
    plain.wait_for_any_end().await;
    fixture.wait_for_end("broken").await;
    assert_eq!(fixture.rows().await, 1);
}

#[tokio::test]
async fn rows_too_many_for_one_write_are_stored_in_several() {
    let (fixture, mut client) = open_bed_with_client().await;
    // Each row has a column of its own: the cells of the table are the square of the rows.
    let line = |row: usize| format!("m c{row}=1 {row}\n");
    client.send((0..1500).map(line).collect::<String>()).await;
    client.finish().await;
    fixture.wait_for_end("client").await;
    assert!(fixture.rows().await >= 1500);
}

#[tokio::test]
async fn rows_without_timestamps_stay_different_rows_in_several_writes() {
    let (fixture, mut client) = open_bed_with_client().await;
    // Some rows are written again, because the cells of all rows are too many for one write.
    let line = |row: usize| format!("m,t=a c{row}=1\n");
    client.send((0..1500).map(line).collect::<String>()).await;
    client.finish().await;
    fixture.wait_for_end("client").await;
    let times: HashSet<i64> = fixture.times().await.into_iter().collect();
    assert_eq!(times.len(), 1500);
}

#[tokio::test]
async fn lines_with_too_many_new_tables_for_one_write_are_divided() {
    let (fixture, mut client) = open_bed_with_client().await;
    let lines: String = (0..350).map(|n| format!("m{n} v=1 1\n")).collect();
    client.send(lines).await;
    client.finish().await;
    fixture.wait_for_end("client").await;
    assert_eq!(fixture.rows().await, 350);
}
