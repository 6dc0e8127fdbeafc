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
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        let waited = begun.elapsed();
        assert!(
            waited < limit,
            "after {} s still no {what}",
            waited.as_secs()
        );
        thread::sleep(PAUSE);
    }
}

/// Sleeps. For tests of ages only.
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

#[expect(
    clippy::disallowed_methods,
    reason = "other processes live in real time"
)]
fn now() -> Instant {
    Instant::now()
}
