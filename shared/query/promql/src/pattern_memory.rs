//! The memory of the patterns of an expression.
//!
//! The parser compiles each pattern of a matcher with a limit of 10 MiB for each of them. Therefore the patterns are compiled
//! once before, one after the other, with a limit for all of them.

use promql_parser::util::unquote_string;
use regex::RegexBuilder;

use crate::error::PromqlError;

/// Maximum memory of the compiled patterns of an expression, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// Maximum number of patterns that are invalid. The parser changes such patterns and compiles them again.
const MAX_CHANGED: usize = 4;

/// Checks the patterns of an expression, which are in quotes.
///
/// # Errors
/// [`PromqlError::BadData`] if they take too much memory.
pub(crate) fn check_patterns(quoted: &[&str]) -> Result<(), PromqlError> {
    let share = MAX_BYTES / quoted.len().max(1);
    let mut changed = 0;
    for text in quoted {
        // The parser refuses texts with malformed escapes.
        let pattern = unquote_string(text).unwrap_or_default();
        let compiled = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(share).build();
        match compiled {
            Ok(_) => {}
            Err(regex::Error::CompiledTooBig(_)) => {
                let error = "the patterns of the expression take too much memory";
                return Err(PromqlError::BadData(error.to_owned()));
            }
            Err(_) => changed += 1,
        }
    }
    if changed > MAX_CHANGED {
        let error = "the expression has several invalid patterns";
        return Err(PromqlError::BadData(error.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_take_too_much_memory_are_refused() {
        let check = |quoted: &[&str]| check_patterns(quoted).map_err(|error| error.to_string());
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
}
