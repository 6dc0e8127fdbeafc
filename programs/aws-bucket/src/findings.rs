//! What the settings of a bucket mean for a cluster. Reading them changes nothing.

use aws_sdk_s3::{
    operation::get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput,
    types::{
        BucketVersioningStatus, ExpirationStatus, FilterRuleName, LifecycleRule,
        NotificationConfigurationFilter, ReplicationRule, ReplicationRuleStatus,
        TransitionStorageClass,
    },
};
use neap_bucket::{Key, World};

use crate::{
    BucketError, FindingLevel, S3Bucket, SettingFinding,
    policy::BucketPolicy,
    setting::{Setting, SettingCheck, read},
};

/// Findings about a setting that was read.
type Findings = Result<Vec<SettingFinding>, BucketError>;

impl S3Bucket {
    /// Reads the settings of the bucket, and returns their consequences for a cluster whose keys have this prefix. Sends 10
    /// requests, or 2 to a directory bucket, which has no other settings that Neap depends on.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn findings(&self, key_prefix: &str, world: &World) -> Findings {
        let rules = read!(self, get_bucket_lifecycle_configuration, "GetLifecycleConfiguration");
        if self.is_directory() {
            return Ok([lifecycle(&rules, key_prefix), encryption(self).await?].concat());
        }
        let uploads = self.interrupted_uploads(key_prefix, world).await;
        Ok([
            versioning(self, &rules, key_prefix).await?,
            object_lock(self).await?,
            lifecycle(&rules, key_prefix),
            Setting::from_answer(uploads)?.check("interrupted uploads", interrupted_uploads),
            policy(self, key_prefix).await?,
            public_policy(self).await?,
            public_access(self).await?,
            encryption(self).await?,
            replication(self, key_prefix).await?,
            notifications(self, key_prefix).await?,
        ]
        .concat())
    }
}

type LifecycleSetting = Setting<GetBucketLifecycleConfigurationOutput>;

async fn versioning(bucket: &S3Bucket, rules: &LifecycleSetting, key_prefix: &str) -> Findings {
    let setting = read!(bucket, get_bucket_versioning, "GetBucketVersioning");
    let expire = match rules {
        Setting::Known(lifecycle) => lifecycle.rules().iter().any(|rule| {
            covers_all(rule, key_prefix) && rule.noncurrent_version_expiration().is_some()
        }),
        _ => false,
    };
    Ok(setting.check("versioning", |check, answer| {
        match answer.and_then(|versioning| versioning.status()) {
            Some(BucketVersioningStatus::Enabled) if !expire => check.warn(
                "costs money: the store keeps and charges each object that Neap deletes. Suspend versioning, or add a \
                 lifecycle rule with NoncurrentVersionExpiration of 1 day. Earlier states of a database come from Neap: \
                 see neap create backup",
            ),
            Some(BucketVersioningStatus::Suspended) if !expire => check.warn(
                "may cost money: versions from the time before versioning was suspended stay. Add a lifecycle rule with \
                 NoncurrentVersionExpiration of 1 day",
            ),
            _ => {}
        }
    }))
}

async fn object_lock(bucket: &S3Bucket) -> Findings {
    let setting = read!(bucket, get_object_lock_configuration, "GetBucketObjectLockConfiguration");
    Ok(setting.check("object lock", |check, answer| {
        let rule = answer.and_then(|answer| answer.object_lock_configuration()?.rule());
        if let Some(retention) = rule.and_then(|rule| rule.default_retention()) {
            let time = match (retention.days(), retention.years()) {
                (Some(days), _) => format!("{days} days"),
                (None, Some(years)) => format!("{years} years"),
                (None, None) => "some time".to_owned(),
            };
            check.warn(format!(
                "costs money: each object is kept for {time} after Neap has deleted it. Remove the default retention"
            ));
        }
    }))
}

fn lifecycle(setting: &LifecycleSetting, key_prefix: &str) -> Vec<SettingFinding> {
    setting.check("lifecycle rules", |check, answer| {
        let rules = answer.map_or(&[][..], |answer| answer.rules());
        for rule in rules {
            if is_enabled(rule) && scope(rule).may_cover_kept_objects(key_prefix) {
                lifecycle_rule(check, rule, key_prefix);
            }
        }
        let aborts = |rule: &LifecycleRule| {
            covers_all(rule, key_prefix) && rule.abort_incomplete_multipart_upload().is_some()
        };
        if !rules.iter().any(aborts) {
            check.warn(
                "may cost money: the store keeps the parts of uploads that were interrupted. Add a rule with \
                 AbortIncompleteMultipartUpload of 1 day",
            );
        }
    })
}

