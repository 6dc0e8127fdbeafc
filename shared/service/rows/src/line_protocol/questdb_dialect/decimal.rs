//! Decimals, as bytes and as text, and their plain notation.

use std::str;

use arrow_buffer::i256;

use crate::line_protocol::error::{LineRefusal, excerpt};

/// Maximum number of digits, and of digits after the point, as in QuestDB and SQL's `DECIMAL`.
const MAX_DIGITS: usize = 76;

/// The first number with more than [`MAX_DIGITS`] digits.
const TOO_LARGE: i256 = i256::from_parts(
    0x7775_a5f1_7195_1000_0000_0000_0000_0000,
    0x161b_cca7_1199_15b5_0764_b4ab_e865_2979,
);

/// The bytes before the unscaled value: type, scale, length.
const HEADER_BYTES: usize = 3;

/// The bytes of the largest unscaled value.
const UNSCALED_BYTES: usize = 32;

/// Maximum bytes of the text of a decimal: digits, sign, point, and a zero before the point.
pub(super) const MAX_TEXT_BYTES: usize = MAX_DIGITS + 3;

/// A decimal with at most [`MAX_DIGITS`] digits.
struct Decimal {
    unscaled: i256,
    /// The number of digits after the point.
    scale: usize,
}

impl Decimal {
    /// Appends the exact number in plain notation.
    fn write(&self, text: &mut Vec<u8>) {
        let digits = self.unscaled.to_string();
        let digits = match digits.strip_prefix('-') {
            Some(digits) => {
                text.push(b'-');
                digits
            }
            None => &digits,
        };
        if self.scale == 0 {
            text.extend_from_slice(digits.as_bytes());
            return;
        }
        let zeros = (self.scale + 1).saturating_sub(digits.len());
        let padded = "0".repeat(zeros) + digits;
        let (integer, fraction) = padded.split_at(padded.len() - self.scale);
        text.extend_from_slice(integer.as_bytes());
        text.push(b'.');
        text.extend_from_slice(fraction.as_bytes());
    }
}

/// A decimal as bytes, as sent, with the byte for its type. It is complete and in range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BinaryDecimal<'a>(&'a [u8]);

impl<'a> BinaryDecimal<'a> {
    /// Returns the length of the decimal at the start of `input`; `None` if `input` ends before it is known.
    pub(super) fn length(input: &[u8]) -> Result<Option<usize>, LineRefusal> {
        match input.get(1) {
            Some(scale) if usize::from(*scale) > MAX_DIGITS => {
                return Err(LineRefusal::DecimalScale(usize::from(*scale)));
            }
            _ => {}
        }
        Ok(input.get(2).map(|length| HEADER_BYTES + usize::from(*length)))
    }

    /// Returns the decimal in `bytes`, which have the length of a decimal; `None` if it is null.
    pub(super) fn scan(bytes: &'a [u8]) -> Result<Option<Self>, LineRefusal> {
        if bytes.len() <= HEADER_BYTES {
            return Ok(None);
        }
        match Self(bytes).decimal() {
            Some(_) => Ok(Some(Self(bytes))),
            None => Err(LineRefusal::DecimalTooLarge),
        }
    }

    fn decimal(self) -> Option<Decimal> {
        let scale = usize::from(*self.0.get(1)?);
        let mut unscaled = self.0.get(HEADER_BYTES..)?;
        let sign = if *unscaled.first()? < 0x80 { 0 } else { 0xff };
        while let [first, rest @ ..] = unscaled
            && *first == sign
            && rest.len() >= UNSCALED_BYTES
        {
            unscaled = rest;
        }
        let mut extended = [sign; UNSCALED_BYTES];
        let padding = UNSCALED_BYTES.checked_sub(unscaled.len())?;
        extended.get_mut(padding..)?.copy_from_slice(unscaled);
        let unscaled = i256::from_be_bytes(extended);
        let in_range = unscaled < TOO_LARGE && unscaled > TOO_LARGE.wrapping_neg();
        // A longer value of the same sign may have lost its sign bit.
        let same_sign = unscaled.is_negative() == (sign == 0xff);
        (in_range && same_sign).then_some(Decimal { unscaled, scale })
    }

    /// Appends the exact number in plain notation.
    pub(crate) fn write(self, text: &mut Vec<u8>) {
        if let Some(decimal) = self.decimal() {
            decimal.write(text);
        }
    }
}

/// A decimal as text, as sent, without its suffix. It is in range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TextDecimal<'a>(&'a [u8]);

impl<'a> TextDecimal<'a> {
    /// Returns the decimal `number`: digits with an optional sign, point and exponent.
    pub(super) fn scan(number: &'a [u8]) -> Result<Self, LineRefusal> {
        let refuse = || LineRefusal::Decimal(excerpt(number));
        let decimal = Self(number).decimal().ok_or_else(refuse)?;
        if decimal.scale > MAX_DIGITS {
            return Err(LineRefusal::DecimalScale(decimal.scale));
        }
        Ok(Self(number))
    }

