//! Which of several values of a field counts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a row does to an earlier one with the same tags and time. Applies to each field: a value that the other row lacks is
/// added to it in any case.
///
/// # Examples
///
/// ```
/// use neap_schema::OnDuplicate;
///
/// assert_eq!("keep".parse(), Ok(OnDuplicate::Keep));
/// assert!("ignore".parse::<OnDuplicate>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// The value of the later row replaces that of the earlier one.
    #[default]
    Replace,
    /// The value of the earlier row is kept.
    Keep,
}

impl OnDuplicate {
    /// Returns the name of the setting, as options and requests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
        }
    }
}

impl fmt::Display for OnDuplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Error for text that names no setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`replace` or `keep` is expected")]
pub struct UnknownOnDuplicate;

impl FromStr for OnDuplicate {
    type Err = UnknownOnDuplicate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut settings = [Self::Replace, Self::Keep].into_iter();
        settings.find(|setting| setting.as_str() == text).ok_or(UnknownOnDuplicate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_read_as_it_is_shown() {
        for setting in [OnDuplicate::Replace, OnDuplicate::Keep] {
            assert_eq!(setting.to_string().parse(), Ok(setting));
        }
        assert_eq!("Keep".parse::<OnDuplicate>(), Err(UnknownOnDuplicate));
    }
}
