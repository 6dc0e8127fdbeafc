//! Conditions on labels. An absent label is an empty label.

use std::sync::Arc;

use neap_promql::{MatchOp, pattern_of};

use super::{
    matcher_error::MatcherError,
    pattern::{LabelPattern, PatternMemory},
};
use crate::{quoted_name, quoted_text};

/// Maximum number of matchers of a request.
pub const MAX_MATCHERS: usize = 256;

/// A condition on a label, as a client writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMatcher {
    /// The type of the condition.
    pub kind: MatcherKind,
    /// The name of the label.
    pub label: String,
    /// The value or the pattern.
    pub value: String,
}

/// The type of a condition on a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatcherKind {
    /// The label has the value.
    Equal,
    /// The label has another value.
    NotEqual,
    /// The whole label matches the pattern.
    Regex,
    /// The whole label does not match the pattern.
    NotRegex,
}

impl From<&neap_promql::Matcher> for LabelMatcher {
    fn from(matcher: &neap_promql::Matcher) -> Self {
        Self {
            kind: match matcher.op {
                MatchOp::Equal => MatcherKind::Equal,
                MatchOp::NotEqual => MatcherKind::NotEqual,
                MatchOp::Re(_) => MatcherKind::Regex,
                MatchOp::NotRe(_) => MatcherKind::NotRegex,
            },
            label: matcher.name.clone(),
            value: pattern_of(matcher).to_owned(),
        }
    }
}

/// A condition on a label.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The name of the label.
    pub label: String,
    condition: LabelCondition,
}

#[derive(Clone, Debug)]
enum LabelCondition {
    Equal(String),
    NotEqual(String),
    Regex(LabelPattern),
    NotRegex(LabelPattern),
}

/// Compiles the matchers of all queries of a request. Their patterns share one memory.
///
/// # Errors
/// There are too many matchers, a label has no name, or a pattern is invalid.
pub fn compile_matchers(queries: &[&[LabelMatcher]]) -> Result<Vec<Arc<[Matcher]>>, MatcherError> {
    let all = || queries.iter().copied().flatten();
    if all().count() > MAX_MATCHERS {
        return Err(MatcherError::TooManyMatchers(MAX_MATCHERS));
    }
    let has_pattern = |matcher: &&LabelMatcher| {
        matches!(matcher.kind, MatcherKind::Regex | MatcherKind::NotRegex)
    };
    let memory = PatternMemory::shared_by(all().filter(has_pattern).count());
    let queries = queries.iter().map(|matchers| {
        let compiled = matchers.iter().map(|matcher| Matcher::new(matcher, memory));
        compiled.collect()
    });
    queries.collect()
}

impl Matcher {
    fn new(matcher: &LabelMatcher, memory: PatternMemory) -> Result<Self, MatcherError> {
        let LabelMatcher { kind, label, value } = matcher;
        if label.is_empty() {
            return Err(MatcherError::UnnamedLabel);
        }
        let condition = match *kind {
            MatcherKind::Equal => LabelCondition::Equal(value.clone()),
            MatcherKind::NotEqual => LabelCondition::NotEqual(value.clone()),
            MatcherKind::Regex => LabelCondition::Regex(LabelPattern::new(value, memory)?),
            MatcherKind::NotRegex => LabelCondition::NotRegex(LabelPattern::new(value, memory)?),
        };
        Ok(Self { label: label.clone(), condition })
    }

    /// Returns whether a value meets the condition.
    pub fn matches(&self, value: &str) -> bool {
        match &self.condition {
            LabelCondition::Equal(expected) => value == expected,
            LabelCondition::NotEqual(unexpected) => value != unexpected,
            LabelCondition::Regex(pattern) => pattern.matches(value),
            LabelCondition::NotRegex(pattern) => !pattern.matches(value),
        }
    }

    /// Returns whether a value with this prefix may meet the condition.
    pub(super) fn may_match_prefix(&self, prefix: &str) -> bool {
        match &self.condition {
            LabelCondition::Equal(expected) => expected.starts_with(prefix),
            _ => true,
        }
    }

    /// Returns whether only this value meets the condition.
    pub(super) fn requires(&self, value: &str) -> bool {
        matches!(&self.condition, LabelCondition::Equal(expected) if expected == value)
    }

