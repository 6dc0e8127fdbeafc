//! Result sizes of string functions, in bytes per row.

use super::arguments::{ArgumentRow, CallArguments};

/// Maximum bytes per character.
const MAX_CHARACTER_BYTES: u64 = 4;

/// Maximum result bytes per byte of a time format: `%+` becomes a whole time of 35 characters.
const MAX_TIME_BYTES_PER_FORMAT_BYTE: u64 = 20;

/// Bytes per part of a split string besides its content.
const PART_BYTES: u64 = 16;

/// Bytes of a number in a list, with its bit that tells whether it is null.
const ELEMENT_BYTES: u64 = 9;

/// Bytes of a compiled pattern per byte of its text: a character class becomes a long list.
const COMPILED_BYTES_PER_PATTERN_BYTE: u64 = 1 << 10;

/// Maximum bytes of a compiled pattern, as reached by a pattern with counted repetitions.
const MAX_COMPILED_PATTERN_BYTES: u64 = 10 << 20;

/// Returns the bytes of the compiled patterns. All distinct patterns of a batch stay compiled in memory.
pub(super) fn patterns(args: &CallArguments, argument: usize) -> u64 {
    let compiled = |pattern: &str| {
        let bytes = (pattern.len() as u64).saturating_mul(COMPILED_BYTES_PER_PATTERN_BYTE);
        if pattern.contains('{') {
            MAX_COMPILED_PATTERN_BYTES
        } else {
            bytes.min(MAX_COMPILED_PATTERN_BYTES)
        }
    };
    let patterns = args.distinct_texts(argument).into_iter();
    patterns.map(compiled).fold(0, u64::saturating_add)
}

pub(super) fn repeat(row: &ArgumentRow) -> u64 {
    row.length(0).saturating_mul(row.count(1))
}

pub(super) fn pad(row: &ArgumentRow) -> u64 {
    let wide = row.text(2).is_some_and(|fill| !fill.is_ascii());
    let width = if wide { MAX_CHARACTER_BYTES } else { 1 };
    let padding = row.count(1).saturating_mul(width);
    padding.saturating_add(row.length(0))
}

pub(super) fn concat_ws(row: &ArgumentRow) -> u64 {
    let texts = (1..row.len()).map(|i| row.length(i));
    let separators = row.length(0).saturating_mul(row.len() as u64);
    texts.fold(separators, u64::saturating_add)
}

pub(super) fn encode(row: &ArgumentRow) -> u64 {
    row.length(0).saturating_mul(2)
}

pub(super) fn levenshtein(row: &ArgumentRow) -> u64 {
    row.length(0).saturating_mul(row.length(1))
}

pub(super) fn to_char(row: &ArgumentRow) -> u64 {
    row.length(1).saturating_mul(MAX_TIME_BYTES_PER_FORMAT_BYTE)
}

/// Returns the result bytes. Every occurrence is counted.
pub(super) fn replace(args: &CallArguments) -> u64 {
    args.sum(|row| {
        let (Some(text), Some(from), Some(to)) = (row.text(0), row.text(1), row.text(2)) else {
            return row.length(0).saturating_add(row.length(2));
        };
        let length = text.len() as u64;
        if to.len() <= from.len() {
            return length;
        }
        let longer = (to.len() - from.len()) as u64;
        let found = text.matches(from).count() as u64;
        length.saturating_add(found.saturating_mul(longer))
    })
}

/// Returns the worst-case result bytes: the pattern matches at every position, and every reference in the replacement
/// stands for the whole text.
pub(super) fn regexp_replace(row: &ArgumentRow) -> u64 {
    let text = row.length(0);
    let replacement = row.text(2).unwrap_or("");
    let references = replacement.matches(['\\', '$']).count() as u64;
    let everywhere = row.text(3).is_some_and(|flags| flags.contains('g'));
    let places = if everywhere {
        text.saturating_add(1)
    } else {
        1
    };
    let added = places.saturating_mul(replacement.len() as u64);
    let referred = references.saturating_mul(text);
    text.saturating_add(added).saturating_add(referred)
}

/// Returns the result bytes. Every part is counted.
pub(super) fn split(row: &ArgumentRow) -> u64 {
    let Some(text) = row.text(0) else { return 0 };
    let parts = match row.text(1) {
        Some("") => 1,
        Some(separator) => text.matches(separator).count() + 1,
        None => text.len(),
    };
    let parts = (parts as u64).saturating_mul(PART_BYTES);
    parts.saturating_add(text.len() as u64)
}

/// Returns the bytes of the elements of an array of numbers, each of which takes at least two characters, and of
/// the list with one or two brackets.
pub(super) fn array_elements(row: &ArgumentRow) -> u64 {
    let elements = row.length(0).div_ceil(2);
    elements.saturating_mul(ELEMENT_BYTES)
}
