//! The parts of a request that plugins receive, and how they answer.

use std::{io::Write, net::TcpStream};

use serde_json::{Value, json};

use super::fixture::{DB, PluginServerFixture, TriggerDefinition};
use crate::harness::Reply;

#[test]
fn a_plugin_receives_a_request_without_its_token() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("echo", "echo.py", "request:a/b/echo")
        .with(&[("k", "v")])
        .create(&stage);
    let path = "/api/v3/engine/a/b/echo?a=1&b=%C3%BC%20x&a=2&empty=";
    let request = stage
        .server
        .request("POST", path)
        .header("X-Kind", "Special")
        .header("authorization", "Bearer apiv3_secret")
        .body("héllo");
    let reply = Reply::receive(request).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let answer: Value = serde_json::from_slice(&reply.bytes).unwrap();
    let expected = json!({
        "method": "POST",
        "query": { "a": "2", "b": "ü x", "empty": "" },
        "headers": { "x-kind": "Special" },
        "body": "héllo",
        // Changes that the plugin made to its arguments are not visible to later runs.
        "args": { "k": "v" },
    });
    for _ in 0..2 {
        assert_eq!(answer, expected);
    }
    let again: Value = serde_json::from_slice(&stage.ask("a/b/echo").bytes).unwrap();
    let expected =
        json!({ "method": "GET", "query": {}, "headers": {}, "body": "", "args": { "k": "v" } });
    assert_eq!(again, expected);

    let reply = stage.ask("a/b");
    assert_eq!((reply.status, reply.text().as_str()), (404, "{error: \"not found\"}"));
    for method in ["PUT", "DELETE", "PATCH"] {
        let request = stage.server.request(method, "/api/v3/engine/a/b/echo");
        let reply = Reply::receive(request.body("sent")).unwrap();
        let answer: Value = serde_json::from_slice(&reply.bytes).unwrap();
        let told = (&answer["method"], &answer["body"]);
        assert_eq!(told, (&json!(method), &json!("sent")));
    }
}

/// Returns the status, the content type, the header `x-kind` and the body of an answer.
fn answer(stage: &PluginServerFixture, form: &str) -> (u16, String, String, Vec<u8>) {
    let reply = stage.ask(&format!("answers?form={form}"));
    let header = |name: &str| reply.header(name).unwrap_or_default().to_owned();
    let (kind, special) = (header("content-type"), header("x-kind"));
    (reply.status, kind, special, reply.bytes)
}

#[test]
fn a_plugin_answers_in_every_form() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("answers", "answers.py", "request:answers").create(&stage);
    let cases: [(&str, u16, &str, &str, &[u8]); 11] = [
        ("text", 200, "text/html", "", b"plain <b>text</b>"),
        (
            "dictionary",
            200,
            "application/json",
            "",
            "{\"a\": [1, null, true, 1.5], \"\\u00fc\": \"\\u00df\"}".as_bytes(),
        ),
        ("list", 200, "application/json", "", b"[1, \"two\"]"),
        ("status", 201, "text/html", "", b"made"),
        ("headers", 200, "application/json", "special", b"{\"a\": 1}"),
        ("all", 410, "text/csv", "old", b"gone"),
        ("number", 200, "text/plain", "", b"42"),
        ("flask", 418, "text/plain", "teapot", b"short and stout"),
        ("parts", 200, "text/html", "", b"onetwo"),
        ("nothing", 500, "", "", b""),
        ("object", 500, "", "", b""),
    ];
    for (form, status, kind, special, body) in cases {
        let (got_status, got_kind, got_special, got_body) = answer(&stage, form);
        let text = String::from_utf8_lossy(&got_body).into_owned();
        assert_eq!(got_status, status, "{form}: {text}");
        if status == 500 {
            let error: Value = serde_json::from_slice(&got_body).expect("JSON");
            assert!(error["error"].is_string(), "{form}: {text}");
            continue;
        }
        assert!(got_kind.starts_with(kind), "{form}: {got_kind}");
        assert_eq!(got_special, special, "{form}");
        assert_eq!(text, String::from_utf8_lossy(body), "{form}");
    }
    for form in ["wrong_status", "recursive", "no_such_form"] {
        let (status, _, _, body) = answer(&stage, form);
        assert_eq!(status, 500, "{form}: {}", String::from_utf8_lossy(&body));
    }
    // The plugin still answers.
    assert_eq!(answer(&stage, "text").0, 200);
}

#[test]
fn the_last_trigger_of_a_path_answers() {
    let stage = PluginServerFixture::new();
    stage.put("one.py", "def process_request(*_):\n    return 'one'\n");
    stage.put("two.py", "def process_request(*_):\n    return 'two'\n");
    TriggerDefinition::new("one", "one.py", "request:path").create(&stage);
    assert_eq!(stage.ask("path").text(), "one");
    stage.server.write("other", "begin value=1i 1");
    TriggerDefinition::new("two", "two.py", "request:path")
        .of("other")
        .create(&stage);
    super::fixture::eventually("answer", "two".to_owned(), || stage.ask("path").text());
}

/// Writes a row after the table `begin` has a second row.
const LATE: &str = r#"
import time


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    influxdb3_local.info("waiting")
    while len(influxdb3_local.query("SELECT * FROM begin")) < 2:
        time.sleep(0.01)
    influxdb3_local.write(LineBuilder("late").int64_field("value", 1).time_ns(1))
    return "done"
"#;

#[test]
fn a_run_goes_on_after_its_client_disconnects() {
    let stage = PluginServerFixture::new();
    stage.put("late.py", LATE);
    TriggerDefinition::new("late", "late.py", "request:late").create(&stage);
    let address = stage.server.url().strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let request = format!("GET /api/v3/engine/late HTTP/1.1\r\nhost: {address}\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    stage.wait_for_log("late", "waiting");
    drop(client);
    stage.wait_for_log("late", "WARN the client disconnected before the answer");
    stage.server.write(DB, "begin value=2i 2");
    stage.wait_for_rows("SELECT value FROM late", json!([{ "value": 1 }]));
}
