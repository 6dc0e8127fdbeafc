//! Tests of refused requests with their exact answers: those of InfluxDB 3 Core 3.10 where it has one.
//!
//! Deliberate differences: a refused all-or-nothing write says `parsing failed for write_lp endpoint`, as InfluxDB's
//! guides do, and lines are shown completely and as they were written.

use std::io::Write;

use axum::body::Body;
use flate2::{Compression, write::GzEncoder};
use http::Request;
use neap_catalog::CatalogLimits;

use super::test_bed::{WriteInstance, WriteTestBed};
use crate::WriteSettings;

const V3: &str = "/api/v3/write_lp";
const V2: &str = "/api/v2/write";
const V1: &str = "/write";

const NO_SUCH_PRECISION: &str = "unknown variant `minute`, expected one of ";
const CHARACTERS: &str = "invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens";
const RP_FORM: &str = "db name with invalid retention policy, if providing a retention policy name, must be of form '<db_name>/<rp_name>'";
const START: &str = "db name did not start with a number or letter";

/// Path with query string, request body, status, response body.
type RefusedRequest = (String, Vec<u8>, u16, String);

fn case(path: &str, query: &str, body: &str, status: u16, answer: &str) -> RefusedRequest {
    let path = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    (path, body.as_bytes().to_vec(), status, answer.to_owned())
}

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

/// Requests that are refused regardless of their lines.
fn requests() -> Vec<RefusedRequest> {
    let long = "x".repeat(512);
    vec![
        case(V3, "", "m v=1", 400, "missing query parameter 'db'"),
        case(
            V3,
            "precision=second",
            "m v=1",
            400,
            "serde error: missing field `db`",
        ),
        case(
            V3,
            "org=o&bucket=b",
            "m v=1",
            400,
            "serde error: missing field `db`",
        ),
        case(
            V3,
            "db=w&accept_partial=yes",
            "m v=1",
            400,
            "serde error: provided string was not `true` or `false`",
        ),
        case(
            V3,
            "db=w&no_sync=1",
            "m v=1",
            400,
            "serde error: provided string was not `true` or `false`",
        ),
        case(
            V3,
            "db=w&db=v",
            "m v=1",
            400,
            "serde error: duplicate field `db`",
        ),
        case(V3, "db=", "m v=1", 400, &error("db name cannot be empty")),
        case(V3, "db=_bad", "m v=1", 400, &error(START)),
        case(V3, "db=-bad", "m v=1", 400, &error(START)),
        case(V3, "db=_internal", "m v=1", 400, &error(START)),
        case(V3, "db=a.b", "m v=1", 400, &error(CHARACTERS)),
        case(V3, "db=a%20b", "m v=1", 400, &error(CHARACTERS)),
        case(V3, "db=temp%C3%A9", "m v=1", 400, &error(CHARACTERS)),
        case(V3, "db=a/", "m v=1", 400, &error(RP_FORM)),
        case(V3, "db=a/b/c", "m v=1", 400, &error(RP_FORM)),
        case(
            V3,
            &format!("db={long}"),
            "m v=1",
            400,
            &error("db name too long: max 511"),
        ),
        case(V2, "", "m v=1", 400, &v2("missing bucket value")),
        case(V2, "org=o", "m v=1", 400, &v2("missing bucket value")),
        case(V2, "bucket=", "m v=1", 400, &v2("missing bucket value")),
        case(V2, "bucket=_bad", "m v=1", 400, &v2(START)),
        case(V2, "bucket=a.b", "m v=1", 400, &v2(CHARACTERS)),
        case(V1, "", "m v=1", 400, &error("no db destination provided")),
        case(
            V1,
            "precision=s",
            "m v=1",
            400,
            &error("failed to deserialize db/rp/precision in request: missing field `db`"),
        ),
        case(V1, "db=_bad", "m v=1", 400, &error(START)),
        case(V1, "db=a/b&rp=c", "m v=1", 400, &error(RP_FORM)),
        case(V1, "db=a&rp=b.c", "m v=1", 400, &error(CHARACTERS)),
    ]
}

