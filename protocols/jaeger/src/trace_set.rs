//! Traces in the form of Jaeger.

use std::collections::{BTreeMap, HashMap};

use neap_http::{ApiError, Kind};
use serde_json::{Map, Value, json};

use crate::span_batch::SpanBatch;

/// Maximum number of spans of an answer.
pub(crate) const MAX_SPANS: usize = 20_000;

/// Maximum number of events and log records of an answer.
pub(crate) const MAX_EVENTS: usize = 20_000;

/// Maximum bytes of the texts of an answer.
const MAX_TEXT_BYTES: usize = 32 << 20;

/// The columns of texts that are not tags of a span.
const NO_TAGS: [&str; 9] = [
    "trace_id",
    "span_id",
    "parent_span_id",
    "trace_state",
    "service.name",
    "span.name",
    "span.kind",
    "otel.status_code",
    "attributes",
];

/// The traces of an answer.
#[derive(Debug, Default)]
pub(crate) struct TraceSet {
    traces: BTreeMap<String, Trace>,
    /// The events of spans, by trace and span.
    events: HashMap<(String, String), Vec<Value>>,
    spans: usize,
    text_bytes: usize,
}

#[derive(Debug, Default)]
struct Trace {
    spans: Vec<Value>,
    /// The services of its spans. The id of a process is its place in this list.
    services: Vec<String>,
}

impl TraceSet {
    /// Adds events and log records. The spans that they belong to are added afterwards.
    ///
    /// # Errors
    /// `Limit`: the texts are too large.
    pub(crate) fn add_events(&mut self, batch: &SpanBatch) -> Result<(), ApiError> {
        for row in 0..batch.rows() {
            self.count_texts(batch, row)?;
            let (trace, span) = ids(batch, row);
            let event = json!({
                "timestamp": micros(batch.integer("time", row)),
                "fields": event_fields(batch, row),
            });
            self.events.entry((trace, span)).or_default().push(event);
        }
        Ok(())
    }

    /// Adds spans.
    ///
    /// # Errors
    /// `Limit`: the texts are too large.
    pub(crate) fn add_spans(&mut self, batch: &SpanBatch) -> Result<(), ApiError> {
        for row in 0..batch.rows() {
            self.count_texts(batch, row)?;
            self.spans += 1;
            let (trace_id, span_id) = ids(batch, row);
            let logs = self.events.remove(&(trace_id.clone(), span_id)).unwrap_or_default();
            let service = batch.text("service.name", row).unwrap_or_default();
            let trace = self.traces.entry(trace_id).or_default();
            let process = trace.process(service);
            trace.spans.push(span_value(batch, row, &process, logs));
        }
        Ok(())
    }

    /// Returns the traces in the order of their ids in a list.
    pub(crate) fn into_values(mut self, ids: &[String]) -> Vec<Value> {
        let warnings = if self.spans >= MAX_SPANS {
            json!([format!("the answer has the first {MAX_SPANS} spans only")])
        } else {
            Value::Null
        };
        let found = ids.iter().filter_map(|id| self.traces.remove_entry(id));
        found.map(|(id, trace)| trace.into_value(&id, &warnings)).collect()
    }

    fn count_texts(&mut self, batch: &SpanBatch, row: usize) -> Result<(), ApiError> {
        let bytes: usize = batch.texts(row).map(|(name, text)| name.len() + text.len()).sum();
        self.text_bytes = self.text_bytes.saturating_add(bytes);
        if self.text_bytes > MAX_TEXT_BYTES {
            let text = format!(
                "the spans have more than {MAX_TEXT_BYTES} bytes of texts: ask for fewer traces"
            );
            return Err(ApiError::text(Kind::Limit, text));
        }
        Ok(())
    }
}

impl Trace {
    /// Returns the id of the process of a service.
    fn process(&mut self, service: &str) -> String {
        let known = self.services.iter().position(|name| name == service);
        let place = known.unwrap_or_else(|| {
            self.services.push(service.to_owned());
            self.services.len() - 1
        });
        format!("p{}", place + 1)
    }

    fn into_value(self, id: &str, warnings: &Value) -> Value {
        let services = self.services.into_iter().enumerate();
        let processes: Map<String, Value> = services
            .map(|(place, name)| {
                let process = json!({ "serviceName": name, "tags": [] });
                (format!("p{}", place + 1), process)
            })
            .collect();
        json!({
            "traceID": id,
            "spans": self.spans,
            "processes": processes,
            "warnings": warnings,
        })
    }
}

fn ids(batch: &SpanBatch, row: usize) -> (String, String) {
    let id = |name| batch.text(name, row).unwrap_or_default().to_owned();
    (id("trace_id"), id("span_id"))
}

/// Returns microseconds of nanoseconds.
fn micros(nanos: Option<i64>) -> i64 {
    nanos.unwrap_or_default().div_euclid(1_000)
}

fn span_value(batch: &SpanBatch, row: usize, process: &str, logs: Vec<Value>) -> Value {
    let (trace_id, span_id) = ids(batch, row);
    let parent = batch.text("parent_span_id", row).filter(|id| !id.is_empty());
    let references: Vec<Value> = parent
        .map(|id| json!({ "refType": "CHILD_OF", "traceID": trace_id, "spanID": id }))
        .into_iter()
        .collect();
    json!({
        "traceID": trace_id,
        "spanID": span_id,
        "flags": 1,
        "operationName": batch.text("span.name", row).unwrap_or_default(),
        "references": references,
        "startTime": micros(batch.integer("time", row)),
        "duration": micros(batch.integer("duration_nano", row)),
        "tags": span_tags(batch, row),
        "logs": logs,
        "processID": process,
        "warnings": null,
    })
}

