//! A hash table of the numbers of tag values, tag sets or points. The caller keeps the values themselves.

use hashbrown::HashTable;

/// The number of lookups that are made one after the other, before the results are compared.
pub(crate) const LOOKUPS_AT_ONCE: usize = 64;

/// A number, with a part of the hash of its value: values with different parts are not compared, and a table that grows does
/// not read the values.
#[derive(Clone, Copy, Debug)]
struct NumberEntry {
    hash: u32,
    number: u32,
}

/// Numbers by the hashes of their values.
#[derive(Debug, Default)]
pub(crate) struct NumberTable {
    entries: HashTable<NumberEntry>,
}

impl NumberTable {
    /// An empty table with room for so many numbers.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { entries: HashTable::with_capacity(count) }
    }

    /// Returns the number with this hash for which `is_it` is true.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let part = part(hash);
        let is_it = |entry: &NumberEntry| entry.hash == part && is_it(entry.number);
        self.entries.find(spread(part), is_it).map(|entry| entry.number)
    }

    /// Adds a number that the table does not have.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        let hash = part(hash);
        let entry = NumberEntry { hash, number };
        self.entries.insert_unique(spread(hash), entry, |entry| spread(entry.hash));
    }

    /// Replaces the number with this hash for which `is_it` is true, and returns it. Adds the number if there is none.
    pub(crate) fn replace(
        &mut self,
        hash: u64,
        number: u32,
        is_it: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let part = part(hash);
        let is_it = |entry: &NumberEntry| entry.hash == part && is_it(entry.number);
        match self.entries.find_mut(spread(part), is_it) {
            Some(entry) => Some(std::mem::replace(&mut entry.number, number)),
            None => {
                self.insert(hash, number);
                None
            }
        }
    }

    /// Removes a number with this hash, if it is there.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let is_it = |entry: &NumberEntry| entry.number == number;
        if let Ok(found) = self.entries.find_entry(spread(part(hash)), is_it) {
            found.remove();
        }
    }

    /// Looks up hashes, at most [`LOOKUPS_AT_ONCE`]. The lookups do not depend on each other, so that the processor waits for
    /// the memory of several at once.
    pub(crate) fn candidates(&self, hashes: impl Iterator<Item = u64>) -> NumberCandidates {
        let mut candidates = NumberCandidates { pairs: [(0, None); LOOKUPS_AT_ONCE], count: 0 };
        for (pair, hash) in candidates.pairs.iter_mut().zip(hashes) {
            pair.0 = hash;
            candidates.count += 1;
        }
        for (hash, found) in candidates.pairs.iter_mut().take(candidates.count) {
            *found = self.find(*hash, |_| true);
        }
        candidates
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.entries.allocation_size()
    }
}

/// For each of some hashes, a number whose hash is alike: mostly the number of the same value, very seldom another one.
pub(crate) struct NumberCandidates {
    pairs: [(u64, Option<u32>); LOOKUPS_AT_ONCE],
    count: usize,
}

impl NumberCandidates {
    /// Returns each hash with a number that has it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Option<u32>)> {
        self.pairs.iter().take(self.count).copied()
    }
}

/// Returns the part of a hash that is kept.
fn part(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

/// Returns a hash for a table, which takes the position from the low bits and compares the high ones first.
fn spread(part: u32) -> u64 {
    u64::from(part) << 32 | u64::from(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two hashes with the same part, and one with another.
    const ALIKE: [u64; 2] = [7 << 32, 7 << 32 | 1];
    const OTHER: u64 = 8 << 32;

    #[test]
    fn numbers_with_alike_hashes_are_told_apart() {
        let mut table = NumberTable::with_capacity(0);
        table.insert(ALIKE[0], 1);
        table.insert(ALIKE[1], 2);
        table.insert(OTHER, 3);
        for (hash, number) in [(ALIKE[0], 1), (ALIKE[1], 2), (OTHER, 3)] {
            assert_eq!(table.find(hash, |other| other == number), Some(number));
        }
        assert_eq!(table.find(OTHER, |_| false), None);
        assert_eq!(table.find(9 << 32, |_| true), None);
        assert_eq!(table.replace(ALIKE[1], 4, |number| number == 2), Some(2));
        assert_eq!(table.replace(ALIKE[1], 5, |number| number == 2), None);
        table.remove(ALIKE[0], 1);
        table.remove(ALIKE[0], 9);
        let left = [1, 2, 4, 5].map(|number| table.find(ALIKE[0], |other| other == number));
        assert_eq!(left, [None, None, Some(4), Some(5)]);
    }

    #[test]
    fn candidates_have_the_hashes_that_are_looked_up() {
        let mut table = NumberTable::default();
        for number in 0..100 {
            table.insert(u64::from(number) << 32, number);
        }
        let hashes = (40..40 + LOOKUPS_AT_ONCE as u64).map(|part| part << 32);
        let candidates = table.candidates(hashes);
        for (hash, found) in candidates.iter() {
            let number = u32::try_from(hash >> 32).unwrap();
            assert_eq!(found, Some(number).filter(|number| *number < 100));
        }
        assert_eq!(candidates.iter().count(), LOOKUPS_AT_ONCE);
        assert_eq!(table.candidates([1].into_iter()).iter().count(), 1);
    }
}
