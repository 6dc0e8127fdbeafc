//! What the settings of a bucket mean for a cluster.

use std::fmt;

use aws_sdk_s3::types::{
    BucketVersioningStatus, ExpirationStatus, FilterRuleName, LifecycleRule,
    NotificationConfigurationFilter, ReplicationRule, ReplicationRuleStatus,
    TransitionStorageClass,
};
use neap_bucket::Key;

use crate::{
    policy::BucketPolicy,
    settings::{BucketSettings, Setting},
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
    fn known<'a, T>(&mut self, value: &'a Setting<T>) -> Option<&'a T> {
        match value {
            Setting::Known(value) => Some(value),
            Setting::Denied(action) => {
                self.warn(format!(
                    "can't be read: allow {action}, or check it by hand"
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
            interrupted_uploads(self),
            policy(self, key_prefix),
            public_access(self),
            encryption(self),
            replication(self, key_prefix),
            notifications(self, key_prefix),
        ];
        checks.into_iter().flatten().collect()
    }
}

fn versioning(settings: &BucketSettings, key_prefix: &str) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("versioning");
    let known = check.known(&settings.versioning);
    let expire = || match &settings.lifecycle {
        Setting::Known(lifecycle) => lifecycle.rules().iter().any(|rule| {
            covers_all(rule, key_prefix) && rule.noncurrent_version_expiration().is_some()
        }),
        _ => false,
    };
    match known.and_then(|versioning| versioning.status()) {
        Some(BucketVersioningStatus::Enabled) if !expire() => check.warn(
            "costs money: the store keeps and charges each object that Neap deletes. Suspend versioning, or add a \
             lifecycle rule with NoncurrentVersionExpiration of 1 day. Earlier states of a database come from Neap: see \
             neap create backup",
        ),
        Some(BucketVersioningStatus::Suspended) if !expire() => check.warn(
            "may cost money: versions from the time before versioning was suspended stay. Add a lifecycle rule with \
             NoncurrentVersionExpiration of 1 day",
        ),
        _ => {}
    }
    check.finish(&settings.versioning)
}

