//! Values of the v1 formats, formatted as Go does.

use arrow::{array::timezone::Tz, datatypes::TimeUnit};
use chrono::{DateTime, Offset, TimeZone};

use crate::timestamp::TimestampFormatter;

#[derive(Clone, Copy, Debug)]
pub(crate) enum SeriesValue<'a> {
    /// No value.
    Null,
    Boolean(bool),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
    /// Nanoseconds since the Unix epoch, shown in a zone or in UTC.
    Time(i64, Option<Tz>),
}

/// A float that JSON can't represent.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("json: unsupported value: {}Inf", if *.0 < 0.0 { '-' } else { '+' })]
pub struct InfiniteFloatError(pub(super) f64);

/// Appends an integer.
pub(crate) fn push_integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a finite number. Whole numbers have no decimal point; very large and very small ones have an exponent.
pub(crate) fn push_float(number: f64, out: &mut Vec<u8>) {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    let magnitude = number.abs();
    if number.fract() == 0.0 && magnitude < TWO_TO_63 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is whole and in the range"
        )]
        push_integer(number as i64, out);
    } else if (1e-5..1e16).contains(&magnitude) {
        // In this range the text has no exponent.
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else if (1e-6..1e21).contains(&magnitude) {
        out.extend_from_slice(format!("{number}").as_bytes());
    } else {
        let text = format!("{number:e}");
        let text = match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Formats times as RFC 3339, without trailing zeros in the fraction.
#[derive(Debug)]
pub(crate) struct Rfc3339Formatter(TimestampFormatter);

impl Rfc3339Formatter {
    pub(crate) fn new() -> Self {
        Self(TimestampFormatter::new(TimeUnit::Nanosecond, false, false))
    }

    /// Appends a time, shown in a zone or in UTC.
    pub(crate) fn push(&mut self, nanos: i64, zone: Option<Tz>, out: &mut Vec<u8>) {
        let offset = zone.map(|zone| {
            let utc = DateTime::from_timestamp_nanos(nanos).naive_utc();
            zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
        });
        let offset = offset.unwrap_or(0);
        let local = nanos.saturating_add(i64::from(offset) * 1_000_000_000);
        let begin = out.len();
        // Nanoseconds in 64 bits are always in years with four digits.
        self.0.push(local, out);
        let fraction = out.iter().skip(begin).any(|byte| *byte == b'.');
        while fraction && out.last() == Some(&b'0') {
            out.pop();
        }
        if offset == 0 {
            out.push(b'Z');
            return;
        }
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.unsigned_abs() / 60;
        let text = format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(push: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_go_does() {
        let float = |number| written(|out| push_float(number, out));
        let texts = [
            21.0,
            -0.0,
            0.5,
            1e300,
            1e-7,
            1e17,
            1e19,
            1e20,
            1e21,
            -2.5e-9,
            123_456_789.123_456_79,
        ]
        .map(float);
        insta::assert_snapshot!(texts.join(" "), @"21 0 0.5 1e+300 1e-7 100000000000000000 10000000000000000000 100000000000000000000 1e+21 -2.5e-9 123456789.12345679");
    }

    #[test]
    fn times_have_the_fraction_that_they_need_and_the_offset_of_their_zone() {
        let time = |nanos, zone: Option<&str>| {
            let zone = zone.map(|zone| zone.parse().unwrap());
            written(|out| Rfc3339Formatter::new().push(nanos, zone, out))
        };
        const EIGHT: i64 = 1_704_096_000_000_000_000;
        assert_eq!(time(EIGHT, None), "2024-01-01T08:00:00Z");
        assert_eq!(time(EIGHT + 10_000_000, None), "2024-01-01T08:00:00.01Z");
        assert_eq!(time(-1, None), "1969-12-31T23:59:59.999999999Z");
        let paris = Some("Europe/Paris");
        assert_eq!(time(EIGHT, paris), "2024-01-01T09:00:00+01:00");
        let denver = Some("America/Denver");
        assert_eq!(time(EIGHT + 1_000, denver), "2024-01-01T01:00:00.000001-07:00");
        assert_eq!(time(EIGHT, Some("Europe/London")), "2024-01-01T08:00:00Z");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn numbers_read_back(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let text = written(|out| push_float(number, out));
            prop_assert_eq!(text.parse::<f64>().unwrap(), number);
        }

        #[test]
        fn numbers_of_usual_size_are_written_as_rust_does(number in -1e7..1e7, small in 1e-6..1e-4) {
            for number in [number, small] {
                prop_assert_eq!(written(|out| push_float(number, out)), number.to_string());
            }
        }
    }
}
