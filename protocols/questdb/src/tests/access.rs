//! Keys: handshakes, permissions, and keys that are deleted or expire.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use neap_catalog::{ClientPrivateKey, NewClientKey};

use super::{
    sign,
    test_bed::{DATABASE, ListenerTestBed},
};
use crate::{KeyPolicy, QuestDbSettings};

async fn fixture() -> ListenerTestBed {
    let fixture = ListenerTestBed::with(
        KeyPolicy::Required,
        |settings| QuestDbSettings { max_key_age: Duration::ZERO, ..settings },
        None,
    )
    .await;
    fixture.catalog.create_database(DATABASE, None).await.unwrap();
    fixture.catalog.create_database("other", None).await.unwrap();
    fixture
}

#[tokio::test]
async fn a_client_signs_the_challenge_and_writes() {
    let fixture = fixture().await;
    let key = fixture.key("sensors", &["db:home:write"]).await;
    for time in 1..=2 {
        let mut client = fixture.connect().await;
        client.authenticate("sensors", &key).await;
        client.send(format!("m v=1 {time}\n")).await;
        client.finish().await;
    }
    fixture.wait_for_ends("client", 2).await;
    assert_eq!(fixture.rows().await, 2);
}

#[tokio::test]
async fn the_signature_and_lines_may_arrive_together() {
    let fixture = fixture().await;
    let key = fixture.key("sensors", &["db:*:write"]).await;
    let mut client = fixture.connect().await;
    for byte in b"sensors" {
        client.send([*byte]).await;
    }
    let challenge = client.begin_handshake("").await;
    let signature = STANDARD.encode(sign(&key, &challenge).to_der().as_bytes());
    client.send(format!("{signature}\nm v=1 1\nm v=2 2\n")).await;
    client.finish().await;
    fixture.wait_for_end("client").await;
    assert_eq!(fixture.rows().await, 2);
}

#[tokio::test]
async fn wrong_and_unknown_keys_are_refused_alike() {
    let fixture = fixture().await;
    let key = fixture.key("sensors", &["db:home:write"]).await;
    let other = fixture.key("other", &["db:home:write"]).await;
    let expired = ClientPrivateKey::generate(&fixture.world);
    let public = expired.public_key();
    let new = NewClientKey::new("expired", &public.x(), &public.y()).unwrap();
    let lifetime = Some(Duration::ZERO);
    let write = ["db:home:write".parse().unwrap()];
    fixture.catalog.register_client_key(&new, &write, lifetime, None).await.unwrap();
    fixture.catalog.create_named_admin("admin", None, None).await.unwrap();
    let cases = [
        ("sensors", &other),
        ("unknown", &key),
        ("expired", &expired),
        ("admin", &key),
        ("_admin", &key),
    ];
    for (name, key) in cases {
        let mut client = fixture.connect().await;
        client.authenticate(name, key).await;
        client.try_send(b"m v=1 1\n").await;
        client.wait_for_end().await;
    }
    fixture.wait_for_ends("unauthenticated", 5).await;
    assert_eq!(fixture.rows().await, 0);
}

#[tokio::test]
async fn malformed_signatures_are_refused() {
    let fixture = fixture().await;
    fixture.key("sensors", &["db:home:write"]).await;
    let long = "A".repeat(97);
    for answer in ["", "AAAA", "MEUCIQ==", "!!", &long] {
        let mut client = fixture.connect().await;
        client.begin_handshake("sensors").await;
        client.send(format!("{answer}\nm v=1 1\n")).await;
        client.wait_for_end().await;
    }
    fixture.wait_for_ends("unauthenticated", 5).await;
    assert_eq!(fixture.rows().await, 0);
}

