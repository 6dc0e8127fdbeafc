//! Tests of both versions of remote write, as bytes.

mod fuzz;
mod requests;

use std::sync::Arc;

use neap_rows::{
    columnar::PointBatches,
    line_protocol::{Options, ParsedBody, Precision, RowSource, SchemaView, TableView},
};
use requests::RequestBuilder;

use super::*;
use crate::{
    BucketSpan, Histogram, HistogramCount, HistogramZeroCount, STALE_BITS, TimeSeries,
    test_messages::series,
};

const LIMIT: usize = 1 << 20;

/// A database without tables.
struct EmptySchema;

impl SchemaView for EmptySchema {
    fn table(&self, _name: &str) -> Option<Arc<TableView>> {
        None
    }
}

fn validate(points: PointBatches) -> ParsedBody {
    let options = Options::with_precision(Precision::Nanosecond);
    let rows = points.into_rows().unwrap();
    rows.validate(&EmptySchema, &options).unwrap()
}

/// Returns the stored points as text, one line for each.
fn stored(write: DecodedWrite<'_>) -> String {
    let parsed = validate(write.points);
    let mut text = String::new();
    for error in &parsed.errors {
        text += &format!("error in row {}: {}\n", error.line_number, error.error_message);
    }
    for table in &parsed.tables {
        let batch = &table.batch;
        for row in 0..batch.num_rows() {
            text += &table.name;
            for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
                if column.is_valid(row) {
                    let value = requests::value_text(column.as_ref(), row);
                    text += &format!(" {}={value}", field.name());
                }
            }
            text.push('\n');
        }
    }
    text
}

/// Checks that both versions of a request store the same points, and returns them.
fn stored_by_both(series: &[TimeSeries]) -> String {
    let request = RequestBuilder::new(series);
    let (one, two) = (request.version_1(), request.version_2());
    let one = decode_write(&one, WriteVersion::One, LIMIT).unwrap();
    let two = decode_write(&two, WriteVersion::Two, LIMIT).unwrap();
    assert_eq!(one.rows, two.rows);
    assert_eq!(one.refused, two.refused);
    let refused = one.refused.messages.join("\n");
    let text = stored(one);
    assert_eq!(stored(two), text);
    text + &refused
}

