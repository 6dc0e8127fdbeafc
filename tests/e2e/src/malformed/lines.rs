//! Malformed writes.

use super::{CHARACTERS, MalformedRequest, case, error, v2};
use crate::harness::gzip;

const V3: &str = "/api/v3/write_lp";
const V2: &str = "/api/v2/write";
const V1: &str = "/write";

const START: &str = "db name did not start with a number or letter";
const RP_FORM: &str = "db name with invalid retention policy, if providing a retention policy name, must be of form '<db_name>/<rp_name>'";
const TOO_LARGE: &str = "max request size (1000000 bytes) exceeded";
const NOT_UTF8: &str =
    "body content is not valid utf8: invalid utf-8 sequence of 1 bytes from index 7";
const NO_BOOLEAN: &str = "serde error: provided string was not `true` or `false`";

pub(super) fn cases() -> Vec<MalformedRequest> {
    let mut cases = targets();
    cases.extend(lines());
    cases.extend(bodies());
    cases.extend(encodings());
    cases
}

/// Errors that the server detects before it reads the body.
fn targets() -> Vec<MalformedRequest> {
    let long = "x".repeat(512);
    let precisions = "expected one of `auto`, `s`, `second`, `millisecond`, `ms`, `microsecond`, `u`, `us`, `n`, `nanosecond`, `ns`";
    let old = precisions.replace("`auto`, ", "");
    let refused = [
        (V3.to_owned(), "missing query parameter 'db'".to_owned()),
        (format!("{V3}?precision=second"), "serde error: missing field `db`".to_owned()),
        (format!("{V3}?org=o&bucket=b"), "serde error: missing field `db`".to_owned()),
        (format!("{V3}?db=w&db=v"), "serde error: duplicate field `db`".to_owned()),
        (format!("{V3}?db=w&accept_partial=yes"), NO_BOOLEAN.to_owned()),
        (format!("{V3}?db=w&no_sync=1"), NO_BOOLEAN.to_owned()),
        (
            format!("{V3}?db=w&precision=minute"),
            format!("serde error: unknown variant `minute`, {precisions}"),
        ),
        (format!("{V3}?db="), error("db name cannot be empty")),
        (format!("{V3}?db=_bad"), error(START)),
        (format!("{V3}?db=-bad"), error(START)),
        (format!("{V3}?db=_internal"), error(START)),
        (format!("{V3}?db=a.b"), error(CHARACTERS)),
        (format!("{V3}?db=a%20b"), error(CHARACTERS)),
        (format!("{V3}?db=temp%C3%A9"), error(CHARACTERS)),
        (format!("{V3}?db=a/"), error(RP_FORM)),
        (format!("{V3}?db=a/b/c"), error(RP_FORM)),
        (format!("{V3}?db={long}"), error("db name too long: max 511")),
        (V2.to_owned(), v2("missing bucket value")),
        (format!("{V2}?org=o"), v2("missing bucket value")),
        (format!("{V2}?bucket="), v2("missing bucket value")),
        (format!("{V2}?bucket=_bad"), v2(START)),
        (format!("{V2}?bucket=a.b"), v2(CHARACTERS)),
        (
            format!("{V2}?bucket=w&precision=h"),
            v2(&format!(
                "failed to deserialize org/bucket/precision in request: unknown variant `h`, {old}"
            )),
        ),
        (V1.to_owned(), error("no db destination provided")),
        (
            format!("{V1}?precision=s"),
            error("failed to deserialize db/rp/precision in request: missing field `db`"),
        ),
        (format!("{V1}?db=_bad"), error(START)),
        (format!("{V1}?db=a/b&rp=c"), error(RP_FORM)),
        (format!("{V1}?db=a&rp=b.c"), error(CHARACTERS)),
    ];
    let mut cases: Vec<_> = refused
        .into_iter()
        .map(|(target, answer)| case("POST", target, "m v=1", 400, answer))
        .collect();
    let no_stamp = "header x-neap-stamp is not a stamp";
    let target = format!("{V3}?db=w");
    cases.push(case("POST", target, "m v=1", 400, no_stamp).with("x-neap-stamp", "soon"));
    cases
}

