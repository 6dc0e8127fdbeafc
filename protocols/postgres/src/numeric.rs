//! Decodes decimals (`NUMERIC`).

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DataType};
use bytes::Buf;
use datafusion::common::ScalarValue;

/// Decodes the notation of a number; `None` if the text is none. `inferred` is the type that the statement determines.
///
/// A whole number has the type of a column of whole numbers, if it fits. Numbers with too many digits become floats, and so do
/// those that are compared with floats: the comparison would make decimals of these, which may be too large.
pub(crate) fn decode_number(text: &str, inferred: Option<&DataType>) -> Option<ScalarValue> {
    let number = text.trim();
    let float: f64 = number.parse().ok()?;
    let is_float = inferred.is_some_and(DataType::is_floating);
    let Some((value, scale)) = exact(number).filter(|_| !is_float) else {
        return Some(ScalarValue::from(float));
    };
    let whole = (scale == 0).then_some(value);
    let stored = match inferred {
        Some(DataType::Int64) => {
            whole.and_then(|value| i64::try_from(value).ok()).map(ScalarValue::from)
        }
        Some(DataType::UInt64) => {
            whole.and_then(|value| u64::try_from(value).ok()).map(ScalarValue::from)
        }
        _ => None,
    };
    let digits = value.unsigned_abs().checked_ilog10().map_or(1, |power| power + 1);
    let precision = u8::try_from(digits).ok()?.max(scale.unsigned_abs());
    Some(stored.unwrap_or(ScalarValue::Decimal128(Some(value), precision, scale)))
}

/// Returns the digits of a number, and how many of them are after the point; `None` if a decimal has fewer.
fn exact(number: &str) -> Option<(i128, i8)> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{before}{after}").parse().ok()?;
    let scale = i64::try_from(after.len()).ok()?.checked_sub(exponent)?;
    let zeros = u32::try_from(scale.min(0).unsigned_abs()).ok()?;
    let value = digits.checked_mul(10_i128.checked_pow(zeros)?)?;
    let end = 10_u128.pow(u32::from(DECIMAL128_MAX_PRECISION));
    let after_point = i8::try_from(scale.max(0)).ok()?;
    (value.unsigned_abs() < end && after_point <= DECIMAL128_MAX_SCALE)
        .then_some((value, after_point))
}

/// Returns the notation of a number in binary, which has digits to the base 10,000; `None` if it is malformed.
pub(crate) fn binary_number(mut bytes: &[u8]) -> Option<String> {
    let digits = bytes.try_get_u16().ok()?;
    let weight = bytes.try_get_i16().ok()?;
    let sign = bytes.try_get_u16().ok()?;
    let after_point = bytes.try_get_u16().ok()?;
    let mut number = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    for _ in 0..digits {
        let digit = bytes.try_get_u16().ok().filter(|digit| *digit < 10_000)?;
        number.push_str(&format!("{digit:04}"));
    }
    if digits == 0 {
        number.push('0');
    }
    let mut exponent = (i32::from(weight) + 1 - i32::from(digits)) * 4;
    // The last digit may have zeros that are not shown.
    while exponent < -i32::from(after_point) && number.ends_with('0') {
        number.pop();
        exponent += 1;
    }
    bytes.is_empty().then(|| format!("{number}e{exponent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(value: i128, precision: u8, scale: i8) -> Option<ScalarValue> {
        Some(ScalarValue::Decimal128(Some(value), precision, scale))
    }

    #[test]
    fn decimals_keep_their_digits() {
        for (text, value) in [
            ("18446744073709551615", decimal(18_446_744_073_709_551_615, 20, 0)),
            ("-9007199254740993.25", decimal(-900_719_925_474_099_325, 18, 2)),
            ("0.001", decimal(1, 3, 3)),
            ("-.5", decimal(-5, 1, 1)),
            ("+1E+3", decimal(1_000, 4, 0)),
            ("12.5e-1", decimal(125, 3, 2)),
            ("1e300", Some(ScalarValue::from(1e300))),
            ("1e-40", Some(ScalarValue::from(1e-40))),
            ("-Infinity", Some(ScalarValue::from(f64::NEG_INFINITY))),
            ("many", None),
            ("", None),
        ] {
            assert_eq!(decode_number(text, None), value, "{text}");
        }
    }

    #[test]
    fn numbers_fit_the_column_that_they_are_compared_with() {
        let (integer, unsigned) = (DataType::Int64, DataType::UInt64);
        for (text, inferred, value) in [
            ("18446744073709551615", &unsigned, Some(ScalarValue::from(u64::MAX))),
            ("-1", &unsigned, decimal(-1, 1, 0)),
            ("-7", &integer, Some(ScalarValue::from(-7_i64))),
            ("1.5", &integer, decimal(15, 2, 1)),
            ("0.1", &DataType::Float64, Some(ScalarValue::from(0.1))),
        ] {
            assert_eq!(decode_number(text, Some(inferred)), value, "{text}");
        }
    }

    #[test]
    fn binary_numbers_have_digits_to_the_base_10_000() {
        for (bytes, number) in [
            // 12345.67
            (&[0, 3, 0, 1, 0, 0, 0, 2, 0, 1, 9, 41, 26, 44][..], "0001234567e-2"),
            (&[0, 1, 0, 1, 64, 0, 0, 0, 0, 2], "-0002e4"),
            (&[0, 0, 0, 0, 0, 0, 0, 2], "0e4"),
            (&[0, 0, 0, 0, 0xC0, 0, 0, 0], "NaN"),
        ] {
            assert_eq!(binary_number(bytes).as_deref(), Some(number));
            assert!(decode_number(number, None).is_some(), "{number}");
        }
        for malformed in
            [&[0, 9][..], &[0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff], &[0, 0, 0, 0, 0, 0, 0, 0, 1]]
        {
            assert_eq!(binary_number(malformed), None);
        }
    }
}
