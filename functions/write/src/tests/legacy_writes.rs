//! Tests of `/write` and `/api/v2/write`, which treat lines as InfluxDB 1 and 2 do: refused lines do not take the others
//! with them.

use std::time::Duration;

use serde_json::{Value, json};

use super::test_bed::{HttpReply, WriteInstance, WriteTestBed};
use crate::{LegacyWrites, WriteSettings};

const V1: &str = "/write?db=d&precision=s";
const V2: &str = "/api/v2/write?bucket=d&precision=s";

/// What a Proxmox host sends of two machines, one of which has a name of digits.
const MACHINES: &str =
    "vm,id=100 name=\"web\",cpu=0.1 1\nvm,id=101 name=123,cpu=0.2 1\nvm,id=102 cpu=0.3 1";

const CONFLICT: &str = r#"field type conflict: input field "name" on measurement "vm" is type float, already exists as type string"#;

fn body(reply: &HttpReply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|_| json!(reply.body))
}

fn strict_instance(stage: &WriteTestBed) -> WriteInstance {
    stage.instance_with(WriteSettings {
        legacy_writes: LegacyWrites::Strict,
        ..WriteSettings::default()
    })
}

#[tokio::test(start_paused = true)]
async fn valid_points_are_stored_beside_a_conflict_of_types() {
    for path in [V1, V2] {
        let (stage, instance) = WriteTestBed::with_instance();
        // The first request creates the table, the second one finds it.
        for stored in [2, 4] {
            let reply = instance.post(path, MACHINES).await;
            assert_eq!(reply.status, 400);
            assert!(reply.stamp().is_some());
            assert_eq!(stage.rows().await, stored);
            let answer = body(&reply);
            if path == V1 {
                assert_eq!(answer["error"], format!("partial write: {CONFLICT} dropped=1"));
                assert_eq!(answer["data"][0]["line_number"], 2);
            } else {
                let message = format!("partial write: line 2: {CONFLICT} dropped=1");
                assert_eq!(answer, json!({"code": "invalid", "message": message}));
            }
        }
        assert_eq!(instance.tables("d").await, ["vm id,name,cpu"]);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_which_all_lines_are_refused_have_the_same_form() {
    let instance = WriteTestBed::new().instance();
    let reply = instance.post(V1, "bad\nm v=").await;
    assert_eq!((reply.status, reply.stamp()), (400, None));
    let reason = "Expected at least one space character, got end of input";
    let message = format!(
        "partial write: unable to parse 'bad': {reason}\nunable to parse 'm v=': No fields were provided dropped=2"
    );
    assert_eq!(body(&reply)["error"], message);
    let reply = instance.post(V2, "bad\nm v=").await;
    let message =
        format!("partial write: line 1: {reason}\nline 2: No fields were provided dropped=2");
    assert_eq!(body(&reply), json!({"code": "invalid", "message": message}));
}

#[tokio::test(start_paused = true)]
async fn a_request_or_a_server_can_refuse_all_lines_with_one() {
    let stage = WriteTestBed::new();
    let (partial, strict) = (stage.instance(), strict_instance(&stage));
    strict.post(V1, "vm name=\"a\" 1").await;
    let no_partial = "&accept_partial=false";
    for (instance, suffix) in
        [(&partial, no_partial), (&strict, ""), (&strict, "&accept_partial=true")]
    {
        let message = "invalid column type for column 'name', expected iox::column_type::field::string, got iox::column_type::field::float";
        let reply = instance.post(&format!("{V1}{suffix}"), MACHINES).await;
        assert_eq!((reply.status, reply.stamp()), (400, None));
        let answer = body(&reply);
        assert_eq!(answer["error"], "parsing failed for write_lp endpoint");
        assert_eq!(answer["data"]["error_message"], message);
        assert_eq!(answer["data"]["line_number"], 2);
        let reply = instance.post(&format!("{V2}{suffix}"), MACHINES).await;
        assert_eq!((reply.status, reply.stamp()), (400, None));
        let message = format!("write buffer error: line protocol parse failed: {message}");
        assert_eq!(body(&reply), json!({"code": "invalid", "message": message}));
    }
    assert_eq!(stage.rows().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_tag_value_that_ends_with_a_backslash_is_refused_with_a_hint() {
    let stage = WriteTestBed::new();
    let (partial, strict) = (stage.instance(), strict_instance(&stage));
    let lines = "Disk,check=C:\\,host=h v=1 1\nDisk,check=D:,host=h v=2 1";
    for (instance, path) in [(&partial, V1), (&partial, V2), (&strict, V1), (&strict, V2)] {
        let reply = instance.post(path, lines).await;
        assert_eq!(reply.status, 400, "{path}");
        let hint = "the value of tag 'check' is read as 'C:,host=h', because the backslash escapes the comma: remove a backslash";
        assert!(reply.body.contains(hint), "{}", reply.body);
    }
    assert_eq!(stage.rows().await, 2);
    assert_eq!(partial.tables("d").await, ["Disk check,host,v"]);
    // InfluxDB 3 reads the line in this way.
    let reply = partial.post("/api/v3/write_lp?db=d", lines).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_not_utf8_refuse_only_their_line() {
    let (stage, instance) = WriteTestBed::with_instance();
    let lines = b"m,city=K\xf6ln v=1 1\nm,city=Bonn v=2 1";
    for (path, stored) in [(V1, 1), (V2, 2)] {
        let reply = instance.post(path, lines.to_vec()).await;
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains("the line is not UTF-8"), "{}", reply.body);
        assert_eq!(stage.rows().await, stored);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_lines_finds_a_database_of_influxdb_1() {
    let stage = WriteTestBed::new();
    let (partial, strict) = (stage.instance(), strict_instance(&stage));
    partial.post(V1, "m v=1 1").await;
    for lines in ["", "\n", "  \n\n", "# a comment\n"] {
        let reply = partial.post(V1, lines).await;
        assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{lines:?}");
        let reply = partial.post("/write?db=d&rp=weekly", lines).await;
        assert_eq!(reply.status, 404, "{lines:?}");
        assert_eq!(body(&reply), json!({"error": "database not found: \"d/weekly\""}));
        for (instance, path) in
            [(&partial, "/write?db=d&accept_partial=false"), (&strict, V1), (&partial, V2)]
        {
            let reply = instance.post(path, lines).await;
            assert_eq!(reply.status, 400, "{path}");
            assert!(reply.body.contains("incoming write was empty"), "{path}");
        }
    }
    assert_eq!(stage.rows().await, 1);
    let catalog = &partial.catalog;
    assert_eq!(catalog.database_by_name("d/weekly", Duration::ZERO).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn lines_beyond_a_limit_are_400_on_both_endpoints() {
    let stage = WriteTestBed::new();
    let instance = stage.instance_with_limits(neap_catalog::CatalogLimits {
        columns_per_table: Some(2),
        ..Default::default()
    });
    let limit = "Update to schema would exceed number of columns per table limit of 2 columns";
    for (path, line, member) in [(V1, "", "error"), (V2, "line 2: ", "message")] {
        let reply = instance.post(path, "m,t=a v=1 1\nm,t=a v=1,w=1 2").await;
        assert_eq!(reply.status, 400);
        let message = format!("partial write: {line}{limit} dropped=1");
        assert_eq!(body(&reply)[member], message);
    }
}

#[tokio::test(start_paused = true)]
async fn only_v1_writes_without_a_policy_go_to_the_default_policy() {
    let instance = WriteTestBed::new().instance();
    let database = instance.catalog.create_database("d", None).await.unwrap();
    instance.catalog.create_database("d/week", None).await.unwrap();
    let set = instance.catalog.set_default_policy(database, Some("week"));
    set.await.unwrap();
    for (table, path) in [
        ("unnamed", "/write?db=d"),
        ("named", "/write?db=d&rp=Week"),
        ("autogen", "/write?db=d&rp=autogen"),
        ("v2", "/api/v2/write?bucket=d"),
        ("v3", "/api/v3/write_lp?db=d"),
    ] {
        let reply = instance.post(path, format!("{table} v=1 1")).await;
        assert_eq!(reply.status, 204, "{path}: {}", reply.body);
    }
    assert_eq!(instance.tables("d").await, ["autogen v", "v2 v", "v3 v"]);
    assert_eq!(instance.tables("d/week").await, ["unnamed v", "named v"]);
}
