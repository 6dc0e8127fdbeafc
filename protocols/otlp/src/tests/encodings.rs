//! The same request in protobuf and in JSON has the same rows.

use neap_test_inputs::cases;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{ArrayValue, KeyValueList, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{
        AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint,
        HistogramDataPoint, Metric, NumberDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    },
    trace::v1::{
        Span, Status,
        span::{Event, Link},
    },
};
use proptest::{collection::vec, option, prelude::*};
use serde::Serialize;

use super::*;
use crate::mapping::MetricSchema;

fn assert_same(
    signal: Signal,
    request: &(impl Message + Serialize),
    mapping: &MappingOptions,
) -> Result<(), TestCaseError> {
    let protobuf = convert(signal, request, mapping);
    let json = serde_json::to_vec(request).unwrap();
    let json = try_convert(signal, Encoding::Json, &json, mapping);
    prop_assert_eq!(json, Ok(protobuf));
    Ok(())
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,2}", "\\PC{0,6}"]
}

/// Finite floats. Protobuf encoders leave out -0.
fn finite() -> impl Strategy<Value = f64> {
    let any = any::<f64>().prop_filter("finite", |number| number.is_finite());
    prop_oneof![Just(0.0), -1e3..1e3, any.prop_map(|number| number + 0.0)]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        any_text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        finite().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..4).prop_map(Value::BytesValue),
    ];
    let leaf = option::weighted(0.9, leaf).prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = vec(inner.clone(), 0..3).prop_map(|values| ArrayValue { values });
        let map = vec((any_text(), option::of(inner)), 0..3)
            .prop_map(|pairs| KeyValueList { values: pairs.into_iter().map(key_value).collect() });
        let value = prop_oneof![list.prop_map(Value::ArrayValue), map.prop_map(Value::KvlistValue)];
        value.prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn key_value((key, value): (String, Option<AnyValue>)) -> KeyValue {
    KeyValue { key, value, ..KeyValue::default() }
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop_oneof![any_text(), Just("service.name".to_owned())];
    vec((key, option::of(any_value())).prop_map(key_value), 0..4)
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1u64..100, 1 => Just(0), 1 => any::<u64>()]
}

fn id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![6 => vec(any::<u8>(), bytes), 1 => vec(any::<u8>(), 0..20)]
}

prop_compose! {
    fn any_record()(
        (time, observed) in (time(), time()),
        severity_number in any::<i32>(),
        severity_text in any_text(),
        body in option::of(any_value()),
        attributes in attributes(),
        dropped in any::<u32>(),
        (trace_id, span_id) in (id(16), id(8)),
        event_name in any_text(),
    ) -> LogRecord {
        LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: observed,
            severity_number,
            severity_text,
            body,
            attributes,
            dropped_attributes_count: dropped,
            flags: 1,
            trace_id,
            span_id,
            event_name,
        }
    }
}

prop_compose! {
    fn any_event()(
        time in time(),
        name in any_text(),
        attributes in attributes(),
        dropped in 0u32..2,
    ) -> Event {
        Event {
            time_unix_nano: time,
            name,
            attributes,
            dropped_attributes_count: dropped,
        }
    }
}

prop_compose! {
    fn any_link()(
        (trace_id, span_id) in (id(16), id(8)),
        trace_state in any_text(),
        attributes in attributes(),
    ) -> Link {
        Link { trace_id, span_id, trace_state, attributes, ..Link::default() }
    }
}

prop_compose! {
    fn any_span()(
        (trace_id, span_id, parent_span_id) in (id(16), id(8), id(8)),
        (trace_state, name) in (any_text(), any_text()),
        (kind, code, message) in (0i32..7, 0i32..4, any_text()),
        (start, end) in (time(), time()),
        attributes in attributes(),
        events in vec(any_event(), 0..3),
        links in vec(any_link(), 0..3),
    ) -> Span {
        Span {
            trace_id,
            span_id,
            trace_state,
            parent_span_id,
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            events,
            links,
            status: Some(Status { message, code }),
            ..Span::default()
        }
    }
}

prop_compose! {
    fn any_exemplar()(
        filtered_attributes in attributes(),
        time_unix_nano in time(),
        (trace_id, span_id) in (id(16), id(8)),
        value in option::of(prop_oneof![
            finite().prop_map(exemplar::Value::AsDouble),
            any::<i64>().prop_map(exemplar::Value::AsInt),
        ]),
    ) -> Exemplar {
        Exemplar { filtered_attributes, time_unix_nano, span_id, trace_id, value }
    }
}

prop_compose! {
    fn any_number()(
        attributes in attributes(),
        (start, time) in (time(), time()),
        exemplars in vec(any_exemplar(), 0..2),
        flags in 0u32..2,
        value in option::of(prop_oneof![
            finite().prop_map(number_data_point::Value::AsDouble),
            any::<i64>().prop_map(number_data_point::Value::AsInt),
        ]),
    ) -> NumberDataPoint {
        NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: time,
            exemplars,
            flags,
            value,
        }
    }
}

prop_compose! {
    fn any_histogram()(
        attributes in attributes(),
        time_unix_nano in time(),
        count in any::<u64>(),
        (sum, min, max) in (option::of(finite()), option::of(finite()), option::of(finite())),
        bucket_counts in vec(any::<u64>(), 0..4),
        explicit_bounds in vec(finite(), 0..3),
    ) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes,
            time_unix_nano,
            count,
            sum,
            min,
            max,
            bucket_counts,
            explicit_bounds,
            ..HistogramDataPoint::default()
        }
    }
}

