//! Samples of allocations, with the call stacks that hold memory.

mod sample_table;

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

pub use self::sample_table::HeapSample;
use self::sample_table::{MAX_FRAMES, SampleTable};

/// The number of allocated bytes from one sample to the next, on average. Go's profiles have the same distance.
pub const SAMPLE_BYTES: usize = 512 << 10;

/// No sampling is active.
const OFF: usize = 0;
/// No sampling is active, and the samples of the last one are being read.
const READING: usize = 1;
/// The first number of a sampling.
const FIRST: usize = 2;

/// The number of the active sampling, or one of the numbers before [`FIRST`].
static SESSION: AtomicUsize = AtomicUsize::new(OFF);
/// The number of the next sampling.
static NEXT_SESSION: AtomicUsize = AtomicUsize::new(FIRST);
/// The number of random sequences that were started.
static SEEDS: AtomicU64 = AtomicU64::new(1);
/// Samples for which there was no slot, since the start of the sampling.
static DROPPED: AtomicUsize = AtomicUsize::new(0);
static SAMPLES: SampleTable = SampleTable::new();

thread_local! {
    // Without a destructor and with a constant as its first value, so that its use allocates nothing.
    static THREAD: ThreadSampler = const { ThreadSampler::new() };
}

/// An allocator that passes each call to another one. While a [`HeapSampling`] exists, it samples allocations; otherwise
/// a call costs one read of a shared number that does not change.
#[derive(Debug)]
pub struct SamplingAllocator<A>(pub A);

#[expect(
    unsafe_code,
    reason = "the trait of allocators has only unsafe functions"
)]
// SAFETY: Every call is passed on unchanged, and pointers are only compared.
unsafe impl<A: GlobalAlloc> GlobalAlloc for SamplingAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let pointer = unsafe { self.0.alloc(layout) };
        note_allocation(pointer, layout.size());
        pointer
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let pointer = unsafe { self.0.alloc_zeroed(layout) };
        note_allocation(pointer, layout.size());
        pointer
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note_free(pointer);
        unsafe { self.0.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Before the call, because another thread may get the address at once.
        note_free(pointer);
        let pointer = unsafe { self.0.realloc(pointer, layout, new_size) };
        note_allocation(pointer, new_size);
        pointer
    }
}

#[inline]
fn note_allocation(pointer: *mut u8, bytes: usize) {
    let session = SESSION.load(Ordering::Relaxed);
    if session >= FIRST && !pointer.is_null() {
        THREAD.with(|thread| thread.note(session, pointer.addr(), bytes));
    }
}

#[inline]
fn note_free(pointer: *mut u8) {
    if SESSION.load(Ordering::Relaxed) >= FIRST {
        SAMPLES.remove(pointer.addr());
    }
}

struct ThreadSampler {
    /// The sampling to which the other values belong.
    session: Cell<usize>,
    /// Bytes until the next sample.
    left: Cell<usize>,
    /// The number of the next random number: those of a thread follow each other.
    random: Cell<u64>,
    /// Whether a sample is being taken, which may allocate.
    is_sampling: Cell<bool>,
}

impl ThreadSampler {
    const fn new() -> Self {
        Self {
            session: Cell::new(OFF),
            left: Cell::new(0),
            random: Cell::new(0),
            is_sampling: Cell::new(false),
        }
    }

    #[inline(never)]
    fn note(&self, session: usize, address: usize, bytes: usize) {
        if self.session.replace(session) != session {
            self.random.set(first_random(SEEDS.fetch_add(1, Ordering::Relaxed)));
            self.left.set(self.draw_distance());
        }
        if let Some(left) = self.left.get().checked_sub(bytes.max(1)) {
            self.left.set(left);
            return;
        }
        self.left.set(self.draw_distance());
        if self.is_sampling.replace(true) {
            return;
        }
        let mut frames = [0; MAX_FRAMES];
        let depth = walk_stack(&mut frames);
        if !SAMPLES.insert(session, address, bytes, &frames[..depth]) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        self.is_sampling.set(false);
    }

    /// Returns a random number of bytes until the next sample, of an exponential distribution: each byte is sampled with
    /// the same probability.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fraction of a byte does not matter"
    )]
    fn draw_distance(&self) -> usize {
        let number = self.random.get();
        self.random.set(number.wrapping_add(1));
        let random = random_number(number);
        let uniform = ((random >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        (-uniform.ln() * SAMPLE_BYTES as f64) as usize
    }
}

/// Returns the number of the first random number of a thread. No other thread comes near.
fn first_random(thread: u64) -> u64 {
    thread << 32
}

/// Returns a random number by its number in the sequence of SplitMix64 by Sebastiano Vigna.
fn random_number(number: u64) -> u64 {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// Writes the addresses of the instructions of this stack, from the innermost one. Returns their number.
fn walk_stack(frames: &mut [usize; MAX_FRAMES]) -> usize {
    let mut depth = 0;
    let note = |frame: &backtrace::Frame| {
        frames[depth] = frame.ip().addr();
        depth += 1;
        depth < MAX_FRAMES
    };
    #[expect(
        unsafe_code,
        reason = "the safe function waits for threads that look up symbols"
    )]
    // SAFETY: On Unix the unwinder synchronizes itself. The lock of the safe function is for Windows, where Neap does not run.
    unsafe {
        backtrace::trace_unsynchronized(note);
    }
    depth
}

