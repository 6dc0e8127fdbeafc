//! The outcomes of all requests.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

/// Counts and latencies of requests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The latency of each request, in microseconds.
    micros: Vec<u32>,
    /// The number of requests by status; `unanswered` for those without one.
    outcomes: BTreeMap<String, u64>,
    first_error: Option<String>,
    bytes: u64,
    elapsed: Duration,
}

impl Report {
    /// Counts a request. `outcome` is its status and the body of its answer, or why there is none.
    pub(crate) fn add(&mut self, latency: Duration, outcome: Result<(u16, &[u8]), String>) {
        self.micros.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        let (kind, error) = match outcome {
            Ok((status, body)) => {
                self.bytes += body.len() as u64;
                let is_success = (200..300).contains(&status);
                let error = (!is_success).then(|| {
                    let start = body.get(..300).unwrap_or(body);
                    format!("{status} {}", String::from_utf8_lossy(start))
                });
                (status.to_string(), error)
            }
            Err(error) => ("unanswered".to_owned(), Some(error)),
        };
        *self.outcomes.entry(kind).or_default() += 1;
        self.first_error = self.first_error.take().or(error);
    }

    /// Adds the requests of another connection.
    pub(crate) fn merge(&mut self, other: Self) {
        self.micros.extend(other.micros);
        for (kind, count) in other.outcomes {
            *self.outcomes.entry(kind).or_default() += count;
        }
        self.first_error = self.first_error.take().or(other.first_error);
        self.bytes += other.bytes;
    }

    /// Sets the time from the first request to the last answer, and sorts the latencies.
    pub(crate) fn finish(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
        self.micros.sort_unstable();
    }

    /// Returns the number of requests that were not answered with 2xx.
    pub(crate) fn failed(&self) -> u64 {
        self.outcomes
            .iter()
            .filter(|(kind, _)| !kind.starts_with('2'))
            .map(|(_, count)| count)
            .sum()
    }

    /// Returns the report as it is printed.
    pub(crate) fn to_json(&self) -> Value {
        let requests = self.micros.len() as u64;
        let succeeded = requests.saturating_sub(self.failed());
        let seconds = self.elapsed.as_secs_f64();
        json!({
            "requests": requests,
            "failed": self.failed(),
            "outcomes": self.outcomes,
            "first_error": self.first_error,
            "seconds": rounded(seconds),
            "requests_per_second": rounded(succeeded as f64 / seconds.max(f64::MIN_POSITIVE)),
            "response_bytes": self.bytes,
            "latency_ms": {
                "p50": self.percentile_ms(50),
                "p99": self.percentile_ms(99),
                "max": self.percentile_ms(100),
            },
        })
    }

    fn percentile_ms(&self, percent: usize) -> Option<f64> {
        let last = self.micros.len().checked_sub(1)?;
        let micros = self.micros.get((self.micros.len() * percent / 100).min(last))?;
        Some(f64::from(*micros) / 1e3)
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