fn object_lock(settings: &BucketSettings) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("object lock");
    let retention = check
        .known(&settings.object_lock)
        .and_then(|answer| answer.object_lock_configuration()?.rule()?.default_retention());
    if let Some(retention) = retention {
        let time = match (retention.days(), retention.years()) {
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
    let rules = check.known(&settings.lifecycle).map_or(&[][..], |answer| answer.rules());
    for rule in rules.iter().filter(|rule| is_enabled(rule)) {
        if !scope(rule).may_cover_kept_objects(key_prefix) {
            continue;
        }
        let name = rule.id().unwrap_or_default();
        let remedy = format!("Delete the rule, or limit it to the prefix '{key_prefix}results/'");
        let end = rule.expiration().and_then(|it| match (it.days(), it.date()) {
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
        for class in rule.transitions().iter().filter_map(|it| it.storage_class()) {
            match class {
                TransitionStorageClass::DeepArchive | TransitionStorageClass::Glacier => check.add(
                    FindingLevel::DataLoss,
                    format!(
                        "rule '{name}' moves objects to {class}, where Neap can't read them. {remedy}. Then get them back \
                         with --restore-archived"
                    ),
                ),
                TransitionStorageClass::GlacierIr
                | TransitionStorageClass::OnezoneIa
                | TransitionStorageClass::StandardIa => check.warn(format!(
                    "rule '{name}' may cost money: {class} has a fee for each read and a minimum time, and merges \
                     replace objects. INTELLIGENT_TIERING has neither"
                )),
                _ => {}
            }
        }
    }
    let is_known = matches!(settings.lifecycle, Setting::Known(_) | Setting::Absent);
    let aborts = |rule: &LifecycleRule| {
        covers_all(rule, key_prefix) && rule.abort_incomplete_multipart_upload().is_some()
    };
    if is_known && !rules.iter().any(aborts) {
        check.warn(
            "may cost money: the store keeps the parts of uploads that were interrupted. Add a rule with \
             AbortIncompleteMultipartUpload of 1 day",
        );
    }
    check.finish(&settings.lifecycle)
}

fn interrupted_uploads(settings: &BucketSettings) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("interrupted uploads");
    let count = check.known(&settings.interrupted_uploads).map_or(0, Vec::len);
    if count > 0 {
        check.warn(format!(
            "cost money: the store keeps the parts of {count} uploads that began more than a day ago. Delete them with \
             --abort-uploads"
        ));
    }
    check.finish(&settings.interrupted_uploads)
}

fn policy(settings: &BucketSettings, key_prefix: &str) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("bucket policy");
    let text = check.known(&settings.policy).and_then(|answer| answer.policy());
    let policy = text.map(serde_json::from_str::<BucketPolicy>).transpose();
    match policy {
        Ok(policy) => {
            for denied in policy.unwrap_or_default().denied(key_prefix) {
                let name = denied.statement.as_deref().unwrap_or("");
                let actions = denied.actions.join(", ");
                let conditions = if denied.conditions.is_empty() {
                    String::new()
                } else {
                    format!(" if {}", denied.conditions.join(" and "))
                };
                check.warn(format!(
                    "statement '{name}' denies {actions}{conditions}. If it applies to the credentials of Neap, these \
                     requests fail: add an exception for them"
                ));
            }
        }
        Err(error) => check.warn(format!("can't be understood, check it by hand: {error}")),
    }
    check.finish(&settings.policy)
}

fn public_access(settings: &BucketSettings) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("public access");
    let status = check.known(&settings.policy_status);
    if status.and_then(|answer| answer.policy_status()?.is_public()) == Some(true) {
        check.warn(
            "exposes data: the bucket policy is public. Limit its principals to your account",
        );
    }
    let is_open = check.known(&settings.public_access).is_some_and(|answer| {
        let block = answer.public_access_block_configuration();
        let blocked = block.map(|it| {
            [
                it.block_public_acls,
                it.ignore_public_acls,
                it.block_public_policy,
                it.restrict_public_buckets,
            ]
        });
        blocked != Some([Some(true); 4])
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
    let known = check
        .known(&settings.encryption)
        .and_then(|answer| answer.server_side_encryption_configuration());
    let rules = known.map_or(&[][..], |encryption| encryption.rules());
    let asks_each_time = rules.iter().any(|rule| {
        let default = rule.apply_server_side_encryption_by_default();
        let asks = default.is_some_and(|it| it.sse_algorithm().as_str().starts_with("aws:kms"));
        asks && rule.bucket_key_enabled() != Some(true)
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
    let known = check
        .known(&settings.replication)
        .and_then(|answer| answer.replication_configuration());
    let rules = known.map_or(&[][..], |replication| replication.rules());
    let copies = |rule: &ReplicationRule| {
        let is_enabled = *rule.status() == ReplicationRuleStatus::Enabled;
        is_enabled && replicated(rule).may_cover_kept_objects(key_prefix)
    };
    if rules.iter().any(copies) {
        check.warn(
            "costs money, and the copy can't be used as a database: objects arrive in another order than they were \
             put. Use neap create backup",
        );
    }
    check.finish(&settings.replication)
}

fn notifications(settings: &BucketSettings, key_prefix: &str) -> Vec<SettingFinding> {
    let mut check = SettingCheck::new("notifications");
    if let Some(answer) = check.known(&settings.notifications) {
        let topics = answer.topic_configurations().iter();
        let queues = answer.queue_configurations().iter();
        let functions = answer.lambda_function_configurations().iter();
        let targets = topics
            .map(|it| (it.topic_arn(), it.filter()))
            .chain(queues.map(|it| (it.queue_arn(), it.filter())))
            .chain(functions.map(|it| (it.lambda_function_arn(), it.filter())));
        for (target, filter) in targets {
            if notified(filter).covers_all(key_prefix) {
                check.warn(format!(
                    "cost money: {target} gets a message for each object of Neap. Limit it to the prefix \
                     '{key_prefix}tail/', which tells it of writes"
                ));
            }
        }
    }
    check.finish(&settings.notifications)
}

/// The objects that a rule applies to.
struct RuleScope<'a> {
    prefix: &'a str,
    /// Whether the rule needs tags, which objects of Neap do not have.
    has_tags: bool,
}

impl RuleScope<'_> {
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

/// Returns the scope of a rule with a filter, or with a prefix alone in the older form. The types of the SDK for lifecycle rules
/// and for rules of replication have no trait in common.
macro_rules! scope {
    ($rule:ident) => {{
        let filter = $rule.filter.as_ref();
        let and = filter.and_then(|filter| filter.and.as_ref());
        let of_filter = filter.and_then(|filter| filter.prefix.as_deref());
        let of_and = and.and_then(|and| and.prefix.as_deref());
        #[expect(deprecated, reason = "the older form is still in use")]
        let of_rule = $rule.prefix.as_deref();
        let tags = and.and_then(|and| and.tags.as_ref());
        let has_tag = filter.is_some_and(|filter| filter.tag.is_some());
        RuleScope {
            prefix: of_filter.or(of_and).or(of_rule).unwrap_or_default(),
            has_tags: has_tag || tags.is_some_and(|tags| !tags.is_empty()),
        }
    }};
}

fn scope(rule: &LifecycleRule) -> RuleScope<'_> {
    scope!(rule)
}

fn replicated(rule: &ReplicationRule) -> RuleScope<'_> {
    scope!(rule)
}

fn notified(filter: Option<&NotificationConfigurationFilter>) -> RuleScope<'_> {
    let rules = filter.and_then(|filter| filter.key()).map_or(&[][..], |key| key.filter_rules());
    let prefix = rules.iter().find(|rule| rule.name() == Some(&FilterRuleName::Prefix));
    RuleScope {
        prefix: prefix.and_then(|rule| rule.value()).unwrap_or_default(),
        has_tags: false,
    }
}

fn is_enabled(rule: &LifecycleRule) -> bool {
    *rule.status() == ExpirationStatus::Enabled
}

fn covers_all(rule: &LifecycleRule, key_prefix: &str) -> bool {
    is_enabled(rule) && scope(rule).covers_all(key_prefix)
}
