//! The storage class of old rows, set by a command.

use serde_json::json;

use crate::harness::{CommandOutput, NeapProcess, StoreFixture, assert_contains, neap};

fn update(server: &NeapProcess, options: &[&str]) -> CommandOutput {
    let command = ["update", "database", "--database", "db", "--host", server.url()];
    neap(&[&command[..], options].concat())
}

const GLACIER: [&str; 4] = ["--cold-after", "90d", "--cold-class", "GLACIER_IR"];

#[test]
fn a_class_of_s3_is_set_and_shown_until_it_is_cleared() {
    let place = StoreFixture::neap_s3_server();
    let server = NeapProcess::serve(&place);
    server.write("db", "m v=1 1");
    let shown = || {
        let sql = "SELECT cold_after_ns, cold_class FROM system.tables WHERE table_name = 'm'";
        server.query("_internal", sql)
    };
    update(&server, &GLACIER).succeeded();
    let expected =
        json!({ "cold_after_ns": 7_776_000_000_000_000_u64, "cold_class": "GLACIER_IR" });
    assert_eq!(shown(), [expected]);
    assert_eq!(server.query("db", "SELECT v FROM m"), [json!({ "v": 1.0 })]);
    update(&server, &["--cold-after", "none"]).succeeded();
    let sql = "SELECT count(*) AS n FROM system.databases WHERE cold_class IS NOT NULL";
    assert_eq!(server.query("_internal", sql), [json!({ "n": 0 })]);
}

#[test]
fn a_directory_and_a_class_of_another_cloud_are_refused_with_the_reason() {
    let directory = StoreFixture::directory();
    let server = NeapProcess::serve(&directory);
    server.write("db", "m v=1 1");
    let refused = update(&server, &GLACIER).failed(1);
    assert_contains!(refused, "has no storage classes");
    let s3 = StoreFixture::neap_s3_server();
    let over_s3 = NeapProcess::serve(&s3);
    over_s3.write("db", "m v=1 1");
    let other = ["--cold-after", "90d", "--cold-class", "NEARLINE"];
    let named = update(&over_s3, &other).failed(1);
    assert_contains!(named, "no storage class NEARLINE, but STANDARD_IA");
}