/// Finds the consequences of a rule about objects that Neap keeps.
fn lifecycle_rule(check: &mut SettingCheck, rule: &LifecycleRule, key_prefix: &str) {
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
                "rule '{name}' may cost money: {class} has a fee for each read and a minimum time, and merges replace \
                 objects. INTELLIGENT_TIERING has neither"
            )),
            _ => {}
        }
    }
}

fn interrupted_uploads<T>(check: &mut SettingCheck, uploads: Option<&Vec<T>>) {
    let count = uploads.map_or(0, Vec::len);
    if count > 0 {
        check.warn(format!(
            "cost money: the store keeps the parts of {count} uploads that began more than a day ago. Delete them with \
             --abort-uploads"
        ));
    }
}

async fn policy(bucket: &S3Bucket, key_prefix: &str) -> Findings {
    let setting = read!(bucket, get_bucket_policy, "GetBucketPolicy");
    Ok(setting.check("bucket policy", |check, answer| {
        let text = answer.and_then(|answer| answer.policy());
        let policy = match text.map(serde_json::from_str::<BucketPolicy>).transpose() {
            Ok(policy) => policy.unwrap_or_default(),
            Err(error) => {
                check.warn(format!("can't be understood, check it by hand: {error}"));
                return;
            }
        };
        for denied in policy.denied(key_prefix) {
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
    }))
}

async fn public_policy(bucket: &S3Bucket) -> Findings {
    let setting = read!(bucket, get_bucket_policy_status, "GetBucketPolicyStatus");
    Ok(setting.check("public policy", |check, answer| {
        if answer.and_then(|answer| answer.policy_status()?.is_public()) == Some(true) {
            check.warn("exposes data: limit the principals of the bucket policy to your account");
        }
    }))
}

async fn public_access(bucket: &S3Bucket) -> Findings {
    let setting = read!(bucket, get_public_access_block, "GetBucketPublicAccessBlock");
    Ok(setting.check("public access", |check, answer| {
        let block = answer.and_then(|answer| answer.public_access_block_configuration());
        let blocked = block.map(|it| {
            [
                it.block_public_acls,
                it.ignore_public_acls,
                it.block_public_policy,
                it.restrict_public_buckets,
            ]
        });
        if blocked != Some([Some(true); 4]) {
            check.warn(
                "may expose data: a policy or an access control list can make objects public. Switch on the four \
                 settings of Block Public Access",
            );
        }
    }))
}

async fn encryption(bucket: &S3Bucket) -> Findings {
    let setting = read!(bucket, get_bucket_encryption, "GetEncryptionConfiguration");
    Ok(setting.check("encryption", |check, answer| {
        let Some(answer) = answer else {
            check
                .warn("objects are not encrypted by default. Set AES256 as the default encryption");
            return;
        };
        let known = answer.server_side_encryption_configuration();
        let asks_each_time = known.map_or(&[][..], |it| it.rules()).iter().any(|rule| {
            let default = rule.apply_server_side_encryption_by_default();
            let asks = default.is_some_and(|it| it.sse_algorithm().as_str().starts_with("aws:kms"));
            asks && rule.bucket_key_enabled() != Some(true)
        });
        if asks_each_time {
            check.warn("costs money: each request asks the key service. Enable the bucket key");
        }
    }))
}

async fn replication(bucket: &S3Bucket, key_prefix: &str) -> Findings {
    let setting = read!(bucket, get_bucket_replication, "GetReplicationConfiguration");
    Ok(setting.check("replication", |check, answer| {
        let known = answer.and_then(|answer| answer.replication_configuration());
        let copies = known.map_or(&[][..], |it| it.rules()).iter().any(|rule| {
            let is_enabled = *rule.status() == ReplicationRuleStatus::Enabled;
            is_enabled && replicated(rule).may_cover_kept_objects(key_prefix)
        });
        if copies {
            check.warn(
                "costs money, and the copy can't be used as a database: objects arrive in another order than they were \
                 put. Use neap create backup",
            );
        }
    }))
}

async fn notifications(bucket: &S3Bucket, key_prefix: &str) -> Findings {
    let setting = read!(bucket, get_bucket_notification_configuration, "GetBucketNotification");
    Ok(setting.check("notifications", |check, answer| {
        let Some(answer) = answer else { return };
        let queues = answer.queue_configurations().iter();
        let functions = answer.lambda_function_configurations().iter();
        let topics = answer.topic_configurations().iter();
        let targets = topics
            .map(|it| (it.topic_arn(), it.filter()))
            .chain(queues.map(|it| (it.queue_arn(), it.filter())))
            .chain(functions.map(|it| (it.lambda_function_arn(), it.filter())));
        for (target, _) in targets.filter(|(_, filter)| notified(*filter).covers_all(key_prefix)) {
            check.warn(format!(
                "cost money: {target} gets a message for each object of Neap. Limit it to the prefix \
                 '{key_prefix}tail/', which tells it of writes"
            ));
        }
    }))
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
