//! Checks the rows of import jobs. Their segments have no witnesses, but the numbers of the rows of their files.

use std::collections::BTreeMap;

use neap_bucket::SegmentName;
use ulid::Ulid;

use super::{Invariant, SimulationOracle, contents::VersionTransition};

/// An import job that has ended.
#[derive(Clone, Debug)]
pub(crate) struct EndedImport {
    pub(crate) id: Ulid,
    /// The rows of its file.
    pub(crate) rows: u64,
    /// Whether it says that all of them are stored.
    pub(crate) is_imported: bool,
}

impl SimulationOracle {
    /// Returns the segments of import jobs that a transition flushed: those with rows up to the number that the manifest
    /// records. A segment that was put after the flush had listed the tail has more.
    pub(super) fn flushed_imports(&self, step: &VersionTransition<'_>) -> Vec<SegmentName> {
        let rows: BTreeMap<Ulid, u64> =
            step.value.imports.iter().map(|known| (known.job, known.rows)).collect();
        let due = self.due_segments(step).filter(|(_, segment)| {
            let mut progress = segment.progress.iter();
            progress.any(|it| rows.get(&it.job).is_some_and(|rows| (1..=*rows).contains(&it.rows)))
        });
        due.map(|(name, _)| *name).collect()
    }

    /// Checks that no row of a file is in two segments that queries see, and that all rows of an imported file are in some.
    pub(crate) fn check_imports(&mut self, jobs: &[EndedImport]) {
        for job in jobs {
            let mut stored: Vec<(u64, u64)> = Vec::new();
            let live = self.segments.iter().filter(|(name, _)| self.is_live(name));
            for (_, segment) in live {
                let rows: usize = segment.rows.values().map(Vec::len).sum();
                let progress = segment.progress.iter().find(|it| it.job == job.id && it.rows > 0);
                stored.extend(progress.map(|it| (it.rows - rows as u64, it.rows)));
            }
            stored.sort_unstable();
            let is_repeated = stored.windows(2).any(|pair| pair[1].0 < pair[0].1);
            let number: u64 = stored.iter().map(|(start, end)| end - start).sum();
            self.counts.imports += usize::from(job.is_imported);
            if is_repeated || job.is_imported && number != job.rows {
                let text = format!("{job:?} has stored the rows {stored:?}");
                self.fail(Invariant::ImportIsExact, text);
            }
        }
    }
}
