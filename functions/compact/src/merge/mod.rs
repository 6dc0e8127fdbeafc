//! Merge: combines sections of one table into one, sorted and deduplicated, without deleted or expired rows.
//!
//! ```text
//!   plan      selects sections, from their metadata in the manifest        no request
//!   queue     keeps the most urgent merges of many tables                  no request
//!   read      reads the sections, one window of each at a time             GETs
//!   blocks    merges the rows of all inputs block by block, in key order
//!   encode    encodes the output incrementally
//!   scan      reads rows, by days, for other consumers than a section      GETs
//!   job       runs all of it, within limits of time and memory             GETs, 1 PUT, 1 commit
//! ```
//!
//! A crash at any point leaves at most an unreferenced object. If an input leaves the manifest during a merge, the
//! commit of the merge is refused.

mod blocks;
mod closed_sections;
mod cold_rows;
mod commit;
mod day_ranges;
mod error;
mod extraction;
mod input;
mod key;
mod memory;
mod merge_job;
mod merger;
mod overlap_group;
mod plan;
mod plan_input;
mod policy;
mod queue;
mod range_merges;
mod scan;
mod source;
mod stream;
#[cfg(test)]
mod tests;

pub use cold_rows::ColdRows;
pub use error::MergeError;
pub use extraction::Extraction;
pub(crate) use memory::{max_input_bytes, max_inputs_within};
pub use merge_job::{MergeJob, MergeJobRef, MergeReason, SectionRef};
pub use merger::{JobLimits, MergeOutcome, MergeSkipped, Merger};
pub use plan::{TablePlan, plan_table};
pub use plan_input::TablePlanInput;
pub use policy::MergePolicy;
pub(crate) use queue::MergeQueue;
pub(crate) use scan::{ScanOutcome, SectionScan};
pub(crate) use stream::RowSink;
