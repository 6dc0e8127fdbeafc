//! The main job from the first write to a restart: writes, queries in both languages, caches, a plugin, a compaction, and a
//! process that is killed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, neap, repository, wait_for};

/// Maximum wait for the rows of a plugin.
const PLUGIN_TIMEOUT: Duration = Duration::from_secs(60);

fn send(server: &ServerClient, path: &str, body: impl ToString) -> String {
    let request = server.request("POST", path).body(body.to_string());
    let reply = Reply::receive(request.header("content-type", "application/json")).unwrap();
    assert!((200..300).contains(&reply.status), "{}", reply.text());
    reply.text()
}

/// Writes by the interfaces of the three major versions of InfluxDB.
fn write(server: &ServerClient) {
    server.write("garden", "soil,bed=herbs moisture=41 60\nsoil,bed=roses moisture=30 60");
    let lines = "soil,bed=herbs moisture=40 120";
    send(server, "/api/v2/write?bucket=garden&org=o&precision=s", lines);
    let lines = "soil,bed=roses moisture=29 120";
    send(server, "/write?db=garden&precision=s", lines);
}

/// Asks in SQL, in InfluxQL, the caches, and the table of the plugin.
fn check(server: &ServerClient) {
    let sql = "SELECT bed, avg(moisture) AS moisture FROM soil GROUP BY bed ORDER BY bed";
    let expected = [
        json!({ "bed": "herbs", "moisture": 40.5 }),
        json!({ "bed": "roses", "moisture": 29.5 }),
    ];
    assert_eq!(server.query("garden", sql), expected);

    let query = "SELECT%20max(moisture)%20FROM%20soil%20GROUP%20BY%20bed";
    let answer = server.get(&format!("/query?db=garden&epoch=s&q={query}"));
    let answer: Value = serde_json::from_slice(&answer.bytes).unwrap();
    let series = |bed: &str, max: u32| json!({ "name": "soil", "tags": { "bed": bed }, "columns": ["time", "max"], "values": [[60, max]] });
    let expected = json!([series("herbs", 41), series("roses", 30)]);
    assert_eq!(answer["results"][0]["series"], expected);

    let newest = "SELECT bed, moisture FROM last_cache('soil', 'newest') ORDER BY bed";
    let expected = [
        json!({ "bed": "herbs", "moisture": 40.0 }),
        json!({ "bed": "roses", "moisture": 29.0 }),
    ];
    assert_eq!(server.query("garden", newest), expected);
    let copied =
        "SELECT bed, moisture FROM soil_copy WHERE time > '1970-01-01T00:01:00' ORDER BY bed";
    wait_for("the rows of the plugin", PLUGIN_TIMEOUT, || {
        let body = json!({ "db": "garden", "q": copied }).to_string();
        let request = server.request("POST", "/api/v3/query_sql").body(body);
        let rows: Vec<Value> =
            serde_json::from_slice(&Reply::receive(request).unwrap().bytes).ok()?;
        (rows == expected).then_some(())
    });
    let beds = "SELECT bed FROM distinct_cache('soil', 'beds') ORDER BY bed";
    let expected = [json!({ "bed": "herbs" }), json!({ "bed": "roses" })];
    assert_eq!(server.query("garden", beds), expected);
}

/// Does the main job on an empty store.
pub(crate) fn check_main_job(place: &StoreFixture) {
    let plugins = repository().join("tests/plugins");
    let flags = ["--plugin-dir", plugins.to_str().unwrap()];
    let server = NeapProcess::serve_with(place, &flags);
    server.write("garden", "soil,bed=herbs moisture=41 60");
    let newest = json!({ "db": "garden", "table": "soil", "name": "newest", "key_columns": ["bed"], "ttl": 9_999_999_999_u64 });
    send(&server, "/api/v3/configure/last_cache", newest);
    let beds = json!({ "db": "garden", "table": "soil", "name": "beds", "columns": ["bed"], "max_age": 9_999_999_999_u64 });
    send(&server, "/api/v3/configure/distinct_cache", beds);
    let trigger = json!({
        "db": "garden",
        "trigger_name": "copy",
        "plugin_filename": "copy_rows.py",
        "trigger_specification": "table:soil",
        "trigger_arguments": { "tags": "bed" },
        "trigger_settings": { "run_async": false, "error_behavior": "log" },
        "disabled": false,
    });
    send(&server, "/api/v3/configure/processing_engine_trigger", trigger);
    write(&server);
    check(&server);

    // It waits until the writes are old enough to be flushed.
    neap(&place.after(&["compact"])).succeeded();
    check(&server);
    let sections = "SELECT count(*) > 0 AS any FROM system.parquet_files WHERE table_name = 'soil'";
    assert_eq!(server.query("garden", sections), [json!({ "any": true })]);

    server.write("garden", "harvest,bed=herbs kilograms=2 180");
    server.kill();
    let server = NeapProcess::serve_with(place, &flags);
    check(&server);
    let harvest = "SELECT bed, kilograms FROM harvest";
    let expected = [json!({ "bed": "herbs", "kilograms": 2.0 })];
    assert_eq!(server.query("garden", harvest), expected);
}

#[test]
fn the_main_job_is_done_on_a_directory() {
    check_main_job(&StoreFixture::directory());
}

#[test]
fn the_main_job_is_done_on_the_own_s3_server() {
    check_main_job(&StoreFixture::neap_s3_server());
}
