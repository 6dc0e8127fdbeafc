//! Tests of connections to worker ports: tickets, TLS, and answers that are cut.

use std::{fs, sync::Arc, time::Duration};

use datafusion::{execution::TaskContext, physical_plan::metrics::ExecutionPlanMetricsSet};
use datafusion_distributed::{
    ChannelResolver, ExecuteTaskRequest, GetWorkerInfoRequest, ProducerHead, TaskKey,
};
use futures::StreamExt;
use http::{HeaderMap, HeaderName};
use neap_bucket::{Clock, SystemClock, World};
use neap_catalog::REPLACED_SECRET_LIFETIME;
use neap_http::TlsAcceptorSource;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};
use url::Url;
use uuid::Uuid;

use super::fixture::{ClusterFixture, version};
use crate::ClientSecurity;

#[tokio::test]
async fn requests_without_a_valid_ticket_are_refused() {
    let cluster = ClusterFixture::new().await;
    let url = cluster.serve("v1", None).await;
    let channels = cluster.channels(ClientSecurity::default());
    let (_, ticket) = cluster.ticket();
    let valid = version(&channels, &url, Some(ticket.clone())).await;
    assert_eq!(valid.as_deref(), Ok("v1"));
    let refused = "a valid ticket is required";
    for header in [None, Some(cluster.forged_header())] {
        let error = version(&channels, &url, header).await.unwrap_err();
        assert!(error.contains(refused), "{error}");
    }
    // The time of a ticket, and the difference of clocks.
    cluster.clock.advance(Duration::from_secs(91));
    let error = version(&channels, &url, Some(ticket)).await.unwrap_err();
    assert!(error.contains(refused), "{error}");
    assert_eq!(cluster.stats.refused_tickets(), 3);
}

#[tokio::test]
async fn tickets_of_a_replaced_secret_are_accepted_until_they_have_expired() {
    let cluster = ClusterFixture::new().await;
    let url = cluster.serve("v1", None).await;
    let channels = cluster.channels(ClientSecurity::default());
    let issuer = cluster.tickets.issuer("test");
    let day = Duration::from_secs(86_400);
    let ticket = issuer.ticket(neap_schema::DatabaseId::new(1), day);
    let old = (HeaderName::from_static("x-neap-ticket"), issuer.sign(&ticket).unwrap());
    cluster.catalog.create_admin_token().await.unwrap();
    let before = issuer.sign(&ticket).unwrap();
    assert_eq!(before, old.1, "other processes do not know the new secret");
    cluster.clock.advance(Duration::from_secs(60));
    let after = issuer.sign(&ticket).unwrap();
    assert_ne!(after, old.1);
    let new = (old.0.clone(), after);
    for header in [&old, &new] {
        let accepted = version(&channels, &url, Some(header.clone())).await;
        assert_eq!(accepted.as_deref(), Ok("v1"));
    }
    cluster.clock.advance(REPLACED_SECRET_LIFETIME);
    assert!(version(&channels, &url, Some(old)).await.is_err());
    assert!(version(&channels, &url, Some(new)).await.is_ok());
}

#[tokio::test]
async fn a_connection_without_a_valid_ticket_is_closed() {
    let cluster = ClusterFixture::new().await;
    let url = cluster.serve("v1", None).await;
    let address = format!("127.0.0.1:{}", url.port().unwrap());
    for greeting in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stranger = TcpStream::connect(&address).await.unwrap();
        stranger.write_all(greeting).await.unwrap();
        let mut answer = Vec::new();
        stranger.read_to_end(&mut answer).await.ok();
    }
    let channels = cluster.channels(ClientSecurity::default());
    let (_, ticket) = cluster.ticket();
    assert!(version(&channels, &url, Some(ticket.clone())).await.is_ok());
    // The connection of a peer outlives the deadline.
    SystemClock::new().sleep(Duration::from_secs(1)).await;
    assert!(version(&channels, &url, Some(ticket)).await.is_ok());
}

#[tokio::test]
async fn connections_without_a_ticket_do_not_lock_out_peers() {
    let cluster = ClusterFixture::new().await;
    let url = cluster.serve("v1", None).await;
    let address = format!("127.0.0.1:{}", url.port().unwrap());
    let channels = cluster.channels(ClientSecurity::default());
    let (_, ticket) = cluster.ticket();
    // Strangers are not disconnected because of their missing tickets.
    cluster.clock.make_sleeps_endless();
    let mut strangers = Vec::new();
    // More than the port takes.
    for _ in 0..520 {
        strangers.push(TcpStream::connect(&address).await.unwrap());
    }
    let answer = version(&channels, &url, Some(ticket));
    let answered = World::system().timeout(Duration::from_secs(60), answer).await;
    assert_eq!(answered, Some(Ok("v1".to_owned())));
}

