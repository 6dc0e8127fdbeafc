//! The memory of the patterns of an expression.
//!
//! The parser compiles each pattern of a matcher with a limit of 10 MiB for each of them. Therefore the patterns are compiled
//! once before, one after the other, with a limit for all of them.

use promql_parser::util::unquote_string;
use regex::RegexBuilder;

use crate::{
    error::{PromqlError, bad_data},
    pattern::MAX_PATTERN_BYTES,
};

/// Maximum memory of the compiled patterns of an expression, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// Maximum number of classes of characters, such as `\w`, in the patterns of an expression. Each one takes several kilobytes
/// before the limit of memory applies.
const MAX_CLASSES: usize = 1_000;

/// Maximum number of patterns that are invalid. The parser changes such patterns and compiles them again.
const MAX_CHANGED: usize = 4;

/// Returns the number of escapes that may be classes of characters.
fn count_classes(pattern: &str) -> usize {
    let pairs = pattern.as_bytes().windows(2);
    pairs
        .filter(|pair| matches!(pair, [b'\\', kind] if b"pPwWdDsSbB".contains(kind)))
        .count()
}

/// Checks patterns in quotes.
/// Fails with [`PromqlError::BadData`] if they take too much memory.
pub(crate) fn check_quoted_patterns(quoted: &[&str]) -> Result<(), PromqlError> {
    // The parser refuses texts with malformed escapes.
    let patterns: Vec<String> =
        quoted.iter().map(|text| unquote_string(text).unwrap_or_default()).collect();
    check_patterns(&patterns)
}

/// Checks patterns.
/// Fails with [`PromqlError::BadData`] if they take too much memory.
pub(crate) fn check_patterns(patterns: &[impl AsRef<str>]) -> Result<(), PromqlError> {
    let share = MAX_BYTES / patterns.len().max(1);
    let (mut changed, mut classes) = (0, 0);
    for text in patterns {
        let pattern: &str = text.as_ref();
        if pattern.len() > MAX_PATTERN_BYTES {
            let error = format!("a pattern has more than {MAX_PATTERN_BYTES} bytes");
            return Err(bad_data(error));
        }
        classes += count_classes(pattern);
        if classes > MAX_CLASSES {
            let error = format!("the patterns have more than {MAX_CLASSES} classes of characters");
            return Err(bad_data(error));
        }
        match RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(share).build() {
            Ok(_) => {}
            Err(regex::Error::CompiledTooBig(_)) => {
                return Err(bad_data("the patterns of the expression take too much memory"));
            }
            Err(_) => changed += 1,
        }
    }
    if changed > MAX_CHANGED {
        return Err(bad_data("the expression has several invalid patterns"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_take_too_much_memory_are_refused() {
        let check =
            |quoted: &[&str]| check_quoted_patterns(quoted).map_err(|error| error.to_string());
        for (quoted, expected) in [
            (vec![r#""(\\w{99}){99}""#], "too much memory"),
            (vec!["`\\w{60}`"; 99], "too much memory"),
            (vec![r#""{x}""#; 5], "invalid patterns"),
        ] {
            let refused = check(&quoted).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
        assert_eq!(check(&[r#""(\\w{9}){9}""#, r#"'{x}'"#, r#""\q""#]), Ok(()));
    }

    #[test]
    fn lengths_and_classes_are_limited_even_in_invalid_patterns() {
        let refused = |pattern: &str| check_patterns(&[pattern]).unwrap_err().to_string();
        assert!(refused(&"x".repeat(MAX_PATTERN_BYTES + 1)).contains("bytes"));
        let classes = format!("{}{{x}}", r"\pL".repeat(MAX_CLASSES + 1));
        assert!(refused(&classes).contains("classes"));
        check_patterns(&[r"\d+\.\d+"]).unwrap();
    }
}
