//! Finds the ends of lines that can contain binary values.

use memchr::{memchr, memchr3};

use super::binary::binary_length;
use crate::line_protocol::scan::{bytes_from, series_length, string_end};

/// The first line of an input.
enum FirstLine {
    /// The position of its newline.
    EndsAt(usize),
    /// The input has no newline after the line.
    Unfinished,
    /// A string starts at this quote and is not closed.
    UnclosedString(usize),
    /// The input ends inside a binary value.
    UnfinishedValue,
    /// A binary value is malformed. The end of the line is not known.
    MalformedValue,
}

/// Returns the length of the first line in `input` including its newline, or `None` if the line is not complete.
///
/// A newline does not end a line if it is in a string or a binary value, or after a backslash. Blank lines and comments
/// are lines. Lines that were cut off a stream in this way are lines of [`parse`](crate::line_protocol::parse()) with
/// [`Dialect::QuestDb`](crate::line_protocol::Dialect::QuestDb), too.
///
/// If a binary value is malformed, the end of the line is not known, and the line is the whole input: the parser refuses
/// it with the reason. The length of a line is not limited.
///
/// # Examples
///
/// ```
/// use neap_rows::line_protocol::questdb_line_length;
///
/// let received = b"cpu load=0.5\ncpu load=";
/// assert_eq!(questdb_line_length(received), Some(13));
/// assert_eq!(questdb_line_length(&received[13..]), None);
/// ```
pub fn questdb_line_length(input: &[u8]) -> Option<usize> {
    let blanks = input.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let line = bytes_from(input, blanks);
    if line.first() == Some(&b'#') {
        return memchr(b'\n', line).map(|end| blanks + end + 1);
    }
    match first_line(line) {
        FirstLine::EndsAt(end) => Some(blanks + end + 1),
        FirstLine::MalformedValue => Some(input.len()),
        FirstLine::Unfinished | FirstLine::UnfinishedValue | FirstLine::UnclosedString(_) => None,
    }
}

/// Returns the length of the line at the start of a body, like [`crate::line_protocol::scan::line_length`], without its newline.
///
/// A line with a malformed binary value extends to the end of the body.
pub(crate) fn line_length(body: &[u8]) -> usize {
    match first_line(body) {
        FirstLine::EndsAt(end) => end,
        FirstLine::UnclosedString(quote) => {
            memchr(b'\n', bytes_from(body, quote)).map_or(body.len(), |end| quote + end)
        }
        FirstLine::Unfinished | FirstLine::UnfinishedValue | FirstLine::MalformedValue => {
            body.len()
        }
    }
}

/// Finds the end of the line at the start of `input`, which has no leading blanks.
fn first_line(input: &[u8]) -> FirstLine {
    let mut at = series_length(input);
    // After the series, each iteration skips one field or one escaped character.
    loop {
        let rest = bytes_from(input, at);
        let Some(found) = memchr3(b'\n', b'=', b'\\', rest) else {
            return FirstLine::Unfinished;
        };
        match rest.get(found) {
            Some(b'\n') => return FirstLine::EndsAt(at + found),
            Some(b'\\') => {
                at += found + 2;
                continue;
            }
            _ => at += found + 1,
        }
        match input.get(at) {
            Some(b'=') => match binary_length(bytes_from(input, at + 1)) {
                Ok(Some(length)) if length < input.len() - at => at += 1 + length,
                Ok(_) => return FirstLine::UnfinishedValue,
                Err(_) => return FirstLine::MalformedValue,
            },
            Some(b'"') => match string_end(bytes_from(input, at + 1)) {
                Some(length) => at += length + 2,
                None => return FirstLine::UnclosedString(at),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_stream_ends_at_a_newline_outside_of_values() {
        for (input, length) in [
            (&b"m v=1 5\nm"[..], Some(8)),
            (b"m v=1 5", None),
            (b"", None),
            (b"\nm", Some(1)),
            (b"\r\nm", Some(2)),
            (b" \t\nm", Some(3)),
            (b"# \"x= \nm", Some(7)),
            (b"  #x", None),
            (b"  m,s=a\\\nb v=1\n", Some(15)),
            (b"m v=\"a\nb\"\n", Some(10)),
            (b"m v=\"a\\\"\n", None),
            (b"m v=\"a", None),
            (b"m,s=\"a v=1\n", Some(11)),
            (b"m v==\x10\n\n\n\n\n\n\n\n 5n\nm", Some(18)),
            (b"m v==\x10\n\n\n\n\n\n\n", None),
            (b"m v==\x10\n\n\n\n\n\n\n\n", None),
            (b"m v==", None),
            (b"m v==\x0e", None),
            (b"m v==\x0e\n\x01\x01\0\0\0\n\n\n\n\n\n\n\n\n", Some(21)),
            (b"m v==\x0e\x21\n", Some(8)),
            (b"m v==\x17\x00\x01\n\n", Some(10)),
            // A value whose length is not known.
            (b"m v==\x01\n\n", Some(8)),
            (b"m v==\x0e\x0b\n\n", Some(9)),
        ] {
            assert_eq!(questdb_line_length(input), length, "{input:?}");
        }
    }

    #[test]
    fn an_unclosed_string_ends_with_its_line_in_a_body() {
        assert_eq!(line_length(b"m v=\"x\nm v=1\n"), 6);
        assert_eq!(line_length(b"m v=\"x"), 6);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn lines_without_binary_values_end_as_in_influxdb(
            body in "(m|[a-c,= \"\\\\#\n]{0,3}|v=|v=\"|\" |,|\n){1,30}"
        ) {
            proptest::prop_assume!(!body.contains("=="));
            let (_, start) = crate::line_protocol::scan::skip_blank_lines(body.as_bytes(), 0)
                .unwrap_or((0, body.len()));
            let line = bytes_from(body.as_bytes(), start);
            proptest::prop_assert_eq!(line_length(line), crate::line_protocol::scan::line_length(line));
        }
    }
}
