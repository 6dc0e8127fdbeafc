//! Settings of the engine.

use std::time::Duration;

/// Settings for delivery, checkpoints and retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Whether this process is the only writer of the bucket. If so, the engine sends no requests while nothing is
    /// written.
    pub sole_writer: bool,
    /// Maximum number of concurrent runs of one trigger, if the trigger allows concurrency
    /// (`--async-trigger-concurrency-limit`).
    pub parallel_runs: usize,
    /// Maximum number of runs for one input of a trigger that allows concurrency and repeats failed runs.
    pub async_attempts: u32,
    /// Whether triggers run only if their plugin is in the plugin folder (`--plugin-dir-only`).
    pub plugin_folder_only: bool,
    /// Maximum number of plugins in a row that led to rows that are still delivered to triggers.
    pub max_depth: u8,
    /// Maximum number of segments queued for one trigger. A sweep finds the others later.
    pub max_queued: usize,
    /// Maximum bytes of decoded rows that wait or run, over all triggers on writes. A single segment may exceed it.
    pub max_decoded_bytes: usize,
    /// Interval at which checkpoints are saved while triggers run.
    pub checkpoint_interval: Duration,
    /// Interval of sweeps for segments without a notification, while this process writes.
    pub sweep_interval: Duration,
    /// Interval of sweeps if other instances write too.
    pub foreign_sweep_interval: Duration,
    /// Interval at which the triggers are read from the catalog if other instances write too.
    pub catalog_interval: Duration,
    /// Interval at which logs of plugins are saved, if there are new lines.
    pub log_interval: Duration,
    /// The duration of a lease on a trigger; the holder renews it.
    pub lease: Duration,
    /// The first and the maximum pause before a failed run is retried; each pause is twice the one before.
    pub retry_pauses: (Duration, Duration),
}

impl Default for EngineSettings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            sole_writer: false,
            parallel_runs: 8,
            async_attempts: 5,
            plugin_folder_only: false,
            max_depth: 8,
            max_queued: 100_000,
            max_decoded_bytes: 256 << 20,
            checkpoint_interval: seconds(5),
            sweep_interval: seconds(60),
            foreign_sweep_interval: seconds(10),
            catalog_interval: seconds(10),
            log_interval: seconds(60),
            lease: seconds(30),
            retry_pauses: (seconds(1), seconds(60)),
        }
    }
}
