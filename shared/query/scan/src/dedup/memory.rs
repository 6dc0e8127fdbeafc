//! The memory that merges of sections may hold: which inputs are read at once, and how many merges.

use std::ops::Range;

use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};

/// The share of the memory of queries that the sections of all merges of a scan may hold, as 1/n.
const MERGE_SHARE: u64 = 4;

/// Minimum number of inputs that are merged at once.
const MIN_INPUTS: usize = 2;

#[derive(Clone, Debug)]
pub(crate) struct MergeMemory {
    /// The bytes that each input holds while it is read.
    pub(crate) input_bytes: Vec<u64>,
    /// Maximum bytes of the inputs that are read at once, unless they are two.
    pub(crate) max_bytes: u64,
}

impl MergeMemory {
    /// Returns the bytes of all inputs.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.input_bytes.iter().copied().fold(0, u64::saturating_add)
    }

    /// Divides the inputs into groups of adjacent ones that are read at once.
    pub(super) fn groups(&self, inputs: usize, max_inputs: usize) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let mut held = 0u64;
        for input in 0..inputs {
            let bytes = self.input_bytes.get(input).copied().unwrap_or(0);
            match groups.last_mut() {
                Some(group)
                    if group.len() < MIN_INPUTS
                        || group.len() < max_inputs
                            && held.saturating_add(bytes) <= self.max_bytes =>
                {
                    group.end = input + 1;
                    held = held.saturating_add(bytes);
                }
                _ => {
                    groups.push(input..input + 1);
                    held = bytes;
                }
            }
        }
        groups
    }
}

/// Sets the memory of the merges of a scan. Returns how many of them may be executed at once: at least `partitions`, if
/// there are as many.
pub(crate) fn concurrent_merges(
    merges: &mut [MergeMemory],
    pool: &dyn MemoryPool,
    partitions: usize,
) -> usize {
    let budget = match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes as u64 / MERGE_SHARE,
        MemoryLimit::Infinite | MemoryLimit::Unknown => u64::MAX,
    };
    let sizes = || merges.iter().map(MergeMemory::total_bytes);
    let all = sizes().fold(0, u64::saturating_add);
    let largest = sizes().max().unwrap_or(0).max(1);
    let mut count = merges.len();
    if all > budget {
        let fitting = usize::try_from(budget / largest).unwrap_or(usize::MAX);
        count = fitting.max(partitions).clamp(1, count.max(1));
    }
    let share = if all > budget {
        budget / count.max(1) as u64
    } else {
        budget
    };
    for merge in merges {
        merge.max_bytes = share;
    }
    count
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::{FairSpillPool, UnboundedMemoryPool};

    use super::*;

    fn merge(input_bytes: &[u64]) -> MergeMemory {
        MergeMemory { input_bytes: input_bytes.to_vec(), max_bytes: 100 }
    }

    #[test]
    fn inputs_are_read_at_once_as_long_as_they_fit_but_never_one_alone() {
        let merge = merge(&[40, 40, 40, 0, 300, 1, 1]);
        assert_eq!(merge.groups(7, 16), [0..2, 2..4, 4..6, 6..7]);
        assert_eq!(merge.groups(2, 16).len(), 1);
        let small = MergeMemory { input_bytes: vec![1; 7], max_bytes: 100 };
        assert_eq!(small.groups(7, 16).len(), 1);
        assert_eq!(small.groups(7, 3), [0..3, 3..6, 6..7]);
        assert_eq!(small.groups(3, 1), [0..2, 2..3]);
    }

    #[test]
    fn merges_that_do_not_fit_are_executed_one_after_the_other() {
        let pool = FairSpillPool::new(4_000);
        let run = |merges: &[&[u64]], partitions: usize| {
            let mut merges: Vec<MergeMemory> = merges.iter().map(|bytes| merge(bytes)).collect();
            let count = concurrent_merges(&mut merges, &pool, partitions);
            (count, merges.first().map(|merge| merge.max_bytes))
        };
        assert_eq!(run(&[&[200, 200], &[300, 300]], 1), (2, Some(1_000)));
        assert_eq!(run(&[&[200, 200], &[300, 301]], 1), (1, Some(1_000)));
        let ten: [&[u64]; 10] = [&[200, 200]; 10];
        assert_eq!(run(&ten, 1), (2, Some(500)));
        // As many as there are partitions, each with less memory.
        assert_eq!(run(&ten, 4), (4, Some(250)));
        assert_eq!(run(&[&[9_000]], 4), (1, Some(1_000)));
        assert_eq!(run(&[], 4), (0, None));
        let unbounded = UnboundedMemoryPool::default();
        assert_eq!(concurrent_merges(&mut [merge(&[9_000])], &unbounded, 1), 1);
    }
}
