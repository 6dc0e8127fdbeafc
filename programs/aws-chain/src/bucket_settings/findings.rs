//! What the settings of a bucket mean for a cluster.

use std::fmt;

use neap_bucket::Key;

use super::{
    BucketSettings,
    answers::{LifecycleFilter, LifecycleRule, Setting},
};

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

/// Storage classes whose objects can't be read before they are restored.
const ARCHIVES: [&str; 2] = ["DEEP_ARCHIVE", "GLACIER"];

/// Storage classes with a fee for each read and a minimum time of storage.
const INFREQUENT: [&str; 3] = ["GLACIER_IR", "ONEZONE_IA", "STANDARD_IA"];

/// Collects the consequences of one setting.
struct SettingCheck {
    setting: &'static str,
    found: Vec<SettingFinding>,
}

impl SettingCheck {
    fn new(setting: &'static str) -> Self {
        Self {
            setting,
            found: Vec::new(),
        }
    }

    fn add(&mut self, level: FindingLevel, text: impl Into<String>) {
        self.found.push(SettingFinding {
            level,
            setting: self.setting,
            text: text.into(),
        });
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.add(FindingLevel::Warning, text);
    }

    /// Returns a setting that can be read, and warns if the credentials do not allow it.
    fn known<'a, T>(&mut self, value: &'a Setting<T>, permission: &str) -> Option<&'a T> {
        match value {
            Setting::Known(value) => Some(value),
            Setting::Denied => {
                self.warn(format!(
                    "can't be read: allow {permission}, or check it by hand"
                ));
                None
            }
            Setting::Absent | Setting::Unsupported => None,
        }
    }

    /// Returns the findings, or that there is none. A store that does not know a setting has no finding.
    fn finish<T>(mut self, value: &Setting<T>) -> Vec<SettingFinding> {
        if self.found.is_empty() && !matches!(value, Setting::Unsupported) {
            self.add(FindingLevel::Ok, "");
        }
        self.found
    }
}

impl BucketSettings {
    /// Returns the consequences of all settings for a cluster whose keys have this prefix.
    pub fn findings(&self, key_prefix: &str) -> Vec<SettingFinding> {
        let checks = [
            versioning(self, key_prefix),
            object_lock(self),
            lifecycle(self, key_prefix),
            policy(self, key_prefix),
            public_access(self),
            encryption(self),
            replication(self, key_prefix),
        ];
        checks.into_iter().flatten().collect()
    }
}

fn versioning(settings: &BucketSettings, key_prefix: &str) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("versioning");
    let known = check.known(&settings.versioning, "s3:GetBucketVersioning");
    let status = known.and_then(|versioning| versioning.status.as_deref());
    let expire = || match &settings.lifecycle {
        Setting::Known(lifecycle) => lifecycle.rules.iter().any(|rule| {
            let applies = rule.is_enabled() && rule.covers_all(key_prefix);
            applies && rule.noncurrent_version_expiration.is_some()
        }),
        _ => false,
    };
    match status {
        Some("Enabled") if !expire() => check.warn(
            "costs money: the store keeps and charges each object that Neap deletes. Suspend versioning, or add a \
             lifecycle rule with NoncurrentVersionExpiration of 1 day. Earlier states of a database come from Neap: see \
             neap create backup",
        ),
        Some("Suspended") if !expire() => check.warn(
            "may cost money: versions from the time before versioning was suspended stay. Add a lifecycle rule with \
             NoncurrentVersionExpiration of 1 day",
        ),
        _ => {}
    }
    check.finish(&settings.versioning)
}

fn object_lock(settings: &BucketSettings) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("object lock");
    let known = check.known(&settings.object_lock, "s3:GetBucketObjectLockConfiguration");
    let retention = known
        .and_then(|lock| lock.rule.as_ref())
        .and_then(|rule| rule.default_retention.as_ref());
    if let Some(retention) = retention {
        let time = match (retention.days, retention.years) {
            (Some(days), _) => format!("{days} days"),
            (None, Some(years)) => format!("{years} years"),
            (None, None) => "some time".to_owned(),
        };
        check.warn(format!(
            "costs money: each object is kept for {time} after Neap has deleted it. Remove the default retention"
        ));
    }
    check.finish(&settings.object_lock)
}

fn lifecycle(settings: &BucketSettings, key_prefix: &str) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("lifecycle rules");
    let known = check.known(&settings.lifecycle, "s3:GetLifecycleConfiguration");
    let rules = known.map_or(&[][..], |lifecycle| &lifecycle.rules);
    for rule in rules.iter().filter(|rule| rule.is_enabled()) {
        if !rule.may_cover_kept_objects(key_prefix) {
            continue;
        }
        let name = rule.id.as_deref().unwrap_or("");
        let remedy = format!("Delete the rule, or limit it to the prefix '{key_prefix}results/'");
        let expiration = rule.expiration.as_ref();
        let end = expiration.and_then(|it| match (it.days, &it.date) {
            (Some(days), _) => Some(format!("{days} days after it was put")),
            (None, Some(date)) => Some(format!("on {date}")),
            (None, None) => None,
        });
        if let Some(end) = end {
            check.add(
                FindingLevel::DataLoss,
                format!("rule '{name}' loses data: it deletes each object {end}. {remedy}"),
            );
        }
        for class in rule.transitions.iter().map(|it| it.storage_class.as_str()) {
            if ARCHIVES.contains(&class) {
                check.add(
                    FindingLevel::DataLoss,
                    format!("rule '{name}' moves objects to {class}, where Neap can't read them. {remedy}"),
                );
            } else if INFREQUENT.contains(&class) {
                check.warn(format!(
                    "rule '{name}' may cost money: {class} has a fee for each read and a minimum time, and merges \
                     replace objects. INTELLIGENT_TIERING has neither"
                ));
            }
        }
    }
    let is_known = matches!(settings.lifecycle, Setting::Known(_) | Setting::Absent);
    let aborts = |rule: &LifecycleRule| {
        let applies = rule.is_enabled() && rule.covers_all(key_prefix);
        applies && rule.abort_incomplete_multipart_upload.is_some()
    };
    if is_known && !rules.iter().any(aborts) {
        check.warn(
            "may cost money: the store keeps the parts of uploads that were interrupted. Add a rule with \
             AbortIncompleteMultipartUpload of 1 day",
        );
    }
    check.finish(&settings.lifecycle)
}

