//! Patterns of labels: regular expressions in the syntax of RE2, which Prometheus has.

use promql_parser::label::{MatchOp, Matcher};
use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, Span, Visitor, parse::Parser,
};

/// Maximum length of a pattern, in bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 64 << 10;

/// Maximum number of Unicode classes, such as `\pL`, of a pattern. A class takes several kilobytes before its pattern is
/// compiled.
const MAX_UNICODE_CLASSES: usize = 64;

/// Maximum memory of the cache of states that a search with a pattern builds, in bytes.
const MAX_CACHE_BYTES: usize = 256 << 10;

/// Returns a pattern with its anchors, so that a whole value matches it, with its lines. `\d`, `\w`, `\s` and `\b` have the
/// meaning of RE2, which knows only ASCII there.
///
/// # Errors
/// The reason why the pattern is invalid.
pub fn anchored_pattern(pattern: &str) -> Result<String, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("it has more than {MAX_PATTERN_BYTES} bytes"));
    }
    Ok(format!("^(?s:{})$", with_ascii_classes(pattern)?))
}

/// Returns the pattern of a matcher. The parser has escaped braces that are no repetition, which RE2 takes as they are.
pub fn pattern_of(matcher: &Matcher) -> &str {
    let (MatchOp::Re(regex) | MatchOp::NotRe(regex)) = &matcher.op else {
        return &matcher.value;
    };
    let inner = regex.as_str().strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$"));
    inner.unwrap_or(&matcher.value)
}

/// Compiles a pattern that a whole value matches.
/// Errors: the reason why the pattern is invalid.
pub(crate) fn compile_anchored(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&anchored_pattern(pattern)?)
        .dfa_size_limit(MAX_CACHE_BYTES)
        .build()
        .map_err(|error| error.to_string())
}

/// Returns a pattern in which `\d`, `\w`, `\s` and `\b` match as in RE2.
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
            let regex = compile_anchored(pattern).unwrap();
            assert_eq!(regex.is_match(value), expected, "{pattern} {value:?}");
        }
    }

    #[test]
    fn a_pattern_cannot_close_its_group() {
        assert!(anchored_pattern("a)|(b").is_err());
    }

    #[test]
    fn unicode_classes_and_lengths_are_limited() {
        let classes = |count| anchored_pattern(&r"\pL?[\pN]?".repeat(count));
        assert!(classes(MAX_UNICODE_CLASSES / 2).is_ok());
        let refused = classes(MAX_UNICODE_CLASSES / 2 + 1).unwrap_err();
        assert_eq!(refused, "more than 64 Unicode classes");
        assert!(anchored_pattern(&"x".repeat(MAX_PATTERN_BYTES)).is_ok());
        assert!(anchored_pattern(&"x".repeat(MAX_PATTERN_BYTES + 1)).is_err());
    }

    #[test]
    fn braces_that_are_no_repetition_are_those_of_the_value() {
        let token = promql_parser::parser::token::T_EQL_REGEX;
        let matcher = Matcher::new_matcher(token, "job".to_owned(), "a{b}{2}".to_owned()).unwrap();
        let regex = compile_anchored(pattern_of(&matcher)).unwrap();
        assert!(regex.is_match("a{b}}"));
        assert!(!regex.is_match("ab"));
    }
}
