//! Tokens on the command line: creation, use and deletion.

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    CommandOutput, NeapProcess, StoreFixture, assert_contains, neap, neap_with_input,
};

const REFUSED: &str =
    "server responded with error [401 Unauthorized]: the request was not authenticated
The server requires a valid token: pass it with --token, set NEAP_AUTH_TOKEN, or sign in with `neap auth login`
";

/// A server that requires tokens.
struct AuthenticatedServer(NeapProcess);

impl AuthenticatedServer {
    fn new() -> Self {
        Self(NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]))
    }

    fn run(&self, token: &str, arguments: &[&str]) -> CommandOutput {
        neap(&self.with_token(token, arguments))
    }

    fn with_token<'a>(&'a self, token: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = [arguments, &["--host", self.0.url()]].concat();
        if !token.is_empty() {
            arguments.extend(["--token", token]);
        }
        arguments
    }

    /// Creates a token and returns it.
    fn create(&self, token: &str, arguments: &[&str]) -> String {
        let arguments = [&["create", "token", "--format", "json"], arguments].concat();
        let created = self.run(token, &arguments).succeeded();
        let created: Value = serde_json::from_str(&created).unwrap();
        created["token"].as_str().unwrap().to_owned()
    }
}

#[test]
fn requests_without_a_token_are_refused_and_anyone_can_create_the_first_one() {
    let server = AuthenticatedServer::new();
    let write = ["write", "--quiet", "--database", "home", "t v=1"];
    let query = ["query", "--database", "home", "SELECT v FROM t"];
    let refused = server.run("", &write).failed(1);
    assert_eq!(refused, format!("Write command failed: {REFUSED}"));
    let refused = server.run("apiv3_wrong", &query).failed(1);
    assert_eq!(refused, format!("Query command failed: {REFUSED}"));

    let text = server.run("", &["create", "token", "--admin"]).succeeded();
    let lines: Vec<_> = text.lines().collect();
    let [_, "New token created successfully!", _, token, header, ..] = lines[..] else {
        panic!("{text}")
    };
    let token = token.strip_prefix("Token: ").unwrap();
    assert!(token.starts_with("apiv3_"), "{text}");
    assert_eq!(header, format!("HTTP Requests Header: Authorization: Bearer {token}"));
    let again = server.run("", &["create", "token", "--admin"]).failed(1);
    insta::assert_snapshot!(again, @"Create command failed: Failed to create token, error: server responded with error [409 Conflict]: token name already exists, _admin");

    assert_eq!(server.run(token, &write).succeeded(), "");
    insta::assert_snapshot!(server.run(token, &query).succeeded(), @r"
    +-----+
    | v   |
    +-----+
    | 1.0 |
    +-----+
    ");
}

#[test]
fn a_token_has_its_permissions_until_it_is_deleted() {
    let server = AuthenticatedServer::new();
    let admin = server.create("", &["--admin"]);
    let write = ["write", "--quiet", "--database", "home", "t v=1"];
    let query = ["query", "--database", "home", "--format", "csv", "SELECT v FROM t"];
    server.run(&admin, &write).succeeded();

    let named = ["--name", "reader", "--expiry", "90d"];
    let permission = ["--permission", "db:home:read"];
    let reader = server.create(&admin, &[&permission[..], &named[..]].concat());
    assert_eq!(server.run(&reader, &query).succeeded(), "v\n1.0\n");
    insta::assert_snapshot!(server.run(&reader, &write).failed(1), @"Write command failed: server responded with error [403 Forbidden]: unauthorized to perform requested action with the token");
    let deputy = server.create(&admin, &["--admin", "--name", "deputy"]);

    let list = ["show", "tokens", "--format", "csv"];
    let listed = server.run(&deputy, &list).succeeded();
    for name in ["_admin", "reader", "deputy", "*:*:*"] {
        assert_contains!(listed, name);
    }
    assert!(!listed.contains("apiv3_"), "{listed}");
    server.run(&reader, &list).failed(1);

    let delete = ["delete", "token", "--token-name", "reader"];
    let delete = server.with_token(&deputy, &delete);
    let kept = neap_with_input(&delete, b"no\n").failed(1);
    insta::assert_snapshot!(kept, @r#"
    Are you sure you want to delete "reader"? Enter 'yes' or 'y' to confirm
    Delete command failed: Cannot proceed without confirmation
    "#);
    let deleted = neap(&[&delete[..], &["--yes"]].concat()).succeeded();
    assert_eq!(deleted, "Token \"reader\" deleted successfully\n");
    let refused = server.run(&reader, &query).failed(1);
    assert_eq!(refused, format!("Query command failed: {REFUSED}"));
    let again = neap(&[&delete[..], &["--yes"]].concat()).failed(1);
    assert!(
        again.starts_with("Delete command failed: server responded with error [404 Not Found]: "),
        "{again}"
    );
}

#[test]
fn the_operator_token_is_replaced_and_not_deleted() {
    let server = AuthenticatedServer::new();
    let old = server.create("", &["--admin"]);
    let list = ["show", "databases", "--format", "csv"];
    server.run(&old, &list).succeeded();
    let new = server.create(&old, &["--admin", "--regenerate", "--yes"]);
    let refused = server.run(&old, &list).failed(1);
    assert_eq!(refused, format!("Show command failed: {REFUSED}"));
    server.run(&new, &list).succeeded();
    let out = server.run(&new, &["delete", "token", "--token-name", "_admin"]).succeeded();
    assert_contains!(out, "can't be deleted");
    server.run(&new, &list).succeeded();
}

#[test]
fn a_server_can_be_given_its_operator_token_in_a_file() {
    let folder = TempDir::new().unwrap();
    let file_path = folder.path().join("admin.json");
    let path = file_path.to_str().unwrap();
    let create = ["create", "token", "--admin", "--offline", "--output-file", path];
    assert_eq!(neap(&create).succeeded(), format!("Token saved to: {path}\n"));
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let token = file["token"].as_str().unwrap();
    let flags = ["--admin-token-file", path];
    let server =
        AuthenticatedServer(NeapProcess::serve_with_tokens(&StoreFixture::memory(), &flags));
    server.run(token, &["create", "database", "d"]).succeeded();
    server.run("", &["create", "token", "--admin"]).failed(1);
}

#[test]
fn admins_can_read_system_tables_of_a_server() {
    let server = AuthenticatedServer::new();
    let admin = server.create("", &["--admin"]);
    server
        .run(&admin, &["write", "--quiet", "--database", "home", "t v=1"])
        .succeeded();
    let system =
        |arguments: &[&str]| server.run(&admin, &[&["show", "system"], arguments].concat());
    let tables = system(&["table-list", "--format", "csv"]).succeeded();
    for table in ["tokens", "nodes", "databases", "queries"] {
        assert_contains!(tables, &format!("\n{table},"));
    }
    let tokens = ["table", "tokens", "--select", "name", "--format", "csv"];
    assert_eq!(system(&tokens).succeeded(), "name\n_admin\n");
    let of_home = system(&["-d", "home", "table-list", "--format", "csv"]).succeeded();
    assert!(!of_home.contains("\ntokens,"), "{of_home}");
    let unknown = system(&["table", "nonsense"]).failed(1);
    assert!(
        unknown.starts_with("Show command failed: system table 'nonsense' not found, there are: "),
        "{unknown}"
    );
    let summary = system(&["summary", "-d", "home", "--limit", "1"]).succeeded();
    assert_contains!(summary, "queries summary:\n+-");
    let nodes = server.run(&admin, &["show", "nodes", "--format", "csv"]);
    assert!(nodes.succeeded().starts_with("node_id,"));
}
