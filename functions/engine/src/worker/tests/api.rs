use super::*;
use crate::worker::tests::rows::home;

#[tokio::test]
async fn a_log_line_joins_its_arguments_as_strings() {
    let stage = WorkerFixture::of_body(
        r#"
local.info("a", 1, None, 2.5, {"k": [True]})
local.warn()
local.error("ä", "two\nlines")
print("printed", end="")
print(" and", "ended")
import sys
print("aside", file=sys.stderr)
sys.stdout.write("no line break")
return "", 204
"#,
    );
    assert_eq!(stage.respond().await.status, 204);
    let expected = [
        "INFO: a 1 None 2.5 {'k': [True]}",
        "WARN: ",
        "ERROR: ä two\nlines",
        "INFO: printed and ended",
        "WARN: aside",
        "INFO: no line break",
    ];
    assert_eq!(stage.recorder.log(), expected);
}

#[tokio::test]
async fn output_of_c_code_and_child_programs_is_logged() {
    let stage = WorkerFixture::of_body(
        r#"
import os, subprocess, time
os.write(1, b"by descriptor\n")
subprocess.run(["echo", "by a program"])
time.sleep(0.2)
return ""
"#,
    );
    stage.respond().await;
    assert_eq!(stage.recorder.log(), ["INFO: by descriptor", "INFO: by a program"]);
}

#[tokio::test]
async fn queued_lines_come_by_database_when_the_run_succeeds() {
    let stage = WorkerFixture::of_body(
        r#"
local.write(LineBuilder("m").tag("t", "a").int64_field("f", 1).time_ns(5))
local.write_to_db("other", LineBuilder("n").string_field("s", "two\nlines"))
local.write(LineBuilder("m").float64_field("ä", 0.5))
class Own:
    def build(self):
        return "own f=1"
local.write(Own())
if query.get("fail"):
    raise ValueError("no")
return ""
"#,
    );
    let mut queued = lines("home", &["m,t=a f=1i 5", "m ä=0.5", "own f=1"]);
    queued.append(&mut lines("other", &["n s=\"two\nlines\""]));
    assert_eq!(stage.run().await.unwrap().queued, queued);
    let mut failing = stage.run.clone();
    failing.call = PluginInput::Request {
        method: "GET".to_owned(),
        query: vec![("fail".to_owned(), "1".to_owned())],
        headers: Vec::new(),
        body: Bytes::new(),
    };
    let error = stage.workers.run(failing).await.unwrap_err();
    assert_eq!(error.to_string(), "Python function call failed: ValueError: no");
    assert_eq!(stage.run().await.unwrap().queued, queued, "nothing is left of a failed run");
}

#[tokio::test]
async fn many_lines_come_whole_and_in_order() {
    let stage = WorkerFixture::of_body(
        r#"
for i in range(20_000):
    local.write(LineBuilder("m").string_field("padding", "x" * 40).int64_field("i", i))
return ""
"#,
    );
    let queued = stage.run().await.unwrap().queued;
    let lines = &queued["home"];
    assert_eq!(lines.len(), 20_000);
    let expected = |i: usize| format!("m padding=\"{}\",i={i}i", "x".repeat(40));
    assert!(lines.iter().enumerate().all(|(i, line)| *line == expected(i)));
}

#[tokio::test]
async fn synchronous_writes_finish_before_they_return_and_raise_failures() {
    let stage = WorkerFixture::of_body(
        r#"
line = LineBuilder("m").int64_field("f", 1)
local.write_sync(line, False)
local.write_sync(line, no_sync=True)
local.write_sync_to_db("other", line, no_sync=False)
errors = []
for call in (
    lambda: local.write_sync_to_db("refused", line, False),
    lambda: local.write_sync(line, 1),
    lambda: local.write_sync(line),
    lambda: local.write_sync_to_db("_internal", line, False),
):
    try:
        call()
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
return errors
"#,
    );
    let errors: Vec<String> = serde_json::from_str(&stage.text().await).unwrap();
    assert_eq!(errors[0], "Exception: error writing line protocol to refused: not this one");
    assert_eq!(
        errors[1],
        "TypeError: argument 'no_sync': 'int' object is not an instance of 'bool'"
    );
    assert!(
        errors[2].starts_with("TypeError: ") && errors[2].contains("no_sync"),
        "{}",
        errors[2]
    );
    assert_eq!(errors[3], "Exception: Python plugins cannot write to the _internal database");
    let line = || "m f=1i".to_owned();
    let expected = [
        ("home".to_owned(), line(), false),
        ("home".to_owned(), line(), true),
        ("other".to_owned(), line(), false),
    ];
    assert_eq!(*stage.recorder.written.lock().unwrap(), expected);
}

