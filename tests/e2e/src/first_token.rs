//! How the first token of a cluster is created, and how a lost one is replaced.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, neap, wait_for,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Returns the status of a request with a token.
fn status(server: &ServerClient, token: &str) -> u16 {
    let request = server.request("GET", "/api/v3/configure/database?format=json");
    Reply::receive(request.bearer_auth(token)).unwrap().status
}

/// Creates a file with `neap create token --admin --offline`, and returns its path and the token.
fn token_file(folder: &TempDir, name: &str) -> (String, String) {
    let path = folder.path().join(name).to_str().unwrap().to_owned();
    let create: Vec<_> = ["create", "token", "--admin", "--offline", "--output-file"]
        .into_iter()
        .chain([path.as_str()])
        .collect();
    neap(&create).succeeded();
    let mode = Path::new(&path).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let token = file["token"].as_str().unwrap().to_owned();
    (path, token)
}

#[test]
fn a_server_without_tokens_refuses_requests_and_explains_how_to_create_one() {
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let log = neap.log();
    assert_contains!(log, "There is no token yet");
    assert_contains!(log, "neap create token --host");
    assert_eq!(neap.get("/health").status, 401);
    let created = Reply::receive(neap.request("POST", "/api/v3/configure/token/admin")).unwrap();
    let created: Value = serde_json::from_slice(&created.bytes).unwrap();
    let token = created["token"].as_str().unwrap();
    assert_eq!(status(&neap, token), 200);
    assert_eq!(status(&neap, "apiv3_other"), 401);
}

#[test]
fn some_endpoints_can_be_exempt_from_tokens() {
    let flags = ["--disable-authz", "health,ready,ping"];
    let neap = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &flags);
    for (path, expected) in [
        ("/health", 200),
        ("/ready", 200),
        ("/ping", 200),
        ("/metrics", 401),
        ("/api/v3/query_sql?db=d&q=SELECT%201", 401),
    ] {
        assert_eq!(neap.get(path).status, expected, "{path}");
    }
}

#[test]
fn a_cluster_without_an_admin_gets_the_token_of_the_file_and_one_with_an_admin_keeps_its_own() {
    let (place, folder) = (StoreFixture::directory(), TempDir::new().unwrap());
    let (first_file, first) = token_file(&folder, "first");
    let (second_file, second) = token_file(&folder, "second");
    let neap = NeapProcess::serve_with_tokens(&place, &["--admin-token-file", &first_file]);
    assert!(!neap.log().contains("There is no token yet"));
    assert_eq!(status(&neap, &first), 200);
    assert!(neap.stop().success());
    let neap = NeapProcess::serve_with_tokens(&place, &["--admin-token-file", &second_file]);
    assert_eq!((status(&neap, &first), status(&neap, &second)), (200, 401));
}

#[test]
fn a_lost_admin_token_is_replaced_once_at_an_address_of_its_own() {
    let (place, folder) = (StoreFixture::memory(), TempDir::new().unwrap());
    let (file, lost) = token_file(&folder, "token");
    let flags = ["--admin-token-file", &file, "--admin-token-recovery-http-bind", "127.0.0.1:0"];
    let neap = NeapProcess::serve_with_tokens(&place, &flags);
    let log = neap.log();
    let (_, rest) = log.split_once("warning: anyone who can reach ").unwrap();
    let recovery = ServerClient::at(&format!("http://{}", rest.split(' ').next().unwrap()));
    assert_eq!(status(&neap, &lost), 200);
    assert_eq!(recovery.get("/health").status, 404);
    let regenerate = "/api/v3/configure/token/admin/regenerate";
    let created = Reply::receive(recovery.request("POST", regenerate)).unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
    let created: Value = serde_json::from_slice(&created.bytes).unwrap();
    let token = created["token"].as_str().unwrap();
    assert_eq!((status(&neap, token), status(&neap, &lost)), (200, 401));
    wait_for("the end of the address", LIMIT, || {
        let again = Reply::receive(recovery.request("POST", regenerate));
        again.is_err().then_some(())
    });
    assert_eq!(status(&neap, token), 200);
}