    fn decimal(self) -> Option<Decimal> {
        let number = str::from_utf8(self.0).ok()?;
        let (number, exponent) = match number.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
            None => (number, 0),
        };
        let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
        let (sign, integer) = match integer.strip_prefix('-') {
            Some(integer) => ("-", integer),
            None => ("", integer.strip_prefix('+').unwrap_or(integer)),
        };
        let digits = [integer, fraction].concat();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let digits = digits.trim_start_matches('0');
        let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        // Zeros take the place of digits before the point that a positive exponent adds.
        let zeros = match digits {
            "" => 0,
            _ => usize::try_from(scale.saturating_neg()).unwrap_or(0),
        };
        if !is_number || zeros.saturating_add(digits.len()) > MAX_DIGITS {
            return None;
        }
        let digits = [sign, "0", digits, &"0".repeat(zeros)].concat();
        Some(Decimal {
            unscaled: i256::from_string(&digits)?,
            scale: usize::try_from(scale.max(0)).ok()?,
        })
    }

    /// Appends the exact number in plain notation.
    pub(crate) fn write(self, text: &mut Vec<u8>) {
        if let Some(decimal) = self.decimal() {
            decimal.write(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::line_protocol::questdb_dialect::binary::DECIMAL;

    fn binary(scale: u8, unscaled: &[u8]) -> Vec<u8> {
        let length = u8::try_from(unscaled.len()).unwrap();
        [&[DECIMAL, scale, length], unscaled].concat()
    }

    fn of_bytes(scale: u8, unscaled: &[u8]) -> Result<String, LineRefusal> {
        let bytes = binary(scale, unscaled);
        assert_eq!(BinaryDecimal::length(&bytes)?, Some(bytes.len()));
        let mut text = Vec::new();
        BinaryDecimal::scan(&bytes)?.unwrap().write(&mut text);
        assert!(text.len() <= MAX_TEXT_BYTES);
        Ok(String::from_utf8(text).unwrap())
    }

    fn of_text(number: &str) -> Result<String, LineRefusal> {
        let mut text = Vec::new();
        TextDecimal::scan(number.as_bytes())?.write(&mut text);
        assert!(text.len() <= MAX_TEXT_BYTES);
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn bytes_are_a_scaled_big_endian_number() {
        for (scale, unscaled, text) in [
            (2, &[0x30, 0x39][..], "123.45"),
            (3, &[0xff, 0xff], "-0.001"),
            (3, &[0xff], "-0.001"),
            (0, &[0, 0], "0"),
            (2, &[0; 32], "0.00"),
            (0, &[0x03, 0xe8], "1000"),
            (0, &[0x80], "-128"),
            (1, &[0x80, 0], "-3276.8"),
            (0, &[0xff; 255], "-1"),
            (0, &[&[0; 254][..], &[7]].concat(), "7"),
        ] {
            assert_eq!(of_bytes(scale, unscaled).unwrap(), text);
        }
        let smallest = of_bytes(76, &[1]).unwrap();
        assert_eq!(smallest, format!("0.{}1", "0".repeat(75)));
    }

    #[test]
    fn decimals_have_at_most_76_digits() {
        let largest = TOO_LARGE.wrapping_sub(i256::ONE);
        assert_eq!(of_bytes(0, &largest.to_be_bytes()).unwrap(), "9".repeat(76));
        let smallest = largest.wrapping_neg();
        assert_eq!(
            of_bytes(76, &smallest.to_be_bytes()).unwrap(),
            format!("-0.{}", "9".repeat(76))
        );
        for unscaled in [
            &TOO_LARGE.to_be_bytes()[..],
            &TOO_LARGE.wrapping_neg().to_be_bytes(),
            &[1; 33],
            &[&[0xff; 1][..], &[0x7f; 32]].concat(),
            &[&[0; 1][..], &[0x80; 32]].concat(),
            &[0x80; 200],
        ] {
            assert_eq!(of_bytes(0, unscaled), Err(LineRefusal::DecimalTooLarge));
        }
        assert_eq!(of_bytes(77, &[1]), Err(LineRefusal::DecimalScale(77)));
        assert_eq!(of_bytes(255, &[1]), Err(LineRefusal::DecimalScale(255)));
    }

    #[test]
    fn a_decimal_without_bytes_is_null() {
        assert_eq!(BinaryDecimal::scan(&binary(3, &[])), Ok(None));
    }

    #[test]
    fn texts_are_written_in_plain_notation() {
        for (number, text) in [
            ("123.45", "123.45"),
            ("-0.50", "-0.50"),
            ("+7", "7"),
            ("007.5", "7.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1.5e-3", "0.0015"),
            ("1.5E+3", "1500"),
            ("1.5e1", "15"),
            ("0e99", "0"),
            ("-0.0", "0.0"),
            ("12.340e-1", "1.2340"),
            ("1e75", &format!("1{}", "0".repeat(75))),
        ] {
            assert_eq!(of_text(number).as_deref(), Ok(text), "{number}");
        }
    }

    #[test]
    fn texts_out_of_range_are_refused() {
        let long = "9".repeat(77);
        for number in
            ["1e76", "1e9223372036854775807", "1e99999999999999999999", &long, "", "-", "."]
        {
            let refusal = LineRefusal::Decimal(excerpt(number.as_bytes()));
            assert_eq!(of_text(number), Err(refusal), "{number}");
        }
        assert_eq!(of_text("1e-77"), Err(LineRefusal::DecimalScale(77)));
        assert_eq!(of_text("0e-77"), Err(LineRefusal::DecimalScale(77)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn bytes_and_text_are_the_same_number(unscaled: i128, scale in 0u8..77) {
            let text = of_bytes(scale, &unscaled.to_be_bytes()).unwrap();
            let digits: String = text.chars().filter(|c| *c != '.').collect();
            prop_assert_eq!(digits.parse::<i128>().unwrap(), unscaled);
            let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
            prop_assert_eq!(fraction.len(), usize::from(scale));
            prop_assert_eq!(of_text(&text).unwrap(), text);
        }
    }
}
