//! Parsers for counts, and for byte counts with units.

use crate::options::OptionValueError;

/// Parses a number of at least 1.
///
/// # Errors
/// [`OptionValueError::InvalidCount`].
pub fn parse_count(text: &str) -> Result<usize, OptionValueError> {
    let count = text.trim().parse().ok().filter(|count| *count > 0);
    count.ok_or(OptionValueError::InvalidCount)
}

/// Parses a number of bytes, at least 1: `10485760`, `10MB`, `64 KiB`.
///
/// # Errors
/// [`OptionValueError::InvalidByteCount`], [`OptionValueError::UnknownUnit`], [`OptionValueError::BytesOutOfRange`].
///
/// # Examples
///
/// ```
/// use neap_assembly::options::parse_bytes;
///
/// assert_eq!(parse_bytes("64 KiB")?, 65_536);
/// assert_eq!(parse_bytes("10MB")?, 10_000_000);
/// assert!(parse_bytes("5 parsecs").is_err());
/// # Ok::<(), neap_assembly::options::OptionValueError>(())
/// ```
pub fn parse_bytes(text: &str) -> Result<usize, OptionValueError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        "t" | "tb" => 1_000_000_000_000,
        "tib" => 1 << 40,
        other => return Err(OptionValueError::UnknownUnit(other.to_owned())),
    };
    let number: usize = number.parse().map_err(|_| OptionValueError::InvalidByteCount)?;
    let bytes = number.checked_mul(factor).filter(|bytes| *bytes > 0);
    bytes.ok_or(OptionValueError::BytesOutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        for (text, expected) in [
            ("10485760", 10_485_760),
            ("7b", 7),
            ("2k", 2000),
            ("64KiB", 64 << 10),
            ("10MB", 10_000_000),
            ("10mb", 10_000_000),
            ("6 MiB", 6 << 20),
            ("3G", 3_000_000_000),
            ("2 GiB", 2 << 30),
            ("1tb", 1_000_000_000_000),
            ("1 TiB", 1 << 40),
        ] {
            assert_eq!(parse_bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn invalid_byte_counts_are_refused_with_the_reason() {
        for (text, expected) in [
            ("", "a number of bytes is expected"),
            ("x", "'x' is not a unit of bytes"),
            ("1e3", "'e3' is not a unit of bytes"),
            ("-1", "'-1' is not a unit of bytes"),
            ("5 Parsecs", "'parsecs' is not a unit of bytes"),
            ("99999999999999999999", "a number of bytes is expected"),
            ("0", "the number of bytes is out of range"),
            ("99999999999999999 GiB", "the number of bytes is out of range"),
        ] {
            let error = parse_bytes(text).unwrap_err().to_string();
            assert_eq!(error, expected, "{text}");
        }
    }

    #[test]
    fn a_count_is_at_least_one() {
        assert_eq!(parse_count(" 1 "), Ok(1));
        for text in ["0", "-1", "", "1.5", "99999999999999999999"] {
            let error = parse_count(text).unwrap_err().to_string();
            assert_eq!(error, "a number of at least 1 is expected", "{text}");
        }
    }
}
