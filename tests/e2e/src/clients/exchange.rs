//! Exchanges of requests and answers, sent byte for byte, with the headers that a client sends and no others.
//!
//! An exchange is a JSON file in `tests/clients`:
//!
//! | key | meaning |
//! |---|---|
//! | `source` | the source code that the requests follow |
//! | `common` | lines that the head of each request ends with |
//! | `requests` | requests with the lines of their `head`, their `body`, and whether it is sent with `gzip` |
//! | `status`, `headers` | the status of the answer, and headers that it has, in lower case |
//! | `without` | names of headers that it must not have |
//! | `answer`, `text`, `contains`, `error` | its body as JSON or text, parts of it, or a part of an error |
//! | `stored` | queries in SQL, and their rows after the last request |
//!
//! `{address}`, `{token}`, `{basic}` and `{length}` are replaced.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use super::serve;
use crate::harness::{ServerClient, StoreFixture, gzip, repository};

/// Maximum wait for a part of an answer.
const LIMIT: Duration = Duration::from_secs(60);

/// The answer to a request that is sent byte for byte.
struct RawResponse {
    status: u16,
    /// The head in lower case.
    head: String,
    body: Vec<u8>,
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
    Some(RawResponse { status, head, body })
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

/// Returns the values that the requests of an exchange with a server leave open.
fn open_values(server: &ServerClient, token: &str) -> Vec<(&'static str, String)> {
    vec![
        ("{token}", token.to_owned()),
        ("{basic}", base64(&format!("agent:{token}"))),
        ("{address}", server.url().strip_prefix("http://").unwrap().to_owned()),
    ]
}

/// Sends the requests of an exchange, and compares their answers and then the stored rows. `name` is a file in
/// `tests/clients`.
pub(super) fn replay(name: &str) {
    let path = repository().join("tests/clients").join(name);
    let exchange: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let place = StoreFixture::memory();
    let (server, token) = serve(&place, &[]);
    let values = open_values(&server, &token);
    for request in exchange["requests"].as_array().unwrap() {
        let text = request["body"].as_str().unwrap_or_default().as_bytes();
        let body = match request["gzip"].as_bool() {
            Some(true) => gzip(text),
            _ => text.to_vec(),
        };
        let length = body.len().to_string();
        let fill = |line: &Value| {
            let open = line.as_str().unwrap().replace("{length}", &length);
            values.iter().fold(open, |line, (name, value)| line.replace(name, value))
        };
        let common = exchange["common"].as_array().into_iter().flatten();
        let lines = request["head"].as_array().unwrap().iter().chain(common);
        let head: Vec<_> = lines.map(fill).collect();
        let is_chunked = head.iter().any(|line| line == "Transfer-Encoding: chunked");
        let sent = if is_chunked { in_chunks(&body) } else { body };
        let answer = send(&server, &head, &sent);
        check(request, &answer, &format!("{name}: {}", head[0]));
    }
    let reader = server.with_token(&token);
    for stored in exchange["stored"].as_array().unwrap() {
        let (database, query) =
            (stored["database"].as_str().unwrap(), stored["query"].as_str().unwrap());
        assert_eq!(json!(reader.query(database, query)), stored["rows"], "{name}: {query}");
    }
}

/// Compares an answer with what its request expects.
fn check(request: &Value, answer: &RawResponse, shown: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(json!(answer.status), request["status"], "{shown}: {text}");
    match request["error"].as_str() {
        Some(error) => assert!(text.contains(error), "{shown}: {text} has no {error}"),
        // A statement that fails is answered with 200.
        None => assert!(answer.status != 200 || !text.contains("\"error\""), "{shown}: {text}"),
    }
    if let Some(expected) = request.get("answer") {
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body, *expected, "{shown}");
    }
    if let Some(expected) = request["text"].as_str() {
        assert_eq!(text, expected, "{shown}");
    }
    for part in request["contains"].as_array().into_iter().flatten() {
        let part = part.as_str().unwrap();
        assert!(text.contains(part), "{shown}: {text} has no {part}");
    }
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        let line = format!("\r\n{name}: {}", value.as_str().unwrap());
        assert!(answer.head.contains(&line), "{shown}: {}", answer.head);
    }
    for name in request["without"].as_array().into_iter().flatten() {
        let line = format!("\r\n{}: ", name.as_str().unwrap());
        assert!(!answer.head.contains(&line), "{shown}: {}", answer.head);
    }
}
