//! Checks a bucket: every referenced object must exist, and its content must match its metadata.
//!
//! ```text
//!   root catalog --> databases --> manifest --> pages --> sections
//!                         |            |
//!                         +--> catalog +--> tail          unreferenced objects
//! ```
//!
//! A quick check reads registers, pages and the tail, and lists objects. A full check reads everything. Both can run
//! beside writers and compactors: the check reads a manifest before it lists the objects, and the catalog after the
//! data that may need it. If it finds a problem and the manifest has changed in the meantime, it checks the database
//! again.
//!
//! A check writes nothing, unless a repair is requested. A repair recomputes statistics from the rows, and condemns
//! unreferenced objects for the collector; it never deletes objects. Damaged objects are quarantined only if an
//! operator names them.
//!
//! A scrubber reads the same bytes in the background, a few sections at a time, and replaces damaged sections and pages by
//! intact copies.
//!
//! | item | purpose |
//! |---|---|
//! | [`Fsck`] | checks a bucket |
//! | [`FsckReport`] | the totals and findings of a check, as text and as JSON |
//! | [`Finding`] | a problem or a remark |
//! | [`ReferencedContents`] | verifies the objects that a manifest references |
//! | [`Scrubber`] | reads each section once in an interval, and mends what is damaged |

mod bucket_scan;
mod caches;
mod cluster_registers;
mod database;
mod error;
mod finding;
mod forgotten_deletes;
mod fsck;
mod lost_rows;
mod manifest_contents;
mod messages;
mod missing_registers;
mod plugin_code;
mod quarantine;
mod recorded_damage;
mod referenced_contents;
mod references;
mod repair;
mod report;
mod scrub;
mod section_content;
mod sections;
mod statistics;
mod store;
mod tail;
#[cfg(test)]
mod tests;
mod writes_ahead;

pub use error::FsckError;
pub use finding::{Finding, FindingKind, Severity};
pub use fsck::{Fsck, FsckOptions, FsckProgress};
pub use lost_rows::{LostObject, LostTable};
pub use quarantine::ObjectPart;
pub use referenced_contents::ReferencedContents;
pub use report::{FsckReport, FsckTotals};
pub use scrub::{ObjectCopies, ScrubTotals, Scrubber};
pub use writes_ahead::WritesAhead;
