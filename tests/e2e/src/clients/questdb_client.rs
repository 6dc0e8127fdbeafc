//! `questdb-rs`, QuestDB's client library for Rust: rows over HTTP, TCP and TLS.
//!
//! Not covered: its own protocol over WebSocket, which Neap does not have.

use std::time::Duration;

use questdb::{
    ErrorCode,
    ingress::{Buffer, ProtocolVersion, Sender, TimestampMicros, TimestampNanos},
};
use serde_json::{Value, json};

use super::{DEFAULT_DATABASE, TlsServer, other_databases::free_address, serve};
use crate::harness::{Reply, ServerClient, StoreFixture, wait_for};

/// Maximum wait for what a connection over TCP leads to, which has no answers.
const LIMIT: Duration = Duration::from_secs(30);

/// The secret part of the key of the examples in QuestDB's documentation.
const SECRET: &str = "5UjEMuA0Pj5pjK8a-fa24dyIf-Es5mYny3oE_Wmus48";
const PUBLIC_X: &str = "fLKYEaoEb9lrn3nkwLDA-M_xnuFOdSt9y0Z7_vWSHLU";
const PUBLIC_Y: &str = "Dt5tbS1dEDMSYfym3fgMv0B99szno-dFc1rYF9t0aac";

/// Connects over HTTP. Without a version among the options, the client asks the server.
fn over_http(server: &ServerClient, options: &str) -> Sender {
    let address = server.url().strip_prefix("http://").unwrap();
    Sender::from_conf(format!("http::addr={address};{options}")).unwrap()
}

/// Connects over TCP with the key of the examples.
fn over_tcp(address: &str, user: &str, version: u8) -> Sender {
    let key = format!("username={user};token={SECRET};token_x={PUBLIC_X};token_y={PUBLIC_Y};");
    Sender::from_conf(format!("tcp::addr={address};protocol_version={version};{key}")).unwrap()
}

/// Adds a row with the type of every column that the version of the protocol has.
fn add_row(rows: &mut Buffer, table: &str) -> questdb::Result<()> {
    let version = rows.protocol_version();
    rows.table(table)?
        .symbol("side", "sell")?
        .symbol("a b", "x=y,z w")?
        .column_f64("price", 2615.54)?
        .column_i64("amount", -3)?
        .column_bool("open", false)?
        .column_str("note", "a \"b\" \\ c\nd é")?
        .column_ts("seen", TimestampMicros::new(1_700_000_000_000_001))?;
    if version != ProtocolVersion::V1 {
        rows.column_arr::<_, _, f64>("book", &[[1.5, f64::NAN], [3.25, -4.0]])?;
    }
    if version == ProtocolVersion::V3 {
        rows.column_dec("exact", "-123.4500")?;
    }
    rows.at(TimestampNanos::new(1_700_000_000_123_456_789))
}

/// The stored row.
fn stored_row(version: u8) -> Value {
    let mut row = json!({
        "a b": "x=y,z w",
        "amount": -3,
        "note": "a \"b\" \\ c\nd é",
        "open": false,
        "price": 2615.54,
        "seen": 1_700_000_000_000_001_i64,
        "side": "sell",
        "time": "2023-11-14T22:13:20.123456789",
    });
    if version > 1 {
        row["book"] = json!("[[1.5,null],[3.25,-4.0]]");
    }
    if version > 2 {
        row["exact"] = json!("-123.4500");
    }
    row
}

/// Adds a row with the number `n`, which is also its time.
fn add_number(rows: &mut Buffer, table: &str, n: i64) {
    let row = rows.table(table).unwrap().column_i64("n", n).unwrap();
    row.at(TimestampNanos::new(n)).unwrap();
}

