//! Tokens with the permission `append`, over HTTP.

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, neap};

/// The content of the table, as queries return it.
fn content(server: &ServerClient) -> Vec<Value> {
    server.query("home", "SELECT room, v FROM t ORDER BY room")
}

/// Sends a request and returns the status. The body is sent as JSON if it starts with `{`.
fn status(server: &ServerClient, (method, path, body): (&str, &str, &str)) -> u16 {
    let mut request = server.request(method, path).body(body.to_owned());
    if body.starts_with('{') {
        request = request.header("content-type", "application/json");
    }
    Reply::receive(request).unwrap().status
}

/// Returns a client with a token that the command creates.
fn client_with(server: &ServerClient, admin: &str, permission: &str) -> ServerClient {
    let created = neap(&[
        "create",
        "token",
        "--name",
        permission,
        "--permission",
        permission,
        "--format",
        "json",
        "--host",
        server.url(),
        "--token",
        admin,
    ]);
    let created: Value = serde_json::from_str(&created.succeeded()).unwrap();
    server.with_token(created["token"].as_str().unwrap())
}

#[test]
fn a_token_that_appends_adds_rows_and_deletes_or_changes_nothing_else() {
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let admin = server.first_token();
    let administrator = server.with_token(&admin);
    administrator.write("home", "t,room=attic v=1 1");
    administrator.write("other", "t,room=attic v=1 1");
    let appender = client_with(&server, &admin, "db:home:append");
    for (path, line) in [
        (
            "/api/v3/write_lp?db=home&precision=second",
            "t,room=cellar v=2 1",
        ),
        ("/api/v2/write?bucket=home&precision=s", "t,room=hall v=3 1"),
        ("/write?db=home&precision=s", "t,room=kitchen v=4 1"),
    ] {
        assert_eq!(status(&appender, ("POST", path, line)), 204, "{path}");
    }
    for request in [
        (
            "POST",
            "/api/v3/delete_rows",
            r#"{"db":"home","table":"t"}"#,
        ),
        (
            "POST",
            "/api/v2/delete?bucket=home",
            r#"{"start":"1970-01-01T00:00:00Z","stop":"2100-01-01T00:00:00Z"}"#,
        ),
        (
            "POST",
            "/api/v3/row_delete_requests",
            r#"{"db":"home","table":"t","all_time":true}"#,
        ),
        (
            "POST",
            "/api/v3/execute_sql",
            r#"{"db":"home","q":"DELETE FROM t"}"#,
        ),
        (
            "POST",
            "/api/v3/execute_sql",
            r#"{"db":"home","q":"DROP TABLE t"}"#,
        ),
        ("POST", "/query?db=home&q=DELETE+FROM+t", ""),
        ("POST", "/query?db=home&q=DROP+MEASUREMENT+t", ""),
        ("DELETE", "/api/v3/configure/table?db=home&table=t", ""),
        ("DELETE", "/api/v3/configure/database?db=home", ""),
        (
            "POST",
            "/api/v3/configure/table",
            r#"{"db":"home","table":"new","tags":[],"fields":[]}"#,
        ),
        ("GET", "/api/v3/query_sql?db=home&q=SELECT+1", ""),
        ("POST", "/api/v3/write_lp?db=other", "t,room=hall v=1 1"),
    ] {
        assert_eq!(status(&appender, request), 403, "{request:?}");
    }
    let expected = [
        ("attic", 1.0),
        ("cellar", 2.0),
        ("hall", 3.0),
        ("kitchen", 4.0),
    ]
    .map(|(room, v)| json!({ "room": room, "v": v }));
    assert_eq!(content(&administrator), expected);
}

#[test]
fn an_appended_row_replaces_one_with_the_same_tags_and_time() {
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let admin = server.first_token();
    let administrator = server.with_token(&admin);
    administrator.write("home", "t,room=attic v=1 1");
    let appender = client_with(&server, &admin, "db:home:append");
    appender.write("home", "t,room=attic v=2 1");
    assert_eq!(
        content(&administrator),
        [json!({ "room": "attic", "v": 2.0 })]
    );
}

#[test]
fn a_locked_database_gets_rows_of_its_tables_only() {
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let admin = server.first_token();
    let administrator = server.with_token(&admin);
    administrator.write("home", "t,room=attic v=1 1");
    let lock = (
        "PUT",
        "/api/v3/configure/database",
        r#"{"db":"home","auto_create":"none"}"#,
    );
    assert_eq!(status(&administrator, lock), 200);
    let appender = client_with(&server, &admin, "db:home:append");
    let write = "/api/v3/write_lp?db=home";
    for (line, expected) in [
        ("t,room=hall v=2 1", 204),
        ("misspelt,room=hall v=2 1", 400),
        ("t,room=hall,floor=1 v=2 1", 400),
    ] {
        assert_eq!(status(&appender, ("POST", write, line)), expected, "{line}");
    }
}
