//! The connections and the memory that one client can take.

use std::time::Duration;

use neap_bucket::World;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::test_bed::{ListenerTestBed, PATIENCE, connect, message, startup_message, state, texts};
use crate::PostgresSettings;

/// A client that sends messages as bytes.
struct RawClient(TcpStream);

impl RawClient {
    async fn connect(bed: &ListenerTestBed) -> Self {
        let mut stream = TcpStream::connect(bed.address).await.unwrap();
        stream.write_all(&startup_message()).await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, message_type: u8, body: &[u8]) {
        self.0.write_all(&message(message_type, body)).await.unwrap();
    }

    /// Returns at least this number of bytes of answers; fewer if the connection ends before.
    async fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut answer = Vec::new();
        let received = async {
            while answer.len() < length && self.0.read_buf(&mut answer).await.unwrap() > 0 {}
        };
        World::system().timeout(PATIENCE, received).await.expect("the server answers");
        answer
    }
}

#[tokio::test]
async fn clients_without_a_password_do_not_lock_out_others() {
    let settings = PostgresSettings {
        startup_timeout: Duration::from_secs(3600),
        ..PostgresSettings::default()
    };
    let bed = ListenerTestBed::with(true, settings).await;
    let token = bed.catalog.create_admin_token().await.unwrap().secret;
    let mut config = bed.config();
    config.password(token.reveal());
    let open = connect(&config).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..settings.max_connections {
        waiting.push(TcpStream::connect(bed.address).await.unwrap());
        // Asks for the password.
        waiting.push(RawClient::connect(&bed).await.0);
    }
    let connected = World::system().timeout(PATIENCE, connect(&config)).await;
    let client = connected.expect("the client connects").unwrap();
    for client in [open, client] {
        assert_eq!(texts(&client, "SELECT 1").await, [["1"]]);
    }
    let mut oldest = RawClient(waiting.swap_remove(0));
    assert_eq!(oldest.receive(1).await, b"");
    assert!(bed.metrics.render().contains("reason=\"displaced\"}"));
}

#[tokio::test]
async fn answers_to_pipelined_messages_are_sent_before_the_client_asks_for_them() {
    let bed = ListenerTestBed::new().await;
    let mut client = RawClient::connect(&bed).await;
    client.send(b'P', b"s\0SELECT * FROM cpu WHERE n > $1\0\0\0").await;
    for _ in 0..2_000 {
        client.send(b'D', b"Ss\0").await;
    }
    client.receive(64 << 10).await;
}

#[tokio::test]
async fn empty_statements_with_long_names_are_bounded() {
    let bed = ListenerTestBed::new().await;
    let mut client = RawClient::connect(&bed).await;
    for letter in b"abcde" {
        let mut body = vec![*letter; 1 << 20];
        body.extend(b"\0\0\0\0");
        client.send(b'P', &body).await;
    }
    client.send(b'S', b"").await;
    client.send(b'X', b"").await;
    let answer = client.receive(usize::MAX).await;
    assert!(answer.windows(5).any(|part| part == b"53200"));
}

#[tokio::test]
async fn a_large_number_of_a_placeholder_takes_no_memory() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    for sql in [
        "SELECT $4294967295::BIGINT",
        "INSERT INTO cpu (n) VALUES ($18446744073709551615)",
    ] {
        let error = client.prepare(sql).await.unwrap_err();
        assert_eq!(state(&error), "42P02", "{sql}");
    }
    assert_eq!(texts(&client, "SELECT 1").await, [["1"]]);
}

#[tokio::test]
async fn statements_of_tools_are_as_long_as_others() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    // The dialect that other statements are planned in has a string between the dollars.
    let conditions = " AND n = 1".repeat(600);
    let sql = format!(
        "SELECT pg_is_in_recovery() AS €$$ FROM cpu WHERE n = 1{conditions} AND host <> '$$'"
    );
    let error = client.simple_query(&sql).await.unwrap_err();
    let message = error.as_db_error().unwrap().message();
    assert!(message.contains("AND operators"), "{message}");
}
