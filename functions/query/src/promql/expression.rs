//! Parses expressions of clients, within limits.
//!
//! The parser compiles each pattern of a matcher with a limit of 10 MiB for each of them, and syntax trees are dropped and
//! formatted recursively. Therefore a text is measured before it is parsed.

use std::str::Chars;

use neap_promql::{Expr, PromqlError, parse};
use regex::RegexBuilder;

/// Maximum length of an expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 64 << 10;

/// Maximum number of parentheses, brackets and braces around a part of an expression.
const MAX_NESTING: usize = 200;

/// Maximum number of operators of an expression.
const MAX_OPERATORS: usize = 2_000;

/// Maximum memory of the compiled patterns of an expression, in bytes.
const MAX_PATTERN_BYTES: usize = 16 << 20;

/// Maximum number of patterns that the library of regular expressions does not compile. The parser changes such patterns and
/// compiles them again.
const MAX_CHANGED_PATTERNS: usize = 4;

/// Operators that are words.
const OPERATOR_WORDS: [&str; 4] = ["and", "atan2", "or", "unless"];

/// Parses an expression of a client.
///
/// # Errors
/// The text is no expression, or it exceeds a limit.
pub fn parse_expression(text: &str) -> Result<Expr, PromqlError> {
    check(text).map_err(PromqlError::BadData)?;
    parse(text)
}

/// Measures an expression.
fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_EXPRESSION_BYTES {
        return Err(format!(
            "the expression has more than {MAX_EXPRESSION_BYTES} bytes"
        ));
    }
    let measured = ExpressionMeasure::of_text(text);
    if measured.nesting > MAX_NESTING {
        return Err(format!(
            "the expression has more than {MAX_NESTING} nested parentheses"
        ));
    }
    if measured.operators > MAX_OPERATORS {
        return Err(format!(
            "the expression has more than {MAX_OPERATORS} operators"
        ));
    }
    check_patterns(&measured.patterns)
}

/// Compiles patterns as the parser does, with a limit.
fn check_patterns(patterns: &[String]) -> Result<(), String> {
    let share = MAX_PATTERN_BYTES / patterns.len().max(1);
    let mut changed = 0;
    for pattern in patterns {
        let compiled = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(share).build();
        match compiled {
            Ok(_) => {}
            Err(regex::Error::CompiledTooBig(_)) => {
                return Err("the patterns of the expression take too much memory".to_owned());
            }
            Err(_) => changed += 1,
        }
    }
    if changed > MAX_CHANGED_PATTERNS {
        return Err("the expression has several invalid patterns".to_owned());
    }
    Ok(())
}

/// The size of an expression, as far as it determines the memory and the stack that a parser takes. It is that of any text.
#[derive(Debug, Default, PartialEq, Eq)]
struct ExpressionMeasure {
    /// The greatest number of open parentheses, brackets and braces.
    nesting: usize,
    operators: usize,
    /// The patterns of matchers.
    patterns: Vec<String>,
}

impl ExpressionMeasure {
    fn of_text(text: &str) -> Self {
        let mut measured = Self::default();
        let mut open = 0_usize;
        let mut word = String::new();
        // The last characters that are no white space.
        let mut before = [' '; 2];
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            if char.is_alphanumeric() || char == '_' || char == ':' {
                word.push(char.to_ascii_lowercase());
            } else {
                measured.add_word(&word);
                word.clear();
            }
            match char {
                '#' => {
                    chars.find(|char| *char == '\n');
                    continue;
                }
                '"' | '\'' | '`' => {
                    let string = quoted_text(&mut chars, char);
                    if matches!(before, ['=' | '!', '~']) {
                        measured.patterns.push(string);
                    }
                }
                '(' | '[' | '{' => {
                    open += 1;
                    measured.nesting = measured.nesting.max(open);
                }
                ')' | ']' | '}' => open = open.saturating_sub(1),
                '+' | '-' | '*' | '/' | '%' | '^' | '=' | '!' | '<' | '>' => {
                    measured.operators += 1
                }
                _ => {}
            }
            if !char.is_whitespace() {
                before = [before[1], char];
            }
        }
        measured.add_word(&word);
        measured
    }

    fn add_word(&mut self, word: &str) {
        self.operators += usize::from(OPERATOR_WORDS.contains(&word));
    }
}

/// Returns the rest of a text up to its closing quote.
fn quoted_text(chars: &mut Chars<'_>, quote: char) -> String {
    let mut text = String::new();
    while let Some(char) = chars.next() {
        if char == quote {
            break;
        }
        if char == '\\' && quote != '`' {
            text.extend(escaped(chars));
        } else {
            text.push(char);
        }
    }
    text
}

/// Returns the character of an escape sequence of Go after its backslash; `None` if it is none.
fn escaped(chars: &mut Chars<'_>) -> Option<char> {
    let first = chars.next()?;
    let mut code = |digits: usize, radix: u32, first: u32| {
        let mut code = first;
        for _ in 0..digits {
            let digit = chars.next()?.to_digit(radix)?;
            code = code.checked_mul(radix)?.checked_add(digit)?;
        }
        char::from_u32(code)
    };
    match first {
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        'x' => code(2, 16, 0),
        'u' => code(4, 16, 0),
        'U' => code(8, 16, 0),
        '0'..='7' => code(2, 8, first.to_digit(8)?),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_comments_have_no_operators() {
        let measure = |text| {
            let measured = ExpressionMeasure::of_text(text);
            (measured.nesting, measured.operators, measured.patterns)
        };
        let none = Vec::<String>::new;
        assert_eq!(measure("sum(rate(a[5m])) - -1"), (3, 2, none()));
        assert_eq!(measure("a or b AND c_or_d unless(e)"), (1, 3, none()));
        assert_eq!(measure("a # ((( +\n+ '(+\"'"), (0, 1, none()));
        assert_eq!(measure("\"\\\"(\" + `\\`"), (0, 1, none()));
        assert_eq!(
            measure(r#"a{b=~"x\"\x41\u00e9\101",c!~ `\d`,d="e"} "=~""#),
            (1, 3, vec!["x\"AéA".to_owned(), r"\d".to_owned()])
        );
    }

    #[test]
    fn large_expressions_are_refused() {
        for (text, expected) in [
            ("(".repeat(201), "nested"),
            ("-".repeat(2_001), "operators"),
            ("a or ".repeat(2_001), "operators"),
            ("a".repeat(70_000), "bytes"),
            (r#"a{b=~"(\\w{99}){99}"}"#.to_owned(), "too much memory"),
            (r#"a{b=~"\\w{60}"}"#.repeat(99), "too much memory"),
            (r#"a{b=~"{x}"}"#.repeat(5), "invalid patterns"),
        ] {
            let refused = check(&text).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
        for text in [
            "((a)) + (b)",
            r#"a{b=~"(\\w{9}){9}",c=~"{x}"}"#,
            r#"sum by (a) (rate({b=~"x|y"}[5m]))"#,
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }
}
