//! Amounts of memory.

use std::str::FromStr;

use crate::options::{OptionValueError, parse_bytes};

/// An amount of memory. A percentage resolves to at least `MIN_BYTES` bytes.
///
/// # Examples
///
/// ```
/// use neap_assembly::options::MemoryAmount;
///
/// type Amount = MemoryAmount<1_000>;
///
/// assert_eq!("20%".parse::<Amount>()?.bytes_of(50_000), 10_000);
/// assert_eq!("1%".parse::<Amount>()?.bytes_of(50_000), 1_000);
/// assert_eq!("1MB".parse::<Amount>()?.bytes_of(50_000), 1_000_000);
/// # Ok::<(), neap_assembly::options::OptionValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryAmount<const MIN_BYTES: usize> {
    /// A number of bytes.
    Bytes(usize),
    /// A percentage of the available memory.
    Percent(u8),
}

impl<const MIN_BYTES: usize> FromStr for MemoryAmount<MIN_BYTES> {
    type Err = OptionValueError;

    fn from_str(text: &str) -> Result<Self, OptionValueError> {
        let Some(percent) = text.strip_suffix('%') else {
            return parse_bytes(text).map(Self::Bytes);
        };
        percent
            .trim()
            .parse()
            .ok()
            .filter(|percent| (1..=100).contains(percent))
            .map(Self::Percent)
            .ok_or_else(|| OptionValueError::InvalidPercentage(text.to_owned()))
    }
}

impl<const MIN_BYTES: usize> MemoryAmount<MIN_BYTES> {
    /// Returns the number of bytes, given the total.
    pub fn bytes_of(self, total: usize) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                (total / 100).saturating_mul(usize::from(percent)).max(MIN_BYTES)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Amount = MemoryAmount<{ 16 << 20 }>;

    #[test]
    fn an_amount_is_bytes_or_a_percentage() {
        assert_eq!("20%".parse(), Ok(Amount::Percent(20)));
        assert_eq!("100 %".parse(), Ok(Amount::Percent(100)));
        assert_eq!("1GiB".parse(), Ok(Amount::Bytes(1 << 30)));
        for text in ["0%", "101%", "%", "-1%"] {
            let error = text.parse::<Amount>().unwrap_err().to_string();
            let expected = format!("'{text}' is not a percentage from 1% to 100%");
            assert_eq!(error, expected);
        }
        assert_eq!("x".parse::<Amount>(), Err(OptionValueError::UnknownUnit("x".to_owned())));
    }

    #[test]
    fn a_percentage_has_a_minimum_and_bytes_have_none() {
        assert_eq!(Amount::Percent(20).bytes_of(1000 << 20), 200 << 20);
        assert_eq!(Amount::Percent(1).bytes_of(100 << 20), 16 << 20);
        assert_eq!(Amount::Bytes(1).bytes_of(100 << 20), 1);
    }
}
