//! Selects lines of line protocol by measurement and time.

use neap_tsm::TimeRange;

use super::ImportFilter;
use crate::client::line_length;

/// A filter of lines.
#[derive(Clone, Debug)]
pub(super) struct LineFilter {
    /// The measurements with their escapes; all if there are none.
    measurements: Vec<Vec<u8>>,
    /// Times in nanoseconds.
    times: TimeRange,
    /// Nanoseconds in the unit of the timestamps.
    unit: i64,
}

impl LineFilter {
    /// Creates a filter of lines whose timestamps are in a unit of so many nanoseconds.
    pub(super) fn new(filter: &ImportFilter, unit: i64) -> Self {
        let escape = |name: &String| name.replace(',', "\\,").replace(' ', "\\ ").into_bytes();
        Self {
            measurements: filter.measurements.iter().map(escape).collect(),
            times: filter.times,
            unit,
        }
    }

    /// Returns whether all lines are selected.
    pub(super) fn selects_all(&self) -> bool {
        self.measurements.is_empty() && self.times == TimeRange::ALL
    }

    /// Returns whether a line is selected. A line without a timestamp has the time of the server, and is selected.
    pub(super) fn selects(&self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        let has_measurement = self.measurements.is_empty()
            || self.measurements.iter().any(|name| {
                let rest = line.strip_prefix(name.as_slice());
                rest.is_some_and(|rest| matches!(rest.first(), Some(b',' | b' ')))
            });
        let has_time = || match timestamp(line) {
            Some(time) => self.times.contains(time.saturating_mul(self.unit)),
            None => true,
        };
        has_measurement && has_time()
    }
}

/// Returns the timestamp of a line, which is the only part after the fields.
fn timestamp(line: &[u8]) -> Option<i64> {
    let at = line.iter().rposition(|byte| *byte == b' ')?;
    std::str::from_utf8(line.get(at + 1..)?).ok()?.parse().ok()
}

/// Splits a text into lines, each with its line break. A line break inside of a quoted value ends no line. A line with a
/// quote that is never closed ends at its first line break, as the server ends it.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = line_length(rest).unwrap_or_else(|| last_length(rest));
        let (line, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(line)
    })
}

/// Returns the length of a line without an end: the last one, or one with a quote that is never closed.
fn last_length(text: &[u8]) -> usize {
    let first = memchr::memchr(b'\n', text).map(|at| at + 1);
    let is_unclosed = || text.ends_with(b"\n") || line_length(&[text, b"\n"].concat()).is_none();
    first.filter(|_| is_unclosed()).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_selected_by_measurement_and_time() {
        let filter = ImportFilter {
            measurements: vec!["my cpu".to_owned(), "m".to_owned()],
            times: TimeRange { min: 1_000, max: 2_000 },
            ..ImportFilter::default()
        };
        let filter = LineFilter::new(&filter, 1_000);
        for (line, expected) in [
            ("my\\ cpu,a=b v=1 1\n", true),
            ("m v=1 2", true),
            ("m v=1 3", false),
            ("mm v=1 1", false),
            ("m v=\"a 9\" 2", true),
            ("m v=\"a 9\"", true),
            ("m v=1", true),
        ] {
            assert_eq!(filter.selects(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_takes_one_line_only() {
        for (text, expected) in [
            ("a v=\"x 1\nb v=2\nc v=3\n", vec!["a v=\"x 1\n", "b v=2\n", "c v=3\n"]),
            ("a v=\"x 1\nb v=2", vec!["a v=\"x 1\n", "b v=2"]),
            ("a v=\"x\ny\" 1", vec!["a v=\"x\ny\" 1"]),
        ] {
            let split: Vec<&[u8]> = lines(text.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(split, expected, "{text}");
        }
    }

    #[test]
    fn a_quoted_line_break_ends_no_line() {
        let text = b"a v=1 1\nb v=\"x\ny\" 2\nc v=3";
        let split: Vec<&[u8]> = lines(text).collect();
        assert_eq!(split, [&b"a v=1 1\n"[..], b"b v=\"x\ny\" 2\n", b"c v=3"]);
    }
}
