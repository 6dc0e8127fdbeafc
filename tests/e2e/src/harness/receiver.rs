//! A service that a server under test sends requests to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use serde_json::Value;

/// A request to the service.
#[derive(Debug)]
pub(crate) struct ReceivedRequest {
    /// The request line and the headers.
    pub(crate) head: String,
    /// The JSON body.
    pub(crate) body: Value,
}

/// Starts a service that answers all requests with 200 and this body. Returns its URL without a path, and its requests.
pub(crate) fn receive(answer: &str) -> (String, Receiver<ReceivedRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    let response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    );
    thread::spawn(move || {
        for connection in listener.incoming() {
            respond(connection.unwrap(), &response, &sender);
        }
    });
    (url, receiver)
}

fn respond(mut connection: TcpStream, response: &str, requests: &Sender<ReceivedRequest>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).unwrap();
    connection.write_all(response.as_bytes()).unwrap();
    let body = serde_json::from_slice(&bytes).unwrap();
    // The test may have ended.
    let _sent = requests.send(ReceivedRequest { head, body });
}
