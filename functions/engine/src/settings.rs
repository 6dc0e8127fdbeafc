//! What can be set.

use std::time::Duration;

/// How the engine delivers segments and keeps its books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Whether nobody else writes to the bucket: then nothing has to be looked for there while nothing is written here.
    pub sole_writer: bool,
    /// The runs of one trigger that may overlap, if it allows that at all.
    pub parallel_runs: usize,
    /// How many plugins in a row may lead to rows that are still given to triggers.
    pub max_depth: u8,
    /// The most segments that wait for one trigger. What comes beyond is found again by a sweep.
    pub max_queued: usize,
    /// The most bytes of decoded rows that wait or run at a time, over all triggers on writes. A single segment may
    /// have more.
    pub max_decoded_bytes: usize,
    /// How often what triggers have seen is saved while they run.
    pub checkpoint_interval: Duration,
    /// How often the tail is looked at for segments that nobody told of, while something is written here.
    pub sweep_interval: Duration,
    /// The same where others write, too.
    pub foreign_sweep_interval: Duration,
    /// How often the catalog is asked for triggers where others write, too.
    pub catalog_interval: Duration,
    /// How often what plugins logged is saved, if there is anything.
    pub log_interval: Duration,
    /// For how long an instance may run a trigger alone without saying that it is still there.
    pub lease: Duration,
    /// The first and the longest pause before a failed run is repeated; each is twice the one before.
    pub retry_pauses: (Duration, Duration),
}

impl Default for EngineSettings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            sole_writer: false,
            parallel_runs: 8,
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
