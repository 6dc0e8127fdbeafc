//! Functions of labels, and the order of labels.

use std::cmp::Ordering;

use regex::Regex;

use crate::{error::PromqlError, labels::Labels, pattern::compile_anchored};

/// Maximum length of a label that a function makes, in bytes. Nested functions could double a label again and again.
const MAX_LABEL_BYTES: usize = 1 << 20;

/// Refuses a label that is too long.
fn check_length(function: &str, bytes: usize) -> Result<(), PromqlError> {
    if bytes > MAX_LABEL_BYTES {
        let text = format!("{function}() makes a label of more than {MAX_LABEL_BYTES} bytes");
        return Err(PromqlError::Execution(text));
    }
    Ok(())
}

/// Returns the error of a label that cannot be.
fn invalid_label(role: &str, function: &str, label: &str) -> PromqlError {
    let text = format!("invalid {role} label name in {function}(): {label}");
    PromqlError::Execution(text)
}

/// A replacement of a label by groups of a regular expression.
#[derive(Debug)]
pub(crate) struct LabelReplacement {
    target: String,
    replacement: String,
    source: String,
    pattern: Regex,
}

impl LabelReplacement {
    pub(crate) fn new(
        target: &str,
        replacement: &str,
        source: &str,
        pattern: &str,
    ) -> Result<Self, PromqlError> {
        if target.is_empty() {
            return Err(invalid_label("destination", "label_replace", target));
        }
        let Ok(regex) = compile_anchored(pattern) else {
            let text = format!("invalid regular expression in label_replace(): {pattern}");
            return Err(PromqlError::Execution(text));
        };
        Ok(Self {
            target: target.to_owned(),
            replacement: replacement.to_owned(),
            source: source.to_owned(),
            pattern: regex,
        })
    }

    /// Returns the labels with the replaced one. A label that does not match stays.
    pub(crate) fn apply(&self, labels: &Labels) -> Result<Labels, PromqlError> {
        let source = labels.get(&self.source);
        let Some(captures) = self.pattern.captures(source) else {
            return Ok(labels.clone());
        };
        // A group is at most as long as the label.
        let groups = self.replacement.matches('$').count();
        let bytes = groups.saturating_mul(source.len()).saturating_add(self.replacement.len());
        check_length("label_replace", bytes)?;
        let mut value = String::new();
        captures.expand(&self.replacement, &mut value);
        Ok(labels.set(&self.target, &value))
    }
}

/// A label that is joined from others.
#[derive(Debug)]
pub(crate) struct LabelJoin {
    target: String,
    separator: String,
    sources: Vec<String>,
}

impl LabelJoin {
    pub(crate) fn new(
        target: String,
        separator: String,
        sources: Vec<String>,
    ) -> Result<Self, PromqlError> {
        if sources.iter().any(String::is_empty) {
            return Err(invalid_label("source", "label_join", ""));
        }
        if target.is_empty() {
            return Err(invalid_label("destination", "label_join", &target));
        }
        Ok(Self { target, separator, sources })
    }

    pub(crate) fn apply(&self, labels: &Labels) -> Result<Labels, PromqlError> {
        let values: Vec<&str> = self.sources.iter().map(|source| labels.get(source)).collect();
        let bytes = values.iter().map(|value| value.len() + self.separator.len());
        check_length("label_join", bytes.sum())?;
        Ok(labels.set(&self.target, &values.join(&self.separator)))
    }
}

/// Divides a text before its first digit, or after its first digits.
fn split_part(text: &str) -> (&str, &str) {
    let starts_with_digit = text.starts_with(|first: char| first.is_ascii_digit());
    let end = text.find(|next: char| next.is_ascii_digit() != starts_with_digit);
    text.split_at(end.unwrap_or(text.len()))
}

/// Compares texts, and the numbers in them by their values.
pub(crate) fn natural_order(one: &str, other: &str) -> Ordering {
    let (mut one_rest, mut other_rest) = (one, other);
    while !one_rest.is_empty() && !other_rest.is_empty() {
        let (one_part, one_next) = split_part(one_rest);
        let (other_part, other_next) = split_part(other_rest);
        let order = match (one_part.parse::<u64>(), other_part.parse::<u64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            _ => one_part.cmp(other_part),
        };
        if order != Ordering::Equal {
            return order;
        }
        (one_rest, other_rest) = (one_next, other_next);
    }
    one_rest.len().cmp(&other_rest.len())
}

/// Compares series by some of their labels in natural order, then by all labels.
pub(crate) fn label_order(names: &[String], one: &Labels, other: &Labels) -> Ordering {
    let mut by_names = names.iter().map(|name| natural_order(one.get(name), other.get(name)));
    let first = by_names.find(|order| *order != Ordering::Equal);
    first.unwrap_or_else(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn labels_are_replaced_by_groups() {
        let api = labels(&[("instance", "api:8080")]);
        let replace = |replacement: &str, pattern: &str| {
            LabelReplacement::new("host", replacement, "instance", pattern)
                .unwrap()
                .apply(&api)
                .unwrap()
        };
        assert_eq!(replace("$1-${2}", "(.*):(.*)").get("host"), "api-8080");
        assert_eq!(replace("$1", "(.*)").get("host"), "api:8080");
        assert_eq!(replace("$1", "other").get("host"), "");
        // The pattern matches the whole value.
        assert_eq!(replace("x", "api"), api);
        assert!(LabelReplacement::new("", "", "a", "").is_err());
        assert!(LabelReplacement::new("a", "", "a", "(").is_err());
    }

    #[test]
    fn labels_are_joined() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let join = LabelJoin::new("c".into(), "-".into(), names(&["a", "b", "z"])).unwrap();
        let joined = join.apply(&labels(&[("a", "1"), ("b", "2")])).unwrap();
        assert_eq!(joined.get("c"), "1-2-");
        assert!(LabelJoin::new("c".into(), "-".into(), names(&[""])).is_err());
    }

    #[test]
    fn labels_do_not_grow_without_limit() {
        let double = LabelReplacement::new("a", "$0$0", "a", ".*").unwrap();
        let join = LabelJoin::new("a".into(), String::new(), vec!["a".into(); 2]).unwrap();
        let grow = |change: &dyn Fn(&Labels) -> Result<Labels, PromqlError>| {
            let mut grown = labels(&[("a", "x")]);
            for _ in 0..100 {
                match change(&grown) {
                    Ok(longer) => grown = longer,
                    Err(error) => return (grown.get("a").len(), error.to_string()),
                }
            }
            panic!("{} bytes", grown.get("a").len());
        };
        for (length, error) in
            [grow(&|labels| double.apply(labels)), grow(&|labels| join.apply(labels))]
        {
            assert!(length <= MAX_LABEL_BYTES);
            assert!(error.ends_with("makes a label of more than 1048576 bytes"), "{error}");
        }
    }

    #[test]
    fn numbers_in_texts_are_compared_by_value() {
        assert_eq!(natural_order("node9", "node10"), Ordering::Less);
        assert_eq!(natural_order("a", "b"), Ordering::Less);
        assert_eq!(natural_order("a1", "a"), Ordering::Greater);
        assert_eq!(natural_order("", "a"), Ordering::Less);
        assert_eq!(natural_order("a01", "a1"), Ordering::Equal);
        let order = label_order(
            &["zone".to_owned()],
            &labels(&[("zone", "b"), ("job", "a")]),
            &labels(&[("zone", "a"), ("job", "b")]),
        );
        assert_eq!(order, Ordering::Greater);
    }
}
