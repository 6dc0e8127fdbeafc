//! Tokens with the permission `append`, over HTTP.

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, words};

/// The content of the table, as queries return it.
fn content(server: &ServerClient, database: &str) -> Vec<Value> {
    server.query(database, "SELECT room, v FROM t ORDER BY room")
}

/// Sends a request and returns the status. The body is sent as JSON if it starts with `{`.
fn status(server: &ServerClient, (method, path, body): (&str, &str, &str)) -> u16 {
    let mut request = server.request(method, path).body(body.to_owned());
    if body.starts_with('{') {
        request = request.header("content-type", "application/json");
    }
    Reply::receive(request).unwrap().status
}

/// A server with the databases `home`, which keeps earlier rows, and `other`, which replaces them. Both have the table `t`.
struct HomeFixture {
    server: NeapProcess,
    admin: String,
}

impl HomeFixture {
    fn new() -> Self {
        let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
        let admin = server.first_token();
        let create = format!("create database home --on-duplicate keep --token {admin}");
        let created = server.run_command(&words(&create));
        created.succeeded();
        let fixture = Self { server, admin };
        for database in ["home", "other"] {
            fixture.administrator().write(database, "t,room=attic v=1 1");
        }
        fixture
    }

    fn administrator(&self) -> ServerClient {
        self.server.with_token(&self.admin)
    }

    fn client_with(&self, permission: &str) -> ServerClient {
        let token = self.server.create_token(&self.admin, permission);
        self.server.with_token(&token)
    }
}

#[test]
fn a_token_that_appends_adds_rows_and_changes_nothing_else() {
    let home = HomeFixture::new();
    let appender = home.client_with("db:home:append");
    for (path, line) in [
        ("/api/v3/write_lp?db=home&precision=second", "t,room=cellar v=2 1"),
        ("/api/v2/write?bucket=home&precision=s", "t,room=hall v=3 1"),
        ("/write?db=home&precision=s", "t,room=kitchen v=4 1"),
    ] {
        assert_eq!(status(&appender, ("POST", path, line)), 204, "{path}");
    }
    for request in [
        ("POST", "/api/v3/delete_rows", r#"{"db":"home","table":"t"}"#),
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
        ("POST", "/api/v3/execute_sql", r#"{"db":"home","q":"DELETE FROM t"}"#),
        ("POST", "/api/v3/execute_sql", r#"{"db":"home","q":"DROP TABLE t"}"#),
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
        ("POST", "/api/v3/write_lp?db=new", "t,room=hall v=1 1"),
    ] {
        assert_eq!(status(&appender, request), 403, "{request:?}");
    }
    let expected = [("attic", 1.0), ("cellar", 2.0), ("hall", 3.0), ("kitchen", 4.0)]
        .map(|(room, v)| json!({ "room": room, "v": v }));
    assert_eq!(content(&home.administrator(), "home"), expected);
}

#[test]
fn an_appended_row_does_not_change_an_earlier_one() {
    let home = HomeFixture::new();
    let appender = home.client_with("db:home:append");
    appender.write("home", "t,room=attic v=2,w=3 1");
    let rows = home.administrator().query("home", "SELECT room, v, w FROM t");
    assert_eq!(rows, [json!({ "room": "attic", "v": 1.0, "w": 3.0 })]);
}

#[test]
fn a_token_that_appends_is_refused_where_rows_replace_others() {
    let home = HomeFixture::new();
    let appender = home.client_with("db:home,other:append");
    let path = "/api/v3/write_lp?db=other";
    let request = appender.request("POST", path).body("t,room=hall v=2 1");
    let refused = Reply::receive(request).unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_contains!(refused.text(), "on-duplicate: replace");
    let rows = content(&home.administrator(), "other");
    assert_eq!(rows, [json!({ "room": "attic", "v": 1.0 })]);
    // Its rows may have been merged already.
    let set = r#"{"db":"other","on_duplicate":"keep"}"#;
    let change = ("PUT", "/api/v3/configure/database", set);
    assert_eq!(status(&home.administrator(), change), 409);
}
