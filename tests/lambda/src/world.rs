//! Real time and real randomness, because this crate emulates a cloud.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

#[expect(clippy::disallowed_methods, reason = "the emulator uses real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the emulator uses real time")]
pub(crate) fn date() -> DateTime<Utc> {
    Utc::now()
}

#[expect(clippy::disallowed_methods, reason = "the emulator uses real time")]
pub(crate) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Returns the output, or `None` after the timeout.
#[expect(clippy::disallowed_methods, reason = "the emulator uses real time")]
pub(crate) async fn with_timeout<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, future).await.ok()
}

/// Draws an id for a request or message.
#[expect(clippy::disallowed_methods, reason = "request ids are random")]
pub(crate) fn fresh_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Returns `true` with this probability.
#[expect(clippy::disallowed_methods, reason = "faults are random")]
pub(crate) fn random_bool(probability: f64) -> bool {
    rand::random::<f64>() < probability
}

/// Draws a duration between zero and the limit.
#[expect(clippy::disallowed_methods, reason = "delays are random")]
pub(crate) fn random_duration(limit: Duration) -> Duration {
    limit.mul_f64(rand::random::<f64>())
}
