//! The newest entries of a key, updated one by one.

use std::cmp::Ordering;

/// The newest entries of one key, the newest one last. A single entry needs no heap memory.
#[derive(Clone, Debug, Default)]
pub(super) enum NewestEntries<T> {
    #[default]
    Empty,
    One(T),
    Many(Vec<T>),
}

/// The outcome of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InsertOutcome {
    /// The entry was not added, because it is older than all present ones.
    TooOld,
    /// The entry was added, and another may have been evicted.
    Added,
    /// The entry replaced an equal one.
    Replaced,
}

impl<T: Copy> NewestEntries<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::Empty => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::Empty => &mut [],
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        }
    }

    /// The heap memory in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Empty | Self::One(_) => 0,
            Self::Many(many) => many.capacity() * size_of::<T>(),
        }
    }

    /// Adds an entry and keeps the `count` newest. `compare` orders entries from the oldest to the newest; an equal
    /// entry is replaced.
    pub(super) fn insert(
        &mut self,
        entry: T,
        count: usize,
        compare: impl Fn(&T, &T) -> Ordering,
    ) -> InsertOutcome {
        let entries = self.as_mut_slice();
        let mut place = entries.len();
        while let Some((before, slot)) =
            place.checked_sub(1).and_then(|at| Some((at, entries.get_mut(at)?)))
        {
            match compare(slot, &entry) {
                Ordering::Less => break,
                Ordering::Equal => {
                    *slot = entry;
                    return InsertOutcome::Replaced;
                }
                Ordering::Greater => place = before,
            }
        }
        if entries.len() >= count {
            // Evict the oldest entry.
            let Some(older) = entries.get_mut(..place).filter(|older| !older.is_empty()) else {
                return InsertOutcome::TooOld;
            };
            older.rotate_left(1);
            if let Some(last) = older.last_mut() {
                *last = entry;
            }
            return InsertOutcome::Added;
        }
        match self {
            Self::Empty => *self = Self::One(entry),
            Self::One(one) => {
                let mut many = Vec::with_capacity(count.min(4));
                many.push(*one);
                many.insert(place.min(1), entry);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.insert(place, entry),
        }
        InsertOutcome::Added
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn a_ring_has_the_newest_of_all_in_any_order(
            entries in proptest::collection::vec((0..20u8, any::<u8>()), 0..40),
            count in 1..5usize,
        ) {
            let mut ring = NewestEntries::default();
            let mut all = std::collections::BTreeMap::new();
            for (key, value) in entries {
                let newest = |all: &std::collections::BTreeMap<u8, u8>| {
                    let first = all.len().saturating_sub(count);
                    all.iter().skip(first).map(|(key, value)| (*key, *value)).collect::<Vec<_>>()
                };
                let known = newest(&all).iter().any(|(other, _)| *other == key);
                // An evicted entry is not added again.
                if all.contains_key(&key) && !known {
                    continue;
                }
                all.insert(key, value);
                let inserted = ring.insert((key, value), count, |one, other| one.0.cmp(&other.0));
                prop_assert_eq!(inserted == InsertOutcome::Replaced, known);
                prop_assert_eq!(ring.as_slice(), newest(&all));
            }
        }
    }
}
