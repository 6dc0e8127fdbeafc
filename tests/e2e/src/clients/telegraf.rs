//! Requests exactly as Telegraf's three outputs send them, byte for byte.
//!
//! `tests/clients/telegraf` contains one exchange for each output: requests with the lines of their head and their
//! body, and the answers that Telegraf treats as success or acts on. The tests fill in `{token}`, `{basic}` and
//! `{address}`.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use neap_test_inputs::{InputOrigin, skip};
use serde_json::{Value, json};

use super::serve;
use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, repository};

/// Maximum wait for a part of an answer.
const LIMIT: Duration = Duration::from_secs(60);

/// The answer to a request that is sent byte for byte.
struct RawResponse {
    status: u16,
    body: Vec<u8>,
}

fn exchange(name: &str) -> Value {
    let path = repository().join("tests/clients/telegraf").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Encodes a short text in Base64, as in `Authorization: Basic`.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let mut bytes = [0; 4];
        bytes[1..=chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes(bytes);
        for place in 0..4 {
            let digit = usize::try_from(number >> (18 - 6 * place) & 63).unwrap();
            let is_filler = place > chunk.len();
            encoded.push(if is_filler {
                '='
            } else {
                char::from(DIGITS[digit])
            });
        }
    }
    encoded
}

/// Encodes a body in chunks, as Go sends a body of unknown length.
fn in_chunks(body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    for chunk in body.chunks(100) {
        write!(framed, "{:x}\r\n", chunk.len()).unwrap();
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

/// Sends the lines of a head and a body, and reads the complete answer.
fn send(server: &ServerClient, head: &[String], body: &[u8]) -> RawResponse {
    let address = server.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head = head.join("\r\n");
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    // A server that refuses a body may close the connection before the complete body is sent.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(answer) = complete(&answer) {
            return answer;
        }
        let read = stream.read(&mut piece).unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(read > 0, "the answer ends early: {text}");
        answer.extend_from_slice(&piece[..read]);
    }
}

/// Parses an answer; `None` if it is incomplete.
fn complete(answer: &[u8]) -> Option<RawResponse> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (&answer[..end], &answer[end + 4..]);
    let head = str::from_utf8(head).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let body = if head.contains("transfer-encoding: chunked") {
        from_chunks(body)?
    } else {
        let length = length.map_or(0, |length| length.parse().unwrap());
        body.get(..length)?.to_vec()
    };
    Some(RawResponse { status, body })
}

