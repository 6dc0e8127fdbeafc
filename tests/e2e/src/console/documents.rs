//! Saved queries and dashboards in the bucket.

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, neap};

const GARDEN: &str = "/api/v3/console/documents?db=garden";

/// A compaction that removes dropped databases at once.
const COMPACT_AT_ONCE: [&str; 5] = ["compact", "--time-travel", "0s", "--query-timeout", "0s"];

fn send(server: &ServerClient, method: &str, path: &str, body: &Value) -> Reply {
    let request = server.request(method, path).header("content-type", "application/json");
    Reply::receive(request.body(body.to_string())).unwrap()
}

fn parsed(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.bytes).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

fn create(server: &ServerClient, name: &str) -> Value {
    let body = json!({"kind": "query", "name": name, "content": {"text": "SELECT 1"}});
    let created = send(server, "POST", GARDEN, &body);
    assert_eq!(created.status, 201, "{}", created.text());
    parsed(&created)
}

fn list(server: &ServerClient) -> Vec<Value> {
    let list = parsed(&server.get(GARDEN));
    list["documents"].as_array().unwrap().clone()
}

/// Two processes change documents of one database.
fn assert_processes_share_documents(place: &StoreFixture) {
    let one = NeapProcess::serve(place);
    one.write("garden", "soil v=1 1");
    let two = NeapProcess::serve(place);
    let new = create(&one, "Soil");
    assert_eq!(list(&two)[0]["id"], new["id"]);
    let path = format!("/api/v3/console/documents/{}?db=garden", new["id"].as_str().unwrap());
    let change = json!({"name": "Soil 2", "content": {}, "version": 1});
    assert_eq!(send(&two, "PUT", &path, &change).status, 200);
    assert_eq!(send(&one, "PUT", &path, &change).status, 409);
    one.kill();
    two.stop();
    let three = NeapProcess::serve(place);
    let read = parsed(&three.get(&path));
    assert_eq!((&read["name"], &read["version"]), (&json!("Soil 2"), &json!(2)));
}

#[test]
fn processes_share_documents_in_a_directory() {
    assert_processes_share_documents(&StoreFixture::directory());
}

#[test]
fn processes_share_documents_in_a_bucket() {
    assert_processes_share_documents(&StoreFixture::neap_s3_server());
}

#[test]
fn documents_are_copied_and_stay_with_their_database() {
    let place = StoreFixture::directory();
    let register = place.folder().join("db/1/documents");
    {
        let server = NeapProcess::serve(&place);
        server.write("garden", "soil v=1 1");
        create(&server, "Soil");
        assert!(register.is_file());
        server.stop();
    }
    neap(&place.after(&["fsck"])).succeeded();

    let copy = StoreFixture::directory();
    let target = copy.folder().display().to_string();
    neap(&place.after(&["copy", "--to", &target])).succeeded();
    neap(&copy.after(&["fsck"])).succeeded();
    let copied = NeapProcess::serve(&copy);
    assert_eq!(list(&copied)[0]["name"], "Soil");
    drop(copied);

    let server = NeapProcess::serve(&place);
    let path = "/api/v3/configure/database?db=garden&hard_delete_at=now";
    let dropped = Reply::receive(server.request("DELETE", path)).unwrap();
    assert_eq!(dropped.status, 200, "{}", dropped.text());
    assert_eq!(server.get(GARDEN).status, 404);
    server.stop();
    neap(&place.after(&COMPACT_AT_ONCE)).succeeded();
    // The registers of a dropped database stay for a day, so that requests in progress find them.
    neap(&place.after(&["fsck"])).succeeded();
    assert!(register.is_file());
}

#[test]
fn damaged_documents_are_reported_and_leave_the_rows_readable() {
    let place = StoreFixture::directory();
    let register = place.folder().join("db/1/documents");
    let server = NeapProcess::serve(&place);
    server.write("garden", "soil v=1 1");
    create(&server, "Soil");
    std::fs::write(&register, b"damaged").unwrap();
    assert_eq!(server.get(GARDEN).status, 500);
    assert_eq!(server.query("garden", "SELECT v FROM soil"), [json!({"v": 1.0})]);
    server.stop();
    let report = neap(&place.after(&["fsck"]));
    assert_eq!(report.status, Some(1), "{}", report.err);
    assert_contains!(report.out, "db/1/documents");
}
