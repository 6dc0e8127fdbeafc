//! Users: the commands, their sessions, and sign-outs that several processes on one store see.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, neap, wait_for, words,
};

const LIMIT: Duration = Duration::from_secs(60);
const BASIC: [&str; 2] = ["--user-auth-type", "basic"];
const DATABASES: &str = "/api/v3/configure/database?format=json";

/// Returns the status of a request with a token.
fn status(server: &ServerClient, token: &str) -> u16 {
    let request = server.request("GET", DATABASES).bearer_auth(token);
    Reply::receive(request).unwrap().status
}

fn json_request(server: &ServerClient, path: &str, body: &Value) -> RequestBuilder {
    server
        .request("POST", path)
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn post(server: &ServerClient, path: &str, body: &Value) -> (u16, Value) {
    let request = json_request(server, path, body);
    let reply = Reply::receive(request).unwrap();
    let body = serde_json::from_slice(&reply.bytes).unwrap_or(Value::Null);
    (reply.status, body)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// The commands of a person on one machine.
struct Person<'a> {
    server: &'a ServerClient,
    folder: TempDir,
}

impl<'a> Person<'a> {
    fn at(server: &'a ServerClient) -> Self {
        Self { server, folder: TempDir::new().unwrap() }
    }

    fn password_file(&self, password: &str) -> String {
        let path = self.folder.path().join("password");
        std::fs::write(&path, format!("{password}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn credentials(&self) -> String {
        let path = self.folder.path().join("credentials.json");
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> crate::harness::CommandOutput {
        let credentials = self.credentials();
        let connection = ["--host", self.server.url(), "--credentials", &credentials];
        let all: Vec<&str> = arguments.iter().copied().chain(connection).collect();
        neap(&all)
    }

    fn log_in(&self, name: &str, password: &str) -> crate::harness::CommandOutput {
        let file = self.password_file(password);
        self.run(&["auth", "login", "-u", name, "--password-file", &file])
    }
}

#[test]
fn people_sign_in_and_use_what_their_roles_grant() {
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &BASIC);
    let boss = Person::at(&neap);
    let file = boss.password_file("correct horse");
    let created = boss.run(&words(&format!("manage init-admin -u boss --password-file {file}")));
    assert!(created.succeeded().contains("apiv3_"));
    let again = boss.run(&words(&format!("manage init-admin -u thief --password-file {file}")));
    assert_eq!(again.status, Some(1));
    assert_contains!(again.err, "409");
    assert_eq!(boss.log_in("boss", "correct horse").succeeded(), "Signed in as \"boss\"\n");
    let mode = std::fs::metadata(boss.credentials()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    boss.run(&["create", "database", "home"]).succeeded();
    boss.run(&["create", "database", "secret"]).succeeded();
    boss.run(&words("create role --name family --permission db:home:read,write"))
        .succeeded();
    let file = boss.password_file("battery staple");
    boss.run(&words(&format!(
        "create user -u ann --roles Member,family --password-file {file} --keep-password"
    )))
    .succeeded();
    let users = boss.run(&["show", "users", "--format", "csv"]).succeeded();
    assert_contains!(users, "2,ann,,\"Member,family\",false,false,");

    let ann = Person::at(&neap);
    let wrong = ann.log_in("ann", "wrong horse");
    assert_contains!(wrong.err, "the name or the password is wrong");
    ann.log_in("ann", "battery staple").succeeded();
    ann.run(&["write", "--quiet", "-d", "home", "t,room=a c=1 1"]).succeeded();
    let rows = ann.run(&["query", "-d", "home", "--format", "csv", "SELECT c FROM t"]);
    assert_eq!(rows.succeeded(), "c\n1.0\n");
    let refused = ann.run(&["query", "-d", "secret", "SELECT 1"]);
    assert_contains!(refused.err, "403");
    let refused = ann.run(&["show", "users"]);
    assert_contains!(refused.err, "403");

    boss.run(&["user", "require-password-reset", "-u", "ann"]).succeeded();
    let ended = ann.run(&["query", "-d", "home", "SELECT 1"]);
    assert_contains!(ended.err, "401");
    let must_reset = ann.log_in("ann", "battery staple");
    assert_contains!(must_reset.err, "password reset required");
    let reset = json!({
        "username": "ann", "password": "battery staple", "newPassword": "third password",
    });
    assert_eq!(post(&neap, "/api/v3/authorize/reset-password", &reset).0, 200);
    ann.log_in("ann", "third password").succeeded();
    boss.run(&["update", "user", "-u", "ann", "--disabled", "true"]).succeeded();
    let disabled = ann.log_in("ann", "third password");
    assert_contains!(disabled.err, "the name or the password is wrong");
    boss.run(&["delete", "user", "-u", "ann", "--yes"]).succeeded();
    assert_eq!(boss.run(&["auth", "logout"]).succeeded(), "Signed out\n");
    let signed_out = boss.run(&["show", "users"]);
    assert_contains!(signed_out.err, "401");
}

#[test]
fn a_sign_out_at_one_process_is_seen_by_another() {
    let place = StoreFixture::directory();
    let one = NeapProcess::serve_with_tokens(&place, &BASIC);
    let other = NeapProcess::serve_with_tokens(&place, &BASIC);
    let first = json!({"username": "boss", "password": "correct horse"});
    assert_eq!(post(&one, "/api/v3/configure/user", &first).0, 200);
    let sign_in = |server: &ServerClient| {
        let (status, tokens) = post(server, "/api/v3/authorize", &first);
        assert_eq!(status, 200, "{tokens}");
        tokens
    };
    let tokens = sign_in(&one);
    let access = text(&tokens, "accessToken");
    assert_eq!((status(&one, access), status(&other, access)), (200, 200));
    let logout = one.request("POST", "/api/v3/authorize/logout");
    let logout = Reply::receive(logout.bearer_auth(access)).unwrap();
    assert_eq!(logout.status, 200, "{}", logout.text());
    assert_eq!(status(&one, access), 401);
    wait_for("the end of the session at the other process", LIMIT, || {
        (status(&other, access) == 401).then_some(())
    });
    let refresh = json!({"refreshToken": text(&tokens, "refreshToken")});
    assert_eq!(post(&other, "/api/v3/authorize/refresh", &refresh).0, 401);

    // A refresh token works once, at whichever process.
    let tokens = sign_in(&other);
    let refresh = json!({"refreshToken": text(&tokens, "refreshToken")});
    let (status_of_first, renewed) = post(&one, "/api/v3/authorize/refresh", &refresh);
    assert_eq!(status_of_first, 200);
    let renewed = text(&renewed, "accessToken");
    assert_eq!(status(&other, renewed), 200);
    let (status_of_replay, error) = post(&other, "/api/v3/authorize/refresh", &refresh);
    assert_eq!(status_of_replay, 401, "{error}");
    for server in [&one, &other] {
        wait_for("the end of the replayed session", LIMIT, || {
            (status(server, renewed) == 401).then_some(())
        });
    }
}

#[test]
fn users_that_influxql_creates_sign_in_and_do_what_is_granted() {
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &BASIC);
    let boss = json!({"username": "boss", "password": "correct horse"});
    assert_eq!(post(&neap, "/api/v3/configure/user", &boss).0, 200);
    let token_of = |user: &Value| {
        let (status, tokens) = post(&neap, "/api/v3/authorize", user);
        assert_eq!(status, 200, "{tokens}");
        text(&tokens, "accessToken").to_owned()
    };
    let influxql = |token: &str, q: &str| {
        let request = neap.request("POST", "/query?db=home").body(q.to_owned());
        Reply::receive(request.bearer_auth(token)).unwrap()
    };
    let by_boss = token_of(&boss);
    for q in [
        "CREATE DATABASE home; CREATE DATABASE secret",
        "CREATE USER ann WITH PASSWORD 'battery staple'; GRANT READ ON home TO ann",
    ] {
        let done = influxql(&by_boss, q).text();
        assert!(!done.contains("error"), "{q}: {done}");
    }
    let reset = json!({
        "username": "ann", "password": "battery staple", "newPassword": "purple monkey",
    });
    assert_eq!(post(&neap, "/api/v3/authorize/reset-password", &reset).0, 200);
    let by_ann = token_of(&json!({"username": "ann", "password": "purple monkey"}));
    let databases = influxql(&by_ann, "SHOW DATABASES").text();
    assert!(databases.contains("home") && !databases.contains("secret"), "{databases}");
    for q in ["SHOW MEASUREMENTS ON secret", "DROP USER boss"] {
        assert_eq!(influxql(&by_ann, q).status, 403, "{q}");
    }
    let grants = influxql(&by_boss, "SHOW GRANTS FOR ann").text();
    assert_contains!(grants, r#"["home","READ"]"#);
    assert_eq!(influxql(&by_boss, "DROP USER ann").status, 200);
    assert_eq!(status(&neap, &by_ann), 401);
}

#[test]
fn the_endpoints_of_users_are_off_by_default() {
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let body = json!({"username": "boss", "password": "correct horse"});
    for path in ["/api/v3/authorize", "/api/v3/configure/user"] {
        assert_eq!(post(&neap, path, &body).0, 405, "{path}");
    }
    let token = neap.first_token();
    let admin = neap.with_token(&token);
    assert_eq!(admin.get("/api/v3/users").status, 405);
    assert_eq!(neap.get("/api/v3/users").status, 401);
    assert_eq!(status(&neap, "eyJhbGciOiJub25lIn0.e30."), 401);
}

#[test]
fn web_pages_create_no_first_user() {
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &BASIC);
    let body = json!({"username": "boss", "password": "correct horse"});
    let request = json_request(&neap, "/api/v3/configure/user", &body)
        .header("origin", "https://elsewhere.example");
    assert_eq!(Reply::receive(request).unwrap().status, 403);
    assert_eq!(post(&neap, "/api/v3/configure/user", &body).0, 200);
}
