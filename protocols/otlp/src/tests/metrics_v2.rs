//! Metrics as fields of one table. The cases are those of the tests of `influxdb-observability`.

use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    metrics::v1::{AggregationTemporality, metric::Data, number_data_point},
};

use super::{metrics_v1::*, *};
use crate::mapping::MetricSchema;

/// Returns the body of a histogram with many buckets, and of a resource with many attributes.
pub(super) fn wide_histogram(attributes: usize, buckets: usize) -> Vec<u8> {
    let mut point = histogram(vec![1; buckets]);
    let bounds = 1..buckets;
    point.explicit_bounds = bounds.map(|bound| f64::from(u32::try_from(bound).unwrap())).collect();
    let mut request = request(vec![metric("m", histograms(vec![point]))]);
    let attributes = (0..attributes).map(|n| text(&format!("a{n:05}"), "x"));
    request.resource_metrics[0].resource = resource(attributes.collect());
    request.encode_to_vec()
}

fn stored(name: &str, data: Data) -> String {
    let mapping = MappingOptions {
        metric_schema: MetricSchema::PrometheusV2,
        ..MappingOptions::default()
    };
    let converted = convert(Signal::Metrics, &request(vec![metric(name, data)]), &mapping);
    assert_eq!(converted.message, "");
    converted.lines.join("\n")
}

#[test]
fn numbers_are_fields_with_the_name_of_the_metric() {
    let point = |engine, value| {
        let attributes = vec![attribute("engine_id", Value::IntValue(engine))];
        number(attributes, number_data_point::Value::AsDouble(value))
    };
    let data = gauge(vec![point(0, 23.9), point(1, 11.9)]);
    insta::assert_snapshot!(stored("cache_age_seconds", data), @r#"
    prometheus,container.name=42,engine_id=0,otel.library.name=My Library,otel.library.version=latest cache_age_seconds=23.9,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,container.name=42,engine_id=1,otel.library.name=My Library,otel.library.version=latest cache_age_seconds=11.9,start_time_unix_nano=1395066363000000001i 1395066363000000123
    "#);
    let point = number(request_attributes(200), number_data_point::Value::AsInt(3));
    let data = sum(AggregationTemporality::Cumulative, true, vec![point]);
    insta::assert_snapshot!(stored("http_requests_total", data), @r#"prometheus,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest http_requests_total=3i,start_time_unix_nano=1395066363000000001i 1395066363000000123"#);
}

#[test]
fn buckets_are_rows_with_their_bound() {
    let mut point = histogram(vec![24_054, 9_390, 66_948, 28_997, 4_599, 10_332]);
    point.attributes.push(text("le", "overridden"));
    insta::assert_snapshot!(stored("request_seconds", histograms(vec![point])), @r#"
    prometheus,code=200,container.name=42,le=overridden,method=post,otel.library.name=My Library,otel.library.version=latest request_seconds_count=144320.0,request_seconds_max=100.0,request_seconds_min=0.0,request_seconds_sum=53423.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,le=0.05,method=post,otel.library.name=My Library,otel.library.version=latest request_seconds_bucket=24054.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,le=0.1,method=post,otel.library.name=My Library,otel.library.version=latest request_seconds_bucket=33444.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,le=0.2,method=post,otel.library.name=My Library,otel.library.version=latest request_seconds_bucket=100392.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,le=0.5,method=post,otel.library.name=My Library,otel.library.version=latest request_seconds_bucket=129389.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,le=1,method=post,otel.library.name=My Library,otel.library.version=latest request_seconds_bucket=133988.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,le=+Inf,method=post,otel.library.name=My Library,otel.library.version=latest request_seconds_bucket=144320.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    "#);
}

#[test]
fn quantiles_are_rows() {
    insta::assert_snapshot!(stored("rpc_seconds", summary()), @r#"
    prometheus,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest rpc_seconds_count=2693.0,rpc_seconds_sum=17560473.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest,quantile=0.01 rpc_seconds=3102.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest,quantile=0.05 rpc_seconds=3272.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest,quantile=0.5 rpc_seconds=4773.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest,quantile=0.9 rpc_seconds=9001.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest,quantile=0.99 rpc_seconds=76656.0,start_time_unix_nano=1395066363000000001i 1395066363000000123
    "#);
}

#[test]
fn exponential_histograms_and_exemplars_have_the_name_of_the_metric() {
    insta::assert_snapshot!(stored("latency", exponential()), @r#"prometheus,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest latency_count=9.0,latency_negative_bucket_counts="[2]",latency_negative_offset=1i,latency_positive_bucket_counts="[1,0,4]",latency_positive_offset=-3i,latency_scale=-1i,latency_sum=12.5,latency_zero_count=2.0,latency_zero_threshold=0.25,start_time_unix_nano=1395066363000000001i 1395066363000000123"#);
    let mut point = number(Vec::new(), number_data_point::Value::AsInt(7));
    point.exemplars = exemplars();
    insta::assert_snapshot!(stored("age", gauge(vec![point])), @r#"
    prometheus,container.name=42,otel.library.name=My Library,otel.library.version=latest age=7i,start_time_unix_nano=1395066363000000001i 1395066363000000123
    prometheus_exemplar,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10,user=7 age=0.07 1395066363000000124
    prometheus_exemplar age=0.5 1395066363000000123
    "#);
}
