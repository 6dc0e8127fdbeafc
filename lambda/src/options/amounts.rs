//! Numbers, times and bytes as options.

use std::{str::FromStr, time::Duration};

/// The least that any part of the memory gets.
const LEAST_BYTES: usize = 4 << 20;

/// The longest that a link is good for.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A span of time: `10s`, `4 hours`, `7d`.
///
/// # Errors
/// The text is none.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// A span of time that is not nothing.
///
/// # Errors
/// The text is none.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    match time.is_zero() {
        true => Err("a time of more than 0s is expected".to_owned()),
        false => Ok(time),
    }
}

/// The time that a link to an answer is good for: answers are kept for a day at least, and stores sign nothing for more
/// than seven.
///
/// # Errors
/// The text is none.
pub fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    match time <= LONGEST_LIFETIME {
        true => Ok(time),
        false => Err("a time of at most 1 day is expected".to_owned()),
    }
}

/// A number of at least one.
///
/// # Errors
/// The text is none.
pub fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.trim().parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "a number of at least 1 is expected".to_owned())
}

/// A number of bytes: `1048576`, `6 MiB`, `10mb`.
///
/// # Errors
/// The text is none, or out of range.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
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
        other => return Err(format!("'{other}' is no unit of bytes")),
    };
    let number: usize = number
        .parse()
        .map_err(|_| "a number of bytes is expected".to_owned())?;
    let bytes = number.checked_mul(factor).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "the number of bytes is out of range".to_owned())
}

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryAmount {
    /// Bytes.
    Bytes(usize),
    /// Percent of what there is.
    Percent(u8),
}

impl FromStr for MemoryAmount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(percent) = text.strip_suffix('%') else {
            return parse_bytes(text).map(Self::Bytes);
        };
        let percent = percent.trim().parse().ok();
        let percent = percent.filter(|percent| (1..=100).contains(percent));
        percent
            .map(Self::Percent)
            .ok_or_else(|| format!("'{text}' is not a share from 1% to 100%"))
    }
}

impl MemoryAmount {
    /// The bytes, of so many in all.
    pub fn bytes_of(self, total: usize) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (total / 100)
                .saturating_mul(usize::from(percent))
                .max(LEAST_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        assert_eq!(parse_bytes("6 MiB"), Ok(6 << 20));
        assert_eq!(parse_bytes("10mb"), Ok(10_000_000));
        assert!(parse_bytes("0").is_err());
        assert!(parse_bytes("1 parsec").is_err());
        assert_eq!(parse_time("1m"), Ok(Duration::from_secs(60)));
        assert!(parse_time("0s").is_err());
        assert_eq!(parse_lifetime("1d"), Ok(LONGEST_LIFETIME));
        assert!(parse_lifetime("25h").is_err() && parse_lifetime("0s").is_err());
        assert!(parse_count("0").is_err());
        assert_eq!("20%".parse(), Ok(MemoryAmount::Percent(20)));
        assert!("101%".parse::<MemoryAmount>().is_err());
        assert_eq!(
            MemoryAmount::Percent(50).bytes_of(1 << 30),
            (1 << 30) / 100 * 50
        );
    }
}
