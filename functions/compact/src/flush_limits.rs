//! Limits of one flush.

use neap_wal::BackpressureLimits;

/// Limits of one flush.
#[derive(Clone, Copy, Debug)]
pub struct FlushLimits {
    /// Maximum bytes of segments, as stored. At least one segment is taken.
    pub segment_bytes: u64,
    /// Maximum number of segments.
    pub segments: usize,
    /// Maximum bytes of memory of the rows of one table with all columns. At least one segment is taken. Tables are
    /// encoded one after the other, and a few fields of a table at a time, unless it has caches.
    pub table_bytes: u64,
    /// Memory for cache objects of recent flushes, in bytes. A flush reads an object that is not in this memory.
    pub cached_bytes: u64,
    /// Tail lengths at which writers are throttled and stopped.
    pub pressure: BackpressureLimits,
}

impl Default for FlushLimits {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            segments: 4_000,
            table_bytes: 256 << 20,
            cached_bytes: 64 << 20,
            pressure: BackpressureLimits::DEFAULT,
        }
    }
}
