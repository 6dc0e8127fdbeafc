//! Metrics of the process: memory, processor time, open files.

use std::{fs, sync::Arc};

use neap_bucket::World;
use neap_http::{MetricKind, Metrics};

/// Clock ticks per second of processor time, the same on all architectures of Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resource usage of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct ProcessUsage {
    resident_bytes: u64,
    threads: u64,
    cpu_seconds: f64,
}

/// Registers the metrics of the process, under the names of the Prometheus client libraries.
pub(super) fn register(
    metrics: &Metrics,
    world: &World,
    version: &'static str,
    revision: &'static str,
) {
    metrics.collect(
        "neap_build_info",
        "1, with the version and the revision of the program.",
        MetricKind::Gauge,
        move |samples| samples.add(&[("version", version), ("revision", revision)], 1),
    );
    let started_at = world.clock.monotonic();
    metrics.read_from(Arc::clone(&world.clock)).gauge(
        "neap_uptime_seconds",
        "Time since the process started.",
        move |clock| clock.monotonic().saturating_sub(started_at).as_secs_f64(),
    );
    let process = metrics.read_from(());
    process.gauge(
        "process_resident_memory_bytes",
        "Memory of the process that is resident.",
        |()| usage().resident_bytes,
    );
    process.gauge("process_threads", "Threads of the process.", |()| usage().threads);
    process.counter("process_cpu_seconds_total", "Processor time of the process.", |()| {
        usage().cpu_seconds
    });
    process.gauge("process_open_fds", "Open files and connections of the process.", |()| {
        fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
    });
}

/// Reads the resource usage; all zero without `/proc`.
fn usage() -> ProcessUsage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    parse(&status, &stat).unwrap_or_default()
}

fn parse(status: &str, stat: &str) -> Option<ProcessUsage> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    // The program name, in parentheses, may contain any characters.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut ticks = rest.split(' ').skip(11).take(2);
    let mut next = || ticks.next()?.parse::<f64>().ok();
    Some(ProcessUsage {
        resident_bytes: field("VmRSS:")?.saturating_mul(1024),
        threads: field("Threads:")?,
        cpu_seconds: (next()? + next()?) / TICKS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_parsed_from_proc_files() {
        let status = "Name:\tneap\nVmRSS:\t    2048 kB\nThreads:\t7\n";
        let stat = "42 (ne) ap) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 7 0";
        let expected = ProcessUsage { resident_bytes: 2 << 20, threads: 7, cpu_seconds: 3.0 };
        assert_eq!(parse(status, stat), Some(expected));
        assert_eq!(parse("", ""), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = usage();
        assert!(usage.resident_bytes > 0 && usage.threads > 0, "{usage:?}");
    }
}
