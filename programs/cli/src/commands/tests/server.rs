//! A test server that records the requests of commands.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

/// Starts a server that answers one request per connection with each of these answers in turn, and returns its URL and
/// the requests.
pub(super) fn server(answers: &[&str]) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers: Vec<_> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let serve = move || {
        let answered = answers.into_iter().map(|answer| {
            let (mut connection, _) = listener.accept().unwrap();
            let request = read_request(&mut connection);
            connection.write_all(answer.as_bytes()).unwrap();
            request
        });
        answered.collect()
    };
    (url, thread::spawn(serve))
}

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
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

pub(super) fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// Returns the method and the target of a request.
pub(super) fn target(request: &str) -> &str {
    request.lines().next().unwrap().strip_suffix(" HTTP/1.1").unwrap()
}

pub(super) fn targets(requests: &[String]) -> Vec<&str> {
    requests.iter().map(|request| target(request)).collect()
}

pub(super) fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}
