//! Counts the connections of a port.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{CounterFamily, Metrics};

/// The open connections of a port, and the closed ones by reason. Clones share the counts.
#[derive(Clone, Debug)]
pub struct ConnectionCounts {
    open: Arc<AtomicU64>,
    closed: CounterFamily,
}

/// An open connection, until it is dropped.
struct OpenConnection<'a>(&'a AtomicU64);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionCounts {
    /// Registers a gauge of open connections and a counter of closed ones, each by its name and its description.
    pub fn new(
        metrics: &Metrics,
        (open_name, open_help): (&'static str, &'static str),
        (closed_name, closed_help): (&'static str, &'static str),
    ) -> Self {
        let open = Arc::new(AtomicU64::new(0));
        let shown = metrics.read_from(Arc::clone(&open));
        shown.gauge(open_name, open_help, |open| open.load(Ordering::Relaxed));
        Self {
            open,
            closed: metrics.counter(closed_name, closed_help, &["reason"]),
        }
    }

    /// Serves a connection, which returns the reason of its end, and counts it.
    pub async fn count(&self, connection: impl Future<Output = &'static str>) {
        self.open.fetch_add(1, Ordering::Relaxed);
        let _open = OpenConnection(&self.open);
        let reason = connection.await;
        self.closed.add(&[reason], 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;

    use super::*;

    #[test]
    fn connections_are_counted_while_they_are_open_and_when_they_end() {
        let metrics = Metrics::default();
        let counts = ConnectionCounts::new(&metrics, ("open", "Open."), ("closed", "Closed."));
        let mut waiting = Box::pin(counts.count(pending()));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(counts.count(async { "client" }).now_or_never().is_some());
        let shown = metrics.render();
        assert!(shown.contains("\nopen 1\n"), "{shown}");
        assert!(shown.contains("\nclosed{reason=\"client\"} 1\n"), "{shown}");
        drop(waiting);
        assert!(metrics.render().contains("\nopen 0\n"));
    }
}
