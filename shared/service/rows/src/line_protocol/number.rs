//! Scans field values and timestamps.

use std::str;

use neap_schema::ColumnType;

use crate::line_protocol::{
    error::{LineRefusal, text},
    questdb_dialect::{ArrayBytes, BinaryDecimal, Long256, TextDecimal},
    scan::{Token, bytes_from},
};

/// The value of a field. Strings still have their escapes. The last four kinds are those of QuestDB that are stored as
/// strings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldValue<'a> {
    Float(f64),
    Integer(i64),
    UInteger(u64),
    String(Token<'a>),
    Boolean(bool),
    Array(ArrayBytes<'a>),
    BinaryDecimal(BinaryDecimal<'a>),
    TextDecimal(TextDecimal<'a>),
    Long256(Long256<'a>),
}

impl FieldValue<'_> {
    pub(crate) fn column_type(&self) -> ColumnType {
        match self {
            Self::Float(_) => ColumnType::Float,
            Self::Integer(_) => ColumnType::Integer,
            Self::UInteger(_) => ColumnType::UInteger,
            Self::Boolean(_) => ColumnType::Boolean,
            Self::String(_)
            | Self::Array(_)
            | Self::BinaryDecimal(_)
            | Self::TextDecimal(_)
            | Self::Long256(_) => ColumnType::String,
        }
    }
}

/// Scans the longest value at the start of `input`. Returns the value and its length; `None` if there is no value.
#[inline]
pub(crate) fn scan_value(input: &[u8]) -> Result<Option<(FieldValue<'_>, usize)>, LineRefusal> {
    match input.first() {
        Some(b'0'..=b'9' | b'-') => scan_number(input),
        Some(b'"') => Ok(Token::scan_text(bytes_from(input, 1))?
            .map(|token| (FieldValue::String(token), token.raw.len() + 2))),
        Some(b'.') => scan_fraction(input, false),
        _ => Ok(scan_boolean(input)),
    }
}

fn scan_boolean(input: &[u8]) -> Option<(FieldValue<'_>, usize)> {
    // Whole words come before their first letters.
    const FORMS: [(&[u8], bool); 10] = [
        (b"true", true),
        (b"True", true),
        (b"TRUE", true),
        (b"t", true),
        (b"T", true),
        (b"false", false),
        (b"False", false),
        (b"FALSE", false),
        (b"f", false),
        (b"F", false),
    ];
    let (form, value) = FORMS.iter().find(|(form, _)| input.starts_with(form))?;
    Some((FieldValue::Boolean(*value), form.len()))
}

/// Maximum number of decimal digits that always fit in 64 bits.
const MAX_EXACT_DIGITS: usize = 19;

/// Decimal digits. `value` is valid if there are at most [`MAX_EXACT_DIGITS`].
#[derive(Clone, Copy)]
struct Digits {
    value: u64,
    length: usize,
}

impl Digits {
    /// Scans the digits at the start of `input`, which continue a number that began with `value`.
    #[inline]
    fn scan(input: &[u8], mut value: u64) -> Self {
        let mut length = 0;
        for byte in input {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            length += 1;
        }
        Self { value, length }
    }
}

#[inline]
fn scan_number(input: &[u8]) -> Result<Option<(FieldValue<'_>, usize)>, LineRefusal> {
    let negative = input.first() == Some(&b'-');
    let sign = usize::from(negative);
    let digits = Digits::scan(bytes_from(input, sign), 0);
    if digits.length == 0 {
        return scan_fraction(input, negative);
    }
    let end = sign + digits.length;
    match input.get(end) {
        Some(b'i') => {
            let value = signed(input, negative, digits)
                .ok_or_else(|| LineRefusal::Integer(lexeme(input, end)))?;
            Ok(Some((FieldValue::Integer(value), end + 1)))
        }
        Some(b'u') if !negative => {
            let value = unsigned(input, digits)
                .ok_or_else(|| LineRefusal::UnsignedInteger(lexeme(input, end)))?;
            Ok(Some((FieldValue::UInteger(value), end + 1)))
        }
        _ => {
            let (value, end) = scan_float(input, negative, digits)?;
            Ok(Some((FieldValue::Float(value), end)))
        }
    }
}

/// A float without integer digits, such as `.5` or `-.5e3`; `None` if there are no digits after the point either.
#[cold]
fn scan_fraction(
    input: &[u8],
    negative: bool,
) -> Result<Option<(FieldValue<'_>, usize)>, LineRefusal> {
    let point = usize::from(negative);
    let fraction = Digits::scan(bytes_from(input, point + 1), 0).length;
    if input.get(point) != Some(&b'.') || fraction == 0 {
        return Ok(None);
    }
    let exponent = point + 1 + fraction;
    let end = exponent + exponent_length(bytes_from(input, exponent));
    Ok(Some((FieldValue::Float(parse_float(input, end)?), end)))
}

/// Returns the number at the start of `input`, whose digits after the sign are already scanned.
#[inline]
fn signed(input: &[u8], negative: bool, digits: Digits) -> Option<i64> {
    if digits.length > MAX_EXACT_DIGITS {
        // There may be leading zeros.
        return lexeme(input, usize::from(negative) + digits.length).parse().ok();
    }
    if negative {
        0i64.checked_sub_unsigned(digits.value)
    } else {
        i64::try_from(digits.value).ok()
    }
}

#[inline]
fn unsigned(input: &[u8], digits: Digits) -> Option<u64> {
    if digits.length > MAX_EXACT_DIGITS {
        return lexeme(input, digits.length).parse().ok();
    }
    Some(digits.value)
}

fn lexeme(input: &[u8], end: usize) -> String {
    text(input.get(..end).unwrap_or(input)).into_owned()
}

/// Powers of ten that a float represents exactly.
const EXACT_POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Floats represent all integers up to this one exactly.
const MAX_EXACT_INTEGER: u64 = 1 << f64::MANTISSA_DIGITS;

/// Scans a float whose integer digits are already scanned: an optional point with an optional fraction, and an optional
/// exponent with at least one digit.
fn scan_float(input: &[u8], negative: bool, integer: Digits) -> Result<(f64, usize), LineRefusal> {
    let mut end = usize::from(negative) + integer.length;
    let mut fraction = Digits { value: integer.value, length: 0 };
    if input.get(end) == Some(&b'.') {
        fraction = Digits::scan(bytes_from(input, end + 1), integer.value);
        end += 1 + fraction.length;
    }
    let exponent = exponent_length(bytes_from(input, end));
    end += exponent;
    if exponent == 0
        && integer.length + fraction.length <= MAX_EXACT_DIGITS
        && fraction.value <= MAX_EXACT_INTEGER
        && let Some(power) = EXACT_POWERS_OF_TEN.get(fraction.length)
    {
        // Both operands are exact, so the quotient is the nearest float (Clinger's fast path).
        // It is at most 2^53.
        let value = fraction.value as f64 / power;
        return Ok((if negative { -value } else { value }, end));
    }
    Ok((parse_float(input, end)?, end))
}

/// Parses the float at the start of `input`, up to `end`.
fn parse_float(input: &[u8], end: usize) -> Result<f64, LineRefusal> {
    input
        .get(..end)
        .and_then(|lexeme| str::from_utf8(lexeme).ok())
        .and_then(|lexeme| lexeme.parse::<f64>().ok())
        .filter(|value| value.is_finite())
        .ok_or_else(|| LineRefusal::Float(lexeme(input, end)))
}

/// Returns the length of an exponent; 0 if there is none.
fn exponent_length(input: &[u8]) -> usize {
    if !matches!(input.first(), Some(b'e' | b'E')) {
        return 0;
    }
    let sign = usize::from(matches!(input.get(1), Some(b'+' | b'-')));
    match Digits::scan(bytes_from(input, 1 + sign), 0).length {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

/// Scans the timestamp at the start of `input`. Returns the timestamp and its length; `None` if there is no timestamp.
pub(crate) fn scan_timestamp(input: &[u8]) -> Result<Option<(i64, usize)>, LineRefusal> {
    let negative = input.first() == Some(&b'-');
    let digits = Digits::scan(bytes_from(input, usize::from(negative)), 0);
    if digits.length == 0 {
        return Ok(None);
    }
    let end = usize::from(negative) + digits.length;
    let value = signed(input, negative, digits)
        .ok_or_else(|| LineRefusal::Timestamp(lexeme(input, end)))?;
    Ok(Some((value, end)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(input: &str) -> Option<(FieldValue<'_>, usize)> {
        scan_value(input.as_bytes()).unwrap()
    }

    #[test]
    fn kinds_of_other_dialects_do_not_enlarge_a_value() {
        assert_eq!(size_of::<FieldValue<'_>>(), size_of::<Token<'_>>());
    }

    #[test]
    fn numbers_are_the_longest_match() {
        for (input, number, length) in [
            ("1", 1.0, 1),
            ("-0", -0.0, 2),
            ("007", 7.0, 3),
            ("1.5", 1.5, 3),
            ("-1.5e-3x", -0.0015, 7),
            ("1E+3", 1000.0, 4),
            ("1e3i", 1000.0, 3),
            ("5.", 5.0, 2),
            ("-5., ", -5.0, 3),
            ("5.e1", 50.0, 4),
            ("5.e", 5.0, 2),
            ("1..5", 1.0, 2),
            ("5.i", 5.0, 2),
            (".5", 0.5, 2),
            ("-.5 ", -0.5, 3),
            (".5e3", 500.0, 4),
            (".5i", 0.5, 2),
            ("-.0", -0.0, 3),
            ("1e", 1.0, 1),
            ("1e+", 1.0, 1),
            ("1.5e", 1.5, 3),
            ("0x10", 0.0, 1),
            ("1.5.5", 1.5, 3),
            ("-7u", -7.0, 2),
            ("9007199254740993", 9_007_199_254_740_992.0, 16),
            ("62.288713455200195,", 62.288_713_455_200_195, 18),
            ("1e-400", 0.0, 6),
        ] {
            let (got, got_length) = value(input).unwrap();
            let FieldValue::Float(got) = got else {
                panic!("{input}: {got:?}")
            };
            assert_eq!((got.to_bits(), got_length), (f64::to_bits(number), length), "{input}");
        }
    }

    #[test]
    fn suffixes_make_integers() {
        assert_eq!(value("-5i,"), Some((FieldValue::Integer(-5), 3)));
        assert_eq!(value("-0i"), Some((FieldValue::Integer(0), 3)));
        assert_eq!(value("0000000000000000000012i"), Some((FieldValue::Integer(12), 23)));
        assert_eq!(value("1i2"), Some((FieldValue::Integer(1), 2)));
        assert_eq!(value("9223372036854775807i"), Some((FieldValue::Integer(i64::MAX), 20)));
        assert_eq!(value("-9223372036854775808i"), Some((FieldValue::Integer(i64::MIN), 21)));
        assert_eq!(value("18446744073709551615u"), Some((FieldValue::UInteger(u64::MAX), 21)));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (input, refusal) in [
            ("9223372036854775808i", LineRefusal::Integer("9223372036854775808".into())),
            ("-9223372036854775809i", LineRefusal::Integer("-9223372036854775809".into())),
            (
                "18446744073709551616u",
                LineRefusal::UnsignedInteger("18446744073709551616".into()),
            ),
            ("1e400", LineRefusal::Float("1e400".into())),
        ] {
            assert_eq!(scan_value(input.as_bytes()), Err(refusal));
        }
        assert_eq!(
            scan_timestamp(b"99999999999999999999 "),
            Err(LineRefusal::Timestamp("99999999999999999999".into()))
        );
    }

    #[test]
    fn other_spellings_are_no_values() {
        for input in [
            "", ".", "-.", ".e5", "-.e5", "+1", "+.5", "-+1", "+1i", "e1", "NaN", "inf", "-inf",
            "Infinity", "--1", "-", "x", "\"abc", "i", "\"a\\\"",
        ] {
            assert_eq!(value(input), None, "{input}");
        }
    }

    #[test]
    fn booleans_have_ten_spellings() {
        for input in ["t", "T", "true", "True", "TRUE"] {
            assert_eq!(value(input), Some((FieldValue::Boolean(true), input.len())));
        }
        for input in ["f", "F", "false", "False", "FALSE"] {
            assert_eq!(value(input), Some((FieldValue::Boolean(false), input.len())));
        }
        assert_eq!(value("tRUE"), Some((FieldValue::Boolean(true), 1)));
        assert_eq!(value("true1"), Some((FieldValue::Boolean(true), 4)));
    }

    #[test]
    fn timestamps_are_integers_without_suffix() {
        assert_eq!(scan_timestamp(b"-5 "), Ok(Some((-5, 2))));
        assert_eq!(scan_timestamp(b"1e3"), Ok(Some((1, 1))));
        assert_eq!(scan_timestamp(b"-9223372036854775808"), Ok(Some((i64::MIN, 20))));
        assert_eq!(scan_timestamp(b"+5"), Ok(None));
        assert_eq!(scan_timestamp(b"-"), Ok(None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn floats_are_read_as_the_standard_library_reads_them(
            text in r"-?([0-9]{1,22}(\.[0-9]{0,25})?|\.[0-9]{1,25})([eE][+-]?[0-9]{1,2})?"
        ) {
            let expected = text.parse::<f64>().unwrap();
            let (got, length) = value(&text).unwrap();
            let FieldValue::Float(got) = got else { panic!("{got:?}") };
            prop_assert_eq!((got.to_bits(), length), (expected.to_bits(), text.len()));
        }
    }
}
