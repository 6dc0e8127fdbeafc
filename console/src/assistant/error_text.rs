//! The text of an error without values of rows.
//!
//! Errors may quote values, such as `Cannot cast string 'Alice' to value of Int64 type`. A model gets no values, so words
//! between quotes, and those with digits, are replaced unless the model knows them from the statement or the schema.

use neap_http::text_prefix;

use super::word_set::{WordSet, is_of_word};

/// Maximum bytes of the text.
const MAX_BYTES: usize = 4 << 10;

/// The replacement of a word.
const REPLACEMENT: char = '…';

const QUOTES: [char; 3] = ['\'', '"', '`'];

/// The text before a regular expression, which may be a value and has no quotes.
const BEFORE_PATTERN: &str = "regex parse error:";

/// Words before the number of a place in a statement.
const WORDS_OF_PLACES: [&str; 6] = ["line", "column", "char", "pos", "position", "offset"];

/// Words of messages. Between quotes, they are no secrets.
pub(super) const WORDS_OF_MESSAGES: &str = "a and are at boolean called cannot cast char column date32 dictionary did \
    end error expected field fields float64 for found from function got group in information_schema int32 int64 interval \
    iox is line mean named nanosecond no not ns of or parse pos position public regex statement string system table the \
    timestamp to type types uint64 unclosed utf8 utf8view valid value with you";

/// Returns the text of an error without values. `known` are the words that the model knows.
pub(super) fn without_values(error: &str, known: &WordSet) -> String {
    let error = text_prefix(error, MAX_BYTES);
    let (first, last) = bounds_of_values(error);
    let mut text = String::with_capacity(error.len());
    let mut word_before = "";
    let mut rest = error;
    while !rest.is_empty() {
        let at = error.len() - rest.len();
        let is_word = rest.starts_with(is_of_word);
        let end = rest.find(|it: char| is_of_word(it) != is_word).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        if !is_word {
            text.push_str(part);
            continue;
        }
        let is_secret = if part.contains(char::is_numeric) {
            !WORDS_OF_PLACES.iter().any(|word| word.eq_ignore_ascii_case(word_before))
        } else {
            (first..last).contains(&at)
        };
        if is_secret && !known.contains(part) {
            text.push(REPLACEMENT);
        } else {
            text.push_str(part);
        }
        word_before = part;
    }
    text
}

/// Returns the bounds of the text that may contain values: the places of the first and the last quote, because a value
/// between them may contain others.
fn bounds_of_values(error: &str) -> (usize, usize) {
    let end = error.len();
    let mut quotes = error.match_indices(QUOTES).map(|(at, _)| at);
    let first = quotes.find(|at| !is_apostrophe(error, *at)).unwrap_or(end);
    if let Some(pattern) = error.find(BEFORE_PATTERN) {
        return (first.min(pattern), end);
    }
    // A quote that is not closed has no end.
    let last = error.rfind(QUOTES).filter(|last| *last > first);
    (first, last.unwrap_or(end))
}

/// Returns whether a quote is the apostrophe of a word such as `can't`.
fn is_apostrophe(error: &str, at: usize) -> bool {
    let (before, after) = error.split_at(at);
    let mut ending = after.chars().skip(1);
    before.ends_with(char::is_alphanumeric)
        && ending.next().is_some_and(|letter| matches!(letter, 's' | 't'))
        && !ending.next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> WordSet {
        let statement = "SELECT CAST(owner AS BIGINT) FROM soil LIMIT 10";
        WordSet::new(&[statement, r#""soil": "bed" tag"#, WORDS_OF_MESSAGES])
    }

    #[test]
    fn values_of_rows_are_replaced() {
        for (error, expected) in [
            (
                "Cannot cast string 'Alice O'Brien 🌱' to value of Int64 type",
                "Cannot cast string '… …'… …' to value of Int64 type",
            ),
            (
                "Overflow happened on: 9223372036854775807 + 10",
                "Overflow happened on: … + 10",
            ),
            (
                "Error parsing timestamp from \"2026-01-31 at home\": error parsing date",
                "Error parsing timestamp from \"…-…-… at …\": error parsing date",
            ),
            ("the value 'secret", "the value '…"),
            (
                "the literal b'secret' of row x7",
                "the literal b'…' of row …",
            ),
            (
                "a 'b'\nregex parse error:\n    Alice(\n         ^\nerror: unclosed group",
                "a 'b'\nregex parse error:\n    …(\n         ^\nerror: unclosed group",
            ),
            ("the server's memory is full", "the server's memory is full"),
        ] {
            let known = WordSet::new(&[WORDS_OF_MESSAGES, "limit 10 b"]);
            assert_eq!(without_values(error, &known), expected, "{error}");
        }
    }

    #[test]
    fn names_and_places_are_kept() {
        for error in [
            "Schema error: No field named ownr. Did you mean 'soil.bed'?",
            "SQL error: ParserError(\"Expected: end of statement, found: LIMIT at Line: 1, Column: 38\")",
            "error parsing query: found FROM at line 1, char 30",
            "table 'public.iox.soil' not found",
        ] {
            let known = known();
            let kept = without_values(error, &known);
            assert!(
                !kept.contains("Column: …") && !kept.contains("char …"),
                "{kept}"
            );
            assert!(kept.contains("soil") == error.contains("soil"), "{kept}");
        }
    }

    #[test]
    fn a_long_error_is_cut() {
        let error = "é".repeat(MAX_BYTES);
        assert!(without_values(&error, &known()).len() <= MAX_BYTES);
    }
}
