//! Limits the memory that one input may take.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Maximum memory that an input may allocate at one time, in bytes. Inputs are much smaller, so a decoder that reaches the
/// limit trusts a size that the input states.
pub const MAX_INPUT_MEMORY_BYTES: usize = 256 << 20;

/// The allocated bytes of the process.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// The allocated bytes at which the process aborts.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The system's allocator, which aborts the process when an input exceeds its limit. libFuzzer then stores the input.
///
/// libFuzzer itself samples the resident memory once per second, so it misses memory that is freed again soon, or never
/// touched.
#[derive(Debug)]
pub struct LimitedAllocator;

impl LimitedAllocator {
    /// Starts an input: it may allocate [`MAX_INPUT_MEMORY_BYTES`].
    pub fn start_input() {
        let allocated = ALLOCATED.load(Ordering::Relaxed);
        LIMIT.store(allocated + MAX_INPUT_MEMORY_BYTES, Ordering::Relaxed);
    }

    fn add(bytes: usize) {
        let allocated = ALLOCATED.fetch_add(bytes, Ordering::Relaxed);
        if allocated.saturating_add(bytes) > LIMIT.load(Ordering::Relaxed) {
            // A report of the abort allocates, too.
            LIMIT.store(usize::MAX, Ordering::Relaxed);
            eprintln!(
                "an allocation of {bytes} bytes exceeds the memory limit of an input, {MAX_INPUT_MEMORY_BYTES} bytes"
            );
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
            std::process::abort();
        }
    }

    fn subtract(bytes: usize) {
        ALLOCATED.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: all calls are passed on to the system's allocator.
#[expect(unsafe_code, reason = "the trait is unsafe")]
unsafe impl GlobalAlloc for LimitedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::subtract(layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::add(new_size);
        Self::subtract(layout.size());
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
