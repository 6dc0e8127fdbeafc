//! A setting of a bucket, as far as the store tells it, and its consequences.

use std::fmt;

use crate::BucketError;

/// A setting of a bucket.
pub(crate) enum Setting<T> {
    /// The setting.
    Known(T),
    /// The bucket does not have the setting.
    Absent,
    /// The credentials do not allow this action, which reads the setting.
    Denied(String),
    /// The store does not know the setting.
    Unsupported,
}

/// Reads a setting of a bucket by an operation of the SDK, which needs an action of IAM.
macro_rules! read {
    ($bucket:ident, $operation:ident, $action:literal) => {{
        let request = $bucket.client.$operation().bucket(&$bucket.name);
        $crate::setting::Setting::from_answer($bucket.send($action, request.send()).await)?
    }};
}

pub(crate) use read;

/// The consequence of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingLevel {
    /// None.
    Ok,
    /// It costs money, exposes data, may make requests fail, or could not be checked.
    Warning,
    /// Rows will be lost.
    DataLoss,
}

/// A setting and its consequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFinding {
    /// The consequence.
    pub level: FindingLevel,
    /// The setting.
    pub setting: &'static str,
    /// The reason, and the remedy; empty if there is no consequence.
    pub text: String,
}

impl fmt::Display for SettingFinding {
    /// Writes a line in the form of the report about a store's operations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            FindingLevel::Ok => write!(f, "ok       {}", self.setting),
            FindingLevel::Warning => write!(f, "warning  {}: {}", self.setting, self.text),
            FindingLevel::DataLoss => write!(f, "FAILED   {}: {}", self.setting, self.text),
        }
    }
}

/// Collects the consequences of one setting.
pub(crate) struct SettingCheck {
    setting: &'static str,
    found: Vec<SettingFinding>,
}

impl SettingCheck {
    pub(crate) fn add(&mut self, level: FindingLevel, text: impl Into<String>) {
        self.found
            .push(SettingFinding { level, setting: self.setting, text: text.into() });
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.add(FindingLevel::Warning, text);
    }
}

impl<T> Setting<T> {
    pub(crate) fn from_answer(answer: Result<T, BucketError>) -> Result<Self, BucketError> {
        match answer {
            Ok(value) => Ok(Self::Known(value)),
            Err(
                BucketError::Denied { action, .. }
                | BucketError::Refused { action, status: 403, .. },
            ) => Ok(Self::Denied(action)),
            Err(BucketError::Refused { code, .. }) if is_absence(&code) => Ok(Self::Absent),
            Err(BucketError::Refused { .. }) => Ok(Self::Unsupported),
            Err(error @ BucketError::NoAnswer { .. }) => Err(error),
        }
    }

    /// Returns the consequences of the setting, which `find` adds if the setting is known or absent. A store that does not
    /// know a setting has no finding.
    pub(crate) fn check<'a>(
        &'a self,
        setting: &'static str,
        find: impl FnOnce(&mut SettingCheck, Option<&'a T>),
    ) -> Vec<SettingFinding> {
        let mut check = SettingCheck { setting, found: Vec::new() };
        match self {
            Self::Known(value) => find(&mut check, Some(value)),
            Self::Absent => find(&mut check, None),
            Self::Denied(action) => {
                check.warn(format!("can't be read: allow {action}, or check it by hand"))
            }
            Self::Unsupported => return Vec::new(),
        }
        if check.found.is_empty() {
            check.add(FindingLevel::Ok, "");
        }
        check.found
    }
}

/// Returns whether the code of an error says that a bucket does not have a setting, such as `NoSuchLifecycleConfiguration` and
/// `ReplicationConfigurationNotFoundError`.
fn is_absence(code: &str) -> bool {
    let is_configuration = code.ends_with("Configuration") || code.ends_with("NotFoundError");
    is_configuration || code == "NoSuchBucketPolicy"
}