/// Invalid lines, on all three endpoints.
fn lines() -> Vec<RefusedRequest> {
    let conflict = "invalid column type for column 'v', expected iox::column_type::field::integer, got iox::column_type::field::float";
    let messages = [
        (
            "bad",
            "Expected at least one space character, got end of input",
        ),
        ("not line protocol", "No fields were provided"),
        ("m v=", "No fields were provided"),
        (",x=y v=1", "Invalid measurement was provided"),
        ("m,t= v=1", "Expected tag value, got ` v=1`"),
        ("m,t=a, v=1", "Expected tag key, got ` v=1`"),
        (
            "m v=1i x",
            "Could not parse entire line. Found trailing content: ` x`",
        ),
        (
            "m v=9223372036854775808i",
            "Unable to parse integer value `9223372036854775808`",
        ),
        (
            "m v=1i 1 x\r",
            "Could not parse entire line. Found trailing content: `x`",
        ),
        ("known v=1.5 1", conflict),
        (
            "known t=1i 1",
            "invalid column type for column 't', expected iox::column_type::tag, got iox::column_type::field::integer",
        ),
        (
            "known,v=x w=1i 1",
            "invalid column type for column 'v', expected iox::column_type::field::integer, got iox::column_type::tag",
        ),
        (
            "new a=1,a=2 1",
            "invalid line protocol - multiple instances of 'a' field found",
        ),
        (
            "new,t=1,t=2 a=1 1",
            "Must not contain duplicate tags, but 't' was repeated",
        ),
        ("new time=1 1", "'time' is a reserved column"),
        (
            "new __chunk_order=1 1",
            "'__chunk_order' is a reserved column",
        ),
        (
            "new v=1 9223372036854775807",
            "timestamp, 9223372036854775807, out of range for precision: Second",
        ),
    ];
    let mut cases = Vec::new();
    for (text, message) in messages {
        // One line ends with a carriage return, which is part of the line break and is not shown.
        let body = format!("# comment\nknown,t=a v=1i 1\n\n{text}\nknown,t=a v=2i 2\n");
        let shown = text.trim_end();
        cases.push(case(
            V3,
            "db=w&precision=second",
            &body,
            400,
            &partial(&[(2, shown, message)]),
        ));
        cases.push(case(
            V3,
            "db=w&precision=second&accept_partial=false",
            &body,
            400,
            &whole(2, shown, message),
        ));
        cases.push(case(
            V1,
            "db=w&precision=s&accept_partial=false",
            &body,
            400,
            &whole(2, shown, message),
        ));
        let v2_message = format!("write buffer error: line protocol parse failed: {message}");
        cases.push(case(
            V2,
            "bucket=w&precision=s&accept_partial=false",
            &body,
            400,
            &v2(&v2_message),
        ));
    }
    cases
}

/// Invalid bodies.
fn bodies() -> Vec<RefusedRequest> {
    let empty = "incoming write was empty";
    let no_database = error("database not found: \"unknown\"");
    let v2_empty = v2("write buffer error: incoming write was empty");
    let mut cases = Vec::new();
    for body in ["", "\n\n   \n", "# only\n# comments\n"] {
        cases.push(case(V3, "db=w", body, 400, empty));
        cases.push(case(V3, "db=unknown", body, 400, empty));
        cases.push(case(V1, "db=unknown", body, 404, &no_database));
        cases.push(case(V1, "db=w&accept_partial=false", body, 400, empty));
        cases.push(case(V2, "bucket=w", body, 400, &v2_empty));
    }
    let not_utf8 = b"cpu s=\"\xff\xfe\" 1";
    let message = "body content is not valid utf8: invalid utf-8 sequence of 1 bytes from index 7";
    for (path, query, answer) in [
        (V3, "db=w", message.to_owned()),
        (V1, "db=w&accept_partial=false", message.to_owned()),
        (V2, "bucket=w&accept_partial=false", v2(message)),
    ] {
        let (path, _, status, answer) = case(path, query, "", 400, &answer);
        cases.push((path, not_utf8.to_vec(), status, answer));
    }
    let large = "m v=1 1\n".repeat(200);
    let message = "max request size (1000 bytes) exceeded";
    cases.push(case(V3, "db=w", &large, 413, message));
    cases.push(case(V1, "db=w", &large, 413, &error(message)));
    let answer =
        r#"{"code":"request too large","message":"max request size (1000 bytes) exceeded"}"#;
    cases.push(case(V2, "bucket=w", &large, 413, answer));
    cases
}

async fn prepared() -> (WriteTestBed, WriteInstance) {
    let stage = WriteTestBed::new();
    let instance = stage.instance_with(WriteSettings {
        max_request_bytes: 1000,
        ..WriteSettings::default()
    });
    let reply = instance.write("w", "known,t=a v=1i 1").await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    (stage, instance)
}

#[tokio::test(start_paused = true)]
async fn refused_requests_answer_like_influxdb() {
    let (_stage, instance) = prepared().await;
    let cases = [requests(), lines(), bodies()].concat();
    assert!(cases.len() >= 60);
    for (path, body, status, answer) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let reply = instance.post(&path, body).await;
        assert_eq!(
            (reply.status, reply.body),
            (status, answer),
            "{path}\n{shown}"
        );
        for header in ["content-type", "access-control-allow-origin", "retry-after"] {
            assert_eq!(reply.headers.get(header), None, "{path}");
        }
        assert!(reply.headers.contains_key("cluster-uuid"));
    }
    assert_eq!(instance.tables("w").await, ["known t,v"]);
}

