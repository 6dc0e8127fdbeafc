//! Finds the ends of lines in a stream of line protocol, in which binary values may contain newlines.
//!
//! ```text
//!   series SP field ("," field)* [SP timestamp] LF
//!                 |
//!                 key "=" number
//!                 key "=" '"' text '"'                                        may contain newlines
//!                 key "=" "=" 16 <8 bytes>                                    a double
//!                 key "=" "=" 14 10 <n> <n lengths of 4 bytes> <8 bytes …>    an array of doubles
//!                 key "=" "=" 23 <scale> <n> <n bytes>                        a decimal
//! ```
//!
//! A backslash escapes the next byte everywhere else. Only the ends of lines are found; the parser refuses lines that
//! are malformed. The scanner continues where it stopped, so a line that arrives in many small pieces is not scanned
//! again for each of them.

use memchr::{memchr, memchr2, memchr3, memmem, memrchr};
use neap_rows::line_protocol::questdb_line_length;

/// Type of a binary double.
const DOUBLE: u8 = 16;
/// Type of a binary array.
const ARRAY: u8 = 14;
/// Type of a binary decimal.
const DECIMAL: u8 = 23;
/// Type of the elements of an array: a double.
const DOUBLE_ELEMENT: u8 = 10;
const DOUBLE_BYTES: usize = 8;
/// Bytes of the length of a dimension.
const LENGTH_BYTES: usize = 4;

/// Maximum bytes of an incomplete line that the fast search scans again with each piece.
const MAX_RESCANNED_BYTES: usize = 64 << 10;

/// The part of a line that continues at the scanner's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinePart {
    /// The start of a line, or the blanks before it.
    Start,
    Comment,
    /// Measurement and tags.
    Series,
    /// Fields and timestamp.
    Fields,
    /// The byte after the equals sign of a field.
    Value,
    /// The content of a string.
    Text,
    /// The type of a binary value.
    BinaryType,
    /// The type of the elements of an array, the number of dimensions and their lengths.
    ArrayShape,
    /// The scale and the length of a decimal.
    DecimalLength,
    /// The content of a binary value, with the number of bytes that are left.
    Content(usize),
}

/// Finds the ends of lines. Positions count from the start of the bytes that each call passes.
#[derive(Clone, Debug)]
pub(crate) struct LineScanner {
    at: usize,
    part: LinePart,
}

impl LineScanner {
    /// Creates a scanner at the start of a line.
    pub(crate) fn new() -> Self {
        Self { at: 0, part: LinePart::Start }
    }

    /// Tells the scanner that the first bytes were removed.
    pub(crate) fn remove_prefix(&mut self, length: usize) {
        self.at = self.at.saturating_sub(length);
    }

