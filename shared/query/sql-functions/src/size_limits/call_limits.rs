//! The maximum size and cost of calls.

/// Maximum result bytes of one call for one batch.
const MAX_BATCH_BYTES: u64 = 256 << 20;

/// Rows per batch: a constant may be repeated this many times.
const BATCH_ROWS: u64 = 8192;

/// Maximum comparisons of one call for one batch; they take some seconds.
const MAX_COMPARISONS: u64 = 1 << 32;

/// Maximum bytes of a constant that is evaluated during planning.
pub(super) const MAX_CONSTANT_BYTES: u64 = MAX_BATCH_BYTES / BATCH_ROWS;

/// The maximum size and cost of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallLimits {
    /// Maximum bytes for a batch.
    pub(super) batch: u64,
    /// Maximum bytes of a constant, during planning.
    pub(super) constant: u64,
    /// Maximum comparisons, at any stage.
    pub(super) comparisons: u64,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            batch: MAX_BATCH_BYTES,
            constant: MAX_CONSTANT_BYTES,
            comparisons: MAX_COMPARISONS,
        }
    }
}