/// Returns the rows of a table; `None` if there is no such table.
fn rows_of(reader: &ServerClient, table: &str) -> Option<Vec<Value>> {
    let query = format!("SELECT * FROM \"{table}\" ORDER BY time");
    let body = json!({ "db": DEFAULT_DATABASE, "q": query }).to_string();
    let reply = Reply::receive(reader.request("POST", "/api/v3/query_sql").body(body)).unwrap();
    assert!(reply.status == 200 || reply.text().contains("not found"), "{}", reply.text());
    (reply.status == 200).then(|| serde_json::from_slice(&reply.bytes).unwrap())
}

/// Returns the number of rows of a table.
fn count(reader: &ServerClient, table: &str) -> usize {
    rows_of(reader, table).map_or(0, |rows| rows.len())
}

/// Sends a request for a change to the server.
fn configure(admin: &ServerClient, path: &str, body: &Value) -> Value {
    let request = admin.request("POST", path).header("content-type", "application/json");
    let reply = Reply::receive(request.body(body.to_string())).unwrap();
    assert!(reply.status < 300, "{path}: {}", reply.text());
    serde_json::from_slice(&reply.bytes).unwrap_or_default()
}

/// Creates a token for the default database. If `has_key`, it is for clients over TCP.
fn create_token(admin: &ServerClient, name: &str, action: &str, has_key: bool) -> Value {
    let permission = json!({
        "resource_type": "db",
        "resource_names": [DEFAULT_DATABASE],
        "actions": [action],
    });
    let mut body = json!({ "token_name": name, "permissions": [permission] });
    if has_key {
        body["public_key"] = json!({ "x": PUBLIC_X, "y": PUBLIC_Y });
    }
    configure(admin, "/api/v3/configure/token", &body)
}

#[test]
fn questdb_client_for_rust_writes_every_type_over_http() {
    let (server, token) = serve(&StoreFixture::memory(), &[]);
    let reader = server.with_token(&token);
    for version in 1..=3 {
        let options = format!("token={token};protocol_version={version};");
        let mut sender = over_http(&server, &options);
        let mut rows = sender.new_buffer();
        let table = format!("types {version}");
        add_row(&mut rows, &table).unwrap();
        sender.flush(&mut rows).unwrap();
        assert!(rows.is_empty());
        assert_eq!(rows_of(&reader, &table).unwrap(), [stored_row(version)]);
    }

    let mut sender = over_http(&server, &format!("token={token};"));
    assert_eq!(sender.protocol_version(), ProtocolVersion::V3);
    assert_eq!(sender.max_name_len(), 127);
    let mut rows = sender.new_buffer();
    for n in 0..3 {
        let row = rows.table("now").unwrap().column_i64("n", n).unwrap();
        row.at_now().unwrap();
    }
    sender.flush(&mut rows).unwrap();
    assert_eq!(count(&reader, "now"), 3);
}

#[test]
fn questdb_client_for_rust_writes_a_request_as_a_whole_or_not_at_all() {
    let (server, token) = serve(&StoreFixture::memory(), &[]);
    let reader = server.with_token(&token);
    let mut sender = over_http(&server, &format!("token={token};retry_timeout=0;"));
    let mut rows = sender.new_buffer();
    for n in 1..=3 {
        add_number(&mut rows, "one", n);
    }
    for _ in 0..2 {
        sender.flush_and_keep_with_flags(&rows, true).unwrap();
    }
    assert_eq!(count(&reader, "one"), 3);

    add_number(&mut rows, "other", 4);
    let refused = sender.flush_and_keep_with_flags(&rows, true).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidApiCall, "{refused}");
    assert_eq!(count(&reader, "other"), 0);
    sender.flush(&mut rows).unwrap();
    assert_eq!(count(&reader, "other"), 1);

    add_number(&mut rows, "third", 1);
    let row = rows.table("third").unwrap().column_str("n", "text").unwrap();
    row.at(TimestampNanos::new(2)).unwrap();
    add_number(&mut rows, "one", 5);
    let refused = sender.flush(&mut rows).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ServerFlushError, "{refused}");
    for part in [
        "error in line 2: invalid column type for column 'n'",
        "code: invalid",
        "line: 2",
    ] {
        assert!(refused.msg().contains(part), "{refused} has no {part}");
    }
    assert_eq!(rows.row_count(), 3);
    assert!(!sender.must_close());
    assert_eq!(count(&reader, "one"), 3);
    assert_eq!(rows_of(&reader, "third"), None);
}