prop_compose! {
    fn any_exponential()(
        attributes in attributes(),
        time_unix_nano in time(),
        (count, zero_count, scale) in (any::<u64>(), any::<u64>(), any::<i32>()),
        (offset, bucket_counts) in (any::<i32>(), vec(any::<u64>(), 0..4)),
        zero_threshold in finite(),
    ) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes,
            time_unix_nano,
            count,
            zero_count,
            scale,
            negative: Some(Buckets { offset, bucket_counts }),
            zero_threshold,
            ..ExponentialHistogramDataPoint::default()
        }
    }
}

fn any_metric() -> impl Strategy<Value = Metric> {
    let numbers = || vec(any_number(), 0..3);
    let data = prop_oneof![
        numbers().prop_map(metrics_v1::gauge),
        (numbers(), any::<bool>(), 0..3).prop_map(|(points, is_monotonic, temporality)| {
            let temporality = AggregationTemporality::try_from(temporality).unwrap();
            metrics_v1::sum(temporality, is_monotonic, points)
        }),
        vec(any_histogram(), 0..3).prop_map(metrics_v1::histograms),
        vec(any_exponential(), 0..3).prop_map(|data_points| {
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality: 2,
            })
        }),
        Just(metrics_v1::summary()),
    ];
    ("[mn]{0,1}", data).prop_map(|(name, data)| metrics_v1::metric(&name, data))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(200)))]

    #[test]
    fn metrics_are_the_same_in_both_encodings(
        metrics in vec(any_metric(), 0..4),
        is_v2 in any::<bool>(),
    ) {
        let mapping = MappingOptions {
            metric_schema: if is_v2 { MetricSchema::PrometheusV2 } else { MetricSchema::PrometheusV1 },
            ..MappingOptions::default()
        };
        assert_same(Signal::Metrics, &metrics_v1::request(metrics), &mapping)?;
    }

    #[test]
    fn spans_are_the_same_in_both_encodings(spans in vec(any_span(), 0..4)) {
        assert_same(Signal::Traces, &spans::request(spans), &MappingOptions::default())?;
    }

    #[test]
    fn log_records_are_the_same_in_both_encodings(records in vec(any_record(), 0..4)) {
        assert_same(Signal::Logs, &logs::request(records), &MappingOptions::default())?;
    }
}

#[test]
fn examples_of_the_specification_are_read() {
    let id = r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174""#;
    let source = r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]}"#;
    let scope = r#""scope":{"name":"my.library","version":"1.0.0"}"#;
    let spans = format!(
        r#"{{"resourceSpans":[{{{source},"scopeSpans":[{{{scope},"spans":[{{{id},"parentSpanId":"EEE19B7EC3C1B173","flags":1,
        "name":"I'm a server span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,
        "kind":2,"attributes":[{{"key":"my.span.attr","value":{{"stringValue":"some value"}}}}],"newField":[{{}}]}}]}}]}}]}}"#
    );
    let read = |signal, body: &str| {
        let converted =
            try_convert(signal, Encoding::Json, body.as_bytes(), &MappingOptions::default())
                .unwrap();
        assert_eq!(converted.message, "");
        converted.lines.join("\n")
    };
    insta::assert_snapshot!(read(Signal::Traces, &spans), @r#"spans,service.name=my.service,span_id=eee19b7ec3c1b174,trace_id=5b8efff798038103d269b633813fc60c attributes="{\"my.span.attr\":\"some value\"}",duration_nano=1000000000i,end_time_unix_nano=1544712661000000000i,parent_span_id="eee19b7ec3c1b173",span.kind="Server",span.name="I'm a server span" 1544712660000000000"#);
    let logs = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{id},"timeUnixNano":"1544712660300000000","severityNumber":10,
        "body":{{"stringValue":"Example log record"}}}}],{scope}}}],{source}}}]}}"#
    );
    insta::assert_snapshot!(read(Signal::Logs, &logs), @r#"logs,service.name=my.service,span_id=eee19b7ec3c1b174,trace_id=5b8efff798038103d269b633813fc60c body="Example log record",severity_number=10i 1544712660300000000"#);
}

/// Lists, sources and items may come in any order, and in several parts in protobuf.
#[test]
fn requests_in_parts_are_one_request() {
    let first = logs::request(vec![logs::record("first")]).encode_to_vec();
    let second = logs::request(vec![logs::record("second")]).encode_to_vec();
    let both = [first, second].concat();
    let converted =
        try_convert(Signal::Logs, Encoding::Protobuf, &both, &MappingOptions::default());
    assert_eq!(converted.unwrap().lines.len(), 2);
}

/// The types that requests are made of in these tests.
#[test]
fn empty_requests_have_no_rows() {
    let mapping = MappingOptions::default();
    let requests = [
        ExportMetricsServiceRequest::default().encode_to_vec(),
        ExportLogsServiceRequest::default().encode_to_vec(),
        ExportTraceServiceRequest::default().encode_to_vec(),
    ];
    for (signal, body) in [Signal::Metrics, Signal::Logs, Signal::Traces].into_iter().zip(requests)
    {
        let protobuf = try_convert(signal, Encoding::Protobuf, &body, &mapping);
        assert_eq!(protobuf, Ok(Converted::default()));
        let json = try_convert(signal, Encoding::Json, b"{}", &mapping);
        assert_eq!(json, Ok(Converted::default()));
    }
}
