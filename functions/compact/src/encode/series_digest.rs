//! A digest of the series of a section.
//!
//! ```text
//!   host=a  12:00  |  run 1: a hash of each tag, added up     SHA-256 of the runs,
//!   host=a  12:01  |                                          one after the other
//!   host=b  12:00  |  run 2
//! ```
//!
//! Rows are sorted by their series. So equal digests are those of the same series, and a query that finds them in two sections
//! looks for the last row of a series in the newer one only. Tags may be added in any order, because a flush has one column at a
//! time.

use arrow_array::{Array, ArrayRef, DictionaryArray, cast::AsArray, types::Int32Type};
use sha2::{Digest, Sha256};

/// Maximum number of series with a digest. A section of more series has few rows of each, so that a query saves little by it,
/// and their hashes would take a large part of the time in which the rows are encoded.
const MAX_SERIES: usize = 65_536;

/// Length of a digest in hexadecimal digits: 128 bits, of which no two sets of series have the same by chance.
const DIGITS: usize = 32;

/// The series of rows that follow each other, by the tags that were added.
#[derive(Debug)]
pub(super) struct SeriesRuns {
    /// The first row of each series, and the sum of the hashes of its tags; `None` if there are too many.
    runs: Option<Vec<(usize, u128)>>,
}

impl SeriesRuns {
    /// Rows without tags.
    pub(super) fn new(rows: usize) -> Self {
        let runs = (rows > 0).then_some((0, 0));
        Self {
            runs: Some(runs.into_iter().collect()),
        }
    }

    /// Adds a tag of all rows.
    pub(super) fn add(&mut self, tag: &str, column: &ArrayRef) {
        let (Some(runs), Some(column)) = (&self.runs, column.as_dictionary_opt::<Int32Type>())
        else {
            return;
        };
        let mut starts = starts(column);
        for (first, _) in runs {
            if let Some(start) = starts.get_mut(*first) {
                *start = true;
            }
        }
        let mut before = runs.iter().peekable();
        let mut other_tags = 0_u128;
        let rows = starts.iter().enumerate().filter(|(_, starts)| **starts);
        let sums = rows.map(|(row, _)| {
            if let Some((_, sum)) = before.next_if(|(first, _)| *first == row) {
                other_tags = *sum;
            }
            (row, other_tags.wrapping_add(hash_of_tag(tag, column, row)))
        });
        let divided: Vec<_> = sums.take(MAX_SERIES + 1).collect();
        self.runs = (divided.len() <= MAX_SERIES).then_some(divided);
    }
}

/// Returns the hash of a tag of a row; 0 without a value.
fn hash_of_tag(tag: &str, column: &DictionaryArray<Int32Type>, row: usize) -> u128 {
    let values = column.values().as_string_opt::<i32>();
    let (Some(values), Some(key)) = (values, column.key(row)) else {
        return 0;
    };
    if values.is_null(key) {
        return 0;
    }
    let mut hash = Sha256::new();
    hash.update((tag.len() as u64).to_le_bytes());
    hash.update(tag);
    hash.update(values.value(key));
    let bytes: [u8; 32] = hash.finalize().into();
    bytes.first_chunk().copied().map_or(0, u128::from_le_bytes)
}

/// Returns for each row whether it may have another value than the row before it.
fn starts(column: &DictionaryArray<Int32Type>) -> Vec<bool> {
    let mut starts = vec![false; column.len()];
    let keys = column.keys().values();
    let pairs = keys.iter().zip(keys.iter().skip(1));
    for (start, (before, key)) in starts.iter_mut().skip(1).zip(pairs) {
        *start = before != key;
    }
    // A row without a value has any key.
    if let Some(nulls) = column.nulls() {
        let pairs = nulls.iter().zip(nulls.iter().skip(1));
        for (start, (before, is_valid)) in starts.iter_mut().skip(1).zip(pairs) {
            *start |= before != is_valid;
        }
    }
    starts
}

/// The digest of all series of a section, in the order of its rows.
#[derive(Debug, Default)]
pub(super) struct SeriesDigest {
    hash: Sha256,
    /// The number of series.
    count: usize,
    last: Option<u128>,
}

impl SeriesDigest {
    /// Adds the series of the next rows, of which all tags were added.
    pub(super) fn add(&mut self, rows: &SeriesRuns) {
        let Some(runs) = &rows.runs else {
            self.count = MAX_SERIES + 1;
            return;
        };
        for (_, series) in runs {
            // Rows of a series may come in several batches.
            if self.last.replace(*series) != Some(*series) {
                self.hash.update(series.to_le_bytes());
                self.count = self.count.saturating_add(1);
            }
        }
    }

    /// Whether there are not too many series so far.
    pub(super) fn is_known(&self) -> bool {
        self.count <= MAX_SERIES
    }

    /// Returns the digest in hexadecimal; `None` without rows, and if there are too many series.
    pub(super) fn finish(self) -> Option<String> {
        let is_digest = self.is_known() && self.count > 0;
        is_digest.then(|| {
            let mut digest = hex::encode(self.hash.finalize());
            digest.truncate(DIGITS);
            digest
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Returns the digest of batches of rows, by the values of `host` and `zone` of each.
    fn digest(batches: &[&[(Option<&str>, Option<&str>)]]) -> Option<String> {
        let mut digest = SeriesDigest::default();
        for rows in batches {
            let column = |values: Vec<Option<&str>>| -> ArrayRef {
                Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>())
            };
            let mut runs = SeriesRuns::new(rows.len());
            // In another order than the rows are sorted by.
            runs.add(
                "zone",
                &column(rows.iter().map(|(_, zone)| *zone).collect()),
            );
            runs.add(
                "host",
                &column(rows.iter().map(|(host, _)| *host).collect()),
            );
            digest.add(&runs);
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
    fn other_series_have_another_digest() {
        let (a, b) = (Some("a"), Some("b"));
        let all = [
            digest(&[&[(a, b)]]),
            digest(&[&[(b, a)]]),
            digest(&[&[(a, None)]]),
            digest(&[&[(None, a)]]),
            digest(&[&[(None, None)]]),
            digest(&[&[(Some("ab"), None)]]),
            // The keys of both rows are equal.
            digest(&[&[(None, None), (a, None)]]),
            digest(&[&[(a, None), (a, b)]]),
            digest(&[&[(a, None), (b, None)]]),
            digest(&[&[(a, b), (b, a)]]),
        ];
        for (at, digest) in all.iter().enumerate() {
            assert!(digest.is_some());
            assert!(!all[..at].contains(digest), "{at}");
        }
    }

    #[test]
    fn few_rows_of_each_of_many_series_have_no_digest() {
        assert_eq!(digest(&[]), None);
        let names: Vec<String> = (0..=MAX_SERIES).map(|at| format!("h{at:06}")).collect();
        let rows: Vec<_> = names.iter().map(|name| (Some(name.as_str()), None)).collect();
        assert!(digest(&[&rows[1..]]).is_some());
        assert_eq!(digest(&[&rows]), None);
        assert_eq!(digest(&[&rows[..9], &rows[9..]]), None);
    }
}