#[tokio::test]
async fn invalid_lines_raise_where_they_are_written() {
    let stage = WorkerFixture::of_body(
        r#"
class Nonsense:
    def build(self):
        return 7
class Raises:
    def build(self):
        raise KeyError("inside")
errors = []
for call in (
    lambda: local.write("a line"),
    lambda: local.write(Nonsense()),
    lambda: local.write(Raises()),
    lambda: local.write(LineBuilder("m")),
    lambda: local.write_to_db(3, LineBuilder("m").int64_field("f", 1)),
    lambda: local.write_to_db("_internal", LineBuilder("m").int64_field("f", 1)),
    lambda: local.write(LineBuilder("m").string_field("s", "\ud800")),
):
    try:
        call()
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
return errors
"#,
    );
    let errors: Vec<String> = serde_json::from_str(&stage.text().await).unwrap();
    let expected = [
        "AttributeError: 'str' object has no attribute 'build'",
        "TypeError: 'int' object is not an instance of 'str'",
        "KeyError: 'inside'",
        "InvalidLineError: At least one field is required: m",
        "TypeError: argument 'db_name': 'int' object is not an instance of 'str'",
        "Exception: Python plugins cannot write to the _internal database",
        "UnicodeEncodeError: 'utf-8' codec can't encode character '\\ud800' in position 5: surrogates not allowed",
    ];
    assert_eq!(errors, expected);
}