/// Returns a refused line in an error body: its number, its text, and its error.
fn refused(number: usize, text: &str, message: &str) -> String {
    let (text, message) = (serde_json::json!(text), serde_json::json!(message));
    format!(r#"{{"error_message":{message},"line_number":{number},"original_line":{text}}}"#)
}

/// Errors of a line, on each of the three endpoints.
fn lines() -> Vec<MalformedRequest> {
    let lines = r#"
        bad ==> Expected at least one space character, got end of input
        not line protocol ==> No fields were provided
        m v= ==> No fields were provided
        ,x=y v=1 ==> Invalid measurement was provided
        m,t= v=1 ==> Expected tag value, got ` v=1`
        m,t=a, v=1 ==> Expected tag key, got ` v=1`
        m v=1i x ==> Could not parse entire line. Found trailing content: ` x`
        m v=9223372036854775808i ==> Unable to parse integer value `9223372036854775808`
        known t=1i 1 ==> invalid column type for column 't', expected iox::column_type::tag, got iox::column_type::field::integer
        known,v=x w=1i 1 ==> invalid column type for column 'v', expected iox::column_type::field::integer, got iox::column_type::tag
        known v=1.5 1 ==> invalid column type for column 'v', expected iox::column_type::field::integer, got iox::column_type::field::float
        known t="a" 1 ==> invalid column type for column 't', expected iox::column_type::tag, got iox::column_type::field::string
        new a=1,a=2 1 ==> invalid line protocol - multiple instances of 'a' field found
        new,t=1,t=2 a=1 1 ==> Must not contain duplicate tags, but 't' was repeated
        new time=1 1 ==> 'time' is a reserved column
        new __chunk_order=1 1 ==> '__chunk_order' is a reserved column
        new v=1 9223372036854775807 ==> timestamp, 9223372036854775807, out of range for precision: Second
    "#;
    let mut cases = Vec::new();
    for (text, message) in neap_test_inputs::text_pairs(lines)
        .chain([("m v=1i 1 x\r", "Could not parse entire line. Found trailing content: `x`")])
    {
        // The good lines of a partial write belong to an existing table, so that no column is new.
        let body = format!("# comment\nknown,t=a v=1i 1\n\n{text}\nknown,t=a v=2i 2\n");
        // One line ends with a carriage return, which is part of the line break and is not shown.
        let shown = text.trim_end();
        let line = refused(2, shown, message);
        let whole = format!(r#"{{"error":"parsing failed for write_lp endpoint","data":{line}}}"#);
        let target = format!("{V3}?db=w&precision=second&accept_partial=false");
        cases.push(case("POST", target, body.clone(), 400, whole.clone()));
        cases.push(case(
            "POST",
            format!("{V1}?db=w&precision=s&accept_partial=false"),
            body.clone(),
            400,
            whole,
        ));
        let old = v2(&format!("write buffer error: line protocol parse failed: {message}"));
        cases.push(case(
            "POST",
            format!("{V2}?bucket=w&precision=s&accept_partial=false"),
            body,
            400,
            old,
        ));
        let line = refused(1, shown, message);
        let partial =
            format!(r#"{{"error":"partial write of line protocol occurred","data":[{line}]}}"#);
        cases.push(case(
            "POST",
            format!("{V3}?db=w&precision=second"),
            format!("{text}\n"),
            400,
            partial,
        ));
    }
    cases
}

/// Errors of a complete body.
fn bodies() -> Vec<MalformedRequest> {
    let empty = "incoming write was empty";
    let no_database = error("database not found: \"unknown\"");
    let v2_empty = v2("write buffer error: incoming write was empty");
    let mut cases = Vec::new();
    for body in ["", "\n\n   \n", "# only\n# comments\n"] {
        cases.push(case("POST", format!("{V3}?db=w"), body, 400, empty));
        cases.push(case("POST", format!("{V3}?db=unknown"), body, 400, empty));
        let target = format!("{V1}?db=w&accept_partial=false");
        cases.push(case("POST", target, body, 400, empty));
        cases.push(case("POST", format!("{V1}?db=unknown"), body, 404, no_database.clone()));
        cases.push(case("POST", format!("{V2}?bucket=w"), body, 400, v2_empty.clone()));
    }
    let not_utf8 = b"cpu s=\"\xff\xfe\" 1";
    // Far more than the buffers of a connection hold: the answer arrives while the client still sends.
    let large = "m v=1 1\n".repeat(2_000_000);
    for (target, is_v2) in [
        ("/api/v3/write_lp?db=w", false),
        ("/write?db=w&accept_partial=false", false),
        ("/api/v2/write?bucket=w&accept_partial=false", true),
    ] {
        let text = |message: &str| {
            if is_v2 {
                v2(message)
            } else {
                message.to_owned()
            }
        };
        cases.push(case("POST", target, not_utf8.to_vec(), 400, text(NOT_UTF8)));
        let too_large = text(TOO_LARGE).replace("\"invalid\"", "\"request too large\"");
        cases.push(case("POST", target, large.clone(), 413, too_large));
    }
    let target = format!("{V1}?db=w");
    cases.push(case("POST", target, large.clone(), 413, error(TOO_LARGE)));
    cases.push(case("POST", format!("{V3}?db=a.b"), large, 400, error(CHARACTERS)));
    cases
}

/// Errors in the encoding of a body.
fn encodings() -> Vec<MalformedRequest> {
    let target = format!("{V3}?db=w");
    let post = |body: Vec<u8>, encoding, status, answer: &str| {
        case("POST", target.clone(), body, status, answer).with("Content-Encoding", encoding)
    };
    let v2_target = format!("{V2}?bucket=w");
    let no_gzip = "error decoding gzip stream: invalid gzip header";
    let complete = gzip("m v=1 1");
    let cut = complete[..complete.len() - 4].to_vec();
    let corrupt =
        "error decoding gzip stream: corrupt gzip stream does not have a matching checksum";
    let plain = b"known v=1i 1".to_vec();
    vec![
        post(plain.clone(), "gzip", 400, no_gzip),
        post(cut, "gzip", 400, corrupt),
        post(plain.clone(), "br", 400, "unacceptable content-encoding: br"),
        post(plain.clone(), "GZIP", 400, "unacceptable content-encoding: GZIP"),
        post(gzip("m v=1 1\n".repeat(200_000)), "gzip", 413, TOO_LARGE),
        case("POST", v2_target.clone(), plain.clone(), 400, v2(no_gzip))
            .with("Content-Encoding", "gzip"),
        case("POST", v2_target, plain, 400, v2("unacceptable content-encoding: br"))
            .with("Content-Encoding", "br"),
    ]
}
