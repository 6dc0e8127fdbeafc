//! Merge: sections of one table become one, sorted and folded, without what was deleted or has expired.
//!
//! ```text
//!   plan      which sections, from what the manifest says of them          no request
//!   queue     the most urgent merges of many tables                        no request
//!   read      their bytes, a window of each at a time                      GETs
//!   blocks    the rows of all inputs, block by block, in the order of the key
//!   encode    the output, as it grows
//!   scan      rows for something else than a section, days by days                GETs
//!   job       all of it, in time and memory                                GETs, 1 PUT, 1 commit
//! ```
//!
//! A crash at any point leaves an object that nothing names. A merge that is overtaken, because an input has
//! left the manifest meanwhile, is refused by its commit.

mod blocks;
mod commit;
mod component;
mod error;
mod hull;
mod input;
mod job;
mod job_list;
mod key;
mod memory;
mod plan;
mod queue;
mod range;
mod scan;
mod source;
mod stream;
#[cfg(test)]
mod tests;

pub use error::MergeError;
pub use hull::Hull;
pub use job::{JobLimits, MergeGaveUp, MergeOutcome, Merger};
pub use job_list::{InputRef, MergeJob, MergeJobRef, MergeReason};
pub(crate) use memory::{fitting_inputs, inputs_within};
pub use plan::{MergePolicy, TablePlan, TableState, plan_table};
pub(crate) use queue::MergeQueue;
pub(crate) use scan::{Scan, ScanEnd};
pub(crate) use stream::RowSink;
