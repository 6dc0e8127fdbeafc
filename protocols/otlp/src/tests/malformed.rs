//! Malformed requests: each is an error, none a panic.

use prost::encoding::encode_varint;
use serde_json::{Value, json};

use super::*;

/// A valid request of each signal, in both encodings.
fn valid() -> Vec<(Signal, Vec<u8>, Value)> {
    let mut point = metrics_v1::number(
        metrics_v1::request_attributes(200),
        opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt(1),
    );
    point.exemplars = metrics_v1::exemplars();
    let metrics = metrics_v1::request(vec![
        metrics_v1::metric("a", metrics_v1::gauge(vec![point])),
        metrics_v1::metric("b", metrics_v1::histograms(vec![metrics_v1::histogram(vec![1; 6])])),
        metrics_v1::metric("c", metrics_v1::summary()),
        metrics_v1::metric("d", metrics_v1::exponential()),
    ]);
    let spans = spans::request(vec![spans::full_span()]);
    let logs = logs::request(vec![logs::full_record()]);
    vec![
        (Signal::Metrics, metrics.encode_to_vec(), json!(metrics)),
        (Signal::Traces, spans.encode_to_vec(), json!(spans)),
        (Signal::Logs, logs.encode_to_vec(), json!(logs)),
    ]
}

fn outcome(signal: Signal, encoding: Encoding, body: &[u8]) -> Result<Converted, String> {
    try_convert(signal, encoding, body, &MappingOptions::default())
}

fn assert_refused(signal: Signal, encoding: Encoding, body: &[u8]) {
    let outcome = outcome(signal, encoding, body);
    let is_refused = match &outcome {
        Ok(converted) => !converted.message.is_empty(),
        Err(message) => !message.is_empty(),
    };
    let body = String::from_utf8_lossy(body);
    assert!(is_refused, "{signal:?} {encoding:?} {outcome:?}: {body}");
}

#[test]
fn requests_that_are_cut_are_errors() {
    let mut bodies = 0;
    for (signal, protobuf, json) in valid() {
        let json = json.to_string().into_bytes();
        for (encoding, body) in [(Encoding::Protobuf, protobuf), (Encoding::Json, json)] {
            assert_eq!(outcome(signal, encoding, &body).unwrap().rejected, 0);
            for length in (1..body.len()).step_by(body.len() / 50) {
                assert!(outcome(signal, encoding, &body[..length]).is_err(), "{length}");
                bodies += 1;
            }
        }
    }
    assert!(bodies > 200, "{bodies}");
}

/// Fields that are not read.
const SKIPPED: [&str; 8] = [
    "schemaUrl",
    "description",
    "unit",
    "metadata",
    "entityRefs",
    "droppedAttributesCount",
    "aggregationTemporality",
    "flags",
];

/// Returns the paths to all values that are read.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let read = map
                .iter()
                .filter(|(name, value)| !value.is_null() && !SKIPPED.contains(&name.as_str()));
            for (name, value) in read {
                let path = format!("{path}/{name}");
                found.push(path.clone());
                paths(value, &path, found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let path = format!("{path}/{index}");
                found.push(path.clone());
                paths(value, &path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn values_of_a_wrong_type_are_errors() {
    let mut bodies = 0;
    for (signal, _, json) in valid() {
        let mut found = Vec::new();
        paths(&json, "", &mut found);
        for path in found {
            let mut changed = json.clone();
            let value = changed.pointer_mut(&path).unwrap();
            *value = match value {
                Value::Object(_) => json!(7),
                Value::Array(_) => json!("x"),
                Value::Bool(_) => json!("true"),
                _ => json!({"x": 1}),
            };
            assert_refused(signal, Encoding::Json, changed.to_string().as_bytes());
            bodies += 1;
        }
    }
    assert!(bodies > 200, "{bodies}");
}

#[test]
fn changed_bytes_do_not_panic() {
    for (signal, protobuf, _) in valid() {
        for index in 0..protobuf.len() {
            for byte in [0, 0x7f, 0x80, 0xff, protobuf[index] ^ 1] {
                let mut changed = protobuf.clone();
                changed[index] = byte;
                outcome(signal, Encoding::Protobuf, &changed).ok();
            }
        }
    }
}

#[test]
fn texts_that_are_not_utf8_are_refused_alone() {
    let (good, mut bad) = (logs::record("good"), logs::record("bad"));
    bad.severity_text = "#".repeat(9);
    let mut body = logs::request(vec![good, bad]).encode_to_vec();
    let start = body.windows(9).position(|bytes| bytes == b"#########").unwrap();
    body[start] = 0xff;
    let converted = outcome(Signal::Logs, Encoding::Protobuf, &body).unwrap();
    assert_eq!((converted.lines.len(), converted.rejected), (1, 1));
    insta::assert_snapshot!(converted.message, @r#"1 of 2 log records are not stored; log record 2: failed to decode Protobuf message: LogRecord.severity_text: invalid string value: data is not UTF-8 encoded"#);
}

/// Returns a message with one field.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    encode_varint(value.len() as u64, &mut message);
    message.extend_from_slice(value);
    message
}

#[test]
fn fields_of_a_wrong_wire_type_are_errors() {
    // A varint, eight bytes, and four bytes.
    for (wire_type, value) in [(0, &[7][..]), (1, &[7; 8][..]), (5, &[7; 4][..])] {
        let wrong = |number: u8| [&[number << 3 | wire_type][..], value].concat();
        for signal in [Signal::Metrics, Signal::Logs, Signal::Traces] {
            for body in [
                wrong(1),
                field(1, &wrong(1)),
                field(1, &wrong(2)),
                field(1, &field(2, &wrong(1))),
                field(1, &field(2, &wrong(2))),
            ] {
                let refused = outcome(signal, Encoding::Protobuf, &body).unwrap_err();
                assert!(refused.contains("invalid wire type"), "{refused}");
            }
        }
        // Gauge, sum, histogram, exponential histogram and summary, and their points.
        for number in [5, 7, 9, 10, 11] {
            for metric in [wrong(number), field(number, &wrong(1))] {
                let body = field(1, &field(2, &field(2, &metric)));
                assert_refused(Signal::Metrics, Encoding::Protobuf, &body);
            }
        }
    }
}

#[test]
fn deep_values_are_refused() {
    for depth in [40, 1_000, 20_000] {
        let mut value = field(1, b"leaf");
        for _ in 0..depth {
            // AnyValue.kvlist_value, KeyValueList.values, KeyValue.value
            value = field(6, &field(1, &field(2, &value)));
        }
        let record = field(5, &value);
        let body = field(1, &field(2, &field(2, &record)));
        assert_refused(Signal::Logs, Encoding::Protobuf, &body);
        let open = r#"{"kvlistValue":{"values":[{"key":"k","value":"#.repeat(depth);
        let value = format!("{open}{{}}{}", "}]}}".repeat(depth));
        let body = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}}}]}}]}}]}}"#
        );
        assert_refused(Signal::Logs, Encoding::Json, body.as_bytes());
        let open = r#"{"resourceLogs":["#.repeat(depth);
        let body = format!("{open}{}", "]}".repeat(depth));
        outcome(Signal::Logs, Encoding::Json, body.as_bytes()).ok();
    }
}

