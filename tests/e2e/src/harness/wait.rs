//! Waiting with timeouts.

use std::{
    thread,
    time::{Duration, Instant},
};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits for a value, and returns it as soon as `look` does.
///
/// # Panics
/// Panics if there is no value within `limit`.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    let value = try_wait_for(limit, look);
    value.unwrap_or_else(|| panic!("after {} s still no {what}", limit.as_secs()))
}

/// Waits for a value, and returns it as soon as `look` does; `None` if there is no value within `limit`.
pub(crate) fn try_wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started_at = now();
    loop {
        if let Some(value) = look() {
            return Some(value);
        }
        if started_at.elapsed() >= limit {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

/// Sleeps. For tests of ages only.
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

/// Returns the present time.
#[expect(
    clippy::disallowed_methods,
    reason = "other processes live in real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