#[test]
fn questdb_client_for_rust_signs_in_over_http() {
    let (server, token) = serve(&StoreFixture::memory(), &[]);
    let admin = server.with_token(&token);
    for (n, credentials) in
        [format!("token={token};"), format!("username=anyone;password={token};")]
            .iter()
            .enumerate()
    {
        let mut sender = over_http(&server, credentials);
        let mut rows = sender.new_buffer();
        add_number(&mut rows, "known", i64::try_from(n).unwrap());
        sender.flush(&mut rows).unwrap();
        assert_eq!(count(&admin, "known"), n + 1);
    }

    let created = create_token(&admin, "reader", "read", false);
    let reader = format!("token={};", created["token"].as_str().unwrap());
    for (credentials, status) in [
        ("", 401),
        ("token=wrong;", 401),
        ("username=anyone;password=wrong;", 401),
        (reader.as_str(), 403),
    ] {
        let mut sender = over_http(&server, &format!("{credentials}retry_timeout=0;"));
        let mut rows = sender.new_buffer();
        add_number(&mut rows, "secret", 1);
        let refused = sender.flush(&mut rows).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::AuthError, "{refused}");
        let code = format!("[code: {status}]");
        assert!(refused.msg().contains(&code), "{refused}");
    }
    assert_eq!(rows_of(&admin, "secret"), None);
}

#[test]
fn questdb_client_for_rust_writes_every_type_over_tcp() {
    let address = free_address();
    let (server, token) = serve(&StoreFixture::memory(), &["--questdb-bind", &address]);
    let admin = server.with_token(&token);
    let database = json!({ "db": DEFAULT_DATABASE });
    configure(&admin, "/api/v3/configure/database", &database);
    create_token(&admin, "sensors", "write", true);
    for version in 1..=3 {
        let mut sender = over_tcp(&address, "sensors", version);
        let mut rows = sender.new_buffer();
        let table = format!("types {version}");
        add_row(&mut rows, &table).unwrap();
        let refused = sender.flush_and_keep_with_flags(&rows, true).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidApiCall, "{refused}");
        sender.flush(&mut rows).unwrap();
        // The table is there before its first row.
        let stored = wait_for("row over TCP", LIMIT, || {
            rows_of(&admin, &table).filter(|rows| !rows.is_empty())
        });
        assert_eq!(stored, [stored_row(version)]);
    }

    create_token(&admin, "reader", "read", true);
    for user in ["reader", "unknown"] {
        let mut sender = over_tcp(&address, user, 2);
        let mut rows = sender.new_buffer();
        let refused = wait_for("end of the connection", LIMIT, || {
            add_number(&mut rows, "secret", 1);
            sender.flush(&mut rows).err()
        });
        assert_eq!(refused.code(), ErrorCode::SocketError, "{refused}");
        assert!(sender.must_close());
    }
    assert_eq!(rows_of(&admin, "secret"), None);
}

#[test]
fn questdb_client_for_rust_uses_tls() {
    let server = TlsServer::start_with(&["--default-database", DEFAULT_DATABASE]);
    let address = server.url().replace("https://", "");
    let configuration = format!(
        "https::addr={address};token={};tls_roots={};",
        server.token(),
        server.certificate()
    );
    let mut sender = Sender::from_conf(configuration).unwrap();
    let mut rows = sender.new_buffer();
    add_number(&mut rows, "numbers", 1);
    // The answer says that the rows are stored.
    sender.flush(&mut rows).unwrap();
    assert!(rows.is_empty());
}
