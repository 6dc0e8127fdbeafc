//! The text of an error without values of rows.
//!
//! Errors may name values, such as `Cannot cast string 'Alice' to value of Int64 type`, also without quotes. A model gets no
//! values, so each word is replaced unless the model knows it from the statement or the schema, or it is a usual word of
//! messages. Fewer words are usual between quotes.

use std::ops::Range;

use neap_http::text_prefix;

use super::word_set::{WordSet, is_of_word};

/// Maximum bytes of the text.
const MAX_BYTES: usize = 4 << 10;

/// The replacement of a word.
const REPLACEMENT: char = '…';

const QUOTES: [char; 3] = ['\'', '"', '`'];

/// Words before the number of a place in a statement.
const WORDS_OF_PLACES: [&str; 6] = ["line", "column", "char", "pos", "position", "offset"];

/// Words of messages, also between quotes.
pub(super) const WORDS_OF_MESSAGES: &str = "a and are at boolean called cannot cast char column date32 dictionary did \
    end error expected field fields float64 for found from function got group in information_schema int32 int64 interval \
    iox is line mean named nanosecond no not ns of or parse pos position public regex statement string system table the \
    timestamp to type types uint64 unclosed utf8 utf8view valid value with you";

/// Further words of messages, outside of quotes.
const WORDS_OUTSIDE_OF_QUOTES: &str = "aggregate aggregates alias all allocation allowed ambiguous amount an any appear approx \
    argument arguments arithmetic array arrow arrowerror as asof before between binary body bool bound bounds bucket by bytes \
    call can case casting coerce coercion columns compare comparison compute condition conflict constant contain contains \
    conversion convert correlated cpu database datafusion date day decimal default delete different distinct divide does drop \
    duplicate duration during each empty equal escape exceeds execute execution exist exists explain expression expressions \
    external failed false fill filter first float float32 format full functions greater groups happened has have having \
    identifier if implemented incompatible incorrect index influxql inner input insert int int16 int8 integer internal into \
    invalid it join json key keyword large last left length less like limit list literal located location long longer many \
    match matching max maximum memory message metric min minimum missing month more most multiple must name names needs \
    negative nested null number numeric object offset on once one only operation operator operators option order other out \
    outer over overflow parameter parameters parser parsererror parsing partition pattern period permitted plan planning \
    please point policy pool positive precision previously projection promql qualified queries query range read reference \
    regexp relation replace request requested required requires resolve resource resources result return returned returns \
    right row rows s same scalar scale schema schemaerror second seconds select series server set sets should signature single \
    size some sort source specified split sql stream struct subquery such support supported syntax t tables tag tags take \
    takes text than that there this time timeout times token too true try two uint16 uint32 uint8 unable unary undefined \
    unexpected union unit unknown unnest unsupported update usage use used user using values variable vector view was were \
    when where which while window without would wrong year zero zone";

/// Returns the text of an error without values. `known` are the words that the model knows.
pub(super) fn without_values(error: &str, known: &WordSet) -> String {
    let error = text_prefix(error, MAX_BYTES);
    let quoted = bounds_of_quotes(error);
    let usual = WordSet::new(&[WORDS_OUTSIDE_OF_QUOTES]);
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
        let is_usual = !quoted.contains(&at) && usual.contains(part);
        if is_usual || known.contains(part) || is_place(word_before, part) {
            text.push_str(part);
        } else {
            text.push(REPLACEMENT);
        }
        word_before = part;
    }
    text
}

/// Returns whether a word is the number of a place in a statement.
fn is_place(word_before: &str, word: &str) -> bool {
    word.bytes().all(|digit| digit.is_ascii_digit())
        && WORDS_OF_PLACES.iter().any(|known| known.eq_ignore_ascii_case(word_before))
}

/// Returns the places from the first quote to the last one, because a value between quotes may contain others.
fn bounds_of_quotes(error: &str) -> Range<usize> {
    let end = error.len();
    let mut quotes = error.match_indices(QUOTES).map(|(at, _)| at);
    let first = quotes.find(|at| !is_apostrophe(error, *at)).unwrap_or(end);
    // A quote that is not closed has no end.
    let last = error.rfind(QUOTES).filter(|last| *last > first);
    first..last.unwrap_or(end)
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
        let pairs = r#"
            Cannot cast string 'Alice O'Brien 🌱' to value of Int64 type ==> Cannot cast string '… …'… …' to value of Int64 type
            Overflow happened on: 9223372036854775807 + 10 ==> Overflow happened on: … + 10
            Error parsing timestamp from "2026-01-31 at home": error parsing date ==> Error parsing timestamp from "…-…-… at …": error parsing date
            the value 'secret ==> the value '…
            the literal b'secret' of row x7 ==> the literal b'…' of row …
            Parser error: can't parse the string value Alice Cooper to decimal ==> Parser error: can't parse the string value … … to decimal
            Failed to parse secret as interval amount of 'b' in column x7, secret ==> Failed to parse … as interval amount of 'b' in column …, …
            the server's memory is full ==> the server's memory is full
        "#;
        for (error, expected) in neap_test_inputs::text_pairs(pairs).chain([(
            "a 'b'\nregex parse error:\n    Alice(\n         ^\nerror: unclosed group",
            "a 'b'\nregex parse error:\n    …(\n         ^\nerror: unclosed group",
        )]) {
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
            assert!(!kept.contains("Column: …") && !kept.contains("char …"), "{kept}");
            assert!(kept.contains("soil") == error.contains("soil"), "{kept}");
        }
    }

    #[test]
    fn a_long_error_is_cut() {
        let error = "é".repeat(MAX_BYTES);
        assert!(without_values(&error, &known()).len() <= MAX_BYTES);
    }
}