#[tokio::test]
async fn a_query_gives_a_list_of_dicts_and_passes_its_parameters_on() {
    let stage = WorkerFixture::of_body(
        r#"
rows = local.query("SELECT 1")
local.query("SELECT $a", {"a": "x"})
local.query(query="SELECT 2", args=None, database="other")
return [rows, local.query("SELECT 3", {}, "other") == rows]
"#,
    );
    *stage.recorder.answer.lock().unwrap() = vec![home(), home()];
    let row = r#"{"room": "Kitchen", "co": null, "temp": 21.5, "ok": true, "note": "a\"b", "n": 18446744073709551615, "time": 1704067200000000001}"#;
    let other =
        r#"{"room": null, "co": -4, "temp": NaN, "ok": false, "note": null, "n": 0, "time": -1}"#;
    let expected = format!("[[{row}, {other}, {row}, {other}], false]");
    // NaN is not equal to itself.
    assert_eq!(stage.text().await, expected);
    let ask = |database: &str, sql: &str, parameters: &[(&str, &str)]| {
        let parameters = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        (database.to_owned(), sql.to_owned(), parameters.collect())
    };
    let expected: [RecordedQuery; 4] = [
        ask("home", "SELECT 1", &[]),
        ask("home", "SELECT $a", &[("a", "x")]),
        ask("other", "SELECT 2", &[]),
        ask("other", "SELECT 3", &[]),
    ];
    assert_eq!(*stage.recorder.asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_query_that_fails_raises_and_the_next_one_works() {
    let stage = WorkerFixture::of_body(
        r#"
errors = []
for call in (
    lambda: local.query("SELECT wrong"),
    lambda: local.query("SELECT breaks", None, "other"),
    lambda: local.query(b"SELECT 1"),
    lambda: local.query("SELECT 1", {"a": 1}),
    lambda: local.query("SELECT 1", {1: "a"}),
    lambda: local.query("SELECT 1", ["a"]),
    lambda: local.query("SELECT 1", database=7),
):
    try:
        call()
    except Exception as error:
        errors.append(f"{type(error).__name__} {type(error).__bases__[0].__name__}: {error}")
return errors + [len(local.query("SELECT 1"))]
"#,
    );
    *stage.recorder.answer.lock().unwrap() = vec![home()];
    let answers: Vec<serde_json::Value> = serde_json::from_str(&stage.text().await).unwrap();
    let expected = [
        "QueryError Exception: error: no such table executing query on home: SELECT wrong",
        "QueryError Exception: error: it broke off executing query on other: SELECT breaks",
        "TypeError Exception: argument 'query': 'bytes' object is not an instance of 'str'",
        "TypeError Exception: argument 'args': 'int' object is not an instance of 'str'",
        "TypeError Exception: argument 'args': 'int' object is not an instance of 'str'",
        "TypeError Exception: argument 'args': 'list' object is not an instance of 'dict'",
        "TypeError Exception: argument 'database': 'int' object is not an instance of 'str'",
    ];
    assert_eq!(answers[..7], expected);
    assert_eq!(answers[7], 2);
}

#[tokio::test]
async fn an_empty_result_is_an_empty_list() {
    let stage = WorkerFixture::of_body("return [local.query('SELECT 1')]");
    assert_eq!(stage.text().await, "[[]]");
    *stage.recorder.answer.lock().unwrap() = vec![home().slice(0, 0)];
    assert_eq!(stage.text().await, "[[]]");
}

#[tokio::test]
async fn threads_of_a_plugin_use_the_database_together() {
    let stage = WorkerFixture::of_body(
        r#"
from concurrent.futures import ThreadPoolExecutor
def work(i):
    local.info("t", i)
    local.write(LineBuilder("m").int64_field("f", i))
    local.cache.put(str(i), i, use_global=True)
    return len(local.query("SELECT 1")) + local.cache.get(str(i), use_global=True)
with ThreadPoolExecutor(8) as pool:
    return [sum(pool.map(work, range(100)))]
"#,
    );
    *stage.recorder.answer.lock().unwrap() = vec![home()];
    let finished = stage.run().await.unwrap();
    assert_eq!(&*finished.response.unwrap().body, b"[5150]");
    assert_eq!(finished.queued["home"].len(), 100);
    assert_eq!(stage.recorder.log().len(), 100);
}

#[tokio::test]
async fn a_cached_api_object_of_an_earlier_run_serves_the_run_in_progress() {
    let stage = WorkerFixture::of_body(
        r#"
class Connection:
    def __init__(self, local):
        self.local = local
connection = local.cache.get("connection")
if connection is None:
    local.cache.put("connection", Connection(local))
    return "first"
kept = connection.local
kept.info("again")
kept.write(LineBuilder("m").int64_field("f", 1))
kept.write_sync(LineBuilder("m").int64_field("f", 2), no_sync=True)
kept.cache.put("n", 3)
return [len(kept.query("SELECT 1")), local.cache.get("n")]
"#,
    );
    assert_eq!(stage.text().await, "first");
    *stage.recorder.answer.lock().unwrap() = vec![home()];
    let finished = stage.run().await.unwrap();
    assert_eq!(&*finished.response.unwrap().body, b"[2, 3]");
    assert_eq!(finished.queued["home"], ["m f=1i"]);
    assert_eq!(stage.recorder.log(), ["INFO: again"]);
    let written = ("home".to_owned(), "m f=2i".to_owned(), true);
    assert_eq!(*stage.recorder.written.lock().unwrap(), [written]);
}

#[tokio::test]
async fn an_api_object_is_unusable_in_a_run_for_another_database() {
    let mut stage = WorkerFixture::of_body(
        r#"
kept = local.cache.get("kept")
if kept is None:
    local.cache.put("kept", local)
    return "first"
errors = []
for call in (
    lambda: kept.info("late"),
    lambda: kept.write(LineBuilder("m").int64_field("f", 1)),
    lambda: kept.query("SELECT 1"),
):
    try:
        call()
    except RuntimeError as error:
        errors.append(str(error))
return errors
"#,
    );
    assert_eq!(stage.text().await, "first");
    stage.run.database_name = "elsewhere".into();
    let errors: Vec<String> = serde_json::from_str(&stage.text().await).unwrap();
    assert_eq!(errors, ["the run that this influxdb3_local belongs to has ended"; 3]);
    assert_eq!(stage.recorder.log(), [""; 0]);
}

#[tokio::test]
async fn line_builder_writes_and_refuses_what_that_of_influxdb_does() {
    let stage = WorkerFixture::of_body(
        r#"
from __main__ import InfluxDBError, InvalidKeyError, InvalidLineError, InvalidMeasurementError
def attempt(build):
    try:
        return build()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
B = LineBuilder
return [attempt(build) for build in (
    lambda: B("m").tag("a", "x y,z=\\").tag("b", 7).int64_field("i", -1).build(),
    lambda: B("a,b").uint64_field("u", 2**64 - 1).bool_field("t", 1).bool_field("f", "").build(),
    lambda: B("m").float64_field("a", 3).float64_field("b", 1e300).float64_field("c", -0.5).build(),
    lambda: B("m").float64_field("n", float("nan")).float64_field("i", float("inf")).build(),
    lambda: B("m").string_field("s", 'say "hi" \\ a, b=c').time_ns(-5).build(),
    lambda: B("m").int64_field("k\\", 1).tag("t", "1").int64_field("l", 2).tag("t", "2").int64_field("k\\", 3).time_ns(0).build(),
    lambda: B("m").tag("empty", "").int64_field("f", True).build(),
    lambda: B("a b"),
    lambda: B("m").tag("", 1),
    lambda: B("m").tag("a b", 1),
    lambda: B("m").int64_field("", 1),
    lambda: B("m").float64_field("a,b", 1),
    lambda: B("m").bool_field("a=b", True),
    lambda: B("m").uint64_field("u", -1),
    lambda: B("m").float64_field("f", "x"),
    lambda: B("m").string_field("s", 7),
    lambda: B("a,b").tag("t", "x y").build(),
    lambda: [issubclass(e, InfluxDBError) for e in (InvalidKeyError, InvalidLineError, InvalidMeasurementError)],
)]
"#,
    );
    insta::assert_snapshot!(stage.text().await.replace("\", \"", "\",\n \""));
}

#[tokio::test]
async fn a_schedule_sees_whole_seconds_without_a_zone() {
    let mut stage = WorkerFixture::new(
        r#"
def process_scheduled_call(influxdb3_local, call_time, args=None):
    influxdb3_local.info(repr(call_time), args, influxdb3_local.batch_id, influxdb3_local.batch_stamp)
"#,
    );
    let time = neap_bucket::StoreTime::from_micros(1_704_067_201_999_999);
    stage.run.call = PluginInput::Schedule { time };
    let finished = stage.run().await.unwrap();
    assert_eq!(finished.response, None);
    stage.run.arguments = Some(BTreeMap::from([("a".to_owned(), "ä".to_owned())]));
    stage.run.call = PluginInput::Schedule { time: neap_bucket::StoreTime::from_micros(-1) };
    stage.run().await.unwrap();
    let expected = [
        "INFO: datetime.datetime(2024, 1, 1, 0, 0, 1) None None None",
        "INFO: datetime.datetime(1969, 12, 31, 23, 59, 59) {'a': 'ä'} None None",
    ];
    assert_eq!(stage.recorder.log(), expected);
}

#[tokio::test]
async fn a_request_comes_as_dicts_and_bytes() {
    let mut stage =
        WorkerFixture::of_body("return [query, headers, body.hex(), args, local.method]");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    stage.run.call = PluginInput::Request {
        method: "PUT".to_owned(),
        query: vec![pair("a", "1"), pair("b", "ä"), pair("a", "2")],
        headers: vec![pair("X-Own", "v"), pair("Authorization", "Bearer secret")],
        body: Bytes::from_static(b"\x00\xff"),
    };
    let expected = r#"[{"a": "2", "b": "\u00e4"}, {"x-own": "v"}, "00ff", null, "PUT"]"#;
    assert_eq!(stage.text().await, expected);
}