#[tokio::test(start_paused = true)]
async fn unknown_precisions_are_refused() {
    let (_stage, instance) = prepared().await;
    let old = "failed to deserialize org/bucket/precision in request: ";
    for (path, start) in [
        (
            format!("{V3}?db=w"),
            format!("serde error: {NO_SUCH_PRECISION}`auto`"),
        ),
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
        assert_eq!(
            instance.post(&empty, "m v=1").await.status,
            status,
            "{path}"
        );
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
async fn encodings_are_decoded_or_refused() {
    let (stage, instance) = prepared().await;
    let v3 = format!("{V3}?db=w");
    let members = [gzip("known v=1i 1\nknown v="), gzip("2i 2\n")].concat();
    let reply = instance.send(encoded(&v3, "gzip", members)).await;
    assert_eq!(
        (reply.status, stage.rows().await),
        (204, 3),
        "{}",
        reply.body
    );
    let plain = b"known v=1i 1".to_vec();
    let reply = instance.send(encoded(&v3, "identity", plain.clone())).await;
    assert_eq!(reply.status, 204);

    let bomb = gzip(&"m v=1 1\n".repeat(200));
    assert!(bomb.len() < 1000);
    let v2_path = format!("{V2}?bucket=w");
    let not_gzip = "error decoding gzip stream: invalid gzip header";
    let too_large = "max request size (1000 bytes) exceeded";
    for (path, encoding, body, status, answer) in [
        (&v3, "gzip", plain.clone(), 400, not_gzip.to_owned()),
        (&v2_path, "gzip", plain.clone(), 400, v2(not_gzip)),
        (
            &v3,
            "br",
            plain.clone(),
            400,
            "unacceptable content-encoding: br".to_owned(),
        ),
        (
            &v2_path,
            "br",
            plain,
            400,
            v2("unacceptable content-encoding: br"),
        ),
        (&v3, "gzip", bomb, 413, too_large.to_owned()),
    ] {
        let reply = instance.send(encoded(path, encoding, body)).await;
        assert_eq!(
            (reply.status, reply.body),
            (status, answer),
            "{path} {encoding}"
        );
    }
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
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (400, "header x-neap-stamp is not a stamp")
    );
    let reply = send(&format!("{V2}?bucket=w"), "soon").await;
    assert_eq!(
        (reply.status, reply.body),
        (400, v2("header x-neap-stamp is not a stamp"))
    );
    assert_eq!(send(&v3, "18446744073709551615").await.status, 400);
    let ahead = |seconds: u64| ((1_700_000_000 + seconds) * 1_000_000) << 12;
    let reply = send(&v3, &ahead(30).to_string()).await;
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains_key("retry-after"));
    let reply = send(&v3, &ahead(1).to_string()).await;
    assert!(reply.stamp().unwrap() > ahead(1), "{}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn other_methods_are_not_found() {
    let (_stage, instance) = prepared().await;
    for path in [V3, V2, V1] {
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            let request = Request::builder().method(method).uri(format!("{path}?db=w&bucket=w"));
            let reply = instance.send(request.body(Body::from("m v=1")).unwrap()).await;
            assert_eq!((reply.status, reply.body.as_str()), (404, "Not found"));
            assert_eq!(reply.headers.get("allow"), None);
        }
    }
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
    assert_eq!(
        (reply.status, reply.body),
        (422, partial(&[(1, "m x=1 1", columns)]))
    );
    let path = "/api/v3/write_lp?db=d&accept_partial=false";
    let reply = instance.post(path, "m x=1 1\nm v=2 2").await;
    assert_eq!(
        (reply.status, reply.body),
        (400, whole(1, "m x=1 1", columns))
    );

    let tags = "Update to schema would exceed number of tag columns per table limit of 1 columns";
    let reply = instance.write("d", "n,a=1,b=1 v=1 1").await;
    assert_eq!(
        (reply.status, reply.body),
        (422, partial(&[(1, "n,a=1,b=1 v=1 1", tags)]))
    );

    let before = stage.rows().await;
    let tables = "Update to schema would exceed number of tables limit: attempted to create table but already have 3 table(s) (limit: 3)";
    let reply = instance.write("d", "a v=1 1\nb v=1 1\nc v=1 1\na v=2 2\nd v=1 1").await;
    let refused = partial(&[(3, "c v=1 1", tables), (5, "d v=1 1", tables)]);
    assert_eq!((reply.status, reply.body), (422, refused));
    assert_eq!(stage.rows().await, before + 3);
    assert_eq!(instance.tables("d").await, ["m t,v,w", "a v", "b v"]);
}
