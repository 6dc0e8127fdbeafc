//! Row delete requests, import jobs, exports by days, and the number of concurrent queries, as in InfluxDB 3 Enterprise.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{NeapProcess, ServerClient, StoreFixture, assert_contains, wait_for, words};

/// The time that an import may take.
const IMPORT_LIMIT: Duration = Duration::from_secs(60);

const LINES: &str = "rooms,room=a temp=1.5,n=1i 1767225600\n\
    rooms,room=b temp=2.5,n=2i 1767225601\n\
    rooms,room=a temp=3.5,n=3i 1767312000\n";

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(bytes));
    })
}

/// Waits until all jobs of a server are imported, and returns them.
fn imported(server: &ServerClient, number: usize) -> Vec<Value> {
    wait_for("imported files", IMPORT_LIMIT, || {
        let list = server.run_command(&["import", "list", "--format", "json"]).succeeded();
        let jobs: Vec<Value> = serde_json::from_str(&list).unwrap();
        let is_done = jobs.iter().all(|job| job["status"] == "imported");
        (jobs.len() == number && is_done).then_some(jobs)
    })
}

/// Stores the rows of a query as a Parquet file.
fn save_query(server: &ServerClient, path: &Path, sql: &str) {
    let path = path.to_str().unwrap();
    let query = ["query", "-d", "home", "--format", "parquet", "-o", path, sql];
    server.run_command(&query).succeeded();
}

#[test]
fn requests_delete_rows_at_once_and_can_not_be_aborted() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("home", LINES);
    let rows = || server.query("home", "SELECT n FROM rooms ORDER BY n");
    let delete = words("delete rows -d home -t rooms -y --max-time");
    let before = ["2026-01-02T00:00:00Z", "--predicate", "room = \"a\""];
    let output = server.run_command(&[&delete[..], &before].concat()).succeeded();
    assert_eq!(output, "Rows of \"home\".\"rooms\" deleted successfully (request 1)\n");
    assert_eq!(rows(), [json!({ "n": 2 }), json!({ "n": 3 })]);
    let shown =
        "SELECT sequence, table_name, delete_predicate, disposition FROM system.row_deletes";
    let request = json!({
        "sequence": 1,
        "table_name": "rooms",
        "delete_predicate": "room = \"a\"",
        "disposition": "pending",
    });
    assert_eq!(server.query("home", shown), [request]);
    let message = server.run_command(&["cancel", "row-delete", "1"]).failed(1);
    assert_contains!(message, "is pending and can't be aborted");
    let message = server.run_command(&["cancel", "row-delete", "2"]).failed(1);
    assert_contains!(message, "row delete request not found: 2");
    let all = words("delete rows -d home -t rooms -y --all-time");
    server.run_command(&all).succeeded();
    assert_eq!(rows(), Vec::<Value>::new());
    let listed = json_of(&server.get("/api/v3/row_delete_requests?min_sequence=2").bytes);
    assert_eq!(listed[0]["delete_predicate"], "");
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[test]
fn files_of_a_folder_become_jobs_and_rows() {
    let store = StoreFixture::directory();
    let server = NeapProcess::serve(&store);
    server.write("home", LINES);
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("more")).unwrap();
    let sql = |room: &str| format!("SELECT * FROM rooms WHERE room = '{room}'");
    save_query(&server, &folder.path().join("a.parquet"), &sql("a"));
    save_query(&server, &folder.path().join("more/b.parquet"), &sql("b"));
    let place = folder.path().to_str().unwrap();
    let upload = ["import", "upload", "-d", "home", "-t", "copy", place];
    let types = ["--column", "room:tag", "--column", "n:f64"];
    let output = server.run_command(&[&upload[..], &types].concat()).succeeded();
    assert_eq!(output.lines().count(), 2, "{output}");
    let jobs = imported(&server, 2);
    assert!(jobs.iter().all(|job| job["table_name"] == "copy"));
    let rows = server.query("home", "SELECT room, temp, n FROM copy ORDER BY time");
    assert_eq!(
        rows,
        [
            json!({ "room": "a", "temp": 1.5, "n": 1.0 }),
            json!({ "room": "b", "temp": 2.5, "n": 2.0 }),
            json!({ "room": "a", "temp": 3.5, "n": 3.0 }),
        ]
    );
    let missing = ["import", "upload", "-d", "nope", "-t", "copy", place];
    let output = server.run_command(&missing);
    assert_eq!(output.status, Some(1));
    assert_contains!(output.err, "Database not found nope");
    assert_contains!(output.err, "2 of 2 files were not uploaded");
}