fn span_tags(batch: &SpanBatch, row: usize) -> Vec<Value> {
    let mut tags = Vec::new();
    if let Some(kind) = batch.text("span.kind", row) {
        tags.push(tag("span.kind", &Value::from(kind.to_lowercase())));
    }
    if let Some(status) = batch.text("otel.status_code", row) {
        tags.push(tag("otel.status_code", &Value::from(status.to_uppercase())));
        if status == "Error" {
            tags.push(tag("error", &Value::Bool(true)));
        }
    }
    let others = batch.texts(row).filter(|(name, _)| !NO_TAGS.contains(name));
    tags.extend(others.map(|(name, text)| tag(name, &Value::from(text))));
    tags.extend(attributes(batch, row));
    tags
}

fn event_fields(batch: &SpanBatch, row: usize) -> Vec<Value> {
    let named = [("event.name", "event"), ("body", "message"), ("severity_text", "level")];
    let texts = named.into_iter().filter_map(|(column, name)| {
        batch.text(column, row).map(|text| tag(name, &Value::from(text)))
    });
    texts.chain(attributes(batch, row)).collect()
}

/// Returns the attributes of a row. Those that are not JSON are left out.
fn attributes(batch: &SpanBatch, row: usize) -> Vec<Value> {
    let text = batch.text("attributes", row).unwrap_or("{}");
    let object: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    object.iter().map(|(name, value)| tag(name, value)).collect()
}

/// Returns a tag with the type of its value. Lists and objects are texts.
fn tag(name: &str, value: &Value) -> Value {
    let kind = match value {
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        _ => "string",
    };
    let shown = match value {
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        other => Value::from(other.to_string()),
    };
    json!({ "key": name, "type": kind, "value": shown })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> SpanBatch {
        let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
        SpanBatch::new(&RecordBatch::try_from_iter_with_nullable(nullable).unwrap()).unwrap()
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn spans_have_their_parents_tags_and_events() {
        let spans = batch(vec![
            ("time", Arc::new(TimestampNanosecondArray::from(vec![5_000, 9_000])) as ArrayRef),
            ("trace_id", texts(&[Some("t"), Some("t")])),
            ("span_id", texts(&[Some("a"), Some("b")])),
            ("parent_span_id", texts(&[None, Some("a")])),
            ("service.name", texts(&[Some("shop"), Some("pay")])),
            ("span.name", texts(&[Some("GET"), Some("charge")])),
            ("span.kind", texts(&[Some("Server"), None])),
            ("otel.status_code", texts(&[None, Some("Error")])),
            ("rack", texts(&[None, Some("7")])),
            ("attributes", texts(&[Some(r#"{"list":[1],"n":1}"#), Some("no JSON")])),
            ("duration_nano", Arc::new(Int64Array::from(vec![Some(7_000), None])) as ArrayRef),
        ]);
        let events = batch(vec![
            ("time", Arc::new(TimestampNanosecondArray::from(vec![6_000])) as ArrayRef),
            ("trace_id", texts(&[Some("t")])),
            ("span_id", texts(&[Some("a")])),
            ("event.name", texts(&[Some("retry")])),
        ]);
        let mut traces = TraceSet::default();
        traces.add_events(&events).unwrap();
        traces.add_spans(&spans).unwrap();
        let values = traces.into_values(&["none".to_owned(), "t".to_owned()]);
        assert_eq!(
            values,
            [json!({
                "traceID": "t",
                "spans": [
                    {
                        "traceID": "t",
                        "spanID": "a",
                        "flags": 1,
                        "operationName": "GET",
                        "references": [],
                        "startTime": 5,
                        "duration": 7,
                        "tags": [
                            { "key": "span.kind", "type": "string", "value": "server" },
                            { "key": "list", "type": "string", "value": "[1]" },
                            { "key": "n", "type": "int64", "value": 1 },
                        ],
                        "logs": [{
                            "timestamp": 6,
                            "fields": [{ "key": "event", "type": "string", "value": "retry" }],
                        }],
                        "processID": "p1",
                        "warnings": null,
                    },
                    {
                        "traceID": "t",
                        "spanID": "b",
                        "flags": 1,
                        "operationName": "charge",
                        "references": [{ "refType": "CHILD_OF", "traceID": "t", "spanID": "a" }],
                        "startTime": 9,
                        "duration": 0,
                        "tags": [
                            { "key": "otel.status_code", "type": "string", "value": "ERROR" },
                            { "key": "error", "type": "bool", "value": true },
                            { "key": "rack", "type": "string", "value": "7" },
                        ],
                        "logs": [],
                        "processID": "p2",
                        "warnings": null,
                    },
                ],
                "processes": {
                    "p1": { "serviceName": "shop", "tags": [] },
                    "p2": { "serviceName": "pay", "tags": [] },
                },
                "warnings": null,
            })]
        );
    }

    #[test]
    fn answers_have_a_bound() {
        let large = "x".repeat(MAX_TEXT_BYTES);
        let spans = batch(vec![("attributes", texts(&[Some(large.as_str())]))]);
        let error = TraceSet::default().add_spans(&spans).unwrap_err();
        assert!(error.to_string().contains("fewer traces"), "{error}");
    }
}
