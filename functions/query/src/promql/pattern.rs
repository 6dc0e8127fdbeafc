//! Patterns of labels: regular expressions in the syntax of RE2, which Prometheus has.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, Span, Visitor, parse::Parser,
};

use super::{condition::quoted_text, matcher_error::MatcherError};

/// Maximum length of a pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 64 << 10;

/// Maximum memory of a compiled pattern, in bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;

/// Maximum memory of the compiled patterns of a request, in bytes. A search takes about as much again.
const MAX_REQUEST_REGEX_BYTES: usize = 16 << 20;

/// Maximum number of Unicode classes, such as `\pL`, of a pattern. A class takes several kilobytes before its pattern is
/// compiled.
const MAX_UNICODE_CLASSES: usize = 64;

/// The memory of a compiled pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct PatternMemory {
    bytes: usize,
}

impl PatternMemory {
    /// Returns the memory of each pattern of a request.
    pub(super) fn shared_by(patterns: usize) -> Self {
        let share = MAX_REQUEST_REGEX_BYTES / patterns.max(1);
        Self {
            bytes: share.min(MAX_REGEX_BYTES),
        }
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
    ///
    /// # Errors
    /// The pattern is invalid, or it takes more memory than it may.
    pub(super) fn new(pattern: &str, memory: PatternMemory) -> Result<Self, MatcherError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(MatcherError::PatternTooLong(MAX_PATTERN_BYTES));
        }
        let invalid = |error: String| MatcherError::Pattern {
            pattern: pattern.chars().take(200).collect(),
            error,
        };
        let text = format!("^(?s:{})$", with_ascii_classes(pattern).map_err(invalid)?);
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

/// Returns a pattern in which `\d`, `\w`, `\s` and `\b` have the meaning of RE2, which knows only ASCII there.
fn with_ascii_classes(pattern: &str) -> Result<String, String> {
    let ast = Parser::new().parse(pattern).map_err(|error| error.kind().to_string())?;
    let replacements = ast::visit(&ast, AsciiClasses::default())?;
    let mut text = String::with_capacity(pattern.len());
    let mut position = 0;
    for (span, class) in replacements {
        text += pattern.get(position..span.start.offset).unwrap_or_default();
        text += class;
        position = span.end.offset;
    }
    text += pattern.get(position..).unwrap_or_default();
    Ok(text)
}

/// Collects the texts that replace parts of a pattern, in the order of their positions.
#[derive(Debug, Default)]
struct AsciiClasses {
    replacements: Vec<(Span, &'static str)>,
    unicode_classes: usize,
}

impl AsciiClasses {
    fn add_class(&mut self, class: &ClassPerl) {
        self.replacements.push((class.span, ascii_class(class)));
    }

    fn count_unicode_class(&mut self) -> Result<(), String> {
        self.unicode_classes += 1;
        if self.unicode_classes > MAX_UNICODE_CLASSES {
            Err(format!("more than {MAX_UNICODE_CLASSES} Unicode classes"))
        } else {
            Ok(())
        }
    }
}

impl Visitor for AsciiClasses {
    type Output = Vec<(Span, &'static str)>;
    type Err = String;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.replacements)
    }

    fn visit_pre(&mut self, part: &Ast) -> Result<(), Self::Err> {
        match part {
            Ast::ClassPerl(class) => self.add_class(class),
            Ast::ClassUnicode(_) => self.count_unicode_class()?,
            Ast::Assertion(assertion) if assertion.kind == AssertionKind::WordBoundary => {
                self.replacements.push((assertion.span, r"(?-u:\b)"));
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ClassSetItem::Perl(class) => self.add_class(class),
            ClassSetItem::Unicode(_) => self.count_unicode_class()?,
            _ => {}
        }
        Ok(())
    }
}

/// Returns a class of ASCII characters, which may also be in brackets.
fn ascii_class(class: &ClassPerl) -> &'static str {
    match (&class.kind, class.negated) {
        (ClassPerlKind::Digit, false) => "[0-9]",
        (ClassPerlKind::Digit, true) => "[^0-9]",
        (ClassPerlKind::Space, false) => r"[\t\n\f\r ]",
        (ClassPerlKind::Space, true) => r"[^\t\n\f\r ]",
        (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
        (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        let pattern = LabelPattern::new(pattern, PatternMemory::shared_by(1));
        pattern.unwrap().matches(value)
    }

    #[test]
    fn classes_are_those_of_re2() {
        for (pattern, value, expected) in [
            (r"\d+", "12", true),
            (r"\d", "\u{661}", false),
            (r"\D", "\u{661}", true),
            (r"\w+", "a_1", true),
            (r"\w", "é", false),
            (r"\W", "é", true),
            (r"\s", "\u{a0}", false),
            (r"\s", "\u{b}", false),
            (r"[\d\s-]+", "1 -", true),
            (r"[\dé]+", "é\u{661}", false),
            (r"[^\w]", "é", true),
            (r"[^\W]", "é", false),
            (r"a\bé", "aé", true),
            (r"\\d", r"\d", true),
            (r"\pL", "é", true),
            (".", "é", true),
            ("[^a]", "é", true),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} {value:?}");
        }
    }

    #[test]
    fn a_pattern_cannot_close_its_group() {
        let refused = LabelPattern::new("a)|(b", PatternMemory::shared_by(1));
        assert!(refused.is_err());
    }

    #[test]
    fn unicode_classes_are_limited() {
        let compile = |count| {
            let pattern = r"\pL?[\pN]?".repeat(count);
            LabelPattern::new(&pattern, PatternMemory::shared_by(1))
        };
        assert!(compile(MAX_UNICODE_CLASSES / 2).is_ok());
        let refused = compile(MAX_UNICODE_CLASSES / 2 + 1).unwrap_err();
        assert!(refused.to_string().ends_with("more than 64 Unicode classes"));
    }
}