fn policy(settings: &BucketSettings, key_prefix: &str) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("bucket policy");
    let known = check.known(&settings.policy, "s3:GetBucketPolicy");
    let denied = known.map(|policy| policy.denied(key_prefix));
    for denied in denied.into_iter().flatten() {
        let name = denied.statement.as_deref().unwrap_or("");
        let actions = denied.actions.join(", ");
        let conditions = if denied.conditions.is_empty() {
            String::new()
        } else {
            format!(" if {}", denied.conditions.join(" and "))
        };
        check.warn(format!(
            "statement '{name}' denies {actions}{conditions}. If it applies to the credentials of Neap, these requests \
             fail: add an exception for them"
        ));
    }
    check.finish(&settings.policy)
}

fn public_access(settings: &BucketSettings) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("public access");
    let policy = check.known(&settings.policy_status, "s3:GetBucketPolicyStatus");
    if policy.is_some_and(|policy| policy.is_public) {
        check.warn(
            "exposes data: the bucket policy is public. Limit its principals to your account",
        );
    }
    let block = check.known(&settings.public_access, "s3:GetBucketPublicAccessBlock");
    let is_open = block.is_some_and(|block| {
        !(block.block_public_acls
            && block.ignore_public_acls
            && block.block_public_policy
            && block.restrict_public_buckets)
    });
    if is_open || matches!(settings.public_access, Setting::Absent) {
        check.warn(
            "may expose data: a policy or an access control list can make objects public. Switch on the four \
             settings of Block Public Access",
        );
    }
    check.finish(&settings.public_access)
}

fn encryption(settings: &BucketSettings) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("encryption");
    let known = check.known(&settings.encryption, "s3:GetEncryptionConfiguration");
    let rules = known.map_or(&[][..], |encryption| &encryption.rules);
    let asks_each_time = rules.iter().any(|rule| {
        let default = rule.apply_server_side_encryption_by_default.as_ref();
        default.is_some_and(|it| it.algorithm.starts_with("aws:kms")) && !rule.bucket_key_enabled
    });
    if asks_each_time {
        check.warn("costs money: each request asks the key service. Enable the bucket key");
    }
    if matches!(settings.encryption, Setting::Absent) {
        check.warn("objects are not encrypted by default. Set AES256 as the default encryption");
    }
    check.finish(&settings.encryption)
}

fn replication(settings: &BucketSettings, key_prefix: &str) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("replication");
    let known = check.known(&settings.replication, "s3:GetReplicationConfiguration");
    let rules = known.map_or(&[][..], |replication| &replication.rules);
    let copies = rules.iter().any(|rule| {
        let scope = RuleScope::new(rule.prefix.as_deref(), rule.filter.as_ref());
        rule.status == "Enabled" && scope.may_cover_kept_objects(key_prefix)
    });
    if copies {
        check.warn(
            "costs money, and the copy can't be used as a database: objects arrive in another order than they were \
             put. Use neap create backup",
        );
    }
    check.finish(&settings.replication)
}

/// The objects that a rule applies to.
struct RuleScope<'a> {
    prefix: &'a str,
    /// Whether the rule needs tags, which objects of Neap do not have.
    has_tags: bool,
}

impl<'a> RuleScope<'a> {
    fn new(prefix: Option<&'a str>, filter: Option<&'a LifecycleFilter>) -> Self {
        let and = filter.and_then(|filter| filter.and.as_deref());
        let mut filters = [filter, and].into_iter().flatten();
        let found = filters.clone().find_map(|filter| filter.prefix.as_deref());
        Self {
            prefix: found.or(prefix).unwrap_or(""),
            has_tags: filters.any(|filter| !filter.tags.is_empty()),
        }
    }

    fn covers_all(&self, key_prefix: &str) -> bool {
        !self.has_tags && key_prefix.starts_with(self.prefix)
    }

    /// Returns whether the rule may apply to objects that Neap keeps, unlike results of queries.
    fn may_cover_kept_objects(&self, key_prefix: &str) -> bool {
        let mut kept = Key::KEPT_PREFIXES.iter();
        let overlaps = kept.any(|folder| {
            let folder = format!("{key_prefix}{folder}");
            folder.starts_with(self.prefix) || self.prefix.starts_with(&folder)
        });
        !self.has_tags && overlaps
    }
}

impl LifecycleRule {
    fn is_enabled(&self) -> bool {
        self.status == "Enabled"
    }

    fn scope(&self) -> RuleScope<'_> {
        RuleScope::new(self.prefix.as_deref(), self.filter.as_ref())
    }

    fn covers_all(&self, key_prefix: &str) -> bool {
        self.scope().covers_all(key_prefix)
    }

    fn may_cover_kept_objects(&self, key_prefix: &str) -> bool {
        self.scope().may_cover_kept_objects(key_prefix)
    }
}
