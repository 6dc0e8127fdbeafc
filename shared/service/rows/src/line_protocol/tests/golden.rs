//! Compares the parser with the recorded answers of InfluxDB 3 to writes: the same lines are accepted, and the others
//! are refused with the same texts.

use serde_json::{Value, json};

use super::*;
use crate::{SchemaLimits, line_protocol::Precision};

/// The error text of recorded cases that are not decided by the parser.
const TABLE_LIMIT_ERROR: &str = "exceed number of tables limit";

/// The case with carriage returns before newlines, which other libraries of InfluxData accept.
const CARRIAGE_RETURNS: &str = "crlf";

/// The case with floats that have no digits before or after the point. InfluxDB 1 and 2 accept them, and so does Neap.
/// All of them refuse the line because of another float.
const FLOAT_FORMS: &str = "lp-float-forms";

#[test]
fn writes_are_answered_as_recorded() {
    let Some(recording) = read_outside("golden/influxdb3-core.json") else {
        return;
    };
    let mut compared = 0;
    for suite in recording["suites"].as_array().unwrap() {
        // In the other suites, tables are created by other requests, too.
        if !matches!(suite["suite"].as_str(), Some("write" | "limits")) {
            continue;
        }
        let mut databases: HashMap<String, TestDatabase> = HashMap::new();
        for case in suite["cases"].as_array().unwrap() {
            let path = case["path"].as_str().unwrap_or_default();
            if matches!(path, "/api/v3/write_lp" | "/api/v2/write" | "/write") {
                compared += usize::from(compare(case, path, &mut databases));
            }
        }
    }
    assert!(compared > 80, "only {compared} writes were found");
}

/// Compares one case. Returns false if its answer was not decided by the parser.
fn compare(case: &Value, path: &str, databases: &mut HashMap<String, TestDatabase>) -> bool {
    let Some(body) = body(case) else { return false };
    let answer = &case["answer"];
    let recorded = answer["body"].as_str().unwrap_or_default();
    let expected = match answer["status"].as_u64() {
        Some(204) => Vec::new(),
        Some(400 | 422) if !recorded.contains(TABLE_LIMIT_ERROR) => match recorded_errors(recorded)
        {
            Some(errors) => errors,
            None => return false,
        },
        _ => return false,
    };
    let query = &case["query"];
    let name = query["db"].as_str().or(query["bucket"].as_str()).unwrap_or_default();
    let is_partial = path == "/api/v3/write_lp" && query["accept_partial"] != "false";
    let options = Options {
        precision: match query["precision"].as_str() {
            Some("s" | "second") => Precision::Second,
            Some("ms" | "millisecond") => Precision::Millisecond,
            Some("u" | "us" | "microsecond") => Precision::Microsecond,
            Some("n" | "ns" | "nanosecond") => Precision::Nanosecond,
            _ if path == "/api/v3/write_lp" => Precision::Auto,
            _ => Precision::Nanosecond,
        },
        stop_at_first_error: !is_partial,
        limits: SchemaLimits {
            max_columns_per_table: Some(500),
            max_tags_per_table: None,
            auto_create: neap_schema::AutoCreate::All,
        },
        ..Options::default()
    };
    let database = databases.entry(name.to_owned()).or_default();
    let parsed = parse(body.as_bytes(), database, &options).unwrap();
    let mut errors: Vec<Value> = parsed
        .errors
        .iter()
        .map(|error| json!({"number": error.line_number, "message": error.error_message}))
        .collect();
    if path == "/api/v2/write" {
        // This answer has no line number.
        errors.iter_mut().for_each(|error| error["number"] = Value::Null);
    }
    if case["id"] == CARRIAGE_RETURNS {
        assert!(errors.is_empty());
    } else if case["id"] == FLOAT_FORMS {
        let message = "Could not parse entire line. Found trailing content: `,d=+2.5,e=...`";
        assert_eq!(errors, [json!({"number": 1, "message": message})]);
    } else {
        assert_eq!(errors, expected, "{}", case["id"]);
    }
    if is_partial || errors.is_empty() {
        database.apply(&parsed);
    }
    true
}

/// Returns the line errors in an answer; `None` if the answer is about something else.
fn recorded_errors(answer: &str) -> Option<Vec<Value>> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let v2 = "write buffer error: line protocol parse failed: ";
    if let Some(message) = answer["message"].as_str().and_then(|text| text.strip_prefix(v2)) {
        return Some(vec![json!({"number": null, "message": message})]);
    }
    let data = match &answer["data"] {
        Value::Array(errors) => errors.clone(),
        Value::Object(_) => vec![answer["data"].clone()],
        _ => return None,
    };
    let line =
        |error: &Value| json!({"number": error["line_number"], "message": error["error_message"]});
    Some(data.iter().map(line).collect())
}

/// Returns the text of a request's body; `None` if it is not given as text.
fn body(case: &Value) -> Option<String> {
    if let Some(body) = case["body"].as_str() {
        return Some(body.to_owned());
    }
    let repeat = case["repeat"].as_object()?;
    let text = |name| repeat.get(name).and_then(Value::as_str).unwrap_or_default();
    let times = repeat.get("times")?.as_u64()?;
    let copies: Vec<_> = (0..times).map(|i| text("text").replace("{i}", &i.to_string())).collect();
    Some(text("before").to_owned() + &copies.join(text("separator")) + text("after"))
}