/// Decodes a chunked body; `None` if the last chunk is missing.
fn from_chunks(mut framed: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = framed.windows(2).position(|two| two == b"\r\n")?;
        let length = str::from_utf8(&framed[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let chunk = framed.get(end + 2..end + 2 + length)?;
        if chunk.is_empty() {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        framed = framed.get(end + 2 + length + 2..)?;
    }
}

/// Sends the requests of an exchange, and compares their answers and then the stored rows.
fn replay(name: &str) {
    let place = StoreFixture::memory();
    let (server, token) = serve(&place, &[]);
    let basic = base64(&format!("telegraf:{token}"));
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    let exchange = exchange(name);
    for request in exchange["requests"].as_array().unwrap() {
        let body = request["body"].as_str().unwrap().as_bytes();
        let body = match request["gzip"].as_bool() {
            Some(true) => gzip(body),
            _ => body.to_vec(),
        };
        let fill = |line: &Value| {
            line.as_str()
                .unwrap()
                .replace("{token}", &token)
                .replace("{basic}", &basic)
                .replace("{address}", &address)
                .replace("{length}", &body.len().to_string())
        };
        let head: Vec<_> = request["head"].as_array().unwrap().iter().map(fill).collect();
        let is_chunked = head.iter().any(|line| line == "Transfer-Encoding: chunked");
        let body = if is_chunked {
            in_chunks(&body)
        } else {
            body.clone()
        };
        let answer = send(&server, &head, &body);
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(
            json!(answer.status),
            request["status"],
            "{name}: {}: {text}",
            head[0]
        );
        if let Some(error) = request["error"].as_str() {
            assert!(text.contains(error), "{name}: {text} has no {error}");
        }
        if let Some(expected) = request.get("answer") {
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(answer, *expected, "{name}: {}", head[0]);
        }
    }
    let reader = server.with_token(&token);
    for check in exchange["stored"].as_array().unwrap() {
        let (database, query) = (
            check["database"].as_str().unwrap(),
            check["query"].as_str().unwrap(),
        );
        assert_eq!(
            json!(reader.query(database, query)),
            check["rows"],
            "{name}: {query}"
        );
    }
}

#[test]
fn outputs_influxdb_is_served() {
    replay("influxdb.json");
}

#[test]
fn outputs_influxdb_v2_is_served() {
    replay("influxdb_v2.json");
}

#[test]
fn outputs_influxdb_v3_is_served() {
    replay("influxdb_v3.json");
}

/// Writes as Telegraf does: it halves a request that is too large and sends both halves again.
fn write_in_halves(server: &ServerClient, path: &str, lines: &[&str], sent: &mut usize) {
    *sent += 1;
    let body = gzip(lines.join("\n").as_bytes());
    let request = server.request("POST", path).header("content-encoding", "gzip");
    let reply = Reply::receive(request.body(body)).unwrap();
    match reply.status {
        413 => {
            assert!(lines.len() > 1, "one line is too large");
            let (one, other) = lines.split_at(lines.len() / 2);
            write_in_halves(server, path, one, sent);
            write_in_halves(server, path, other, sent);
        }
        status => assert_eq!(status, 204, "{}", reply.text()),
    }
}

#[test]
fn all_rows_of_telegraf_are_stored_if_requests_must_be_halved() {
    let path = repository().join("../shared/data/telegraf-metrics.lp");
    let Ok(text) = std::fs::read_to_string(&path) else {
        skip(
            InputOrigin::External,
            "shared/data/telegraf-metrics.lp: no recorded metrics",
        );
        return;
    };
    let place = StoreFixture::memory();
    let (server, token) = serve(&place, &["--max-http-request-size", "60000"]);
    let server = server.with_token(&token);
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    for path in [
        "/api/v2/write?bucket=v2&org=",
        "/api/v3/write_lp?db=v3",
        "/write?db=v1",
    ] {
        let mut sent = 0;
        write_in_halves(&server, path, &lines, &mut sent);
        assert!(sent > 1, "{path}: nothing was too large");
    }
    let tables: BTreeSet<_> =
        lines.iter().filter_map(|line| line.split([',', ' ']).next()).collect();
    for table in tables {
        let count = |database: &str| {
            server.query(database, &format!("SELECT count(*) AS n FROM \"{table}\""))
        };
        assert!(count("v1")[0]["n"].as_u64() > Some(0), "{table}");
        assert_eq!(count("v2"), count("v1"), "{table}");
        assert_eq!(count("v3"), count("v1"), "{table}");
    }
}

#[test]
fn a_server_that_cannot_store_sends_telegraf_a_retry_after() {
    let place = StoreFixture::neap_s3_server();
    let server = NeapProcess::serve(&place);
    server.write("telegraf", "cpu,host=a usage=1 1");
    let line = "cpu,host=a usage=2 2000000000";
    let request = || {
        let request = server.request("POST", "/api/v2/write?bucket=telegraf&org=");
        Reply::receive(request.body(line)).unwrap()
    };
    let refused = place.without_store(request);
    assert_eq!(refused.status, 503, "{}", refused.text());
    let wait: f64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(
        (0.0..=600.0).contains(&wait),
        "Telegraf waits 10 minutes at most"
    );
    let body: Value = serde_json::from_slice(&refused.bytes).unwrap();
    assert_eq!(body["code"], "unavailable");
    assert_eq!(request().status, 204);
    let rows = server.query("telegraf", "SELECT count(*) AS n FROM cpu");
    assert_eq!(rows, [json!({ "n": 2 })]);
}