#[tokio::test]
async fn a_client_without_a_key_is_refused_unless_keys_are_optional() {
    let fixture = fixture().await;
    let mut client = fixture.connect().await;
    client.send("m v=1 1\n").await;
    client.wait_for_end().await;
    fixture.wait_for_end("unauthenticated").await;
    assert_eq!(fixture.rows().await, 0);

    let fixture = ListenerTestBed::new(KeyPolicy::Optional).await;
    let key = fixture.key("sensors", &["db:*:write"]).await;
    let mut client = fixture.connect().await;
    client.send("m v=1 1\n").await;
    client.finish().await;
    let mut client = fixture.connect().await;
    client.authenticate("sensors", &key).await;
    client.send("m v=1 2\n").await;
    client.finish().await;
    fixture.wait_for_metric("neap_questdb_lines_total 2").await;
    let mut client = fixture.connect().await;
    client
        .authenticate("sensors", &ClientPrivateKey::generate(&fixture.world))
        .await;
    client.wait_for_end().await;
    fixture.wait_for_end("unauthenticated").await;
}

#[tokio::test]
async fn an_open_server_accepts_any_key() {
    let fixture = ListenerTestBed::new(KeyPolicy::Open).await;
    let mut client = fixture.connect().await;
    client.authenticate("anyone", &ClientPrivateKey::generate(&fixture.world)).await;
    client.send("m v=1 1\n").await;
    client.finish().await;
    fixture.wait_for_end("client").await;
    assert_eq!(fixture.rows().await, 1);
}

#[tokio::test]
async fn a_key_writes_only_to_its_databases() {
    let fixture = fixture().await;
    // Rows of this database replace others, so that the permission to append does not suffice.
    for (name, permission) in [
        ("elsewhere", "db:other:write"),
        ("reader", "db:home:read"),
        ("appender", "db:home:append"),
    ] {
        let key = fixture.key(name, &[permission]).await;
        let mut client = fixture.connect().await;
        client.authenticate(name, &key).await;
        client.try_send(b"m v=1 1\n").await;
        client.wait_for_end().await;
    }
    fixture.wait_for_ends("forbidden", 3).await;
    assert_eq!(fixture.rows().await, 0);
}

#[tokio::test]
async fn a_deleted_key_ends_its_connections() {
    let fixture = fixture().await;
    let key = fixture.key("sensors", &["db:home:write"]).await;
    let mut client = fixture.connect().await;
    client.authenticate("sensors", &key).await;
    client.send("m v=1 1\n").await;
    fixture.wait_for_metric("neap_questdb_lines_total 1").await;
    fixture.catalog.delete_token("sensors", None).await.unwrap();
    fixture.key("sensors", &["db:home:write"]).await;
    client.send("m v=2 2\n").await;
    client.wait_for_end().await;
    fixture.wait_for_end("unauthenticated").await;
    assert_eq!(fixture.rows().await, 1);
}

#[tokio::test]
async fn clients_without_a_key_do_not_lock_out_others() {
    let fixture = ListenerTestBed::with(
        KeyPolicy::Required,
        |settings| QuestDbSettings { max_connections: 8, max_pending: 4, ..settings },
        None,
    )
    .await;
    fixture.catalog.create_database(DATABASE, None).await.unwrap();
    let key = fixture.key("sensors", &["db:home:write"]).await;
    let mut first = fixture.connect().await;
    first.authenticate("sensors", &key).await;
    first.send("m v=1 1\n").await;
    fixture.wait_for_metric("neap_questdb_lines_total 1").await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(fixture.connect().await);
    }
    fixture.wait_for_ends("displaced", 16).await;
    let mut second = fixture.connect().await;
    second.authenticate("sensors", &key).await;
    second.send("m v=2 2\n").await;
    first.send("m v=3 3\n").await;
    fixture.wait_for_metric("neap_questdb_lines_total 3").await;
}

#[tokio::test]
async fn clients_that_break_off_are_no_failures() {
    let fixture = fixture().await;
    fixture.connect().await.finish().await;
    fixture.wait_for_end("client").await;
    let mut client = fixture.connect().await;
    client.send("sens").await;
    client.finish().await;
    fixture.wait_for_end("incomplete_line").await;
    let mut client = fixture.connect().await;
    client.begin_handshake("sensors").await;
    client.finish().await;
    fixture.wait_for_ends("client", 2).await;
}