#[test]
fn many_empty_messages_take_no_memory() {
    let empty = [0x12, 0].repeat(1 << 20);
    let body = field(1, &field(2, &empty));
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        outcome(signal, Encoding::Protobuf, &body).ok();
        outcome(signal, Encoding::Protobuf, &empty).ok();
    }
    // The events of a span are decoded together, so that its size is limited.
    let span = [0x5a, 0].repeat(1 << 20);
    let body = field(1, &field(2, &field(2, &span)));
    let converted = outcome(Signal::Traces, Encoding::Protobuf, &body).unwrap();
    assert_eq!((converted.lines.len(), converted.rejected), (0, 1));
    let lists = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
        vec!["{}"; 100_000].join(",")
    );
    let converted = outcome(Signal::Traces, Encoding::Json, lists.as_bytes()).unwrap();
    assert_eq!(converted.rejected, 100_000);
}

#[test]
fn items_with_too_many_attributes_are_refused() {
    let many = || (0..1_001).map(|n| text(&format!("a{n}"), "x")).collect();
    let mut bodies = Vec::new();
    let mut add = |signal, body| bodies.push((signal, body));

    let mut request = logs::request(vec![logs::record("a"), logs::record("b")]);
    request.resource_logs[0].scope_logs[0].log_records[1].attributes = many();
    add(Signal::Logs, request.encode_to_vec());
    let mut request = logs::request(vec![logs::record("a")]);
    request.resource_logs.extend(request.resource_logs.clone());
    request.resource_logs[1].resource = resource(many());
    add(Signal::Logs, request.encode_to_vec());
    let mut request = spans::request(vec![spans::span(), spans::span()]);
    request.resource_spans[0].scope_spans[0].spans[1].attributes = many();
    add(Signal::Traces, request.encode_to_vec());
    let points = vec![metrics_v1::metric("a", metrics_v1::summary())];
    let mut request = metrics_v1::request(points);
    request.resource_metrics.extend(request.resource_metrics.clone());
    let mut scope = scope().unwrap();
    scope.attributes = many();
    request.resource_metrics[1].scope_metrics[0].scope = Some(scope);
    add(Signal::Metrics, request.encode_to_vec());

    let messages = bodies.into_iter().map(|(signal, body)| {
        let converted = outcome(signal, Encoding::Protobuf, &body).unwrap();
        assert_eq!(converted.rejected, 1, "{}", converted.message);
        assert!(!converted.lines.is_empty());
        converted.message
    });
    insta::assert_snapshot!(messages.collect::<Vec<_>>().join("\n"), @r"
    1 of 2 log records are not stored; log record 2: the log record has 1001 attributes, more than 1000
    1 of 2 log records are not stored; log record 2: the resource has 1001 attributes, more than 1000
    1 of 2 spans are not stored; span 2: the span has 1001 attributes, more than 1000
    1 of 2 data points are not stored; data point 2: the scope has 1001 attributes, more than 1000
    ");
}

#[test]
fn events_with_too_many_attributes_are_refused_without_their_span() {
    let mut span = spans::span();
    span.events = vec![opentelemetry_proto::tonic::trace::v1::span::Event {
        attributes: (0..1_001).map(|n| text(&format!("a{n}"), "x")).collect(),
        ..Default::default()
    }];
    let body = spans::request(vec![span]).encode_to_vec();
    let converted = outcome(Signal::Traces, Encoding::Protobuf, &body).unwrap();
    assert_eq!((converted.lines.len(), converted.rejected), (1, 0));
    assert!(converted.message.contains("the event has 1001 attributes, more than 1000"));
}