/// Samples the allocations of this process until it is dropped, if its allocator is a [`SamplingAllocator`]. There is at
/// most one at a time.
#[derive(Debug)]
pub struct HeapSampling {
    session: usize,
}

/// The sampled memory that is still in use.
#[derive(Clone, Debug, Default)]
pub struct HeapSamples {
    /// The allocations.
    pub samples: Vec<HeapSample>,
    /// The number of samples that were lost because there were too many.
    pub dropped: usize,
}

impl HeapSampling {
    /// Starts to sample, unless another sampling is active.
    pub fn start() -> Option<Self> {
        let session = NEXT_SESSION.fetch_add(1, Ordering::Relaxed);
        let started = SESSION.compare_exchange(OFF, session, Ordering::Relaxed, Ordering::Relaxed);
        started.ok()?;
        DROPPED.store(0, Ordering::Relaxed);
        Some(Self { session })
    }

    /// Ends the sampling. Returns the samples of memory that was allocated since the start and is still in use.
    pub fn finish(self) -> HeapSamples {
        // The list is not sampled itself. Another sampling waits until it is complete.
        SESSION.store(READING, Ordering::Relaxed);
        HeapSamples {
            samples: SAMPLES.samples(self.session),
            dropped: DROPPED.load(Ordering::Relaxed),
        }
    }
}

impl Drop for HeapSampling {
    fn drop(&mut self) {
        SESSION.store(OFF, Ordering::Relaxed);
    }
}

impl HeapSample {
    /// Returns the number of allocations of this size that the sample stands for: a large allocation is sampled almost
    /// always, a small one seldom.
    pub fn weight(&self) -> f64 {
        let share = self.bytes.max(1) as f64 / SAMPLE_BYTES as f64;
        1.0 / -(-share).exp_m1()
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    #[global_allocator]
    static ALLOCATOR: SamplingAllocator<System> = SamplingAllocator(System);

    /// An allocation size that nothing else in the process has.
    const SIZE: usize = (1 << 20) + 48;

    fn of_size(samples: &HeapSamples) -> Vec<&HeapSample> {
        let samples = samples.samples.iter();
        samples.filter(|sample| sample.bytes == SIZE).collect()
    }

    // One test, because a process has one sampling at a time.
    #[test]
    fn memory_in_use_is_sampled_with_its_stack_while_a_sampling_is_active() {
        let before = vec![1_u8; SIZE];
        let sampling = HeapSampling::start().unwrap();
        assert!(HeapSampling::start().is_none());
        let kept: Vec<Vec<u8>> = (0..100).map(|_| vec![1; SIZE]).collect();
        let freed: Vec<Vec<u8>> = (0..100).map(|_| vec![1; SIZE]).collect();
        drop(freed);
        let samples = sampling.finish();
        let found = of_size(&samples);
        // 86 of 100 are sampled on average, with a standard deviation of 3.4.
        assert!((50..=100).contains(&found.len()), "{}", found.len());
        assert!(found.iter().all(|sample| sample.frames.len() > 3));
        assert_eq!(samples.dropped, 0);
        let weight: f64 = found.iter().map(|sample| sample.weight()).sum();
        assert!((55.0..120.0).contains(&weight), "{weight}");

        let after = vec![1_u8; SIZE];
        let sampling = HeapSampling::start().unwrap();
        assert!(of_size(&sampling.finish()).is_empty());
        drop((before, kept, after));
    }

    #[test]
    fn the_first_distances_of_threads_are_unlike_and_average_to_the_distance_of_samples() {
        let sampler = ThreadSampler::new();
        let distances: Vec<f64> = (1..=1_000)
            .map(|number| {
                sampler.random.set(first_random(number));
                sampler.draw_distance() as f64 / SAMPLE_BYTES as f64
            })
            .collect();
        let mean = distances.iter().sum::<f64>() / 1_000.0;
        assert!((0.85..1.15).contains(&mean), "{mean}");
        let short = distances.iter().filter(|distance| **distance < 0.5).count();
        // 1 - exp(-0.5) = 39 %.
        assert!((330..460).contains(&short), "{short}");
    }

    #[test]
    fn samples_stand_for_the_allocations_of_their_size() {
        let weight = |bytes| HeapSample { bytes, frames: Vec::new() }.weight();
        assert!((weight(512 << 10) - 1.582).abs() < 0.001);
        assert!((weight(1 << 10) - 512.5).abs() < 0.1);
        assert!((weight(1 << 30) - 1.0).abs() < 0.001);
        assert!(weight(0).is_finite());
    }
}
