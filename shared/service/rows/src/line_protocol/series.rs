//! An index of the series in a body, by their text.
//!
//! Series recur. A known series needs neither parsing nor validation, because its tag set is known. Series also recur
//! in the same order, so the series that followed the previous one last time is tried first, with one comparison.

use ahash::RandomState;
use hashbrown::HashMap;

use crate::line_protocol::scan::series_length;

/// Identifies a series: a table of the body, and a tag set of that table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesId {
    pub(crate) table: usize,
    pub(crate) tag_set: u32,
}

#[derive(Debug)]
struct SeriesEntry<'a> {
    /// Measurement and tags as written.
    text: &'a [u8],
    id: SeriesId,
    /// The series that followed last time.
    next: usize,
}

#[derive(Debug, Default)]
pub(crate) struct SeriesCache<'a> {
    entries: Vec<SeriesEntry<'a>>,
    by_text: HashMap<&'a [u8], usize, RandomState>,
    last: usize,
}

impl<'a> SeriesCache<'a> {
    /// Returns the series at the start of a line, if it is known, and the length of its text.
    #[inline]
    pub(crate) fn find(&mut self, line: &[u8]) -> Option<(SeriesId, usize)> {
        let expected = self.entries.get(self.last).map_or(0, |last| last.next);
        let found = match self.entries.get(expected) {
            // Complete series are stored, so the space is not escaped.
            Some(entry)
                if line.starts_with(entry.text) && line.get(entry.text.len()) == Some(&b' ') =>
            {
                expected
            }
            _ => {
                let text = line.get(..series_length(line))?;
                let found = *self.by_text.get(text)?;
                self.follow(found);
                found
            }
        };
        self.last = found;
        self.entries.get(found).map(|entry| (entry.id, entry.text.len()))
    }

    /// Adds a new series.
    pub(crate) fn insert(&mut self, line: &'a [u8], length: usize, id: SeriesId) {
        let text = line.get(..length).unwrap_or(line);
        let added = self.entries.len();
        self.entries.push(SeriesEntry { text, id, next: 0 });
        self.by_text.insert(text, added);
        self.follow(added);
        self.last = added;
    }

    fn follow(&mut self, next: usize) {
        if let Some(last) = self.entries.get_mut(self.last) {
            last.next = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line_protocol::scan::bytes_from;

    #[test]
    fn a_series_is_found_by_its_whole_text() {
        let mut index = SeriesCache::default();
        let lines: [&[u8]; 4] = [b"a,t=1 v=1", b"a,t=12 v=1", b"a v=1", br"a,t=1\ v=1 v=1"];
        for (tag_set, line) in (0..).zip(lines) {
            assert_eq!(index.find(line), None);
            index.insert(line, series_length(line), SeriesId { table: 7, tag_set });
        }
        for _ in 0..2 {
            for (tag_set, line) in (0..).zip(lines) {
                let (id, length) = index.find(line).unwrap();
                assert_eq!(id, SeriesId { table: 7, tag_set });
                assert_eq!(bytes_from(line, length).first(), Some(&b' '));
            }
        }
        for line in [&b"a,t=1"[..], b"a,t=1\tv=1", b"b v=1", b""] {
            assert!(index.find(line).is_none_or(|(_, length)| length == line.len()), "{line:?}");
        }
    }
}