/// Returns a CA, and a certificate for `name` that it signed with its key, in PEM.
fn certificates(name: &str) -> (String, String, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    (ca_pem, certificate.pem(), key.serialize_pem())
}

fn acceptor(certificate: &str, key: &str) -> TlsAcceptorSource {
    let chain =
        tokio_rustls::rustls::pki_types::CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Arc::new(move || acceptor.clone())
}

#[tokio::test]
async fn certificates_are_checked_against_the_ca_and_the_name() {
    let cluster = ClusterFixture::new().await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let (ca_pem, certificate, key) = certificates("neap.internal");
    fs::write(&ca, &ca_pem).unwrap();
    let url = cluster.serve("v1", Some(acceptor(&certificate, &key))).await;
    let (_, ticket) = cluster.ticket();
    let ask = async |security: ClientSecurity| {
        let channels = cluster.channels(security);
        version(&channels, &url, Some(ticket.clone())).await
    };
    let named = ClientSecurity {
        ca: Some(ca.clone()),
        server_name: Some("neap.internal".to_owned()),
        ..ClientSecurity::default()
    };
    assert_eq!(ask(named.clone()).await.as_deref(), Ok("v1"));
    let other_name = ClientSecurity { server_name: None, ..named.clone() };
    assert!(ask(other_name).await.is_err());
    let (other_ca, ..) = certificates("neap.internal");
    fs::write(&ca, other_ca).unwrap();
    assert!(ask(named.clone()).await.is_err());
    for unusable in ["", "-----BEGIN CERTIFICATE-----\n"] {
        fs::write(&ca, unusable).unwrap();
        assert!(ask(named.clone()).await.is_err());
    }
    let without_ca = ClientSecurity::default();
    let error = ask(without_ca).await.unwrap_err();
    assert!(error.contains("can't be checked without a CA"), "{error}");
}

/// Answers one connection of HTTP/2 with these frames after the first request.
async fn answer_with(frames: Vec<u8>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        // SETTINGS without parameters.
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut has_request = false;
        while !has_request {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            // END_STREAM on HEADERS or DATA of the request.
            has_request = head[3] <= 1 && head[4] & 1 == 1;
        }
        stream.write_all(&frames).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok();
    });
    format!("http://{address}").parse().unwrap()
}

/// The head of an answer of gRPC: HEADERS of stream 1 with `:status: 200` and `content-type: application/grpc`.
fn answer_head() -> Vec<u8> {
    let content_type = b"application/grpc";
    let mut block = vec![0x88, 0x5f, 16];
    block.extend(content_type);
    let length = u8::try_from(block.len()).unwrap();
    let mut frame = vec![0, 0, length, 1, 4, 0, 0, 0, 1];
    frame.extend(block);
    frame
}

#[tokio::test]
async fn rows_that_end_without_a_status_are_an_error() {
    // RST_STREAM of stream 1 with CANCEL, and with NO_ERROR, and an empty DATA frame that ends the stream. The HTTP
    // library takes each of them for the regular end of a body.
    let ends: [&[u8]; 3] = [
        &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8],
        &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        &[0, 0, 0, 0, 1, 0, 0, 0, 1],
    ];
    let cluster = ClusterFixture::new().await;
    for end in ends {
        let url = answer_with([&answer_head(), end].concat()).await;
        let channels = cluster.channels(ClientSecurity::default());
        let mut client = channels.get_worker_client_for_url(&url).await.unwrap();
        let request = ExecuteTaskRequest {
            task_key: TaskKey { query_id: Uuid::nil(), stage_id: 1, task_number: 0 },
            target_partition_start: 0,
            target_partition_end: 2,
            producer_head: ProducerHead::None,
        };
        let context = Arc::new(context());
        let metrics = ExecutionPlanMetricsSet::new();
        let streams = client.execute_task(HeaderMap::new(), request, metrics, &context);
        for mut rows in streams.await.unwrap() {
            let first = rows.next().await;
            assert!(matches!(first, Some(Err(_))), "{end:?}");
        }
    }
}

/// Returns a context with the options that the library adds.
fn context() -> TaskContext {
    use datafusion::execution::SessionStateBuilder;
    use datafusion_distributed::{DistributedConfig, DistributedExt};

    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_distributed_option_extension(DistributedConfig::default());
    TaskContext::from(&state.build())
}

#[tokio::test]
async fn a_worker_that_nothing_reaches_is_reported_within_the_time_of_a_connection() {
    let cluster = ClusterFixture::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url: Url = format!("http://{address}").parse().unwrap();
    let channels = cluster.channels(ClientSecurity::default());
    let mut client = channels.get_worker_client_for_url(&url).await.unwrap();
    let info = client.get_worker_info(GetWorkerInfoRequest {}).await;
    assert!(info.is_err());
}