#[test]
fn files_of_an_object_store_are_read_by_the_command() {
    let store = StoreFixture::neap_s3_server();
    let server = NeapProcess::serve(&store);
    server.write("home", LINES);
    let copied = server.query("home", "COPY rooms TO 'old/rooms.parquet'");
    let key = copied[0]["path"].as_str().unwrap();
    let option = |flag: &str| {
        let mut flags = store.flags.iter().skip_while(|name| *name != flag);
        flags.nth(1).unwrap().clone()
    };
    let prefix = key.strip_suffix("/rooms.parquet").unwrap();
    let url = format!("s3://{}/{prefix}", option("--bucket"));
    let options = [
        format!("endpoint={}", option("--aws-endpoint")),
        format!("access_key_id={}", option("--aws-access-key-id")),
        format!("secret_access_key={}", option("--aws-secret-access-key")),
        "region=us-east-1".to_owned(),
        "allow_http=true".to_owned(),
    ];
    let mut upload = vec!["import", "upload", "-d", "home", "-t", "copy", &url];
    for option in &options {
        upload.extend(["--source-opt", option]);
    }
    upload.extend(["--column", "room:tag"]);
    server.run_command(&upload).succeeded();
    assert_eq!(imported(&server, 1)[0]["imported_rows"], 3);
    let count = server.query("home", "SELECT count(*) AS n FROM copy");
    assert_eq!(count, [json!({ "n": 3 })]);
}

#[test]
fn days_are_exported_as_files_that_can_be_imported() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("home", LINES);
    let list = |path: &str| json_of(&server.get(&format!("/api/v3/export/{path}")).bytes);
    assert_eq!(list("databases"), json!({ "databases": ["home"] }));
    assert_eq!(
        list("windows?db=home&table=rooms"),
        json!({ "windows": ["2026-01-01", "2026-01-02"] })
    );
    let archive = server.get("/api/v3/export/window_data?db=home&table=rooms&windows=2026-01-01");
    assert_eq!(archive.status, 200);
    assert_eq!(archive.headers["content-type"], "application/x-tar");
    let header = &archive.bytes[..512];
    assert!(header.starts_with(b"2026-01-01/0001.parquet\0"));
    let size = std::str::from_utf8(&header[124..135]).unwrap();
    let size = usize::from_str_radix(size, 8).unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("day.parquet");
    fs::write(&file, &archive.bytes[512..512 + size]).unwrap();
    let place = file.to_str().unwrap();
    server
        .run_command(&["import", "upload", "-d", "home", "-t", "day", place])
        .succeeded();
    imported(&server, 1);
    let rows = server.query("home", "SELECT room, n FROM day ORDER BY n");
    let expected = [json!({ "room": "a", "n": 1 }), json!({ "room": "b", "n": 2 })];
    assert_eq!(rows, expected);
}

#[test]
fn the_number_of_concurrent_queries_changes_without_a_restart() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("home", LINES);
    let path = "/api/v3/configure/query_concurrency_limit";
    let limit = || json_of(&server.get(path).bytes)["max_concurrent_queries"].as_u64();
    let first = limit();
    assert!(first.is_some());
    let body = r#"{"max_concurrent_queries":1}"#;
    let put = server
        .request("PUT", &format!("{path}?force=true"))
        .header("content-type", "application/json")
        .body(body);
    assert_eq!(put.send().unwrap().status().as_u16(), 204);
    assert_eq!(limit(), Some(1));
    let count = server.query("home", "SELECT count(*) AS n FROM rooms");
    assert_eq!(count, [json!({ "n": 3 })]);
    let reset = server.request("DELETE", path).send().unwrap();
    assert_eq!(reset.status().as_u16(), 204);
    assert_eq!(limit(), first);
}
