//! Conditions on labels. An absent label is an empty label.

use std::sync::Arc;

use crate::{
    LabelMatcher, MatcherType,
    remote_read::{
        condition::{quoted_name, quoted_text},
        failure::ReadFailure,
        pattern::{LabelPattern, PatternMemory},
    },
};

/// Maximum number of matchers of a request.
pub(crate) const MAX_MATCHERS: usize = 256;

/// A condition on a label.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    pub(crate) label: String,
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
/// There are too many matchers, a label has no name, the type of a condition is unknown, or a pattern is invalid.
pub(crate) fn compile_matchers(
    queries: &[&[LabelMatcher]],
) -> Result<Vec<Arc<[Matcher]>>, ReadFailure> {
    let all = || queries.iter().copied().flatten();
    if all().count() > MAX_MATCHERS {
        return Err(ReadFailure::TooManyMatchers(MAX_MATCHERS));
    }
    let memory = PatternMemory::shared_by(all().filter(|message| has_pattern(message)).count());
    let queries = queries.iter().map(|messages| {
        let matchers = messages.iter().map(|message| Matcher::new(message, memory));
        matchers.collect()
    });
    queries.collect()
}

fn has_pattern(message: &LabelMatcher) -> bool {
    [MatcherType::Regex, MatcherType::NotRegex].contains(&message.kind())
}

impl Matcher {
    fn new(message: &LabelMatcher, memory: PatternMemory) -> Result<Self, ReadFailure> {
        let LabelMatcher { kind, name, value } = message;
        if name.is_empty() {
            return Err(ReadFailure::UnnamedLabel);
        }
        let kind = MatcherType::try_from(*kind).map_err(|_| ReadFailure::MatcherType(*kind))?;
        let condition = match kind {
            MatcherType::Equal => LabelCondition::Equal(value.clone()),
            MatcherType::NotEqual => LabelCondition::NotEqual(value.clone()),
            MatcherType::Regex => LabelCondition::Regex(LabelPattern::new(value, memory)?),
            MatcherType::NotRegex => LabelCondition::NotRegex(LabelPattern::new(value, memory)?),
        };
        Ok(Self {
            label: name.clone(),
            condition,
        })
    }

    /// Returns whether a value meets the condition.
    pub(crate) fn matches(&self, value: &str) -> bool {
        match &self.condition {
            LabelCondition::Equal(expected) => value == expected,
            LabelCondition::NotEqual(unexpected) => value != unexpected,
            LabelCondition::Regex(pattern) => pattern.matches(value),
            LabelCondition::NotRegex(pattern) => !pattern.matches(value),
        }
    }

    /// Returns the condition on a tag column in SQL.
    pub(crate) fn sql(&self, tag: &str) -> String {
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

    fn message(kind: MatcherType, label: &str, value: &str) -> LabelMatcher {
        LabelMatcher {
            kind: kind.into(),
            name: label.to_owned(),
            value: value.to_owned(),
        }
    }

    fn compile(kind: MatcherType, label: &str, value: &str) -> Result<Matcher, ReadFailure> {
        let compiled = compile_matchers(&[&[message(kind, label, value)]])?;
        Ok(compiled[0][0].clone())
    }

    fn matcher(kind: MatcherType, value: &str) -> Matcher {
        compile(kind, "job", value).unwrap()
    }

    #[test]
    fn a_pattern_matches_the_whole_value() {
        let regex = matcher(MatcherType::Regex, "a|b.*");
        assert!(regex.matches("a") && regex.matches("bcd") && regex.matches("b\n"));
        assert!(!regex.matches("ab") && !regex.matches("xa") && !regex.matches(""));
        let not = matcher(MatcherType::NotRegex, "a|b.*");
        assert!(!not.matches("a") && not.matches("ab") && not.matches(""));
    }

    #[test]
    fn an_absent_label_is_an_empty_one() {
        let sql = |kind, value| matcher(kind, value).sql("job");
        insta::assert_snapshot!(sql(MatcherType::Equal, "it's"), @r#""job" = 'it''s'"#);
        insta::assert_snapshot!(sql(MatcherType::Equal, ""), @r#"("job" IS NULL OR "job" = '')"#);
        insta::assert_snapshot!(sql(MatcherType::NotEqual, "a"), @r#"("job" IS NULL OR "job" <> 'a')"#);
        insta::assert_snapshot!(sql(MatcherType::NotEqual, ""), @r#""job" <> ''"#);
        insta::assert_snapshot!(sql(MatcherType::Regex, "a|b"), @r#""job" IN ('a', 'b')"#);
        insta::assert_snapshot!(sql(MatcherType::Regex, "a|"), @r#"("job" IS NULL OR "job" IN ('a', ''))"#);
        insta::assert_snapshot!(sql(MatcherType::Regex, ".*"), @r#"("job" IS NULL OR "job" ~ '^(?s:.*)$')"#);
        insta::assert_snapshot!(sql(MatcherType::Regex, ".+"), @r#""job" ~ '^(?s:.+)$'"#);
        insta::assert_snapshot!(sql(MatcherType::NotRegex, "a|b"), @r#"("job" IS NULL OR NOT ("job" IN ('a', 'b')))"#);
        insta::assert_snapshot!(sql(MatcherType::NotRegex, ".*"), @r#"NOT ("job" ~ '^(?s:.*)$')"#);
    }

    #[test]
    fn unusable_conditions_are_errors() {
        let refused = |kind, label: &str, value: &str| {
            let refused = compile(kind, label, value).unwrap_err();
            refused.to_string().lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(
            refused(MatcherType::Equal, "", "a"),
            "a matcher has no label"
        );
        let text = refused(MatcherType::Regex, "job", "a(");
        assert!(text.starts_with("the pattern \"a(\" is invalid"), "{text}");
        assert!(compile(MatcherType::Regex, "a", &"x".repeat(70_000)).is_err());
        assert!(compile(MatcherType::Regex, "a", "(a{1000}){1000}").is_err());
    }

    #[test]
    fn the_matchers_of_all_queries_are_limited_together() {
        let matchers = vec![message(MatcherType::Equal, "a", "b"); MAX_MATCHERS / 2];
        let queries = [&matchers[..], &matchers];
        assert_eq!(compile_matchers(&queries).unwrap().len(), 2);
        let refused = compile_matchers(&[&matchers[..], &matchers, &matchers[..1]]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the request has more than 256 matchers"
        );
    }

    #[test]
    fn the_patterns_of_all_queries_share_one_memory() {
        let large = message(MatcherType::Regex, "a", "(abcdefgh){1000}");
        assert!(compile_matchers(&[std::slice::from_ref(&large)]).is_ok());
        let many = vec![large; MAX_MATCHERS];
        let refused = compile_matchers(&[&many]).unwrap_err().to_string();
        assert!(refused.contains("size limit"), "{refused}");
    }
}
