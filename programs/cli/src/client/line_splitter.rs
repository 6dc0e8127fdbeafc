//! Splits line protocol of any length into bodies of bounded length.

use std::io::{self, Read};

use bytes::{Buf, Bytes, BytesMut};

/// Size of a read in bytes.
const READ_BYTES: usize = 256 * 1024;

/// A batch of complete lines of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineBatch {
    /// The lines.
    pub(crate) body: Bytes,
    /// Number of lines before the batch in the source.
    pub(crate) lines_before: u64,
}

/// Error of splitting a source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SplitError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("line {line} is longer than the {limit} bytes that a request may have")]
    LineTooLong {
        /// Line number, from 1.
        line: u64,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Splits a source into batches of complete lines. Buffers one batch, plus the bytes read beyond it.
///
/// A line may contain line breaks inside a quoted value; it is not split there.
#[derive(Debug)]
pub(crate) struct LineSplitter<R> {
    source: R,
    limit: usize,
    buffer: BytesMut,
    lines_before: u64,
    is_at_end: bool,
}

impl<R: Read> LineSplitter<R> {
    /// Creates a splitter for batches of at most `limit` bytes.
    pub(crate) fn new(source: R, limit: usize) -> Self {
        Self {
            source,
            limit,
            buffer: BytesMut::new(),
            lines_before: 0,
            is_at_end: false,
        }
    }

    /// Returns the next batch; `None` at the end.
    ///
    /// # Errors
    ///
    /// The source can't be read, or contains a line longer than the limit.
    pub(crate) fn next_batch(&mut self) -> Result<Option<LineBatch>, SplitError> {
        self.fill()?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let held = self.buffer.len().min(self.limit);
        let within = self.buffer.get(..held).unwrap_or_default();
        let end = if self.is_at_end && self.buffer.len() <= self.limit {
            held
        } else {
            end_of_last_line(within).ok_or(SplitError::LineTooLong {
                line: self.lines_before.saturating_add(1),
                limit: self.limit,
            })?
        };
        let body = self.buffer.split_to(end).freeze();
        let lines_before = self.lines_before;
        self.lines_before += memchr::memchr_iter(b'\n', &body).count() as u64;
        Ok(Some(LineBatch { body, lines_before }))
    }

    /// Reads until the buffer holds more than one batch, or the source ends.
    fn fill(&mut self) -> io::Result<()> {
        while !self.is_at_end && self.buffer.len() <= self.limit {
            let start = self.buffer.len();
            self.buffer.resize(start + READ_BYTES, 0);
            let into = self.buffer.get_mut(start..).unwrap_or_default();
            let read = loop {
                match self.source.read(into) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            self.buffer.truncate(start + *read.as_ref().unwrap_or(&0));
            self.is_at_end = read? == 0;
        }
        Ok(())
    }
}

/// Returns the end of the last complete line in `text`, including its line break.
fn end_of_last_line(text: &[u8]) -> Option<usize> {
    let mut end = 0;
    while let Some(length) = line_length(text.get(end..).unwrap_or_default()) {
        end += length;
    }
    if end > 0 {
        return Some(end);
    }
    // The quote is never closed, and a server ends such a line at its first line break.
    memchr::memchr(b'\n', text).map(|at| at + 1)
}

/// Returns the length of the first line in `text` with its line break; `None` if it is incomplete.
pub(crate) fn line_length(text: &[u8]) -> Option<usize> {
    let first = memchr::memchr(b'\n', text)? + 1;
    let line = text.get(..first)?;
    let is_comment = line.trim_ascii_start().first() == Some(&b'#');
    if is_comment || memchr::memchr(b'"', line).is_none() {
        return Some(first);
    }
    let mut rest = skip_series(text);
    while let Some(value) = next_quoted_value(rest) {
        rest = skip_quoted(value)?;
    }
    let end = memchr::memchr(b'\n', rest)? + 1;
    Some(text.len() - rest.len() + end)
}

/// Counts the lines that are rows: neither empty nor comments.
pub(super) fn count_rows(mut lines: &[u8]) -> u64 {
    let mut rows = 0;
    while !lines.is_empty() {
        let length = line_length(lines).unwrap_or(lines.len());
        let (line, rest) = lines.split_at(length.min(lines.len()));
        let first = line.trim_ascii_start().first();
        rows += u64::from(first.is_some_and(|byte| *byte != b'#'));
        lines = rest;
    }
    rows
}

/// Returns the text after the measurement and tags, where quotes have no meaning.
fn skip_series(text: &[u8]) -> &[u8] {
    let mut rest = text.trim_ascii_start();
    while let Some(byte) = rest.first() {
        match byte {
            b' ' | b'\n' => break,
            b'\\' => rest.advance(rest.len().min(2)),
            _ => rest.advance(1),
        }
    }
    rest
}

/// Returns the text after the opening quote of the next quoted value of this line.
fn next_quoted_value(fields: &[u8]) -> Option<&[u8]> {
    let mut rest = fields;
    while let Some(at) = memchr::memchr2(b'"', b'\n', rest) {
        if rest.get(at) == Some(&b'\n') {
            return None;
        }
        let opens = at > 0 && rest.get(at - 1) == Some(&b'=');
        rest.advance(at + 1);
        if opens {
            return Some(rest);
        }
    }
    None
}

/// Returns the text after the closing quote of a value.
fn skip_quoted(value: &[u8]) -> Option<&[u8]> {
    let mut rest = value;
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest)?;
        if rest.get(at) == Some(&b'"') {
            rest.advance(at + 1);
            return Some(rest);
        }
        rest.advance(rest.len().min(at + 2));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str, limit: usize) -> Result<Vec<(String, u64)>, SplitError> {
        let mut splitter = LineSplitter::new(text.as_bytes(), limit);
        let mut batches = Vec::new();
        while let Some(batch) = splitter.next_batch()? {
            let body = String::from_utf8(batch.body.to_vec()).unwrap();
            batches.push((body, batch.lines_before));
        }
        Ok(batches)
    }

    fn bodies(text: &str, limit: usize) -> Vec<String> {
        let batches = split(text, limit).unwrap();
        batches.into_iter().map(|(body, _)| body).collect()
    }

    #[test]
    fn batches_are_whole_lines_and_as_many_as_fit() {
        let batches = split("a v=1\nb v=2\nc v=3\nd v=4", 13).unwrap();
        let expected = [("a v=1\nb v=2\n", 0), ("c v=3\nd v=4", 2)];
        assert_eq!(batches, expected.map(|(body, before)| (body.to_owned(), before)));
        assert_eq!(bodies("", 10), Vec::<String>::new());
        assert_eq!(bodies("a v=1", 5), ["a v=1"]);
    }

    #[test]
    fn a_quoted_line_break_is_no_end_of_line() {
        let (quoted, escaped) = ("b v=\"one\ntwo\" 1\n", "d w=\"\\\"\n\" 1234\n");
        let lines = ["a v=1\n", quoted, "c v=1\n", escaped];
        assert_eq!(bodies(&lines.concat(), 17), lines);
    }

    #[test]
    fn quotes_outside_of_field_values_are_literal() {
        let text = "a,t=\"x v=1\n# say \"\nb,t=\\ =\"y v=2\nc v=3\n";
        let expected = ["a,t=\"x v=1\n", "# say \"\n", "b,t=\\ =\"y v=2\n", "c v=3\n"];
        assert_eq!(bodies(text, 14), expected);
    }

    #[test]
    fn a_quote_that_is_never_closed_ends_with_its_line() {
        assert_eq!(bodies("a v=\"x\nb v=2\nc v=3\n", 12), ["a v=\"x\n", "b v=2\nc v=3\n"]);
    }

    #[test]
    fn rows_are_counted_without_comments_and_empty_lines() {
        assert_eq!(count_rows(b"# c\n\na v=\"x\ny\"\n  \nb v=1"), 2);
        assert_eq!(count_rows(b""), 0);
    }

    #[test]
    fn a_line_longer_than_a_request_is_an_error_that_names_it() {
        let error = split("a v=1\nb v=\"0123456789\"\n", 10).unwrap_err();
        insta::assert_snapshot!(error, @"line 2 is longer than the 10 bytes that a request may have");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn batches_joined_are_the_source(lines in prop::collection::vec("[a-c =,\"\\\\]{0,12}", 0..40), limit in 16_usize..200) {
            let text = lines.join("\n");
            let batches = split(&text, limit).unwrap();
            let joined: String = batches.iter().map(|(body, _)| body.as_str()).collect();
            prop_assert_eq!(joined, text);
            let mut breaks = 0;
            for (at, (body, lines_before)) in batches.iter().enumerate() {
                prop_assert!(!body.is_empty() && body.len() <= limit);
                prop_assert!(body.ends_with('\n') || at + 1 == batches.len());
                prop_assert_eq!(*lines_before, breaks);
                breaks += body.matches('\n').count() as u64;
            }
        }
    }
}
