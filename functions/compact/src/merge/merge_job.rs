//! Merge jobs, in memory and as dispatched to another process.

use std::sync::Arc;

use neap_bucket::{Stamp, StorageClass};
use neap_manifest::{Section, SectionBounds};
use neap_schema::TableId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Reason for a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeReason {
    /// Days that are still written to have many sections.
    Recent,
    /// The days are no longer written to.
    Settled,
    /// Neighbouring days have little data.
    Range,
    /// The sections contain deleted rows, or their bundle does.
    Deletes,
    /// The section is in a bundle, which other tools can't read.
    Extracted,
    /// Rows were added to days whose sections are cold.
    Backfill,
    /// The rows are old enough for a cheaper storage class.
    Cold,
}

/// Sections of one table to be merged into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeJob {
    /// The table.
    pub table: TableId,
    /// The sections, oldest first by stamp: all sections of the table that intersect the bounds.
    pub inputs: Vec<Arc<Section>>,
    /// The first day of the output, in days since the Unix epoch.
    pub first_day: i32,
    /// The last day of the output.
    pub last_day: i32,
    /// Exclusive lower stamp: the output has the rows of the segments above it.
    pub above: Stamp,
    /// Inclusive upper stamp: the output has the rows of the segments up to it.
    pub upto: Stamp,
    /// Reason for the merge.
    pub reason: MergeReason,
    /// The storage class of the output; `None` if it is not cold.
    pub class: Option<StorageClass>,
}

impl MergeJob {
    /// Returns the merge of these sections to one that is not cold, or `None` if there are none or they belong to several tables.
    pub fn new(inputs: Vec<Arc<Section>>, reason: MergeReason) -> Option<Self> {
        let mut inputs = inputs;
        inputs.sort_by_key(|section| (section.upto, section.above, section.first_day));
        let table = inputs.first()?.table;
        let bounds = inputs.iter().map(|section| section.bounds()).reduce(SectionBounds::union)?;
        let one_table = inputs.iter().all(|section| section.table == table);
        one_table.then_some(Self {
            table,
            inputs,
            first_day: bounds.first_day,
            last_day: bounds.last_day,
            above: bounds.above,
            upto: bounds.upto,
            reason,
            class: None,
        })
    }

    /// Returns the days and the interval of stamps of the output.
    pub fn bounds(&self) -> SectionBounds {
        SectionBounds {
            first_day: self.first_day,
            last_day: self.last_day,
            above: self.above,
            upto: self.upto,
        }
    }

    /// Returns the length of all inputs in bytes.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().map(|section| section.length).sum()
    }

    /// Returns the job as dispatched to another process.
    pub fn reference(&self) -> MergeJobRef {
        let inputs = self.inputs.iter().map(|section| SectionRef::from_section(section));
        MergeJobRef {
            table: self.table,
            first_day: self.first_day,
            last_day: self.last_day,
            above: self.above,
            upto: self.upto,
            inputs: inputs.collect(),
            bytes: self.bytes(),
            reason: self.reason,
            class: self.class,
        }
    }
}

/// Reference to a section by its location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SectionRef {
    /// The bundle.
    pub object: Ulid,
    /// Offset of the section in the bundle.
    pub offset: u64,
}

impl SectionRef {
    /// Returns the reference to a section.
    pub fn from_section(section: &Section) -> Self {
        Self { object: section.object, offset: section.offset }
    }
}

/// A [`MergeJob`] without the manifest's metadata of its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeJobRef {
    /// The table.
    pub table: TableId,
    /// The first day of the output, in days since the Unix epoch.
    pub first_day: i32,
    /// The last day of the output.
    pub last_day: i32,
    /// Exclusive lower stamp: the output has the rows of the segments above it.
    pub above: Stamp,
    /// Inclusive upper stamp: the output has the rows of the segments up to it.
    pub upto: Stamp,
    /// The sections.
    pub inputs: Vec<SectionRef>,
    /// The length of all inputs in bytes.
    pub bytes: u64,
    /// Reason for the merge.
    pub reason: MergeReason,
    /// The storage class of the output; `None` if it is not cold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<StorageClass>,
}

impl MergeJobRef {
    /// Returns the job if all its inputs are in `sections` and are still exactly the sections that intersect its
    /// bounds.
    pub fn resolve(&self, sections: &[Arc<Section>]) -> Option<MergeJob> {
        let bounds = SectionBounds {
            first_day: self.first_day,
            last_day: self.last_day,
            above: self.above,
            upto: self.upto,
        };
        let met = sections
            .iter()
            .filter(|section| section.table == self.table && bounds.overlaps(&section.bounds()));
        let job = MergeJob {
            class: self.class,
            ..MergeJob::new(met.cloned().collect(), self.reason)?
        };
        let mut wanted = self.inputs.clone();
        let mut found = job.reference().inputs;
        wanted.sort_unstable();
        found.sort_unstable();
        (wanted == found && job.bounds() == bounds).then_some(job)
    }
}
