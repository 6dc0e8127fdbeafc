//! Many strings in one buffer.

use std::ops::Range;

/// A list of strings that are stored one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// The end of each string in `text`.
    ends: Vec<usize>,
}

impl Strings {
    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the size of the strings in bytes.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Returns a string; the empty string if there is none.
    pub fn get(&self, index: usize) -> &str {
        let range = self.range(index..index.saturating_add(1));
        self.text.get(range).unwrap_or("")
    }

    /// Returns all strings.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Returns the text of all strings, and the length of each of them in bytes.
    pub fn into_parts(self) -> (String, Vec<usize>) {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let lengths = self.ends.iter().zip(starts).map(|(end, start)| end - start).collect();
        (self.text, lengths)
    }

    /// Appends a string.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Appends a range of other strings.
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        let Some(ends) = other.ends.get(range.clone()) else {
            return;
        };
        let bytes = other.range(range);
        let (from, to) = (bytes.start, self.text.len());
        self.ends.extend(ends.iter().map(|end| end - from + to));
        self.text.push_str(other.text.get(bytes).unwrap_or(""));
    }

    /// Removes all strings from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.text.truncate(self.start(len));
            self.ends.truncate(len);
        }
    }

    /// Returns the bytes of a range of strings.
    fn range(&self, range: Range<usize>) -> Range<usize> {
        self.start(range.start)..self.start(range.end)
    }

    /// Returns the start of a string, which is the end of the one before it.
    fn start(&self, index: usize) -> usize {
        match index.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(self.text.len()),
        }
    }
}
