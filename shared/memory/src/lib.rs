//! How much memory a process may use, how much it holds, and who waits when that comes near the limit.
//!
//! | piece | what it tells |
//! |---|---|
//! | [`limit_bytes`] | the limit: of the control groups that the process is in, or of the machine |
//! | [`resident_bytes`] | what the process holds |
//! | [`MemoryMonitor`] | compares both, and tells the [`MemoryPressure`] of it |

mod cgroup;
mod limit;
mod monitor;
mod pressure;

pub use limit::{limit_bytes, resident_bytes};
pub use monitor::MemoryMonitor;
pub use pressure::{MemoryPressure, PressureLevel};
