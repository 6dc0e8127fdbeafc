//! Permissions of a user, as an IAM policy.
//!
//! A subset of the IAM policy language is supported: `Allow` statements with actions and resources, in which `*` and
//! `?` are wildcards, and the condition on the prefix of a listing. Anything else in a document is an error, so that no
//! rule is ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A policy document.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Policy {
    #[serde(default, rename = "Version")]
    _version: Option<String>,
    #[serde(default, rename = "Id")]
    _id: Option<String>,
    statement: Vec<PolicyStatement>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct PolicyStatement {
    #[serde(default, rename = "Sid")]
    _sid: Option<String>,
    #[serde(rename = "Effect")]
    _effect: Effect,
    #[serde(deserialize_with = "one_or_many")]
    action: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    resource: Vec<String>,
    #[serde(default)]
    condition: BTreeMap<ConditionOperator, BTreeMap<ConditionKey, OneOrMany>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Effect {
    Allow,
}

/// Comparison of a listing's prefix.
#[expect(clippy::enum_variant_names, reason = "the names are those of IAM")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum ConditionOperator {
    StringEquals,
    StringLike,
    StringEqualsIfExists,
    StringLikeIfExists,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum ConditionKey {
    #[serde(rename = "s3:prefix")]
    Prefix,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let values = OneOrMany::deserialize(deserializer)?;
    Ok(values.as_slice().to_vec())
}

/// Error for a document that is not a policy, or that uses unsupported elements.
#[derive(Debug, thiserror::Error)]
#[error("unsupported policy")]
pub struct PolicyError(#[from] serde_json::Error);

impl Policy {
    /// Parses a document.
    ///
    /// # Errors
    /// The document is not JSON, or uses unsupported elements.
    pub fn parse(json: &str) -> Result<Self, PolicyError> {
        Ok(serde_json::from_str(json)?)
    }

    /// Returns whether an action on a resource is allowed; `prefix` is the prefix of a listing.
    pub fn allows(&self, action: &str, resource: &str, prefix: Option<&str>) -> bool {
        self.statement.iter().any(|statement| {
            matches_any(&statement.action, &action.to_ascii_lowercase(), true)
                && matches_any(&statement.resource, resource, false)
                && statement.holds(prefix)
        })
    }
}

impl PolicyStatement {
    fn holds(&self, prefix: Option<&str>) -> bool {
        self.condition.iter().all(|(operator, keys)| {
            keys.values().all(|patterns| match (operator, prefix) {
                (ConditionOperator::StringEquals | ConditionOperator::StringLike, None) => false,
                (
                    ConditionOperator::StringEqualsIfExists | ConditionOperator::StringLikeIfExists,
                    None,
                ) => true,
                (
                    ConditionOperator::StringEquals | ConditionOperator::StringEqualsIfExists,
                    Some(prefix),
                ) => patterns.as_slice().iter().any(|text| text == prefix),
                (
                    ConditionOperator::StringLike | ConditionOperator::StringLikeIfExists,
                    Some(prefix),
                ) => matches_any(patterns.as_slice(), prefix, false),
            })
        })
    }
}

fn matches_any(patterns: &[String], text: &str, ignore_case: bool) -> bool {
    patterns.iter().any(|pattern| {
        if ignore_case {
            matches(pattern.to_ascii_lowercase().as_bytes(), text.as_bytes())
        } else {
            matches(pattern.as_bytes(), text.as_bytes())
        }
    })
}

/// Returns whether a pattern with the wildcards `*` and `?` matches a text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // After the last star: the position in the pattern, and the position in the text that the star does not cover yet.
    let mut star = None;
    while let Some(byte) = text.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, seen));
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((after, covered)) = star else {
                    return false;
                };
                star = Some((after, covered + 1));
                at = after;
                seen = covered + 1;
            }
        }
    }
    let rest = pattern.get(at..).unwrap_or_default();
    rest.iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{
        "Version": "2012-10-17",
        "Statement": [
            { "Sid": "Tail", "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"],
              "Resource": "arn:aws:s3:::b/tail/*" },
            { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b",
              "Condition": { "StringLike": { "s3:prefix": ["tail/*", "data/"] } } }
        ]
    }"#;

    #[test]
    fn a_policy_allows_what_it_says_and_nothing_else() {
        let policy = Policy::parse(POLICY).unwrap();
        for (action, resource, prefix, allowed) in [
            ("s3:GetObject", "arn:aws:s3:::b/tail/1/x", None, true),
            ("s3:PutObject", "arn:aws:s3:::b/tail/", None, true),
            ("s3:putobject", "arn:aws:s3:::b/tail/1", None, true),
            ("s3:DeleteObject", "arn:aws:s3:::b/tail/1", None, false),
            ("s3:GetObject", "arn:aws:s3:::b/catalog", None, false),
            ("s3:GetObject", "arn:aws:s3:::bb/tail/1", None, false),
            ("s3:ListBucket", "arn:aws:s3:::b", Some("tail/1/"), true),
            ("s3:ListBucket", "arn:aws:s3:::b", Some("data/"), true),
            ("s3:ListBucket", "arn:aws:s3:::b", Some("data/1/"), false),
            ("s3:ListBucket", "arn:aws:s3:::b", None, false),
        ] {
            let is_allowed = policy.allows(action, resource, prefix);
            assert_eq!(is_allowed, allowed, "{action} {resource} {prefix:?}");
        }
    }

    #[test]
    fn an_if_exists_condition_allows_requests_without_a_prefix() {
        let policy = Policy::parse(&POLICY.replace("StringLike", "StringLikeIfExists")).unwrap();
        assert!(policy.allows("s3:ListBucket", "arn:aws:s3:::b", None));
        assert!(!policy.allows("s3:ListBucket", "arn:aws:s3:::b", Some("db/")));
    }

    #[test]
    fn unsupported_elements_are_an_error() {
        for (known, unknown) in [
            ("\"Allow\"", "\"Deny\""),
            ("\"Sid\"", "\"Principal\""),
            ("StringLike", "IpAddress"),
            ("s3:prefix", "s3:delimiter"),
        ] {
            assert!(Policy::parse(&POLICY.replace(known, unknown)).is_err(), "{unknown}");
        }
    }

    #[test]
    fn wildcards_match_as_in_iam() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a*b*c", "a-b-b-c", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("abc", "abcd", false),
            ("", "a", false),
        ] {
            let is_match = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(is_match, expected, "{pattern} {text}");
        }
    }
}
