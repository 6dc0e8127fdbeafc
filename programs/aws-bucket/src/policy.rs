//! The policy of a bucket, as far as it denies requests of Neap.
//!
//! A request that no statement allows fails at once, and `neap check-store` sees it. A statement with the effect `Deny` may
//! apply under a condition only, for example to objects without a header.
//!
//! Source: "Policies and permissions in Amazon S3", and "IAM JSON policy elements".

use std::collections::BTreeMap;

use neap_bucket::Key;
use regex::RegexBuilder;
use serde::Deserialize;
use serde_json::Value;

/// The permissions that Neap needs for objects.
const OBJECT_ACTIONS: [&str; 4] =
    ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"];

/// The permission that Neap needs for the bucket.
const LIST_ACTION: &str = "s3:ListBucket";

/// The policy of a bucket. Elements that are not needed here are ignored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct BucketPolicy {
    statement: OneOrMany<PolicyStatement>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PolicyStatement {
    sid: Option<String>,
    effect: String,
    action: OneOrMany<String>,
    not_action: OneOrMany<String>,
    resource: OneOrMany<String>,
    not_resource: OneOrMany<String>,
    /// The operators, with their keys and values.
    condition: BTreeMap<String, BTreeMap<String, Value>>,
}

/// An element that is a list, or its only item.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::Many(all) => all,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

/// A statement that denies permissions that Neap needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeniedActions {
    /// The name of the statement, if it has one.
    pub(crate) statement: Option<String>,
    pub(crate) actions: Vec<&'static str>,
    /// The conditions; empty if it always applies.
    pub(crate) conditions: Vec<String>,
}

impl BucketPolicy {
    /// Returns the statements that deny requests for a cluster whose keys have this prefix.
    pub(crate) fn denied(&self, key_prefix: &str) -> Vec<DeniedActions> {
        let statements = self.statement.as_slice().iter();
        let denied = statements.filter(|statement| statement.effect == "Deny");
        denied.filter_map(|statement| statement.denied(key_prefix)).collect()
    }
}

impl PolicyStatement {
    fn denied(&self, key_prefix: &str) -> Option<DeniedActions> {
        let is_about = |action: &str| {
            let (actions, others) = (self.action.as_slice(), self.not_action.as_slice());
            if others.is_empty() {
                actions.iter().any(|pattern| matches_action(pattern, action))
            } else {
                !others.iter().any(|pattern| matches_action(pattern, action))
            }
        };
        let mut actions: Vec<&'static str> = Vec::new();
        if self.covers_objects(key_prefix) {
            actions.extend(OBJECT_ACTIONS.into_iter().filter(|action| is_about(action)));
        }
        if self.covers_bucket() && is_about(LIST_ACTION) {
            actions.push(LIST_ACTION);
        }
        let conditions = self.conditions();
        let requires_tls = conditions == ["Bool aws:SecureTransport = false"];
        (!actions.is_empty() && !requires_tls).then(|| DeniedActions {
            statement: self.sid.clone(),
            actions,
            conditions,
        })
    }

    fn conditions(&self) -> Vec<String> {
        let operators = self.condition.iter();
        let texts = operators.flat_map(|(operator, keys)| {
            keys.iter().map(move |(key, values)| {
                let values = match values {
                    Value::String(value) => value.clone(),
                    other => other.to_string(),
                };
                format!("{operator} {key} = {values}")
            })
        });
        texts.collect()
    }

    fn covers_objects(&self, key_prefix: &str) -> bool {
        let mut kept = Key::KEPT_PREFIXES.iter();
        kept.any(|folder| self.covers(&format!("/{key_prefix}{folder}")))
    }

    fn covers_bucket(&self) -> bool {
        self.covers("")
    }

    /// Whether the statement is about the resource with this path below the name of the bucket: that of an object begins
    /// with `/`.
    fn covers(&self, path: &str) -> bool {
        let (resources, others) = (self.resource.as_slice(), self.not_resource.as_slice());
        let covers = |resource: &String| may_cover(resource, path);
        if others.is_empty() {
            resources.iter().any(covers)
        } else {
            !others.iter().any(covers)
        }
    }
}

