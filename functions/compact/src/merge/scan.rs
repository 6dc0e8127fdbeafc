//! Reads the deduplicated rows of a table from its sections, as a query would, for other consumers than a section.
//!
//! Sections with overlapping days are merged together, one such group after the other. Thus memory is limited by the
//! largest group, for any number of days.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Bucket, ClockReading};
use neap_catalog::Table;
use neap_manifest::{Manifest, SectionWithFooter};
use neap_schema::DatabaseId;

use super::{
    JobLimits, MergeError,
    input::TableDeletes,
    memory::read_sizes_within,
    merger::PARALLEL_OPENS,
    source::SectionSource,
    stream::{MergeProgress, MergeStream, RowSink},
};

/// Sections to read.
pub(crate) struct SectionScan<'a> {
    pub(crate) bucket: &'a Bucket,
    pub(crate) database: DatabaseId,
    /// The manifest with the deletes and the expiry of the rows.
    pub(crate) manifest: &'a Manifest,
    pub(crate) table: &'a Table,
    /// The sections, in any order.
    pub(crate) sections: Vec<SectionWithFooter>,
    /// Rows before this time are dropped.
    pub(crate) from: i64,
    /// Start time of the job.
    pub(crate) started_at: &'a ClockReading,
    pub(crate) limits: &'a JobLimits,
}

pub(crate) enum ScanOutcome<S> {
    /// The sink has all rows.
    Completed(S),
    /// The time limit expired.
    OutOfTime,
    /// The scan needs more memory than its limit.
    OutOfMemory,
}

impl SectionScan<'_> {
    /// Reads all rows into `sink`, deduplicated.
    /// Errors: those of the store; damaged or missing sections, by name.
    pub(crate) async fn run<S: RowSink>(self, mut sink: S) -> Result<ScanOutcome<S>, MergeError> {
        let mut used = 0;
        let world = self.bucket.world();
        let deletes = TableDeletes::new(self.manifest, self.table.id());
        for group in groups(self.sections.clone()) {
            let bytes_in = group.iter().map(|found| found.section.length).sum();
            let left = self.limits.max_memory_bytes.saturating_sub(sink.size_bytes() as u64);
            let sizes = read_sizes_within(left, group.len());
            let filters: Vec<_> = group
                .iter()
                .map(|found| deletes.filter(&found.section, Some(self.from)))
                .collect();
            let opened: Vec<SectionSource> = stream::iter(group)
                .map(|found| SectionSource::open(self.bucket.clone(), self.database, found, sizes))
                .buffered(PARALLEL_OPENS)
                .try_collect()
                .await?;
            let inputs = opened.into_iter().zip(filters).collect();
            let merge = MergeStream::new(self.table, inputs, bytes_in, |_, _, _| sink)?;
            let go_on = |progress: MergeProgress| {
                used = progress.memory_bytes;
                used <= self.limits.max_memory_bytes
                    && world.elapsed(self.started_at) <= self.limits.time
            };
            sink = match merge.run(go_on).await? {
                Some(sink) => sink,
                None if used > self.limits.max_memory_bytes => return Ok(ScanOutcome::OutOfMemory),
                None => return Ok(ScanOutcome::OutOfTime),
            };
        }
        Ok(ScanOutcome::Completed(sink))
    }
}

/// Divides sections into groups that are connected by overlapping days, each group oldest first by stamp.
fn groups(mut sections: Vec<SectionWithFooter>) -> Vec<Vec<SectionWithFooter>> {
    sections.sort_by_key(|found| (found.section.first_day, found.section.last_day));
    let mut groups: Vec<(i32, Vec<SectionWithFooter>)> = Vec::new();
    for found in sections {
        let section = Arc::clone(&found.section);
        match groups.last_mut() {
            Some((last_day, group)) if section.first_day <= *last_day => {
                *last_day = (*last_day).max(section.last_day);
                group.push(found);
            }
            _ => groups.push((section.last_day, vec![found])),
        }
    }
    let groups = groups.into_iter().map(|(_, mut group)| {
        group.sort_by_key(|found| (found.section.upto, found.section.above));
        group
    });
    groups.collect()
}
