//! Numbers as text.

use super::text::Dialect;

/// Appends an integer in decimal.
pub(crate) fn push_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the shortest text that reads back as `value`, always with a decimal point or an exponent.
///
/// Like the writers of InfluxDB 3, JSON has a decimal point even before an exponent (`1.0e300`), and `null` for values
/// that are not finite. The other dialects have `1e300`, `NaN`, `inf` and `-inf`.
pub(crate) fn push_f64(value: f64, dialect: Dialect, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let magnitude = value.abs();
    if (1e-5..1e16).contains(&magnitude) || magnitude == 0.0 {
        // In this range the text has no exponent.
        out.extend_from_slice(buffer.format_finite(value).as_bytes());
    } else if value.is_finite() {
        push_exponent(buffer.format_finite(value), dialect, out);
    } else {
        push_not_finite(buffer.format(value), dialect, out);
    }
}

/// [`push_f64`] for single precision.
pub(crate) fn push_f32(value: f32, dialect: Dialect, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    if value.is_finite() {
        push_exponent(buffer.format_finite(value), dialect, out);
    } else {
        push_not_finite(buffer.format(value), dialect, out);
    }
}

fn push_not_finite(text: &str, dialect: Dialect, out: &mut Vec<u8>) {
    let text = if dialect == Dialect::Json {
        "null"
    } else {
        text
    };
    out.extend_from_slice(text.as_bytes());
}

/// Appends a number that may have an exponent, without the exponent's plus sign.
fn push_exponent(text: &str, dialect: Dialect, out: &mut Vec<u8>) {
    let Some((mantissa, exponent)) = text.split_once('e') else {
        out.extend_from_slice(text.as_bytes());
        return;
    };
    out.extend_from_slice(mantissa.as_bytes());
    if dialect == Dialect::Json && !mantissa.contains('.') {
        out.extend_from_slice(b".0");
    }
    out.push(b'e');
    out.extend_from_slice(exponent.strip_prefix('+').unwrap_or(exponent).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn double(value: f64, dialect: Dialect) -> String {
        let mut out = Vec::new();
        push_f64(value, dialect, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn single(value: f32, dialect: Dialect) -> String {
        let mut out = Vec::new();
        push_f32(value, dialect, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_short_and_have_a_point() {
        let json = [
            99.0,
            0.5,
            -0.0,
            22.7,
            1e-5,
            1e-7,
            1e15,
            1e16,
            1.5e300,
            1e300,
            123_456_789.123_456_79,
            f64::MIN_POSITIVE,
            f64::NAN,
            f64::INFINITY,
        ]
        .map(|value| double(value, Dialect::Json))
        .join(" ");
        insta::assert_snapshot!(json, @"99.0 0.5 -0.0 22.7 0.00001 1.0e-7 1000000000000000.0 1.0e16 1.5e300 1.0e300 123456789.12345679 2.2250738585072014e-308 null null");
        let csv = [1e-7, 1e16, -1.5e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
            .map(|value| double(value, Dialect::Csv))
            .join(" ");
        insta::assert_snapshot!(csv, @"1e-7 1e16 -1.5e300 NaN inf -inf");
        let single =
            [0.1, 1e10, 1e20, f32::NAN].map(|value| single(value, Dialect::Plain)).join(" ");
        insta::assert_snapshot!(single, @"0.1 10000000000.0 1e20 NaN");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn doubles_read_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for dialect in [Dialect::Json, Dialect::Csv] {
                let text = double(value, dialect);
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
                prop_assert!(text.contains(['.', 'e']), "{}", text);
                prop_assert!(dialect != Dialect::Json || text.contains('.'), "{}", text);
            }
        }

        #[test]
        fn singles_read_back(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(single(value, Dialect::Json).parse::<f32>().unwrap().to_bits(), bits);
        }
    }
}
