//! The log of panics: one line for each, without a backtrace, and a limited number of lines in a time.
//!
//! Libraries that decode files panic on some damaged ones. Such a panic is the error of one request, which any client can
//! repeat, so it must not fill the log.

use std::{
    any::Any,
    panic::{self, PanicHookInfo},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::Clock;

/// The time in which at most [`MAX_LINES`] are written.
const PERIOD: Duration = Duration::from_secs(60);

/// Maximum number of lines in a [`PERIOD`].
const MAX_LINES: u32 = 10;

/// Maximum characters of a message.
const MAX_MESSAGE_CHARS: usize = 200;

/// Logs panics of all threads from now on, instead of printing them with their backtraces.
pub fn log_panics(clock: Arc<dyn Clock>) {
    let lines = Mutex::new(LinesOfPeriod::default());
    panic::set_hook(Box::new(move |panic| {
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = lines.admit(clock.monotonic());
        drop(lines);
        if let Some(omitted) = admitted {
            log(panic, omitted);
        }
    }));
}

fn log(panic: &PanicHookInfo<'_>, omitted: u64) {
    let location = panic.location().map(ToString::to_string);
    let message: String = message(panic.payload())
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(MAX_MESSAGE_CHARS)
        .collect();
    tracing::error!(location, omitted, "panic: {message}");
}

fn message(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// The lines of the present period.
#[derive(Debug, Default)]
struct LinesOfPeriod {
    start: Duration,
    written: u32,
    omitted: u64,
}

impl LinesOfPeriod {
    /// Returns the number of lines omitted since the last line if another one may be written now.
    fn admit(&mut self, now: Duration) -> Option<u64> {
        if now.saturating_sub(self.start) >= PERIOD {
            (self.start, self.written) = (now, 0);
        }
        if self.written >= MAX_LINES {
            self.omitted += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.omitted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_panics_is_a_few_lines_and_a_count() {
        let mut lines = LinesOfPeriod::default();
        let at = Duration::from_secs;
        let written = (0..1_000).filter(|_| lines.admit(at(100)).is_some());
        assert_eq!(written.count(), 10);
        assert_eq!(lines.admit(at(159)), None);
        assert_eq!(lines.admit(at(160)), Some(991));
        assert_eq!(lines.admit(at(160)), Some(0));
    }

    #[test]
    fn the_message_is_that_of_the_panic() {
        assert_eq!(message(&"text"), "text");
        assert_eq!(message(&"owned".to_owned()), "owned");
        assert_eq!(message(&7), "without a message");
    }
}
