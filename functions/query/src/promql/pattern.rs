//! Patterns of labels: regular expressions in the syntax of RE2, which Prometheus has.

use neap_promql::anchored_pattern;
use regex::{Regex, RegexBuilder};

use super::matcher_error::MatcherError;
use crate::quoted_text;

/// Maximum memory of a compiled pattern, in bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;

/// Maximum memory of the compiled patterns of a request, in bytes. A search takes about as much again.
const MAX_REQUEST_REGEX_BYTES: usize = 16 << 20;

/// The memory of a compiled pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct PatternMemory {
    bytes: usize,
}

impl PatternMemory {
    /// Returns the memory of each pattern of a request.
    pub(super) fn shared_by(patterns: usize) -> Self {
        let share = MAX_REQUEST_REGEX_BYTES / patterns.max(1);
        Self { bytes: share.min(MAX_REGEX_BYTES) }
    }
}

/// A pattern that a whole value matches.
#[derive(Clone, Debug)]
pub(super) struct LabelPattern {
    /// The pattern with its anchors.
    text: String,
    regex: Regex,
    /// The values, if the pattern is a list of them.
    literals: Option<Vec<String>>,
}

impl LabelPattern {
    /// Compiles a pattern.
    /// Fails if the pattern is invalid, or it takes more memory than it may.
    pub(super) fn new(pattern: &str, memory: PatternMemory) -> Result<Self, MatcherError> {
        let invalid = |error: String| MatcherError::Pattern {
            pattern: pattern.chars().take(200).collect(),
            error,
        };
        let text = anchored_pattern(pattern).map_err(invalid)?;
        let regex = RegexBuilder::new(&text)
            .size_limit(memory.bytes)
            .dfa_size_limit(memory.bytes)
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        let is_literal = |text: &str| regex::escape(text) == text;
        let values = pattern.split('|');
        let literals = values.clone().all(is_literal);
        Ok(Self {
            text,
            regex,
            literals: literals.then(|| values.map(str::to_owned).collect()),
        })
    }

    /// Returns whether the whole value matches.
    pub(super) fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// Returns the condition that a column that is not null matches.
    pub(super) fn sql(&self, column: &str) -> String {
        match &self.literals {
            Some(values) => {
                let values = values.iter().map(|value| quoted_text(value));
                format!("{column} IN ({})", values.collect::<Vec<_>>().join(", "))
            }
            None => format!("{column} ~ {}", quoted_text(&self.text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_cannot_close_its_group() {
        let refused = LabelPattern::new("a)|(b", PatternMemory::shared_by(1));
        assert!(refused.is_err());
    }
}