    /// Returns the condition on a tag column in SQL.
    pub fn sql(&self, tag: &str) -> String {
        let column = quoted_name(tag);
        let of_values = match &self.condition {
            LabelCondition::Equal(value) => format!("{column} = {}", quoted_text(value)),
            LabelCondition::NotEqual(value) => format!("{column} <> {}", quoted_text(value)),
            LabelCondition::Regex(pattern) => pattern.sql(&column),
            LabelCondition::NotRegex(pattern) => format!("NOT ({})", pattern.sql(&column)),
        };
        if self.matches("") {
            format!("({column} IS NULL OR {of_values})")
        } else {
            of_values
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: MatcherKind, label: &str, value: &str) -> LabelMatcher {
        LabelMatcher { kind, label: label.to_owned(), value: value.to_owned() }
    }

    fn compile(kind: MatcherKind, label: &str, value: &str) -> Result<Matcher, MatcherError> {
        let compiled = compile_matchers(&[&[message(kind, label, value)]])?;
        Ok(compiled[0][0].clone())
    }

    fn matcher(kind: MatcherKind, value: &str) -> Matcher {
        compile(kind, "job", value).unwrap()
    }

    #[test]
    fn a_pattern_matches_the_whole_value() {
        let regex = matcher(MatcherKind::Regex, "a|b.*");
        assert!(regex.matches("a") && regex.matches("bcd") && regex.matches("b\n"));
        assert!(!regex.matches("ab") && !regex.matches("xa") && !regex.matches(""));
        let not = matcher(MatcherKind::NotRegex, "a|b.*");
        assert!(!not.matches("a") && not.matches("ab") && not.matches(""));
    }

    #[test]
    fn an_absent_label_is_an_empty_one() {
        let sql = |kind, value| matcher(kind, value).sql("job");
        insta::assert_snapshot!(sql(MatcherKind::Equal, "it's"), @r#""job" = 'it''s'"#);
        insta::assert_snapshot!(sql(MatcherKind::Equal, ""), @r#"("job" IS NULL OR "job" = '')"#);
        insta::assert_snapshot!(sql(MatcherKind::NotEqual, "a"), @r#"("job" IS NULL OR "job" <> 'a')"#);
        insta::assert_snapshot!(sql(MatcherKind::NotEqual, ""), @r#""job" <> ''"#);
        insta::assert_snapshot!(sql(MatcherKind::Regex, "a|b"), @r#""job" IN ('a', 'b')"#);
        insta::assert_snapshot!(sql(MatcherKind::Regex, "a|"), @r#"("job" IS NULL OR "job" IN ('a', ''))"#);
        insta::assert_snapshot!(sql(MatcherKind::Regex, ".*"), @r#"("job" IS NULL OR "job" ~ '^(?s:.*)$')"#);
        insta::assert_snapshot!(sql(MatcherKind::Regex, ".+"), @r#""job" ~ '^(?s:.+)$'"#);
        insta::assert_snapshot!(sql(MatcherKind::NotRegex, "a|b"), @r#"("job" IS NULL OR NOT ("job" IN ('a', 'b')))"#);
        insta::assert_snapshot!(sql(MatcherKind::NotRegex, ".*"), @r#"NOT ("job" ~ '^(?s:.*)$')"#);
    }

    #[test]
    fn unusable_conditions_are_errors() {
        let refused = |kind, label: &str, value: &str| {
            let refused = compile(kind, label, value).unwrap_err();
            refused.to_string().lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(refused(MatcherKind::Equal, "", "a"), "a matcher has no label");
        let text = refused(MatcherKind::Regex, "job", "a(");
        assert!(text.starts_with("the pattern \"a(\" is invalid"), "{text}");
        assert!(compile(MatcherKind::Regex, "a", &"x".repeat(70_000)).is_err());
        assert!(compile(MatcherKind::Regex, "a", "(a{1000}){1000}").is_err());
    }

    #[test]
    fn the_matchers_of_all_queries_are_limited_together() {
        let matchers = vec![message(MatcherKind::Equal, "a", "b"); MAX_MATCHERS / 2];
        let queries = [&matchers[..], &matchers];
        assert_eq!(compile_matchers(&queries).unwrap().len(), 2);
        let refused = compile_matchers(&[&matchers[..], &matchers, &matchers[..1]]).unwrap_err();
        assert_eq!(refused.to_string(), "the request has more than 256 matchers");
    }

    #[test]
    fn the_patterns_of_all_queries_share_one_memory() {
        let large = message(MatcherKind::Regex, "a", "(abcdefgh){1000}");
        assert!(compile_matchers(&[std::slice::from_ref(&large)]).is_ok());
        let many = vec![large; MAX_MATCHERS];
        let refused = compile_matchers(&[&many]).unwrap_err().to_string();
        assert!(refused.contains("size limit"), "{refused}");
    }
}
