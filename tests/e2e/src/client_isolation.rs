//! Clients that are slow, large or many, and certificates that are renewed: none of them affects other clients.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, blocking::Client};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{NeapProcess, Reply, StoreFixture, assert_contains, wait_for};

/// Maximum wait of a test for an effect on a connection.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts a server in memory with additional flags.
fn serve(flags: &[&str]) -> NeapProcess {
    NeapProcess::serve_with(&StoreFixture::memory(), flags)
}

fn connect(neap: &NeapProcess) -> TcpStream {
    let address: SocketAddr = neap.url().split_once("://").unwrap().1.parse().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends bytes, and returns everything that is received until the server closes the connection.
fn exchange(neap: &NeapProcess, sent: &[u8]) -> String {
    let mut stream = connect(neap);
    // The server may have answered and closed the connection before all bytes were sent.
    stream.write_all(sent).ok();
    all_of(&mut stream)
}

fn all_of(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => received.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&received).into_owned()
}

/// Returns the value of a metric without labels.
fn metric(neap: &NeapProcess, name: &str) -> f64 {
    let text = neap.get("/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn incomplete_heads_and_bodies_time_out_while_others_are_served() {
    let neap = serve(&["--http-timeout", "2s"]);
    let mut silent = connect(&neap);
    let mut head = connect(&neap);
    head.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n").unwrap();
    let mut body = connect(&neap);
    body.write_all(
        b"POST /api/v3/write_lp?db=d HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nm v=",
    )
    .unwrap();
    assert_eq!(neap.get("/health").status, 200);
    assert_eq!(all_of(&mut silent), "");
    let answer = all_of(&mut head);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let answer = all_of(&mut body);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_contains!(answer, "did not arrive within 2 s");
    // The server also closes an idle keep-alive connection.
    let mut idle = connect(&neap);
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(all_of(&mut idle).starts_with("HTTP/1.1 200 "));
    assert_eq!(neap.get("/health").status, 200);
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let neap = serve(&[]);
    let long = "x".repeat(200 << 10);
    let head = format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n");
    let answer = exchange(&neap, head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let headers: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    let head = format!("GET /health HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let answer = exchange(&neap, head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let path = "x".repeat(70_000);
    let head = format!("GET /health?{path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = exchange(&neap, head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 414 "), "{answer}");
    assert_contains!(answer, "send the query in the body");
    let sql = format!("SELECT '{}' AS x", "y".repeat(30_000));
    neap.write("d", "m v=1 1");
    assert_eq!(neap.query("d", &sql).len(), 1);
}

#[test]
fn a_client_that_does_not_read_its_answer_does_not_hold_a_query_permit() {
    let neap = serve(&["--http-timeout", "2s", "--max-concurrent-queries", "1"]);
    let lines: String = (0..20_000)
        .map(|second| format!("m,host=h{} text=\"{}\" {second}\n", second % 7, "z".repeat(100)))
        .collect();
    neap.write("d", &lines);
    let mut reader = connect(&neap);
    // Several hundred megabytes, far more than the socket buffers of a connection.
    let query =
        "SELECT a.text, b.host FROM m a, (SELECT host FROM m LIMIT 100) b".replace(' ', "%20");
    let head =
        format!("GET /api/v3/query_sql?db=d&format=csv&q={query} HTTP/1.1\r\nHost: x\r\n\r\n");
    reader.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // The only query permit is released, whether or not the reader is still connected.
    assert_eq!(neap.query("d", "SELECT count(*) AS n FROM m")[0]["n"], 20_000);
    wait_for("end of the connection", LIMIT, || {
        (metric(&neap, "neap_http_stalled_total") > 0.0).then_some(())
    });
    reader.shutdown(Shutdown::Both).ok();
}

/// Returns a connection with the head of a write of 10 bytes, and the first of them.
fn incomplete_write(neap: &NeapProcess) -> TcpStream {
    let mut stream = connect(neap);
    let head = "POST /api/v3/write_lp?db=d HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nm v=3";
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn requests_beyond_the_limit_are_refused_with_retry_after() {
    let neap = serve(&["--max-concurrent-requests", "2"]);
    let lines: String = (0..20_000)
        .map(|second| format!("m text=\"{}\" {second}\n", "z".repeat(100)))
        .collect();
    neap.write("d", &lines);
    // Unread answers keep the permits of their requests.
    let query = "SELECT a.text FROM m a, (SELECT text FROM m LIMIT 100) b".replace(' ', "%20");
    let head =
        format!("GET /api/v3/query_sql?db=d&format=csv&q={query} HTTP/1.1\r\nHost: x\r\n\r\n");
    let unread: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(&neap);
            stream.write_all(head.as_bytes()).unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"HTTP/1.1 200");
            stream
        })
        .collect();
    let refused = neap.try_write("d", "m v=2 2", None).unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.header("x-neap-request-id").is_some());
    assert!(refused.text().contains("too many concurrent requests"));
    for path in ["/health", "/ping", "/ready", "/metrics"] {
        assert_eq!(neap.get(path).status, 200, "{path}");
    }
    drop(unread);
    wait_for("a place", LIMIT, || {
        (neap.try_write("d", "m v=2 2", None).unwrap().status == 204).then_some(())
    });
    assert!(metric(&neap, "neap_http_requests_turned_away_total") >= 1.0);
}

