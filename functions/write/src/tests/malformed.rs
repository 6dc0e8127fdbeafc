//! Tests of refused requests with their exact answers: those of InfluxDB 3 Core 3.10 where it has one. Requests that are refused
//! whatever the state and the limits of the server are tested over real connections (`tests/e2e/src/malformed`).
//!
//! Deliberate differences: a refused all-or-nothing write says `parsing failed for write_lp endpoint`, as InfluxDB's
//! guides do, and lines are shown completely and as they were written.

use std::io::Write;

use axum::body::Body;
use flate2::{Compression, write::GzEncoder};
use http::Request;
use neap_catalog::CatalogLimits;

use super::test_bed::{WriteInstance, WriteTestBed};

const V3: &str = "/api/v3/write_lp";
const V2: &str = "/api/v2/write";
const V1: &str = "/write";

const NO_SUCH_PRECISION: &str = "unknown variant `minute`, expected one of ";

fn error(message: &str) -> String {
    serde_json::json!({ "error": message }).to_string()
}

fn v2(message: &str) -> String {
    serde_json::json!({ "code": "invalid", "message": message }).to_string()
}

fn line(number: usize, line: &str, message: &str) -> String {
    let (line, message) = (serde_json::json!(line), serde_json::json!(message));
    format!(r#"{{"error_message":{message},"line_number":{number},"original_line":{line}}}"#)
}

fn partial(lines: &[(usize, &str, &str)]) -> String {
    let errors: Vec<_> = lines
        .iter()
        .map(|(number, text, message)| line(*number, text, message))
        .collect();
    format!(
        r#"{{"error":"partial write of line protocol occurred","data":[{}]}}"#,
        errors.join(",")
    )
}

fn whole(number: usize, text: &str, message: &str) -> String {
    let line = line(number, text, message);
    format!(r#"{{"error":"parsing failed for write_lp endpoint","data":{line}}}"#)
}

async fn prepared() -> (WriteTestBed, WriteInstance) {
    let stage = WriteTestBed::new();
    let instance = stage.instance();
    let reply = instance.write("w", "known,t=a v=1i 1").await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    (stage, instance)
}

#[tokio::test(start_paused = true)]
async fn unknown_precisions_are_refused() {
    let (_stage, instance) = prepared().await;
    let old = "failed to deserialize org/bucket/precision in request: ";
    for (path, start) in [
        (format!("{V3}?db=w"), format!("serde error: {NO_SUCH_PRECISION}`auto`")),
        (
            format!("{V2}?bucket=w"),
            format!(r#"{{"code":"invalid","message":"{old}{NO_SUCH_PRECISION}"#),
        ),
        (
            format!("{V1}?db=w"),
            format!(
                r#"{{"error":"failed to deserialize db/rp/precision in request: {NO_SUCH_PRECISION}"#
            ),
        ),
    ] {
        let reply = instance.post(&format!("{path}&precision=minute"), "m v=1").await;
        assert_eq!(reply.status, 400);
        assert!(reply.body.starts_with(&start), "{}", reply.body);
        for precision in ["M", "d", "S", "NS"] {
            let path = format!("{path}&precision={precision}");
            assert_eq!(instance.post(&path, "m v=1").await.status, 400, "{path}");
        }
        // InfluxDB 1 and 2 treat an empty parameter as absent.
        let empty = format!("{path}&precision=");
        let status = if path.starts_with(V3) { 400 } else { 204 };
        assert_eq!(instance.post(&empty, "m v=1").await.status, status, "{path}");
    }
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn encoded(path: &str, encoding: &str, body: Vec<u8>) -> Request<Body> {
    let request = Request::post(path).header("Content-Encoding", encoding);
    request.body(Body::from(body)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn encodings_are_decoded() {
    let (stage, instance) = prepared().await;
    let v3 = format!("{V3}?db=w");
    let members = [gzip("known v=1i 1\nknown v="), gzip("2i 2\n")].concat();
    let reply = instance.send(encoded(&v3, "gzip", members)).await;
    assert_eq!((reply.status, stage.rows().await), (204, 3), "{}", reply.body);
    let plain = b"known v=1i 1".to_vec();
    let reply = instance.send(encoded(&v3, "identity", plain)).await;
    assert_eq!(reply.status, 204);
}

#[tokio::test(start_paused = true)]
async fn unreachable_stamps_are_refused() {
    let (_stage, instance) = prepared().await;
    let send = async |path: &str, stamp: &str| {
        let request = Request::post(path).header("x-neap-stamp", stamp);
        instance.send(request.body(Body::from("known v=1i 1")).unwrap()).await
    };
    let v3 = format!("{V3}?db=w");
    let reply = send(&v3, "soon").await;
    assert_eq!((reply.status, reply.body.as_str()), (400, "header x-neap-stamp is not a stamp"));
    let reply = send(&format!("{V2}?bucket=w"), "soon").await;
    assert_eq!((reply.status, reply.body), (400, v2("header x-neap-stamp is not a stamp")));
    assert_eq!(send(&v3, "18446744073709551615").await.status, 400);
    let ahead = |seconds: u64| ((1_700_000_000 + seconds) * 1_000_000) << 12;
    let reply = send(&v3, &ahead(30).to_string()).await;
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains_key("retry-after"));
    let reply = send(&v3, &ahead(1).to_string()).await;
    assert!(reply.stamp().unwrap() > ahead(1), "{}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn exceeded_limits_are_422() {
    let stage = WriteTestBed::new();
    let instance = stage.instance_with_limits(CatalogLimits {
        databases: Some(1),
        tables: Some(3),
        tables_per_database: None,
        columns_per_table: Some(3),
        tags_per_table: Some(1),
    });
    assert_eq!(instance.write("d", "m,t=a v=1,w=1 1").await.status, 204);

    let databases = "Adding a new database would exceed limit of 1 databases";
    for path in ["/api/v3/write_lp?db=other", "/write?db=other"] {
        let reply = instance.post(path, "m v=1").await;
        assert_eq!((reply.status, reply.body), (422, error(databases)));
    }
    let reply = instance.post("/api/v2/write?bucket=other", "m v=1").await;
    assert_eq!((reply.status, reply.body), (400, v2(databases)));

    let columns = "Update to schema would exceed number of columns per table limit of 3 columns";
    let reply = instance.write("d", "m x=1 1\nm v=2 2").await;
    assert_eq!((reply.status, reply.body), (422, partial(&[(1, "m x=1 1", columns)])));
    let path = "/api/v3/write_lp?db=d&accept_partial=false";
    let reply = instance.post(path, "m x=1 1\nm v=2 2").await;
    assert_eq!((reply.status, reply.body), (400, whole(1, "m x=1 1", columns)));

    let tags = "Update to schema would exceed number of tag columns per table limit of 1 columns";
    let reply = instance.write("d", "n,a=1,b=1 v=1 1").await;
    assert_eq!((reply.status, reply.body), (422, partial(&[(1, "n,a=1,b=1 v=1 1", tags)])));

    let before = stage.rows().await;
    let tables = "Update to schema would exceed number of tables limit: attempted to create table but already have 3 table(s) (limit: 3)";
    let reply = instance.write("d", "a v=1 1\nb v=1 1\nc v=1 1\na v=2 2\nd v=1 1").await;
    let refused = partial(&[(3, "c v=1 1", tables), (5, "d v=1 1", tables)]);
    assert_eq!((reply.status, reply.body), (422, refused));
    assert_eq!(stage.rows().await, before + 3);
    assert_eq!(instance.tables("d").await, ["m t,v,w", "a v", "b v"]);
}
