//! A digest of the series of a section.
//!
//! ```text
//!   host=a zone=x  12:00  |  run 1: a hash of host=a, and of zone=x with it     SHA-256 of the runs,
//!   host=a zone=x  12:01  |                                                     one after the other
//!   host=b         12:00  |  run 2: a hash of host=b
//! ```
//!
//! Rows are sorted by their series, and a tag without a value adds nothing. So sections of the same series have the same digest,
//! even if one has further tags without a value. Two sets of series with one digest take about 2^64 hashes to find. Only who
//! writes rows of a database could look for them, and would make answers about these rows wrong.

use std::mem;

use arrow_array::{Array, ArrayRef, cast::AsArray, types::Int32Type};
use sha2::{Digest, Sha256};

/// Maximum number of series with a digest. A section of more series has few rows of each, so that a query saves little by it,
/// and their hashes would take a large part of the time in which the rows are encoded.
const MAX_SERIES: usize = 65_536;

/// Length of a digest in hexadecimal digits: 128 bits, of which no two sets of series have the same by chance.
const DIGITS: usize = 32;

/// A hash of tags with their values.
type TagsHash = [u8; 16];

/// The hash of no tags.
const NO_TAGS: TagsHash = [0; 16];

/// Computes the digest of the series of a section from its rows, which are sorted by their series.
#[derive(Debug)]
pub struct SeriesDigest {
    digest: Sha256,
    /// The number of series; more than [`MAX_SERIES`] if the digest is unknown.
    count: usize,
    last: Option<TagsHash>,
    /// The current rows, divided where a tag changes: the first row of each run, and the hash of its tags so far.
    runs: Vec<(usize, TagsHash)>,
}

impl Default for SeriesDigest {
    fn default() -> Self {
        Self {
            digest: Sha256::new(),
            count: 0,
            last: None,
            runs: vec![(0, NO_TAGS)],
        }
    }
}

impl SeriesDigest {
    /// Adds a tag of the current rows, after those of the columns before it. Without [`end_rows`](Self::end_rows), the rows stay
    /// the same.
    pub fn add_tag(&mut self, name: &str, column: &ArrayRef) {
        let keys = column.as_dictionary_opt::<Int32Type>();
        let values = keys.and_then(|keys| keys.values().as_string_opt::<i32>());
        let (Some(keys), Some(values)) = (keys, values) else {
            self.count = usize::MAX;
            return;
        };
        if self.count > MAX_SERIES {
            return;
        }
        let mut runs = mem::take(&mut self.runs).into_iter().peekable();
        let mut other_tags = NO_TAGS;
        let mut key = None;
        for row in 0..column.len() {
            let run = runs.next_if(|(first, _)| *first == row);
            let before = mem::replace(&mut key, keys.key(row));
            if run.is_none() && key == before {
                continue;
            }
            if self.runs.len() == MAX_SERIES {
                self.count = usize::MAX;
                return;
            }
            other_tags = run.map_or(other_tags, |(_, tags)| tags);
            let value = key.filter(|key| values.is_valid(*key)).map(|key| values.value(key));
            let tags = value.map_or(other_tags, |value| with_tag(other_tags, name, value));
            self.runs.push((row, tags));
        }
    }

    /// Ends the current rows, of which all tags were added. The next rows are those that follow in the section.
    pub fn end_rows(&mut self) {
        for (_, series) in mem::replace(&mut self.runs, vec![(0, NO_TAGS)]) {
            // Rows of a series may come in several batches.
            if self.last.replace(series) != Some(series) {
                self.digest.update(series);
                self.count = self.count.saturating_add(1);
            }
        }
    }

    /// Returns the digest of the rows that have ended, in hexadecimal; `None` if there are too many series, or values of a tag
    /// that are no texts.
    pub fn finish(self) -> Option<String> {
        (self.count <= MAX_SERIES).then(|| {
            let mut digest = hex::encode(self.digest.finalize());
            digest.truncate(DIGITS);
            digest
        })
    }
}

