//! Real time and real chance. This crate stands for a cloud, which lives in both.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

#[expect(clippy::disallowed_methods, reason = "a cloud lives in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a cloud lives in real time")]
pub(crate) fn date() -> DateTime<Utc> {
    Utc::now()
}

#[expect(clippy::disallowed_methods, reason = "a cloud lives in real time")]
pub(crate) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The output, or nothing after the time.
#[expect(clippy::disallowed_methods, reason = "a cloud lives in real time")]
pub(crate) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, future).await.ok()
}

/// An id as AWS gives to requests and messages.
#[expect(
    clippy::disallowed_methods,
    reason = "ids of requests are drawn for each"
)]
pub(crate) fn fresh_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Whether something of this probability happens.
#[expect(
    clippy::disallowed_methods,
    reason = "networks lose messages by chance"
)]
pub(crate) fn happens(probability: f64) -> bool {
    rand::random::<f64>() < probability
}

/// A time up to a limit.
#[expect(
    clippy::disallowed_methods,
    reason = "networks delay messages by chance"
)]
pub(crate) fn up_to(limit: Duration) -> Duration {
    limit.mul_f64(rand::random::<f64>())
}
