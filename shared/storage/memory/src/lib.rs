//! Memory limits: the limit of a process, its resident memory, and the back pressure near the limit.
//!
//! | item | purpose |
//! |---|---|
//! | [`limit_bytes`] | returns the limit of the control groups of the process, or of the machine |
//! | [`resident_bytes`] | returns the resident memory of the process |
//! | [`limit_retained_memory`] | makes the allocator return freed memory soon |
//! | [`MemoryMonitor`] | compares both, and publishes the [`MemoryPressure`] |

mod allocator;
mod cgroup;
mod limit;
mod monitor;
mod pressure;

pub use allocator::limit_retained_memory;
pub use limit::{limit_bytes, resident_bytes};
pub use monitor::MemoryMonitor;
pub use pressure::{MemoryPressure, PressureLevel};
