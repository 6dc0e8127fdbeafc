//! Comparison with recorded answers of InfluxDB 3, if the recording exists.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use axum::body::Body;
use http::Request;
use neap_test_inputs::{InputOrigin, skip, tsbs::CPU_FIELDS};
use neap_write::{Precision, WriteOptions};
use serde_json::Value;

use crate::tests::instance::QueryTestInstance;

/// Statements that InfluxDB 3 rejects and Neap answers.
const ONLY_IN_NEAP: [&str; 3] = ["v3-slimit", "v3-holt", "v3-ema"];

/// The path of a folder next to the repository.
fn outside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path)
}

fn recording() -> Option<Value> {
    let text = std::fs::read_to_string(outside("golden/influxdb3-core.json")).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// Whether two answers are equal except for the last digits of floats.
fn alike(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| alike(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            let same = |(key, value): (&String, &Value)| {
                two.get(key).is_some_and(|other| alike(value, other))
            };
            one.len() == two.len() && one.iter().all(same)
        }
        (Value::Number(one), Value::Number(two)) if one.is_f64() && two.is_f64() => {
            let (one, two) = (one.as_f64().unwrap(), two.as_f64().unwrap());
            (one - two).abs() <= 1e-12 * one.abs().max(two.abs())
        }
        _ => one == two,
    }
}

fn sorted(rows: Value) -> Value {
    let mut rows = match rows {
        Value::Array(rows) => rows,
        other => vec![other],
    };
    rows.sort_by_key(ToString::to_string);
    Value::Array(rows)
}

#[tokio::test]
async fn answers_are_those_of_influxdb() {
    let Some(recording) = recording() else {
        skip(InputOrigin::External, "shared/golden: no recorded answers");
        return;
    };
    let instance = QueryTestInstance::alone().await;
    instance.pass(Duration::from_secs(90 * 86_400));
    let suites = recording["suites"].as_array().unwrap();
    let suite = suites.iter().find(|suite| suite["suite"] == "influxql");
    let mut compared = 0;
    for case in suite.unwrap()["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        if id.starts_with("load-") {
            let body = case["body"].as_str().unwrap().to_owned().into();
            let options = WriteOptions {
                precision: match case["query"]["precision"].as_str() {
                    Some("second") => Precision::Second,
                    _ => Precision::Nanosecond,
                },
                ..WriteOptions::default()
            };
            let written = instance.service.write("home", body, options);
            written.await.unwrap();
            continue;
        }
        let body = &case["body"];
        let is_select = body["q"].as_str().is_some_and(|q| q.starts_with("SELECT "));
        if case["path"] != "/api/v3/query_influxql" || !is_select || ONLY_IN_NEAP.contains(&id) {
            continue;
        }
        let request = Request::post("/api/v3/query_influxql").body(Body::from(body.to_string()));
        let (status, answer) = instance.send(request.unwrap()).await;
        let expected = &case["answer"];
        assert_eq!(Value::from(status), expected["status"], "{id}: {answer}");
        let Some(text) = expected["body"].as_str() else {
            continue;
        };
        let (answer, text) = match case["compare"].as_str() {
            Some("shape") => continue,
            Some("unordered") => (
                sorted(serde_json::from_str(&answer).unwrap()),
                sorted(serde_json::from_str(text).unwrap()),
            ),
            _ => (
                serde_json::from_str(&answer).unwrap_or(Value::from(answer)),
                serde_json::from_str(text).unwrap_or(Value::from(text)),
            ),
        };
        assert!(alike(&answer, &text), "{id}: {answer}, not {text}");
        compared += 1;
    }
    assert!(compared > 50, "only {compared} answers were compared");
}

#[tokio::test]
async fn queries_of_the_benchmark_have_answers() {
    let Ok(folder) = std::fs::read_dir(outside("bench/queries/influxql")) else {
        eprintln!("skipped: there are no queries");
        return;
    };
    let instance = QueryTestInstance::alone().await;
    let fields = CPU_FIELDS.map(|field| format!("{field}=95")).join(",");
    let lines = (0..4).map(|host| format!("cpu,hostname=host_{host} {fields} 1699948800\n"));
    instance.write(&lines.collect::<String>()).await;
    for file in folder {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let statement = text
            .trim()
            .replace("{{hosts_influxql}}", "\"hostname\" = 'host_1' OR \"hostname\" = 'host_2'")
            .replace("{{start}}", "2023-11-14T08:00:00Z")
            .replace("{{data_start}}", "2023-11-14T00:00:00Z")
            .replace("{{end}}", "2023-11-14T09:00:00Z");
        let answer = instance.selected(&statement).await;
        assert!(answer.contains("95.0"), "{statement}: {answer}");
    }
}
