//! The answers of S3 about the settings of a bucket. Elements that are not needed here are ignored.

use http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

/// A setting of a bucket, as far as the store tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Setting<T> {
    /// The setting.
    Known(T),
    /// The bucket does not have the setting.
    Absent,
    /// The credentials do not allow reading the setting.
    Denied,
    /// The store does not know the setting.
    #[default]
    Unsupported,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorAnswer {
    code: String,
}

impl<T: DeserializeOwned> Setting<T> {
    /// Interprets an answer in XML.
    pub(super) fn of_xml(status: StatusCode, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        Self::decoded(status, body, || quick_xml::de::from_str(&text).ok())
    }

    /// Interprets an answer in JSON. Its errors are in XML.
    pub(super) fn of_json(status: StatusCode, body: &[u8]) -> Self {
        Self::decoded(status, body, || serde_json::from_slice(body).ok())
    }

    fn decoded(status: StatusCode, body: &[u8], decode: impl FnOnce() -> Option<T>) -> Self {
        let is_absent = || error_code(body).is_some_and(|code| is_absence(&code));
        match status {
            StatusCode::OK => decode().map_or(Self::Unsupported, Self::Known),
            StatusCode::FORBIDDEN => Self::Denied,
            StatusCode::NOT_FOUND if is_absent() => Self::Absent,
            _ => Self::Unsupported,
        }
    }
}

/// Returns the code of an error.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let answer: ErrorAnswer = quick_xml::de::from_str(&text).ok()?;
    Some(answer.code)
}

/// Returns whether the code of an error says that a bucket does not have a setting.
fn is_absence(code: &str) -> bool {
    matches!(
        code,
        "NoSuchBucketPolicy"
            | "NoSuchLifecycleConfiguration"
            | "NoSuchObjectLockConfiguration"
            | "NoSuchPublicAccessBlockConfiguration"
            | "ObjectLockConfigurationNotFoundError"
            | "ReplicationConfigurationNotFoundError"
            | "ServerSideEncryptionConfigurationNotFoundError"
    )
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct VersioningConfiguration {
    /// `Enabled` or `Suspended`; `None`: the bucket never had versions.
    pub(super) status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ObjectLockConfiguration {
    pub(super) rule: Option<ObjectLockRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ObjectLockRule {
    pub(super) default_retention: Option<DefaultRetention>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DefaultRetention {
    pub(super) days: Option<u32>,
    pub(super) years: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct LifecycleConfiguration {
    #[serde(rename = "Rule")]
    pub(super) rules: Vec<LifecycleRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct LifecycleRule {
    #[serde(rename = "ID")]
    pub(super) id: Option<String>,
    pub(super) status: String,
    /// The prefix of rules in the older form.
    pub(super) prefix: Option<String>,
    pub(super) filter: Option<LifecycleFilter>,
    pub(super) expiration: Option<Expiration>,
    #[serde(rename = "Transition")]
    pub(super) transitions: Vec<Transition>,
    pub(super) noncurrent_version_expiration: Option<IgnoredAny>,
    pub(super) abort_incomplete_multipart_upload: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct LifecycleFilter {
    pub(super) prefix: Option<String>,
    #[serde(rename = "Tag")]
    pub(super) tags: Vec<IgnoredAny>,
    pub(super) and: Option<Box<Self>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Expiration {
    pub(super) days: Option<u32>,
    pub(super) date: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Transition {
    pub(super) storage_class: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PublicAccessBlock {
    #[serde(deserialize_with = "truth")]
    pub(super) block_public_acls: bool,
    #[serde(deserialize_with = "truth")]
    pub(super) ignore_public_acls: bool,
    #[serde(deserialize_with = "truth")]
    pub(super) block_public_policy: bool,
    #[serde(deserialize_with = "truth")]
    pub(super) restrict_public_buckets: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PolicyStatus {
    #[serde(deserialize_with = "truth")]
    pub(super) is_public: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct EncryptionConfiguration {
    #[serde(rename = "Rule")]
    pub(super) rules: Vec<EncryptionRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct EncryptionRule {
    pub(super) apply_server_side_encryption_by_default: Option<DefaultEncryption>,
    #[serde(deserialize_with = "truth")]
    pub(super) bucket_key_enabled: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct DefaultEncryption {
    #[serde(rename = "SSEAlgorithm")]
    pub(super) algorithm: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct ReplicationConfiguration {
    #[serde(rename = "Rule")]
    pub(super) rules: Vec<ReplicationRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ReplicationRule {
    pub(super) status: String,
    pub(super) prefix: Option<String>,
    pub(super) filter: Option<LifecycleFilter>,
}

/// Reads a truth value, which S3 writes in lower case or in upper case.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.trim().eq_ignore_ascii_case("true"))
}
