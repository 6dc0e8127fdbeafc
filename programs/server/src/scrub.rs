//! The task that reads all data again in the background, finds damage, and mends it from the copies of backups.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use neap_bucket::World;
use neap_fsck::{ScrubTotals, Scrubber};
use neap_http::Metrics;
use tokio_util::sync::CancellationToken;

use super::{
    backups::Backups,
    damage::DamageMonitor,
    options::{ServeArgs, ServeMode},
    server_context::ServerContext,
};

/// Number of passes in an interval. Each pass reads the manifests and their pages.
const PASSES: u32 = 1_000;

/// Minimum and maximum time between two passes.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(3_600);

/// Counters of the scrubber since the start of the process.
#[derive(Debug, Default)]
struct ScrubStats {
    sections: AtomicU64,
    bytes: AtomicU64,
    mended: AtomicU64,
    failures: AtomicU64,
}

impl ScrubStats {
    fn add(&self, totals: &ScrubTotals) {
        self.sections.fetch_add(totals.sections, Ordering::Relaxed);
        self.bytes.fetch_add(totals.bytes, Ordering::Relaxed);
        self.mended.fetch_add(totals.mended, Ordering::Relaxed);
    }

    fn register(self: &Arc<Self>, metrics: &Metrics) {
        let shown = metrics.read_from(Arc::clone(self));
        shown.counter(
            "neap_scrub_sections_total",
            "Sections that were read again to find damage.",
            |stats| stats.sections.load(Ordering::Relaxed),
        );
        shown.counter(
            "neap_scrub_bytes_total",
            "Bytes that were read again to find damage.",
            |stats| stats.bytes.load(Ordering::Relaxed),
        );
        shown.counter(
            "neap_scrub_mended_total",
            "Damaged sections and pages that were replaced by the copy of a backup.",
            |stats| stats.mended.load(Ordering::Relaxed),
        );
        shown.counter(
            "neap_scrub_failures_total",
            "Passes that could not read everything, for example because the store did not answer.",
            |stats| stats.failures.load(Ordering::Relaxed),
        );
    }
}

/// Finds and mends damage in the background.
#[derive(Debug)]
pub(super) struct ScrubTask {
    scrubber: Arc<Scrubber>,
    stats: Arc<ScrubStats>,
    interval: Duration,
    world: World,
}

impl ScrubTask {
    /// Creates the task of a process that maintains the store; `None` for others, and if it is switched off.
    pub(super) fn new(
        args: &ServeArgs,
        base: &ServerContext,
        backups: Option<&Backups>,
        damage: &DamageMonitor,
    ) -> Option<Self> {
        if !args.does(ServeMode::Compact) || args.scrub_interval.is_zero() {
            return None;
        }
        let copies = backups.map(Backups::copies);
        let scrubber = Scrubber::new(base.bucket.clone(), args.scrub_interval, copies);
        let scrubber = Arc::new(scrubber);
        damage.add(Arc::clone(&scrubber) as _);
        let stats = Arc::new(ScrubStats::default());
        stats.register(&base.metrics);
        Some(Self {
            scrubber,
            stats,
            interval: args.scrub_interval,
            world: base.world.clone(),
        })
    }

    /// Runs until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.run_passes() => {}
        }
    }

    async fn run_passes(&self) {
        let pause = (self.interval / PASSES).clamp(MIN_PAUSE, MAX_PAUSE);
        let mut begin = self.world.clock.wall_micros();
        loop {
            self.world.clock.sleep(pause).await;
            let end = self.world.clock.wall_micros();
            match self.scrubber.scrub(begin..end).await {
                Ok(totals) => self.stats.add(&totals),
                // The next interval reads what this pass has missed.
                Err(error) => {
                    self.stats.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "a pass of the scrubber failed");
                }
            }
            begin = end;
        }
    }
}
