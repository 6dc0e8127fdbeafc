//! The sampled allocations that are not freed yet: a table of fixed size without locks.

use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// Maximum number of live samples: 8 GiB of memory at the usual distance of samples.
const SLOTS: usize = 1 << 14;

/// The number of slots where the sample of an address can be.
const PROBES: usize = 16;

/// The maximum number of frames of a stack that are kept, from the innermost one.
pub(super) const MAX_FRAMES: usize = 40;

/// The slot is empty.
const EMPTY: usize = 0;
/// The slot is being filled. No allocation has this address.
const RESERVED: usize = 1;

/// An allocation that is still in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeapSample {
    /// The size of the allocation, in bytes.
    pub bytes: usize,
    /// The addresses of instructions of the stack, from the innermost one.
    pub frames: Vec<usize>,
}

/// The sample of the address in the slot with the same number.
struct SampleRecord {
    /// The sampling that filled the slot. A slot of an earlier one is free.
    session: AtomicUsize,
    bytes: AtomicUsize,
    /// Ends at the first 0.
    frames: [AtomicUsize; MAX_FRAMES],
}

/// Samples by address. As a static of zeros, it takes memory only once it is used.
pub(super) struct SampleTable {
    addresses: [AtomicUsize; SLOTS],
    records: [SampleRecord; SLOTS],
}

impl SampleTable {
    pub(super) const fn new() -> Self {
        Self {
            addresses: [const { AtomicUsize::new(EMPTY) }; SLOTS],
            records: [const {
                SampleRecord {
                    session: AtomicUsize::new(0),
                    bytes: AtomicUsize::new(0),
                    frames: [const { AtomicUsize::new(0) }; MAX_FRAMES],
                }
            }; SLOTS],
        }
    }

    /// Adds a sample. Returns whether there was a slot for it.
    pub(super) fn insert(
        &self,
        session: usize,
        address: usize,
        bytes: usize,
        frames: &[usize],
    ) -> bool {
        for slot in slots(address) {
            let found = self.addresses[slot].load(Ordering::Relaxed);
            let record = &self.records[slot];
            let is_free = found == EMPTY
                || found != RESERVED && record.session.load(Ordering::Relaxed) != session;
            let reserve = || {
                self.addresses[slot].compare_exchange(
                    found,
                    RESERVED,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
            };
            if is_free && reserve().is_ok() {
                fence(Ordering::Release);
                record.session.store(session, Ordering::Relaxed);
                record.bytes.store(bytes, Ordering::Relaxed);
                let ended = frames.iter().chain(std::iter::repeat(&0));
                for (to, frame) in record.frames.iter().zip(ended) {
                    to.store(*frame, Ordering::Relaxed);
                }
                self.addresses[slot].store(address, Ordering::Release);
                return true;
            }
        }
        false
    }

    /// Removes the sample of an address, if there is one.
    pub(super) fn remove(&self, address: usize) {
        for slot in slots(address) {
            if self.addresses[slot].load(Ordering::Relaxed) == address {
                // If another thread has reused the slot of an earlier session, there is nothing to remove.
                let _ = self.addresses[slot].compare_exchange(
                    address,
                    EMPTY,
                    Ordering::Release,
                    Ordering::Relaxed,
                );
            }
        }
    }

    pub(super) fn samples(&self, session: usize) -> Vec<HeapSample> {
        let mut samples = Vec::new();
        for (address, record) in self.addresses.iter().zip(&self.records) {
            let found = address.load(Ordering::Acquire);
            let is_of_session = record.session.load(Ordering::Relaxed) == session;
            if matches!(found, EMPTY | RESERVED) || !is_of_session {
                continue;
            }
            let frames = record.frames.iter().map(|frame| frame.load(Ordering::Relaxed));
            let sample = HeapSample {
                bytes: record.bytes.load(Ordering::Relaxed),
                frames: frames.take_while(|frame| *frame != 0).collect(),
            };
            fence(Ordering::Acquire);
            // Freed, and perhaps used again, while it was read.
            if address.load(Ordering::Relaxed) == found {
                samples.push(sample);
            }
        }
        samples
    }
}

/// Returns where the sample of an address can be.
fn slots(address: usize) -> impl Iterator<Item = usize> {
    // The multiplier of Fibonacci hashing. The lowest bits of addresses are zero.
    let hash = (address >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (0..PROBES).map(move |probe| (hash + probe) % SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Box<SampleTable> {
        // On the stack of a test, it would not fit.
        std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(|| Box::new(SampleTable::new()))
            .unwrap()
            .join()
            .unwrap()
    }

    #[test]
    fn samples_are_those_that_are_not_removed() {
        let table = table();
        for number in 1..=100 {
            assert!(table.insert(1, number << 6, number, &[number, 7]));
        }
        for number in 1..=90 {
            table.remove(number << 6);
        }
        let mut samples = table.samples(1);
        samples.sort_by_key(|sample| sample.bytes);
        let expected = (91..=100).map(|bytes| HeapSample { bytes, frames: vec![bytes, 7] });
        assert_eq!(samples, expected.collect::<Vec<_>>());
    }

    #[test]
    fn samples_of_earlier_sessions_make_way() {
        let table = table();
        let same_slots = |number: usize| number << 4;
        let inserted = (1..100_000).filter(|number| table.insert(1, same_slots(*number), 1, &[]));
        assert!(inserted.count() <= SLOTS);
        assert_eq!(table.samples(2), []);
        assert!(table.insert(2, 1 << 30, 5, &[3]));
        assert_eq!(table.samples(2).len(), 1);
    }

    #[test]
    fn long_stacks_keep_their_innermost_frames() {
        let table = table();
        let frames: Vec<usize> = (1..=MAX_FRAMES + 5).collect();
        assert!(table.insert(1, 64, 1, &frames));
        assert_eq!(table.samples(1)[0].frames, frames[..MAX_FRAMES]);
    }
}
