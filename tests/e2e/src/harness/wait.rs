//! Waiting, always with a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The value, as soon as there is one.
///
/// # Panics
/// There is none when the time is over.
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

/// Lets time pass, where age itself is what is tested.
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
