//! Functions of labels, and the order of labels.

use std::cmp::Ordering;

use regex::Regex;

use crate::{error::PromqlError, labels::Labels};

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
        let Ok(regex) = Regex::new(&format!("^(?s:{pattern})$")) else {
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
    pub(crate) fn apply(&self, labels: &Labels) -> Labels {
        let Some(captures) = self.pattern.captures(labels.get(&self.source)) else {
            return labels.clone();
        };
        let mut value = String::new();
        captures.expand(&self.replacement, &mut value);
        labels.set(&self.target, &value)
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
        Ok(Self {
            target,
            separator,
            sources,
        })
    }

    pub(crate) fn apply(&self, labels: &Labels) -> Labels {
        let values: Vec<&str> = self.sources.iter().map(|source| labels.get(source)).collect();
        labels.set(&self.target, &values.join(&self.separator))
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
        assert_eq!(
            join.apply(&labels(&[("a", "1"), ("b", "2")])).get("c"),
            "1-2-"
        );
        assert!(LabelJoin::new("c".into(), "-".into(), names(&[""])).is_err());
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