    /// Returns the end of the last complete line at or after the position, behind its newline.
    pub(crate) fn last_line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut found = self.last_plain_line_end(bytes);
        while let Some(end) = self.next_line_end(bytes) {
            found = Some(end);
        }
        found
    }

    /// Finds the last newline at once if no byte after the position can hide one.
    fn last_plain_line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let rest = rest(bytes, self.at);
        let is_plain = self.part == LinePart::Start
            && memchr2(b'"', b'\\', rest).is_none()
            && memmem::find(rest, b"==").is_none();
        let end = memrchr(b'\n', rest).filter(|_| is_plain)? + 1;
        if rest.len() - end <= MAX_RESCANNED_BYTES {
            self.at += end;
            return Some(self.at);
        }
        None
    }

    /// Returns the end of the next line, behind its newline; `None` if the line is incomplete.
    pub(crate) fn next_line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.part == LinePart::Start && rest(bytes, self.at).len() <= MAX_RESCANNED_BYTES {
            // Most incomplete lines are short, and the fast search scans them again.
            memchr(b'\n', rest(bytes, self.at))?;
        }
        loop {
            let input = rest(bytes, self.at);
            let is_over = match self.part {
                LinePart::Start => self.skip_blanks(input),
                LinePart::Comment => self.skip_to_newline(input),
                LinePart::Series => self.skip_series(input),
                LinePart::Fields => self.skip_fields(input),
                LinePart::Value => self.enter_value(input),
                LinePart::Text => self.skip_text(input),
                LinePart::BinaryType => self.enter_binary(input),
                LinePart::ArrayShape => self.enter_array(input),
                LinePart::DecimalLength => self.enter_decimal(input),
                LinePart::Content(left) => self.skip_content(input, left),
            }?;
            if is_over {
                self.part = LinePart::Start;
                return Some(self.at);
            }
        }
    }

    /// Moves the position, and continues with another part of the line.
    fn advance(&mut self, length: usize, part: LinePart) -> Option<bool> {
        self.at += length;
        self.part = part;
        Some(false)
    }

    /// Moves the position behind the newline.
    fn end_line(&mut self, length: usize) -> Option<bool> {
        self.at += length + 1;
        Some(true)
    }

    /// Moves the position behind an escaped byte. Waits at the backslash if that byte is missing.
    fn skip_escape(&mut self, input: &[u8], backslash: usize) -> Option<bool> {
        let part = self.part;
        match input.get(backslash + 1) {
            Some(_) => self.advance(backslash + 2, part),
            None => {
                self.at += backslash;
                None
            }
        }
    }

    /// Moves the position behind bytes of no interest.
    fn skip_all(&mut self, input: &[u8]) -> Option<bool> {
        self.at += input.len();
        None
    }

    fn skip_blanks(&mut self, input: &[u8]) -> Option<bool> {
        let blanks = input.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        let Some(blanks) = blanks else {
            return self.skip_all(input);
        };
        match input.get(blanks) {
            Some(b'\n') => self.end_line(blanks),
            Some(b'#') => self.advance(blanks, LinePart::Comment),
            _ => self.advance(blanks, LinePart::Series),
        }
    }

    fn skip_to_newline(&mut self, input: &[u8]) -> Option<bool> {
        match memchr(b'\n', input) {
            Some(newline) => self.end_line(newline),
            None => self.skip_all(input),
        }
    }

    fn skip_series(&mut self, input: &[u8]) -> Option<bool> {
        let Some(found) = memchr3(b' ', b'\n', b'\\', input) else {
            return self.skip_all(input);
        };
        match input.get(found) {
            Some(b' ') => self.advance(found + 1, LinePart::Fields),
            Some(b'\n') => self.end_line(found),
            _ => self.skip_escape(input, found),
        }
    }

    fn skip_fields(&mut self, input: &[u8]) -> Option<bool> {
        let Some(found) = memchr3(b'=', b'\n', b'\\', input) else {
            return self.skip_all(input);
        };
        match input.get(found) {
            Some(b'=') => self.advance(found + 1, LinePart::Value),
            Some(b'\n') => self.end_line(found),
            _ => self.skip_escape(input, found),
        }
    }

    fn enter_value(&mut self, input: &[u8]) -> Option<bool> {
        match input.first()? {
            b'"' => self.advance(1, LinePart::Text),
            b'=' => self.advance(1, LinePart::BinaryType),
            _ => self.advance(0, LinePart::Fields),
        }
    }

    fn skip_text(&mut self, input: &[u8]) -> Option<bool> {
        let Some(found) = memchr2(b'"', b'\\', input) else {
            return self.skip_all(input);
        };
        match input.get(found) {
            Some(b'"') => self.advance(found + 1, LinePart::Fields),
            _ => self.skip_escape(input, found),
        }
    }

    fn enter_binary(&mut self, input: &[u8]) -> Option<bool> {
        match *input.first()? {
            DOUBLE => self.advance(1, LinePart::Content(DOUBLE_BYTES)),
            ARRAY => self.advance(1, LinePart::ArrayShape),
            DECIMAL => self.advance(1, LinePart::DecimalLength),
            // The parser refuses the line.
            _ => self.advance(0, LinePart::Fields),
        }
    }

    fn enter_array(&mut self, input: &[u8]) -> Option<bool> {
        if *input.first()? != DOUBLE_ELEMENT {
            // An array that is null ends here.
            return self.advance(1, LinePart::Fields);
        }
        let shape_end = 2 + usize::from(*input.get(1)?) * LENGTH_BYTES;
        let (lengths, _) = input.get(2..shape_end)?.as_chunks::<LENGTH_BYTES>();
        let lengths = lengths
            .iter()
            .map(|length| u32::from_le_bytes(*length))
            .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let has_dimensions = shape_end > 2;
        // Zero if a dimension is empty, even if the product of the others is too large.
        let elements = if lengths.clone().any(|length| length == 0) || !has_dimensions {
            0
        } else {
            lengths.fold(1, usize::saturating_mul)
        };
        let content = elements.saturating_mul(DOUBLE_BYTES);
        self.advance(shape_end, LinePart::Content(content))
    }

    fn enter_decimal(&mut self, input: &[u8]) -> Option<bool> {
        let length = usize::from(*input.get(1)?);
        self.advance(2, LinePart::Content(length))
    }

    fn skip_content(&mut self, input: &[u8], left: usize) -> Option<bool> {
        if left <= input.len() {
            return self.advance(left, LinePart::Fields);
        }
        self.part = LinePart::Content(left - input.len());
        self.skip_all(input)
    }
}

fn rest(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

/// Returns the longest prefix of complete lines that has at most `max_bytes`.
pub(crate) fn lines_within(bytes: &[u8], max_bytes: usize) -> &[u8] {
    let mut length = 0;
    while let Some(line) = questdb_line_length(rest(bytes, length))
        && length + line <= max_bytes
    {
        length += line;
    }
    bytes.get(..length).unwrap_or_default()
}

/// Returns the first line with its newline; all bytes if the line is incomplete.
pub(crate) fn first_line(bytes: &[u8]) -> &[u8] {
    let length = questdb_line_length(bytes);
    length.and_then(|length| bytes.get(..length)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests;