#[test]
fn a_metric_is_a_table_and_a_label_is_a_tag() {
    let text = stored_by_both(&[
        series(
            &[("__name__", "up"), ("instance", "a:80"), ("job", "api")],
            &[(1_000, 1.0), (2_000, 0.0)],
        ),
        series(&[("__name__", "up"), ("instance", "b:80"), ("job", "api")], &[(1_000, 1.0)]),
        series(&[("__name__", "load"), ("empty", "")], &[(1_500, 0.25)]),
    ]);
    insta::assert_snapshot!(text, @r"
    up instance=a:80 job=api value=1.0 time=1970-01-01T00:00:01
    up instance=a:80 job=api value=0.0 time=1970-01-01T00:00:02
    up instance=b:80 job=api value=1.0 time=1970-01-01T00:00:01
    load value=0.25 time=1970-01-01T00:00:01.500
    ");
}

#[test]
fn labels_may_have_any_order() {
    let text = stored_by_both(&[
        series(&[("job", "api"), ("__name__", "up"), ("a", "x")], &[(1_000, 1.0)]),
        series(&[("a", "x"), ("job", "api"), ("__name__", "up")], &[(2_000, 1.0)]),
    ]);
    insta::assert_snapshot!(text, @r"
    up job=api a=x value=1.0 time=1970-01-01T00:00:01
    up job=api a=x value=1.0 time=1970-01-01T00:00:02
    ");
}

#[test]
fn numbers_that_are_not_finite_are_stored_by_name() {
    let values = [
        (1, f64::from_bits(STALE_BITS)),
        (2, f64::NAN),
        (3, f64::INFINITY),
        (4, f64::NEG_INFINITY),
        (5, 0.5),
    ];
    let text = stored_by_both(&[series(&[("__name__", "m")], &values)]);
    insta::assert_snapshot!(text, @r"
    m non_finite=stale time=1970-01-01T00:00:00.001
    m non_finite=NaN time=1970-01-01T00:00:00.002
    m non_finite=+Inf time=1970-01-01T00:00:00.003
    m non_finite=-Inf time=1970-01-01T00:00:00.004
    m value=0.5 time=1970-01-01T00:00:00.005
    ");
}

#[test]
fn labels_with_the_names_of_fields_are_renamed() {
    let labels = [("__name__", "m"), ("time", "noon"), ("value", "x")];
    let text = stored_by_both(&[series(&labels, &[(1, 2.0)])]);
    insta::assert_snapshot!(text, @"m label_time=noon label_value=x value=2.0 time=1970-01-01T00:00:00.001");
}

#[test]
fn a_histogram_is_a_row_with_its_json() {
    let mut with_histogram = series(&[("__name__", "h"), ("job", "api")], &[]);
    with_histogram.histograms = vec![
        Histogram {
            count: Some(HistogramCount::Integer(3)),
            sum: 4.5,
            schema: 3,
            zero_threshold: 0.001,
            zero_count: Some(HistogramZeroCount::Integer(1)),
            positive_spans: vec![BucketSpan { offset: -1, length: 2 }],
            positive_deltas: vec![1, 0],
            timestamp: 7,
            ..Histogram::default()
        },
        Histogram {
            count: Some(HistogramCount::Float(0.5)),
            sum: f64::from_bits(STALE_BITS),
            timestamp: 8,
            ..Histogram::default()
        },
    ];
    let text = stored_by_both(&[with_histogram]);
    insta::assert_snapshot!(text, @r#"
    h job=api count=3.0 sum=4.5 histogram={"type":"integer","count":3,"sum":4.5,"schema":3,"zero_threshold":0.001,"zero_count":1,"reset_hint":0,"positive_spans":[[-1,2]],"positive_deltas":[1,0]} time=1970-01-01T00:00:00.007
    h job=api count=0.5 histogram={"type":"float","count":0.5,"sum":"stale","schema":0,"zero_threshold":0.0,"zero_count":0,"reset_hint":0} time=1970-01-01T00:00:00.008
    "#);
}

#[test]
fn a_series_that_cannot_be_stored_is_refused_alone() {
    let text = stored_by_both(&[
        series(&[("job", "api")], &[(1, 1.0), (2, 1.0)]),
        series(&[("__name__", "m"), ("", "x")], &[(1, 1.0)]),
        series(&[("__name__", "m"), ("a", "1"), ("a", "2")], &[(1, 1.0)]),
        series(&[("__name__", "m"), ("__name__", "n")], &[(1, 1.0)]),
        series(&[("__name__", "late"), ("a", "1")], &[(i64::MAX, 1.0), (9, 1.0)]),
        series(&[("__name__", "")], &[(1, 1.0)]),
        series(&[("__name__", "no samples")], &[]),
    ]);
    insta::assert_snapshot!(text, @r#"
    late a=1 value=1.0 time=1970-01-01T00:00:00.009
    {job="api"}: the series has no label __name__
    m: a label has no name
    m{a="1",a="2"}: column 'a' occurs several times in a row
    n: the label __name__ occurs several times
    late{a="1"}: the time 9223372036854775807 ms is out of range
    : the series has no label __name__
    "#);
}

#[test]
fn refused_values_are_counted_by_kind() {
    let good = series(&[("__name__", "m")], &[(1, 1.0), (2, 1.0)]);
    let bad = series(&[("__name__", "m"), ("a", "1"), ("a", "2")], &[(1, 1.0), (2, 1.0)]);
    let message = RequestBuilder::new(&[good, bad]).version_1();
    let write = decode_write(&message, WriteVersion::One, LIMIT).unwrap();
    assert_eq!(write.count(RowKind::Sample), 2);
    assert_eq!(write.count(RowKind::Discarded), 2);
    assert_eq!(write.refused.count, 2);
}

/// Checks that both versions of a request keep the same exemplars, and returns their rows and the number of dropped ones.
fn exemplars_of_both(request: &RequestBuilder<'_>) -> (String, usize) {
    let rows = |message: &[u8], version| {
        let mut write = decode_write(message, version, LIMIT).unwrap();
        let dropped = write.dropped_exemplars + write.add_exemplars();
        if write.points.row_count() == 0 {
            return (String::new(), dropped);
        }
        let text = stored(write);
        let of_table = text.lines().filter(|line| line.starts_with("prometheus_exemplars "));
        (of_table.collect::<Vec<_>>().join("\n"), dropped)
    };
    let one = rows(&request.version_1(), WriteVersion::One);
    assert_eq!(one, rows(&request.version_2(), WriteVersion::Two));
    one
}

#[test]
fn exemplars_become_rows_of_one_table() {
    // Prometheus sends exemplars in series without samples.
    let labels = [("__name__", "m"), ("le", "0.5"), ("job", "a")];
    let mut request = RequestBuilder::new(&[series(&labels, &[])]);
    request.exemplars = vec!["7", "8"];
    let (rows, dropped) = exemplars_of_both(&request);
    let expected = r#"
prometheus_exemplars metric=m series={"job":"a","le":"0.5"} labels={"trace_id":"7"} value=1.5 time=1970-01-01T00:00:00.001
prometheus_exemplars metric=m series={"job":"a","le":"0.5"} labels={"trace_id":"8"} value=1.5 time=1970-01-01T00:00:00.002"#;
    assert_eq!((rows.as_str(), dropped), (expected.trim_start(), 0));
}

#[test]
fn exemplars_that_are_too_long_or_too_many_are_dropped() {
    let long = "x".repeat(200);
    let mut request = RequestBuilder::new(&[series(&[("__name__", "m")], &[(1, 1.0)])]);
    request.exemplars = vec!["7", long.as_str()];
    let (rows, dropped) = exemplars_of_both(&request);
    assert_eq!((rows.lines().count(), dropped), (1, 1));
    request.exemplars = vec![""; 10_005];
    let large = 16 * LIMIT;
    let body = request.version_1();
    let write = decode_write(&body, WriteVersion::One, large);
    let kept = write.map(|write| (write.exemplars.len(), write.dropped_exemplars));
    assert_eq!(kept.unwrap(), (10_000, 5));
    let refused = decode_write(&body, WriteVersion::One, LIMIT);
    assert!(matches!(refused, Err(DecodeError::TooManyPoints(LIMIT))));
}

#[test]
fn exemplars_of_a_refused_series_are_dropped() {
    let mut request = RequestBuilder::new(&[series(&[("job", "a")], &[])]);
    request.exemplars = vec!["7"];
    assert_eq!(exemplars_of_both(&request), (String::new(), 1));
}

#[test]
fn descriptions_of_metrics_become_rows_once() {
    let samples = series(&[("__name__", "m")], &[(1, 1.0)]);
    let mut request = RequestBuilder::new(&[samples.clone(), samples]);
    request.metadata = Some(("m", 1, "Number of calls.", "seconds"));
    for (message, version) in [
        (request.version_1(), WriteVersion::One),
        (request.version_2(), WriteVersion::Two),
    ] {
        let mut write = decode_write(&message, version, LIMIT).unwrap();
        let metadata = std::mem::take(&mut write.metadata);
        let expected = MetricMetadata {
            metric: "m",
            kind: "counter",
            help: "Number of calls.",
            unit: "seconds",
        };
        assert_eq!(metadata, [expected]);
        write.add_metadata(&metadata, 0).unwrap();
        let text = stored(write);
        let row = "prometheus_metadata metric=m type=counter help=Number of calls. unit=seconds time=1970-01-01T00:00:00\n";
        assert!(text.ends_with(row), "{text}");
    }
}

#[test]
fn a_label_that_is_not_utf8_refuses_its_series() {
    for version in [WriteVersion::One, WriteVersion::Two] {
        let request = RequestBuilder::new(&[
            series(&[("__name__", "m"), ("a", "XYZ")], &[(1, 1.0)]),
            series(&[("__name__", "m"), ("b", "y")], &[(1, 1.0)]),
        ]);
        let mut message = match version {
            WriteVersion::One => request.version_1(),
            WriteVersion::Two => request.version_2(),
        };
        let position = message.windows(3).position(|bytes| bytes == b"XYZ");
        message[position.unwrap()] = 0xff;
        let write = decode_write(&message, version, LIMIT).unwrap();
        assert_eq!(write.refused.count, 1);
        assert!(write.refused.messages[0].ends_with("a label is not UTF-8"));
        assert_eq!(write.points.row_count(), 1);
    }
}

#[test]
fn references_to_unknown_symbols_refuse_their_series() {
    let message = requests::symbol_request(&["", "__name__", "m"], &[&[1, 2], &[1, 9], &[1]]);
    let write = decode_write(&message, WriteVersion::Two, LIMIT).unwrap();
    assert_eq!(write.points.row_count(), 1);
    assert_eq!(
        write.refused.messages,
        [": the series has no label __name__", ": the series has no label __name__"]
    );
}

#[test]
fn memory_is_limited() {
    let wide: Vec<_> = (0..900).map(|label| (format!("l{label}"), "x".to_owned())).collect();
    let mut labels: Vec<_> =
        wide.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    labels.push(("__name__", "m"));
    let samples: Vec<_> = (0..50_000).map(|time| (time, 1.0)).collect();
    let message = RequestBuilder::new(&[series(&labels, &samples)]).version_1();
    let refused = decode_write(&message, WriteVersion::One, LIMIT);
    assert!(matches!(refused, Err(DecodeError::TooManyPoints(LIMIT))));
}

#[test]
fn descriptions_count_as_memory() {
    for version in [WriteVersion::One, WriteVersion::Two] {
        let decode = |metrics: usize| {
            let message = requests::described_metrics(metrics, version);
            decode_write(&message, version, LIMIT).map(|write| write.metadata.len())
        };
        assert_eq!(decode(2_000).unwrap(), 2_000);
        let refused = decode(4_000);
        assert!(
            matches!(refused, Err(DecodeError::TooManyPoints(LIMIT))),
            "{version:?}: {refused:?}"
        );
    }
}

#[test]
fn symbols_count_as_memory() {
    let symbols = vec![""; LIMIT / 8];
    let message = requests::symbol_request(&symbols, &[]);
    let refused = decode_write(&message, WriteVersion::Two, LIMIT);
    assert!(matches!(refused, Err(DecodeError::TooManyPoints(LIMIT))));
}

#[test]
fn a_series_has_at_most_1000_labels() {
    let numbered_symbols: Vec<_> = (0..1_001).map(|index| format!("s{index}")).collect();
    let mut symbols: Vec<_> = numbered_symbols.iter().map(String::as_str).collect();
    symbols.extend(["__name__", "m"]);
    let wide = |labels: u32| {
        let labels = (0..labels).flat_map(|label| [label, label]);
        let labels: Vec<_> = [1_001, 1_002].into_iter().chain(labels).collect();
        let message = requests::symbol_request(&symbols, &[&labels]);
        let write = decode_write(&message, WriteVersion::Two, LIMIT).unwrap();
        write.refused.messages
    };
    assert!(wide(1_000).is_empty());
    assert!(wide(1_001)[0].ends_with("the series has more than 1000 labels"));
}

#[test]
fn a_large_histogram_is_refused_alone() {
    let histogram = |buckets: u32| Histogram {
        count: Some(HistogramCount::Integer(u64::from(buckets))),
        positive_spans: vec![BucketSpan { offset: 0, length: buckets }],
        positive_deltas: std::iter::once(1)
            .chain(std::iter::repeat(0))
            .take(buckets as usize)
            .collect(),
        timestamp: 1,
        ..Histogram::default()
    };
    let mut series = series(&[("__name__", "h")], &[]);
    series.histograms = vec![histogram(1), histogram((1 << 20) + 1)];
    let message = RequestBuilder::new(&[series]).version_1();
    let write = decode_write(&message, WriteVersion::One, 64 << 20).unwrap();
    assert_eq!(write.count(RowKind::Histogram), 1);
    assert_eq!(write.refused.messages, ["h: a histogram has more than 1048576 bytes"]);
}

#[test]
fn a_histogram_that_contradicts_itself_is_refused_alone() {
    let histogram = |count: u64| Histogram {
        count: Some(HistogramCount::Integer(count)),
        positive_spans: vec![BucketSpan { offset: 0, length: 1 }],
        positive_deltas: vec![3],
        timestamp: 1,
        ..Histogram::default()
    };
    let mut series = series(&[("__name__", "h")], &[]);
    series.histograms = vec![histogram(3), histogram(2)];
    let message = RequestBuilder::new(&[series]).version_1();
    let write = decode_write(&message, WriteVersion::One, 64 << 20).unwrap();
    assert_eq!(write.count(RowKind::Histogram), 1);
    assert_eq!(
        write.refused.messages,
        ["h: a histogram has 2 observations, but its buckets have 3"]
    );
}

#[test]
fn errors_are_short_even_if_names_are_long() {
    let long = "x".repeat(LIMIT / 4);
    let message = RequestBuilder::new(&[
        series(&[("__name__", &long), ("", &long)], &[(1, 1.0)]),
        series(&[("__name__", "m"), (&long, "1"), (&long, "2")], &[(1, 1.0)]),
    ])
    .version_1();
    let write = decode_write(&message, WriteVersion::One, 4 * LIMIT).unwrap();
    let sizes = write.refused.messages.iter().map(String::capacity);
    assert_eq!(sizes.filter(|size| *size <= 2_000).count(), 2);
}

/// Damages a request in many ways. Each of the results is refused as a whole, or as a series, or is another request.
#[test]
fn damaged_messages_are_refused() {
    let request = RequestBuilder::new(&[series(&[("__name__", "m"), ("a", "b")], &[(1, 1.0)])]);
    let message = request.version_1();
    let mut refused = 0;
    for length in 1..message.len() {
        let cut = &message[..length];
        refused += usize::from(decode_write(cut, WriteVersion::One, LIMIT).is_err());
    }
    assert_eq!(refused, message.len() - 1);
    for tag in [0x0b, 0x0c, 0x0e, 0x0f, 0x00] {
        let damaged = [&message[..], &[tag]].concat();
        assert!(decode_write(&damaged, WriteVersion::One, LIMIT).is_err(), "{tag}");
    }
}

#[test]
fn fields_of_a_wrong_wire_type_are_refused() {
    let block = |number: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length][..], content].concat()
    };
    // A varint, eight bytes, and four bytes.
    for (wire_type, value) in [(0, &[7][..]), (1, &[7; 8][..]), (5, &[7; 4][..])] {
        let wrong = |number: u8| [&[number << 3 | wire_type][..], value].concat();
        let refuse = |version, message: &[u8]| {
            let refused = decode_write(message, version, LIMIT).map(|_| ());
            assert!(refused.is_err(), "{version:?} {message:?}");
        };
        for number in [1, 3] {
            refuse(WriteVersion::One, &wrong(number));
        }
        for number in 1..=4 {
            refuse(WriteVersion::One, &block(1, &wrong(number)));
        }
        for number in [4, 5] {
            refuse(WriteVersion::Two, &wrong(number));
        }
        // References may be packed or not.
        for number in if wire_type == 0 { 2..=5 } else { 1..=5 } {
            refuse(WriteVersion::Two, &block(5, &wrong(number)));
        }
    }
}

/// Returns a length in four bytes, more than it needs.
fn padded(length: usize) -> Vec<u8> {
    let low = u8::try_from(length & 0x7f).unwrap() | 0x80;
    let high = u8::try_from(length >> 7).unwrap() | 0x80;
    vec![low, high, 0x80, 0]
}

/// Returns a request with a series of one sample. Lengths take as few bytes as they can, or more.
fn request(labels: &[(&[u8], &[u8])], sample: &[u8], is_padded: bool) -> Vec<u8> {
    let block = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        match u8::try_from(content.len()) {
            Ok(length) if length < 0x80 && !is_padded => bytes.push(length),
            _ => bytes.extend(padded(content.len())),
        }
        bytes.extend(content);
        bytes
    };
    let labels = labels.iter().map(|(name, value)| {
        let fields = [block(1, name), block(2, value)].concat();
        block(1, &fields)
    });
    let mut series: Vec<u8> = labels.flatten().collect();
    series.extend(block(2, sample));
    block(1, &series)
}

#[test]
fn short_fields_are_read_like_long_ones() {
    let name = (&b"__name__"[..], &b"up"[..]);
    let (tag, long) = ("é".repeat(50), "x".repeat(150));
    let texts = [&b""[..], b"a", tag.as_bytes(), long.as_bytes(), b"a\xff", b"\xc3"];
    let sample = b"\x09\0\0\0\0\0\0\xf0\x3f\x10\x81\x01";
    let mut outcomes = Vec::new();
    for label in texts {
        for value in texts {
            let labels = [name, (label, value), (b"job", b"api")];
            let [short, long] = [false, true].map(|is_padded| {
                let message = request(&labels, sample, is_padded);
                let write = decode_write(&message, WriteVersion::One, LIMIT).unwrap();
                let refused = write.refused.clone();
                (refused, stored(write))
            });
            assert_eq!(short, long, "{label:?}={value:?}");
            outcomes.push(short.1);
        }
    }
    assert!(
        outcomes.contains(&format!("up a={tag} job=api value=1.0 time=1970-01-01T00:00:00.129\n"))
    );
    assert!(outcomes.contains(&String::new()));
}

#[test]
fn a_sample_may_have_its_fields_in_any_order() {
    let value = b"\x09\0\0\0\0\0\0\xf0\x3f";
    let other = b"\x09\0\0\0\0\0\0\0\x40";
    let text = |fields: &[&[u8]]| {
        let message = request(&[(b"__name__", b"up")], &fields.concat(), false);
        decode_write(&message, WriteVersion::One, LIMIT).map(stored).ok()
    };
    let expected = "up value=1.0 time=1970-01-01T00:00:00.005\n";
    let time = b"\x10\x05";
    for fields in [
        &[&value[..], &time[..]][..],
        &[time, value],
        &[value, b"\x18\x01", time],
        &[other, time, value],
        &[value, b"\x10\x07", time],
    ] {
        assert_eq!(text(fields).as_deref(), Some(expected), "{fields:?}");
    }
    let zero = expected.replace("1.0", "0.0");
    assert_eq!(text(&[time]), Some(zero));
    let epoch = expected.replace(".005", "");
    assert_eq!(text(&[value]), Some(epoch));
    assert_eq!(text(&[value, b"\x10"]), None);
    assert_eq!(text(&[value, b"\x10\xff"]), None);
}
