//! Metrics of the write function, with the names of InfluxDB 3.

use neap_http::{CounterFamily, Metrics};
use neap_wal::TailWriter;

/// The counters of the write function.
#[derive(Debug)]
pub(crate) struct WriteMetrics {
    lines: CounterFamily,
    rejected: CounterFamily,
    bytes: CounterFamily,
    deletes: CounterFamily,
}

impl WriteMetrics {
    pub(crate) fn new(metrics: &Metrics, writer: &TailWriter) -> Self {
        const DB: &[&str] = &["db"];
        collect_writer(metrics, writer);
        Self {
            lines: metrics.counter("influxdb3_write_lines_total", "Lines that were accepted.", DB),
            rejected: metrics.counter(
                "influxdb3_write_lines_rejected_total",
                "Lines that were refused.",
                DB,
            ),
            bytes: metrics.counter(
                "influxdb3_write_bytes_total",
                "Bytes of line protocol in requests with accepted lines.",
                DB,
            ),
            deletes: metrics.counter(
                "neap_row_deletes_total",
                "Acknowledged row deletes, counted per table.",
                DB,
            ),
        }
    }

    pub(crate) fn accepted(&self, database: &str, lines: usize, bytes: usize) {
        self.lines.add(&[database], lines as u64);
        self.bytes.add(&[database], bytes as u64);
    }

    pub(crate) fn deleted(&self, database: &str, deletes: usize) {
        self.deletes.add(&[database], deletes as u64);
    }

    pub(crate) fn rejected(&self, database: &str, lines: usize) {
        self.rejected.add(&[database], lines as u64);
    }
}

fn collect_writer(metrics: &Metrics, writer: &TailWriter) {
    let shown = metrics.read_from(writer.clone());
    shown.counter("neap_tail_puts_total", "Segment puts started.", |writer| writer.stats().puts);
    shown.counter(
        "neap_tail_burst_batches_total",
        "Group commits put before the flush interval ended, by the burst.",
        |writer| writer.stats().burst_batches,
    );
    shown.counter(
        "neap_tail_bytes_total",
        "Bytes of segments acknowledged by the store.",
        |writer| writer.stats().bytes,
    );
    shown.counter(
        "neap_tail_refused_total",
        "Requests that were not acknowledged after they joined a group commit.",
        |writer| writer.stats().refused,
    );
    shown.counter("neap_tail_unknown_total", "Segment puts with an unknown outcome.", |writer| {
        writer.stats().unknown
    });
    shown.gauge(
        "neap_tail_in_flight_bytes",
        "Bytes of encoded rows queued or in flight.",
        |writer| writer.stats().in_flight_bytes,
    );
}
