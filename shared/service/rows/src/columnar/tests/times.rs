//! Columns of times in all encodings.

use arrow_array::{
    Array, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    TimestampSecondArray, UInt64Array,
};
use arrow_array::{cast::AsArray, types::TimestampNanosecondType};

use super::*;
use crate::columnar::TimeFormat;

/// Returns the times of the accepted rows, and the messages of the others.
fn times(time: ArrayRef, format: &str, zone: Option<&str>) -> (Vec<i64>, Vec<String>) {
    let rows = time.len();
    let time_column = TimeColumn {
        name: Some("at".to_owned()),
        format: format.parse().unwrap(),
        zone: zone.map(|zone| zone.parse().unwrap()),
    };
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1; rows]));
    let parsed = validate_with(
        mapping(TagColumns::ByType, time_column),
        vec![("at", time), ("v", values)],
        &TestDatabase::default(),
    );
    let times = if parsed.tables.is_empty() {
        Vec::new()
    } else {
        column(&parsed, "time")
            .as_primitive::<TimestampNanosecondType>()
            .values()
            .to_vec()
    };
    let messages = messages(&parsed);
    (times, messages.iter().map(|(_, text)| (*text).to_owned()).collect())
}

fn accepted(time: impl Array + 'static, format: &str, zone: Option<&str>) -> Vec<i64> {
    let (times, messages) = times(Arc::new(time), format, zone);
    assert_eq!(messages, Vec::<String>::new());
    times
}

const SECOND: i64 = 1_000_000_000;

#[test]
fn timestamps_and_dates_have_their_own_unit() {
    assert_eq!(accepted(TimestampSecondArray::from(vec![5]), "auto", None), [5 * SECOND]);
    let with_zone = TimestampMicrosecondArray::from(vec![5]).with_timezone("Europe/Berlin");
    assert_eq!(accepted(with_zone, "ms", Some("Asia/Tokyo")), [5000]);
    assert_eq!(accepted(Date32Array::from(vec![1]), "auto", None), [86_400 * SECOND]);
    assert_eq!(accepted(Date32Array::from(vec![1]), "auto", Some("+01:00")), [82_800 * SECOND]);
    let (_, messages) = times(Arc::new(TimestampSecondArray::from(vec![i64::MAX])), "auto", None);
    assert_eq!(messages, ["timestamp, 9223372036854775807, out of range for precision: Second"]);
}

#[test]
fn numbers_have_the_unit_of_the_format_or_of_the_request() {
    let integers = || Int64Array::from(vec![Some(1_700_000_000), None]);
    assert_eq!(accepted(integers(), "auto", None), [1_700_000_000 * SECOND, 42]);
    assert_eq!(accepted(integers(), "ms", None), [1_700_000_000_000_000, 42]);
    assert_eq!(
        accepted(Float64Array::from(vec![1.25, -0.5]), "s", None),
        [1_250_000_000, -500_000_000]
    );
    let (_, messages) = times(Arc::new(UInt64Array::from(vec![u64::MAX])), "ns", None);
    assert_eq!(messages, ["Unable to parse timestamp value `18446744073709551615`"]);
    assert_eq!(accepted(Int64Array::from(vec![19_700_102]), "%Y%m%d", None), [86_400 * SECOND]);
}

#[test]
fn texts_are_read_in_the_zone_unless_they_have_an_offset() {
    let texts = StringArray::from(vec![
        Some("1970-01-01T01:00:00Z"),
        Some("1970-01-01 01:00:00"),
        Some("1970-01-02"),
        Some("1970-01-01T01:00:00.5+01:00"),
        Some("7"),
        Some(""),
        None,
    ]);
    assert_eq!(
        accepted(texts, "auto", Some("Europe/Berlin")),
        [3600 * SECOND, 0, 82_800 * SECOND, SECOND / 2, 7 * SECOND, 42, 42]
    );
    let patterns = StringArray::from(vec!["01.01.1970 02:00", "01.01.1970 03:00"]);
    assert_eq!(accepted(patterns, "%d.%m.%Y %H:%M", Some("+02:00")), [0, 3600 * SECOND]);
    let offsets = StringArray::from(vec!["01.01.1970 02:00 +0200"]);
    assert_eq!(accepted(offsets, "%d.%m.%Y %H:%M %z", None), [0]);
}

#[test]
fn a_time_that_the_zone_skips_or_repeats_refuses_its_row() {
    let texts = StringArray::from(vec![
        "2024-03-31T02:30:00",
        "2024-10-27T02:30:00",
        "2024-10-27T12:00:00",
        "yesterday",
    ]);
    let (times, messages) = times(Arc::new(texts), "rfc3339", Some("Europe/Berlin"));
    assert_eq!(times, [1_730_026_800 * SECOND]);
    assert_eq!(
        messages,
        [
            "Unable to parse timestamp value `2024-03-31T02:30:00`",
            "Unable to parse timestamp value `2024-10-27T02:30:00`",
            "Unable to parse timestamp value `yesterday`",
        ]
    );
    assert_eq!("ms".parse(), Ok(TimeFormat::Unit(crate::line_protocol::Precision::Millisecond)));
}

#[test]
fn decimals_and_texts_with_a_fraction_stay_exact() {
    let format = || TimeColumn {
        format: TimeFormat::Unit(crate::line_protocol::Precision::Second),
        ..TimeColumn::default()
    };
    let times = |times: ArrayRef| {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1; times.len()]));
        let mapping = mapping(TagColumns::ByType, format());
        let parsed =
            validate_with(mapping, vec![("time", times), ("v", values)], &TestDatabase::default());
        assert_eq!(messages(&parsed), []);
        let times = column(&parsed, "time");
        times.as_primitive::<TimestampNanosecondType>().values().to_vec()
    };
    let texts = [
        "1700000000.123456",
        "1700000000.1234567890000000000000000000001",
        "-1.5",
        "1.7000000001e9",
        ".5",
    ];
    assert_eq!(
        times(Arc::new(StringArray::from(texts.to_vec()))),
        [
            1_700_000_000_123_456_000,
            1_700_000_000_123_456_789,
            -1_500_000_000,
            1_700_000_000_100_000_000,
            500_000_000
        ]
    );
    let decimals = arrow_array::Decimal128Array::from(vec![
        1_700_000_000_123_456_789,
        -1_700_000_000_123_456_789,
    ])
    .with_precision_and_scale(38, 9)
    .unwrap();
    assert_eq!(
        times(Arc::new(decimals)),
        [1_700_000_000_123_456_789, -1_700_000_000_123_456_789]
    );
}