/// Returns the hash of tags and a further one.
fn with_tag(tags: TagsHash, name: &str, value: &str) -> TagsHash {
    let mut hash = Sha256::new();
    hash.update(tags);
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
    hash.update(value);
    let bytes: [u8; 32] = hash.finalize().into();
    bytes.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{DictionaryArray, StringArray};

    use super::*;

    type Values<'a> = (Option<&'a str>, Option<&'a str>);

    fn column<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
        Arc::new(values.collect::<DictionaryArray<Int32Type>>())
    }

    /// Returns the digest of batches of rows, by the values of `host` and `zone` of each.
    fn digest(batches: &[&[Values<'_>]]) -> Option<String> {
        let mut digest = SeriesDigest::default();
        for rows in batches {
            digest.add_tag("host", &column(rows.iter().map(|(host, _)| *host)));
            digest.add_tag("zone", &column(rows.iter().map(|(_, zone)| *zone)));
            digest.end_rows();
        }
        digest.finish()
    }

    #[test]
    fn rows_of_the_same_series_have_one_digest_however_they_are_divided() {
        let (a, b) = ((Some("a"), Some("x")), (Some("b"), None));
        let expected = digest(&[&[a, b]]);
        assert_eq!(expected.as_ref().map(String::len), Some(DIGITS));
        assert_eq!(digest(&[&[a, a, a, b]]), expected);
        assert_eq!(digest(&[&[a], &[], &[a, b], &[b, b]]), expected);
    }

    #[test]
    fn tags_without_a_value_change_no_digest() {
        let hosts = || column([Some("a"), Some("b")].into_iter());
        let mut digest_of_host = SeriesDigest::default();
        digest_of_host.add_tag("host", &hosts());
        digest_of_host.end_rows();
        let mut digest_of_both = SeriesDigest::default();
        digest_of_both.add_tag("building", &column([None, None].into_iter()));
        digest_of_both.add_tag("host", &hosts());
        digest_of_both.end_rows();
        assert_eq!(digest_of_host.finish(), digest_of_both.finish());
        let mut without_tags = SeriesDigest::default();
        without_tags.end_rows();
        assert_eq!(without_tags.finish(), digest(&[&[(None, None)]]));
    }

    #[test]
    fn other_series_have_another_digest() {
        let (a, b, empty) = (Some("a"), Some("b"), Some(""));
        let all = [
            digest(&[&[(a, b)]]),
            digest(&[&[(b, a)]]),
            digest(&[&[(a, None)]]),
            digest(&[&[(None, a)]]),
            digest(&[&[(None, None)]]),
            digest(&[&[(a, empty)]]),
            digest(&[&[(empty, a)]]),
            digest(&[&[(Some("ab"), None)]]),
            digest(&[&[(Some("azone"), b)]]),
            digest(&[&[(a, Some("zoneb"))]]),
            // The keys of both rows are equal.
            digest(&[&[(None, None), (a, None)]]),
            digest(&[&[(a, None), (a, b)]]),
            digest(&[&[(a, a), (b, b)]]),
            digest(&[&[(a, b), (b, a)]]),
            digest(&[&[(a, None), (b, None)]]),
        ];
        for (at, digest) in all.iter().enumerate() {
            assert!(digest.is_some());
            assert!(!all[..at].contains(digest), "{at}");
        }
    }

    #[test]
    fn the_name_of_a_tag_is_not_confused_with_its_value() {
        let digest_of_tag = |name: &str, value: &str| {
            let mut digest = SeriesDigest::default();
            digest.add_tag(name, &column([Some(value)].into_iter()));
            digest.end_rows();
            digest.finish()
        };
        assert_ne!(digest_of_tag("host", "a"), digest_of_tag("hos", "ta"));
    }

    #[test]
    fn many_series_and_values_that_are_no_texts_have_no_digest() {
        let names: Vec<String> = (0..=MAX_SERIES).map(|at| format!("h{at:06}")).collect();
        let rows: Vec<_> = names.iter().map(|name| (Some(name.as_str()), None)).collect();
        assert!(digest(&[&rows[1..]]).is_some());
        assert_eq!(digest(&[&rows]), None);
        assert_eq!(digest(&[&rows, &rows[..1]]), None);
        assert_eq!(digest(&[&rows[..9], &rows[9..]]), None);

        let mut texts = SeriesDigest::default();
        texts.add_tag("host", &(Arc::new(StringArray::from(vec!["a"])) as ArrayRef));
        texts.end_rows();
        assert_eq!(texts.finish(), None);
    }
}
