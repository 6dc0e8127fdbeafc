//! A test server.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use crate::client::{Client, ClientSettings};

/// A server that answers requests in sequence, and records the first line and the body of each.
pub(super) struct MockServer {
    url: String,
    requests: JoinHandle<Vec<String>>,
}

impl MockServer {
    /// Starts a server with the status and the body of each response.
    pub(super) fn new(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<_> =
            answers.iter().map(|&(status, body)| (status, body.to_owned())).collect();
        let serve = move || {
            let answered = answers.into_iter().map(|(status, body)| {
                let (mut connection, _) = listener.accept().unwrap();
                let request = read_request(&mut connection);
                let length = body.len();
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n");
                let answer = format!("{head}connection: close\r\n\r\n{body}");
                connection.write_all(answer.as_bytes()).unwrap();
                request
            });
            answered.collect()
        };
        Self { url, requests: thread::spawn(serve) }
    }

    pub(super) fn client(&self) -> Client {
        let connection = ClientSettings {
            url: self.url.parse().unwrap(),
            token: None,
            credentials: None,
            tls_ca: None,
            tls_no_verify: false,
        };
        Client::new(&connection).unwrap()
    }

    /// Returns the requests after all are answered.
    pub(super) fn requests(self) -> Vec<String> {
        self.requests.join().unwrap()
    }
}

/// Reads the path of a request, its `x-neap-as-of` header, and the body.
fn read_request(connection: &mut impl Read) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = connection.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let header = |name: &str| {
            let line = head.lines().find(|line| line.starts_with(name))?;
            line.split_once(": ").map(|(_, value)| value)
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        if body.len() < length {
            continue;
        }
        let target = head.split(' ').nth(1).unwrap();
        let as_of = header("x-neap-as-of").map_or(String::new(), |as_of| format!(" as of {as_of}"));
        return format!("{target}{as_of} {body}").trim().to_owned();
    }
}
