//! Merge jobs: what is to become one section, here and as it is handed to another process.

use std::sync::Arc;

use neap_bucket::Stamp;
use neap_manifest::Section;
use neap_schema::TableId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::Hull;

/// Why sections are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeReason {
    /// There are many of days that are still written to.
    Recent,
    /// Their days are no longer written to.
    Settled,
    /// Neighbouring days are small.
    Range,
    /// Rows in them were deleted.
    Deletes,
}

/// Sections of one table that are to become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeJob {
    /// The table.
    pub table: TableId,
    /// The sections, oldest first by stamp: every one of the table that meets the hull.
    pub inputs: Vec<Arc<Section>>,
    /// The first day of the output, in days since the Unix epoch.
    pub first_day: i32,
    /// The last day of the output.
    pub last_day: i32,
    /// The output has the rows of the segments above this stamp
    pub above: Stamp,
    /// and up to this one.
    pub upto: Stamp,
    /// Why.
    pub reason: MergeReason,
}

impl MergeJob {
    /// The merge of these sections; `None` if there are none, or if they are not all of one table.
    pub fn of(inputs: Vec<Arc<Section>>, reason: MergeReason) -> Option<Self> {
        let mut inputs = inputs;
        inputs.sort_by_key(|section| (section.upto, section.above, section.first_day));
        let table = inputs.first()?.table;
        let hulls = inputs.iter().map(|section| Hull::of(section));
        let hull = hulls.reduce(Hull::with)?;
        let one_table = inputs.iter().all(|section| section.table == table);
        one_table.then_some(Self {
            table,
            inputs,
            first_day: hull.first_day,
            last_day: hull.last_day,
            above: hull.above,
            upto: hull.upto,
            reason,
        })
    }

    /// The days and the interval of the output.
    pub fn hull(&self) -> Hull {
        Hull {
            first_day: self.first_day,
            last_day: self.last_day,
            above: self.above,
            upto: self.upto,
        }
    }

    /// The length of all inputs in bytes.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().map(|section| section.length).sum()
    }

    /// The job as it is handed to another process.
    pub fn reference(&self) -> MergeJobRef {
        let inputs = self.inputs.iter().map(|section| InputRef::of(section));
        MergeJobRef {
            table: self.table,
            first_day: self.first_day,
            last_day: self.last_day,
            above: self.above,
            upto: self.upto,
            inputs: inputs.collect(),
            bytes: self.bytes(),
            reason: self.reason,
        }
    }
}

/// Which section: its place is its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InputRef {
    /// The bundle.
    pub object: Ulid,
    /// Where in the bundle the section starts.
    pub offset: u64,
}

impl InputRef {
    /// The place of a section.
    pub fn of(section: &Section) -> Self {
        Self {
            object: section.object,
            offset: section.offset,
        }
    }
}

/// A [`MergeJob`] without what the manifest says of its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeJobRef {
    /// The table.
    pub table: TableId,
    /// The first day of the output, in days since the Unix epoch.
    pub first_day: i32,
    /// The last day of the output.
    pub last_day: i32,
    /// The output has the rows of the segments above this stamp
    pub above: Stamp,
    /// and up to this one.
    pub upto: Stamp,
    /// The sections.
    pub inputs: Vec<InputRef>,
    /// The length of all inputs in bytes; 0 if the job was handed out by an earlier release.
    #[serde(default)]
    pub bytes: u64,
    /// Why.
    pub reason: MergeReason,
}

impl MergeJobRef {
    /// The job, if all its inputs are among the table's `sections` and still are all that meet its hull.
    pub fn resolve(&self, sections: &[Arc<Section>]) -> Option<MergeJob> {
        let hull = Hull {
            first_day: self.first_day,
            last_day: self.last_day,
            above: self.above,
            upto: self.upto,
        };
        let met = sections
            .iter()
            .filter(|section| section.table == self.table && hull.meets(&Hull::of(section)));
        let job = MergeJob::of(met.cloned().collect(), self.reason)?;
        let mut wanted = self.inputs.clone();
        let mut found = job.reference().inputs;
        wanted.sort_unstable();
        found.sort_unstable();
        (wanted == found && job.hull() == hull).then_some(job)
    }
}
