//! The decoding cases of the `influxdata/line-protocol` corpus.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{
    points::{Field, Point},
    *,
};
use crate::line_protocol::Precision;

/// The cases that are decoded differently because InfluxDB 3 does so, by reason.
const DIFFERENCES: [(&str, &[&str]); 2] = [
    (
        "two backslashes in names and tag values stand for one",
        &[
            "1a59bc6d85d51b80ba86085a625a6423",
            "2fff245fc564b6eaadbb607d49b71f7b",
            "40f7f7ab020c18e8a63082bef4f76913",
            "8e68e2d04493b98acd3e0815559a60e7",
            "963a96bfb9995ecef855259b88d68a96",
            "d1955fe5a9a1f0e11ece309eff8f2c74",
            "e59e8a621a64d338570a536f0d4b9aa5",
            "f2b44af65e5dafd12be0d5a09c894fb5",
        ],
    ),
    ("`time` is a reserved column", &["2a6fa6f9c4bd199a093f88e94b542430"]),
];

#[test]
fn corpus_cases_are_decoded_alike() {
    let Some(corpus) = read_outside("data/line-protocol-corpus.json") else {
        return;
    };
    let mut differing = BTreeMap::new();
    for (key, case) in corpus["decode"].as_object().unwrap() {
        let text = body(&case["input"]["text"]);
        let got = decode(&text, &case["input"]);
        let expected = expected(&case["output"]);
        // Control characters in names and tag values are ordinary characters here.
        let is_refused_for_them = expected.is_none() && text.iter().any(is_control);
        if got.as_ref().ok() != expected.as_ref() && !is_refused_for_them {
            differing
                .insert(key.clone(), (String::from_utf8_lossy(&text).into_owned(), got, expected));
        }
    }
    let expected: BTreeSet<&str> =
        DIFFERENCES.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
    for (key, (text, got, want)) in &differing {
        assert!(
            expected.contains(key.as_str()),
            "{key}: {text:?}\n got: {got:?}\nwant: {want:?}"
        );
    }
    for key in expected {
        assert!(differing.contains_key(key), "{key} makes no difference");
    }
}

fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r')
}

fn body(text: &Value) -> Vec<u8> {
    match text {
        Value::String(text) => text.clone().into_bytes(),
        _ => BASE64_STANDARD.decode(text["binary"].as_str().unwrap()).unwrap(),
    }
}

type Points = HashMap<String, Vec<Point>>;

fn decode(body: &[u8], input: &Value) -> Result<Points, String> {
    let options = Options {
        precision: match input["precision"].as_str() {
            Some("1s") => Precision::Second,
            Some("1ms") => Precision::Millisecond,
            _ => Precision::Nanosecond,
        },
        default_time_ns: input["defaultTime"].as_i64().unwrap(),
        ..Options::default()
    };
    let parsed =
        parse(body, &TestDatabase::default(), &options).map_err(|error| error.to_string())?;
    match parsed.errors.first() {
        Some(error) => Err(error.error_message.clone()),
        None => Ok(points_by_table(&parsed)),
    }
}

/// Returns the points of a case; `None` if it is an error.
fn expected(output: &Value) -> Option<Points> {
    let mut points: Points = HashMap::new();
    for point in output["result"].as_array()? {
        let point = Point {
            table: text(&point["name"]),
            tags: pairs(&point["tags"]).map(|(key, value)| (key, text(value))).collect(),
            fields: pairs(&point["fields"]).map(|(key, value)| (key, field(value))).collect(),
            time: point["time"].as_i64().unwrap(),
        };
        points.entry(point.table.clone()).or_default().push(point);
    }
    Some(points)
}

fn text(value: &Value) -> String {
    String::from_utf8(body(value)).unwrap()
}

fn pairs(value: &Value) -> impl Iterator<Item = (String, &Value)> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (text(&pair["key"]), &pair["value"]))
}

fn field(value: &Value) -> Field {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "float" => Field::Float(value.as_f64().unwrap()),
        "int" => Field::Integer(value.as_i64().unwrap()),
        "uint" => Field::UInteger(value.as_u64().unwrap()),
        "string" => Field::String(text(value)),
        _ => Field::Boolean(value.as_bool().unwrap()),
    }
}