/// Returns whether a pattern for names of resources may match objects whose paths begin with `path`, or the bucket if it is
/// empty.
fn may_cover(resource: &str, path: &str) -> bool {
    // arn:aws:s3:::bucket/key
    let name = resource.rsplit(':').next().unwrap_or_default();
    let Some((_, key)) = name.split_once('/') else {
        // A name without a key is that of the bucket, unless it ends with any text.
        return path.is_empty() || name.ends_with('*');
    };
    let (Some(path), fixed) = (path.strip_prefix('/'), literal_prefix(key)) else {
        return false;
    };
    path.starts_with(fixed) || fixed.starts_with(path)
}

/// Returns the part of a pattern before the first wildcard.
fn literal_prefix(pattern: &str) -> &str {
    pattern.split(['*', '?']).next().unwrap_or_default()
}

/// Whether a pattern for actions matches one: `*` is any text, `?` any character. Case does not matter.
fn matches_action(pattern: &str, action: &str) -> bool {
    let escaped = regex::escape(pattern);
    let expression = escaped.replace(r"\*", ".*").replace(r"\?", ".");
    let expression = RegexBuilder::new(&format!("^{expression}$")).case_insensitive(true).build();
    // A pattern that is too long for an expression is not that of an action.
    expression.is_ok_and(|expression| expression.is_match(action))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An example of the documentation: objects must be encrypted with a key.
    const ENCRYPTED: &str = r#"{
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "DenyObjectsThatAreNotSSEKMS", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/*",
            "Condition": {"Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "true"}}
        }]
    }"#;

    fn policy(json: &str) -> BucketPolicy {
        serde_json::from_str(json).unwrap()
    }

    fn denied(statement: &str, key_prefix: &str) -> Vec<&'static str> {
        let json = format!("{{\"Statement\": {{\"Effect\": \"Deny\", {statement}}}}}");
        let denied = policy(&json).denied(key_prefix);
        denied.into_iter().flat_map(|denied| denied.actions).collect()
    }

    #[test]
    fn conditions_of_a_denial_are_shown() {
        let [found] = policy(ENCRYPTED).denied("").try_into().unwrap();
        assert_eq!(found.statement.as_deref(), Some("DenyObjectsThatAreNotSSEKMS"));
        assert_eq!(found.actions, ["s3:PutObject"]);
        let condition = "Null s3:x-amz-server-side-encryption-aws-kms-key-id = true";
        assert_eq!(found.conditions, [condition]);
    }

    #[test]
    fn statements_about_other_keys_and_actions_deny_nothing() {
        let all = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"];
        for (statement, key_prefix, expected) in [
            (r#""Action": "s3:*", "Resource": "arn:aws:s3:::b/*""#, "", &all[..]),
            (
                r#""Action": "*", "Resource": "*""#,
                "",
                &[&all[..], &["s3:ListBucket"]].concat(),
            ),
            (r#""Action": "s3:L*", "Resource": ["arn:aws:s3:::b"]"#, "", &["s3:ListBucket"]),
            (
                r#""Action": ["s3:PUTOBJECT", "s3:GetObjectVersion"], "Resource": "arn:aws:s3:::b/x/data/*""#,
                "x/",
                &["s3:PutObject"],
            ),
            (r#""Action": "s3:*", "Resource": "arn:aws:s3:::b/x/*""#, "y/", &[]),
            (r#""Action": "s3:*", "Resource": "arn:aws:s3:::b/results/*""#, "", &[]),
            (
                r#""NotAction": ["s3:Get*", "s3:List*", "s3:Put*"], "Resource": "arn:aws:s3:::b/*""#,
                "",
                &all[..2],
            ),
            (
                r#""Action": "s3:GetObject", "NotResource": "arn:aws:s3:::b/public/*""#,
                "",
                &["s3:GetObject"],
            ),
            (r#""Action": "s3:DeleteBucket", "Resource": "arn:aws:s3:::b""#, "", &[]),
        ] {
            assert_eq!(denied(statement, key_prefix), expected, "{statement}");
        }
    }

    #[test]
    fn a_policy_that_requires_tls_denies_nothing() {
        let statement = r#""Action": "s3:*", "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}}"#;
        assert!(denied(statement, "").is_empty());
        let allowed = r#"{"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;
        assert!(policy(allowed).denied("").is_empty());
    }
}
