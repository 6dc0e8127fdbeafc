//! Metrics as tables of their own. The cases are those of the tests of `influxdb-observability`.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::any_value::Value,
    metrics::v1::{
        AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint,
        Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
};

use super::*;

/// Returns a request with metrics of one source.
pub(super) fn request(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(vec![text("container.name", "42")]),
            scope_metrics: vec![ScopeMetrics {
                scope: scope(),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

pub(super) fn metric(name: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: "A description".to_owned(),
        unit: "s".to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

pub(super) fn number(
    attributes: Vec<KeyValue>,
    value: number_data_point::Value,
) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: START,
        time_unix_nano: TIME,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

pub(super) fn gauge(points: Vec<NumberDataPoint>) -> Data {
    Data::Gauge(Gauge { data_points: points })
}

pub(super) fn sum(
    temporality: AggregationTemporality,
    is_monotonic: bool,
    data_points: Vec<NumberDataPoint>,
) -> Data {
    Data::Sum(Sum {
        data_points,
        aggregation_temporality: temporality.into(),
        is_monotonic,
    })
}

pub(super) fn request_attributes(code: i64) -> Vec<KeyValue> {
    vec![attribute("code", Value::IntValue(code)), text("method", "post")]
}

pub(super) fn histogram(bucket_counts: Vec<u64>) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: request_attributes(200),
        start_time_unix_nano: START,
        time_unix_nano: TIME,
        count: 144_320,
        sum: Some(53_423.0),
        min: Some(0.0),
        max: Some(100.0),
        bucket_counts,
        explicit_bounds: vec![0.05, 0.1, 0.2, 0.5, 1.0],
        ..HistogramDataPoint::default()
    }
}

pub(super) fn histograms(data_points: Vec<HistogramDataPoint>) -> Data {
    Data::Histogram(Histogram {
        data_points,
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
    })
}

pub(super) fn summary() -> Data {
    let quantiles = [(0.01, 3102.0), (0.05, 3272.0), (0.5, 4773.0), (0.9, 9001.0), (0.99, 76656.0)]
        .map(|(quantile, value)| ValueAtQuantile { quantile, value });
    let point = SummaryDataPoint {
        attributes: request_attributes(200),
        start_time_unix_nano: START,
        time_unix_nano: TIME,
        count: 2693,
        sum: 17_560_473.0,
        quantile_values: quantiles.to_vec(),
        ..SummaryDataPoint::default()
    };
    Data::Summary(Summary { data_points: vec![point] })
}

pub(super) fn exponential() -> Data {
    let point = ExponentialHistogramDataPoint {
        attributes: request_attributes(200),
        start_time_unix_nano: START,
        time_unix_nano: TIME,
        count: 9,
        sum: Some(12.5),
        scale: -1,
        zero_count: 2,
        zero_threshold: 0.25,
        positive: Some(Buckets { offset: -3, bucket_counts: vec![1, 0, 4] }),
        negative: Some(Buckets { offset: 1, bucket_counts: vec![2] }),
        max: Some(f64::INFINITY),
        ..ExponentialHistogramDataPoint::default()
    };
    Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![point],
        aggregation_temporality: AggregationTemporality::Delta.into(),
    })
}

pub(super) fn exemplars() -> Vec<Exemplar> {
    vec![
        Exemplar {
            filtered_attributes: vec![text("user", "7")],
            time_unix_nano: TIME + 1,
            trace_id: (1..=16).collect(),
            span_id: (1..=8).collect(),
            value: Some(exemplar::Value::AsDouble(0.07)),
        },
        Exemplar {
            value: Some(exemplar::Value::AsDouble(0.5)),
            ..Exemplar::default()
        },
    ]
}

fn convert_v1(metrics: Vec<Metric>) -> Converted {
    convert(Signal::Metrics, &request(metrics), &MappingOptions::default())
}

fn stored(data: Data) -> String {
    let converted = convert_v1(vec![metric("m", data)]);
    assert_eq!(converted.message, "");
    converted.lines.join("\n")
}