#[test]
fn incomplete_bodies_do_not_block_other_requests() {
    let neap = serve(&["--max-concurrent-requests", "8"]);
    let mut halves: Vec<_> = (0..40).map(|_| incomplete_write(&neap)).collect();
    // The number of incomplete bodies from one address is limited to half the number of concurrent requests.
    let turned_away = "neap_http_requests_turned_away_total";
    wait_for("the refusals of those that waited the longest", LIMIT, || {
        (metric(&neap, turned_away) >= 36.0).then_some(())
    });
    let answer = all_of(&mut halves[0]);
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert_contains!(answer, "retry-after: 1\r\n");
    assert_contains!(answer, "with incomplete bodies");
    for source in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let client =
            Client::builder().local_address(std::net::IpAddr::from(source)).build().unwrap();
        for time in 0..50 {
            let url = format!("{}/api/v3/write_lp?db=d", neap.url());
            let answer = client.post(url).body(format!("m v=1 {time}")).send();
            assert_eq!(answer.unwrap().status().as_u16(), 204, "{source:?}");
        }
    }
    // Each new body may displace one that waits, and is itself the last to be displaced.
    let mut newest = incomplete_write(&neap);
    newest.write_all(b" 3000").unwrap();
    let mut answer = [0; 12];
    newest.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 204");
}

#[test]
fn the_log_names_requests_and_tokens_and_shows_no_secrets() {
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &["--log-filter", "trace"]);
    let created = Reply::receive(neap.request("POST", "/api/v3/configure/token/admin")).unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
    let created: Value = serde_json::from_slice(&created.bytes).unwrap();
    let token = created["token"].as_str().unwrap();
    let encoded = token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let path = format!("/write?db=d&u=somebody&p={encoded}");
    let written = Reply::receive(neap.request("POST", &path).body("m v=1 1")).unwrap();
    assert_eq!(written.status, 204, "{}", written.text());
    let request = neap.request("GET", "/api/v3/query_sql?db=d&q=SELECT%201");
    let asked = Reply::receive(request.bearer_auth(token)).unwrap();
    assert_eq!(asked.status, 200, "{}", asked.text());
    let wrong = Reply::receive(neap.request("GET", "/health").bearer_auth("apiv3_wrong")).unwrap();
    assert_eq!(wrong.status, 401);
    let id = written.header("x-neap-request-id").unwrap().to_owned();
    let line = wait_for("the line of a request", LIMIT, || {
        let log = neap.log();
        let mut lines = log.lines();
        lines.find(|line| line.contains(&id) && line.contains("204")).map(str::to_owned)
    });
    assert_contains!(line, "_admin");
    let log = neap.log();
    for secret in [token, &encoded, "p=apiv3", "u=somebody", "apiv3_wrong"] {
        assert!(!log.contains(secret), "{secret}");
    }
}

/// Writes a new certificate for `localhost`, and returns a client that trusts only this certificate.
fn renew(folder: &TempDir) -> Client {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    // Replaces each file atomically, because another process reads the certificate while it is renewed.
    for (name, text) in [("cert.pem", cert.pem()), ("key.pem", signing_key.serialize_pem())] {
        let unfinished = folder.path().join("unfinished");
        std::fs::write(&unfinished, text).unwrap();
        std::fs::rename(&unfinished, folder.path().join(name)).unwrap();
    }
    Client::builder()
        .no_proxy()
        .timeout(LIMIT)
        .tls_built_in_root_certs(false)
        .add_root_certificate(Certificate::from_pem(cert.pem().as_bytes()).unwrap())
        .build()
        .unwrap()
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let folder = TempDir::new().unwrap();
    let first = renew(&folder);
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let neap = serve(&[
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
        "--tls-minimum-version",
        "tls-1.3",
    ]);
    let port = neap.url().rsplit_once(':').unwrap().1;
    let url = format!("https://localhost:{port}/health");
    assert_eq!(first.get(&url).send().unwrap().status(), 200);
    let second = renew(&folder);
    wait_for("the new certificate", LIMIT, || {
        let answer = second.get(&url).send().ok()?;
        (answer.status() == 200).then_some(())
    });
    // The first client continues on its existing connection; on a new one, it would refuse the certificate.
    assert_eq!(first.get(&url).send().unwrap().status(), 200);
    let old = Client::builder()
        .no_proxy()
        .max_tls_version(reqwest::tls::Version::TLS_1_2)
        .danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    assert!(old.get(&url).send().is_err());
}
