//! Parsers for durations.

use std::time::Duration;

use crate::options::OptionValueError;

/// Parses a duration: `10s`, `4 hours`, `7d`.
///
/// # Errors
/// [`OptionValueError::InvalidDuration`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use neap_assembly::options::parse_duration;
///
/// assert_eq!(parse_duration("4 hours")?, Duration::from_secs(14_400));
/// assert!(parse_duration("5").is_err());
/// # Ok::<(), neap_assembly::options::OptionValueError>(())
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, OptionValueError> {
    Ok(humantime::parse_duration(text)?)
}

/// Parses a duration longer than 0.
///
/// # Errors
/// [`OptionValueError::InvalidDuration`], [`OptionValueError::ZeroDuration`].
pub fn parse_nonzero_duration(text: &str) -> Result<Duration, OptionValueError> {
    let time = parse_duration(text)?;
    if time.is_zero() {
        Err(OptionValueError::ZeroDuration)
    } else {
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_units() {
        for (text, seconds) in [("10s", 10), ("1m", 60), ("4 hours", 14_400), ("0s", 0)] {
            let expected = Duration::from_secs(seconds);
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("soon", "expected number at 0"),
            ("5", "time unit needed, for example 5sec or 5ms"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert_eq!(error, expected, "{text}");
        }
    }

    #[test]
    fn a_time_is_longer_than_zero() {
        assert_eq!(parse_nonzero_duration("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(
            parse_nonzero_duration("0s").unwrap_err().to_string(),
            "a duration longer than 0s is expected"
        );
        assert!(parse_nonzero_duration("soon").is_err());
    }
}
