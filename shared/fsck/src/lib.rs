//! Checks a bucket: whether everything that is named is there, and is what it is said to be.
//!
//! ```text
//!   root catalog --> databases --> manifest --> pages --> sections
//!                         |            |
//!                         +--> catalog +--> tail          what is there and nothing names
//! ```
//!
//! A quick check reads registers, pages and the tail and lists objects; a full one reads everything. Both can run
//! beside writers and compactors: a manifest is read before its objects are listed, a catalog after what
//! may need it, and what looks wrong is looked at again when the manifest has changed meanwhile.
//!
//! Nothing is written, unless a repair is asked for. That corrects statistics by the rows that they are
//! about, and condemns objects that nothing names, for the collector; it never deletes. Damaged objects are set
//! aside only if an operator names them.
//!
//! | piece | what it is |
//! |---|---|
//! | [`Fsck`] | checks a bucket |
//! | [`Report`] | what was looked at and found, for people and as JSON |
//! | [`Finding`] | something that is not as it should be |

mod caches;
mod content;
mod damage;
mod database;
mod error;
mod finding;
mod forgotten_deletes;
mod fsck;
mod messages;
mod named;
mod quarantine;
mod references;
mod repair;
mod report;
mod sections;
mod statistics;
mod store;
mod sweep;
mod tail;
#[cfg(test)]
mod tests;

pub use error::FsckError;
pub use finding::{Finding, FindingKind, Severity};
pub use fsck::{Fsck, FsckOptions, Progress};
pub use quarantine::{LostObject, LostTable, ObjectPart};
pub use report::{Report, Totals};
