//! Log records.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};

use super::*;

/// Returns a request with log records of one source.
pub(super) fn request(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(vec![text("service.name", "shop"), text("host", "a")]),
            scope_logs: vec![ScopeLogs { scope: scope(), log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    }
}

pub(super) fn record(body: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: TIME,
        body: value(Value::StringValue(body.to_owned())),
        ..LogRecord::default()
    }
}

pub(super) fn full_record() -> LogRecord {
    let map = KeyValueList {
        values: vec![text("b", "2"), attribute("a", Value::DoubleValue(1.5))],
    };
    LogRecord {
        observed_time_unix_nano: TIME + 7,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: value(Value::KvlistValue(map)),
        attributes: vec![text("host", "b"), attribute("n", Value::IntValue(-1))],
        dropped_attributes_count: 2,
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        event_name: "page_view".to_owned(),
        ..record("")
    }
}

fn convert_records(records: Vec<LogRecord>) -> Converted {
    convert(Signal::Logs, &request(records), &MappingOptions::default())
}

#[test]
fn a_log_record_is_a_row() {
    let converted = convert_records(vec![full_record(), record("plain")]);
    assert_eq!(converted.message, "");
    insta::assert_snapshot!(converted.lines.join("\n"), @r#"
    logs,service.name=shop,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10 attributes="{\"host\":\"b\",\"n\":-1}",body="{\"a\":1.5,\"b\":\"2\"}",dropped_attributes_count=2u,event.name="page_view",observed_time_unix_nano=1395066363000000130i,severity_number=9i,severity_text="INFO" 1395066363000000123
    logs,service.name=shop attributes="{\"host\":\"a\"}",body="plain" 1395066363000000123
    "#);
}

#[test]
fn a_record_without_a_time_has_that_of_its_observation_or_arrival() {
    let mut observed = record("observed");
    (observed.time_unix_nano, observed.observed_time_unix_nano) = (0, 17);
    let mut unknown = record("unknown");
    unknown.time_unix_nano = 0;
    let lines = convert_records(vec![observed, unknown]).lines;
    assert!(lines[0].ends_with(" 17"), "{lines:?}");
    assert!(lines[1].ends_with(&format!(" {ARRIVAL_NS}")), "{lines:?}");
}

#[test]
fn records_of_the_same_time_are_kept() {
    let mut other = record("third");
    other.trace_id = vec![1; 16];
    let lines = convert_records(vec![record("first"), record("second"), other]).lines;
    let times = lines.iter().map(|line| line.rsplit_once(' ').unwrap().1);
    let expected = ["1395066363000000123", "1395066363000000124", "1395066363000000123"];
    assert_eq!(times.collect::<Vec<_>>(), expected);
}

#[test]
fn malformed_records_are_refused_alone() {
    let mut records = vec![record("good"); 4];
    records[1].trace_id = vec![1; 3];
    records[2].time_unix_nano = u64::MAX;
    records[3].body = value(Value::StringValue("x".repeat((1 << 20) + 1)));
    let converted = convert_records(records);
    assert_eq!((converted.lines.len(), converted.rejected), (1, 3));
    insta::assert_snapshot!(converted.message, @r#"3 of 4 log records are not stored; log record 2: trace_id has 3 bytes, expected 16; log record 3: time_unix_nano 18446744073709551615 is after the year 2262; log record 4: String is greater than 1MB in column 'body' in service.name=shop, body=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..., attribu"#);
}