#[test]
fn a_gauge_has_a_row_for_each_point() {
    let point = |engine, value| {
        let attributes = vec![attribute("engine_id", Value::IntValue(engine))];
        number(attributes, number_data_point::Value::AsDouble(value))
    };
    insta::assert_snapshot!(stored(gauge(vec![point(0, 23.9), point(1, 11.9)])), @r#"
    m,container.name=42,engine_id=0,otel.library.name=My Library,otel.library.version=latest gauge=23.9,start_time_unix_nano=1395066363000000001i 1395066363000000123
    m,container.name=42,engine_id=1,otel.library.name=My Library,otel.library.version=latest gauge=11.9,start_time_unix_nano=1395066363000000001i 1395066363000000123
    "#);
}

#[test]
fn a_sum_is_a_counter_if_it_is_a_growing_total() {
    use AggregationTemporality::{Cumulative, Delta, Unspecified};
    for (temporality, is_monotonic, field) in [
        (Cumulative, true, "counter"),
        (Cumulative, false, "gauge"),
        (Delta, true, "gauge"),
        (Delta, false, "gauge"),
        (Unspecified, true, "gauge"),
    ] {
        let point = number(request_attributes(400), number_data_point::Value::AsInt(1027));
        let line = stored(sum(temporality, is_monotonic, vec![point]));
        let expected = format!(
            "m,code=400,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest \
             {field}=1027i,start_time_unix_nano=1395066363000000001i 1395066363000000123"
        );
        assert_eq!(line, expected, "{temporality:?} {is_monotonic}");
    }
}

#[test]
fn the_buckets_of_a_histogram_are_cumulative() {
    let counts = vec![24_054, 9_390, 66_948, 28_997, 4_599, 10_332];
    insta::assert_snapshot!(stored(histograms(vec![histogram(counts)])), @r#"m,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest +Inf=144320.0,0.05=24054.0,0.1=33444.0,0.2=100392.0,0.5=129389.0,1=133988.0,count=144320.0,max=100.0,min=0.0,start_time_unix_nano=1395066363000000001i,sum=53423.0 1395066363000000123"#);
}

#[test]
fn a_histogram_may_lack_the_last_bucket_or_all_of_them() {
    let counts = vec![24_054, 9_390, 66_948, 28_997, 4_599];
    let without_last = stored(histograms(vec![histogram(counts)]));
    assert!(!without_last.contains("+Inf") && without_last.contains("1=133988.0"));
    let without = stored(histograms(vec![histogram(Vec::new())]));
    assert!(without.contains(" count=144320.0,max=100.0,min=0.0,start_time"), "{without}");
    let converted = convert_v1(vec![metric("m", histograms(vec![histogram(vec![1; 3])]))]);
    assert_eq!((converted.lines.len(), converted.rejected), (0, 1));
    assert!(converted.message.ends_with("3 bucket counts do not fit 5 bounds"));
}

#[test]
fn an_exponential_histogram_keeps_its_buckets_as_lists() {
    insta::assert_snapshot!(stored(exponential()), @r#"m,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest count=9.0,negative_bucket_counts="[2]",negative_offset=1i,positive_bucket_counts="[1,0,4]",positive_offset=-3i,scale=-1i,start_time_unix_nano=1395066363000000001i,sum=12.5,zero_count=2.0,zero_threshold=0.25 1395066363000000123"#);
}

#[test]
fn a_summary_has_a_field_for_each_quantile() {
    insta::assert_snapshot!(stored(summary()), @r#"m,code=200,container.name=42,method=post,otel.library.name=My Library,otel.library.version=latest 0.01=3102.0,0.05=3272.0,0.5=4773.0,0.99=76656.0,0.9=9001.0,count=2693.0,start_time_unix_nano=1395066363000000001i,sum=17560473.0 1395066363000000123"#);
}

#[test]
fn exemplars_are_rows_of_their_own_table() {
    let mut point = number(Vec::new(), number_data_point::Value::AsDouble(1.5));
    point.exemplars = exemplars();
    insta::assert_snapshot!(stored(gauge(vec![point])), @r#"
    m,container.name=42,otel.library.name=My Library,otel.library.version=latest gauge=1.5,start_time_unix_nano=1395066363000000001i 1395066363000000123
    m_exemplar,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10,user=7 gauge=0.07 1395066363000000124
    m_exemplar gauge=0.5 1395066363000000123
    "#);
}

#[test]
fn points_without_a_value_are_skipped() {
    let mut ended = number(Vec::new(), number_data_point::Value::AsDouble(0.0));
    ended.flags = 1;
    let mut empty = ended.clone();
    (empty.flags, empty.value) = (0, None);
    let mut histogram = histogram(vec![1; 3]);
    histogram.flags = 1;
    let metrics = vec![
        metric("m", gauge(vec![ended, empty])),
        metric("n", histograms(vec![histogram])),
        Metric::default(),
    ];
    assert_eq!(convert_v1(metrics), Converted::default());
}

#[test]
fn points_that_cannot_be_stored_are_refused_alone() {
    let double = number_data_point::Value::AsDouble;
    let good = number(Vec::new(), double(1.0));
    let mut untimed = good.clone();
    untimed.time_unix_nano = 0;
    let mut late = good.clone();
    late.start_time_unix_nano = u64::MAX;
    let points = vec![
        untimed,
        late,
        number(Vec::new(), double(f64::NAN)),
        number(vec![text("gauge", "x")], double(1.0)),
        number(vec![text("time", "x")], double(1.0)),
        number(vec![text("a", "x")], number_data_point::Value::AsInt(1)),
        good,
    ];
    // The first point decides the type of the column.
    let points = [number(vec![text("a", "y")], double(2.0))].into_iter().chain(points);
    let converted = convert_v1(vec![metric("m", gauge(points.collect()))]);
    assert_eq!((converted.lines.len(), converted.rejected), (3, 5));
    insta::assert_snapshot!(converted.message, @"5 of 8 data points are not stored; data point 2: metric 'm': time_unix_nano is missing; data point 3: metric 'm': start_time_unix_nano 18446744073709551615 is after the year 2262; data point 4: metric 'm': NaN cannot be stored; data point 5: metric 'm': column 'gauge' occurs several times in a row; data point 6: invalid column type for column 'time', expected iox::column_type::timestamp, got iox::column_type::tag in otel.library.version=latest, otel.library.name=My Library, container.name=42, start_time_unix_nano=1");
    let unnamed = convert_v1(vec![metric("", gauge(vec![number(Vec::new(), double(1.0))]))]);
    insta::assert_snapshot!(unnamed.message, @"1 of 1 data points are not stored; data point 1: the name of the metric is missing");
}

#[test]
fn attributes_of_the_point_override_those_of_the_source() {
    let attributes = vec![
        text("container.name", "43"),
        text("otel.library.name", "Other"),
        text("twice", "1"),
        text("twice", "2"),
        text("empty", ""),
        text("", "unnamed"),
        attribute("flag", Value::BoolValue(true)),
    ];
    let point = number(attributes, number_data_point::Value::AsInt(1));
    insta::assert_snapshot!(stored(gauge(vec![point])), @"m,container.name=43,flag=true,otel.library.name=Other,otel.library.version=latest,twice=2 gauge=1i,start_time_unix_nano=1395066363000000001i 1395066363000000123");
}
