//! Spans, their events and their links.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{ArrayValue, any_value::Value},
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};

use super::*;

/// Returns a request with spans of one source.
pub(super) fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(vec![text("service.name", "shop"), text("host", "a")]),
            scope_spans: vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

pub(super) fn span() -> Span {
    Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        name: "GET /".to_owned(),
        start_time_unix_nano: START,
        ..Span::default()
    }
}

pub(super) fn full_span() -> Span {
    let list = ArrayValue {
        values: vec![value(Value::IntValue(1)).unwrap(), AnyValue::default()],
    };
    Span {
        trace_state: "a=1".to_owned(),
        parent_span_id: (2..=9).collect(),
        kind: 2,
        end_time_unix_nano: TIME,
        attributes: vec![
            text("host", "b"),
            attribute("list", Value::ArrayValue(list)),
            attribute("bytes", Value::BytesValue(vec![1, 2])),
        ],
        dropped_attributes_count: 3,
        dropped_events_count: 4,
        dropped_links_count: 5,
        status: Some(Status { message: "not found".to_owned(), code: 2 }),
        events: vec![
            Event {
                time_unix_nano: TIME,
                name: "exception".to_owned(),
                attributes: vec![attribute("retry", Value::BoolValue(true))],
                dropped_attributes_count: 1,
            },
            Event {
                time_unix_nano: TIME,
                name: "later".to_owned(),
                ..Event::default()
            },
            Event::default(),
        ],
        links: vec![
            Link {
                trace_id: (3..=18).collect(),
                span_id: (3..=10).collect(),
                trace_state: "b=2".to_owned(),
                attributes: vec![text("why", "retry")],
                dropped_attributes_count: 2,
                ..Link::default()
            },
            Link::default(),
        ],
        ..span()
    }
}

fn convert_spans(spans: Vec<Span>, dimensions: &[&str]) -> Converted {
    let mapping = MappingOptions {
        span_dimensions: dimensions.iter().map(|name| (*name).to_owned()).collect(),
        ..MappingOptions::default()
    };
    convert(Signal::Traces, &request(spans), &mapping)
}

#[test]
fn a_span_has_rows_for_itself_and_its_events_and_links() {
    let converted =
        convert(Signal::Traces, &request(vec![full_span()]), &MappingOptions::default());
    assert_eq!(converted.message, "");
    insta::assert_snapshot!(converted.lines.join("\n"), @r#"
    spans,service.name=shop,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10 attributes="{\"bytes\":\"AQI=\",\"host\":\"b\",\"list\":[1,null]}",dropped_attributes_count=3u,dropped_events_count=5u,dropped_links_count=6u,duration_nano=122i,end_time_unix_nano=1395066363000000123i,otel.status_code="Error",otel.status_description="not found",parent_span_id="0203040506070809",span.kind="Server",span.name="GET /",trace_state="a=1" 1395066363000000001
    logs,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10 attributes="{\"retry\":true}",dropped_attributes_count=1u,event.name="exception" 1395066363000000123
    logs,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10 event.name="later" 1395066363000000124
    span-links,linked_span_id=030405060708090a,linked_trace_id=030405060708090a0b0c0d0e0f101112,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10 attributes="{\"why\":\"retry\"}",dropped_attributes_count=2u,trace_state="b=2" 1395066363000000001
    "#);
}

#[test]
fn properties_that_are_not_set_are_absent() {
    let converted = convert_spans(vec![span()], &[]);
    insta::assert_snapshot!(converted.lines.join("\n"), @r#"spans,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10 attributes="{\"host\":\"a\",\"service.name\":\"shop\"}",span.name="GET /" 1395066363000000001"#);
}

#[test]
fn dimensions_are_tags() {
    let mut span = span();
    span.attributes = vec![
        text("span.kind", "mine"),
        text("trace_id", "mine"),
        text("a", "1"),
        text("a", "2"),
    ];
    span.kind = 3;
    let converted = convert_spans(vec![span], &["span.kind", "host", "a", "missing", "trace_id"]);
    assert_eq!(converted.message, "");
    // The kind is dropped, because a tag has its name.
    insta::assert_snapshot!(converted.lines.join("\n"), @r#"spans,a=2,host=a,span.kind=mine,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10 attributes="{\"service.name\":\"shop\"}",dropped_attributes_count=1u,span.name="GET /" 1395066363000000001"#);
}

#[test]
fn spans_without_ids_or_times_are_refused_alone() {
    let mut spans = vec![span(); 7];
    spans[1].trace_id = vec![0; 16];
    spans[2].span_id = Vec::new();
    spans[3].trace_id = vec![1; 15];
    spans[4].start_time_unix_nano = 0;
    spans[5].end_time_unix_nano = u64::MAX;
    spans[6].name = "x".repeat(2 << 20);
    let converted = convert_spans(spans, &[]);
    assert_eq!((converted.lines.len(), converted.rejected), (1, 6));
    insta::assert_snapshot!(converted.message, @r#"6 of 7 spans are not stored; span 2: trace_id is missing; span 3: span_id is missing; span 4: trace_id has 15 bytes, expected 16; span 5: start_time_unix_nano is missing; span 6: end_time_unix_nano 18446744073709551615 is after the year 2262"#);
}

#[test]
fn the_outcome_and_the_kind_have_names() {
    let spans = (0..8).map(|code| Span {
        status: Some(Status { code, ..Status::default() }),
        kind: code,
        ..span()
    });
    let converted = convert_spans(spans.collect(), &["service.name", "host"]);
    let has = |text: &str| {
        let lines = converted.lines.iter();
        lines.map(|line| line.contains(text)).collect::<Vec<_>>()
    };
    assert!(has("otel.status_code=\"Ok\"")[1]);
    assert!(has("otel.status_code=\"Error\"")[2]);
    assert_eq!(has("otel.status_code="), [0, 1, 1, 0, 0, 0, 0, 0].map(|n| n == 1));
    assert_eq!(has("span.kind="), [0, 1, 1, 1, 1, 1, 0, 0].map(|n| n == 1));
}
