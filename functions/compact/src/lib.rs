//! Compaction: what turns the tail into sections.
//!
//! ```text
//!   flush                                   store
//!     |-- GET manifest: mark L ------------>  |
//!     |-- LIST tail above L --------------->  |   cut = Date of its first page - G
//!     |-- GET catalog, segments (L, cut] -->  |
//!     |   fold the versions of each point     |
//!     |-- PUT one bundle ------------------>  |   crash: an object that nothing names
//!     |-- commit {sections, L := cut} ----->  |   crash before: the same; after: done
//! ```
//!
//! A segment that appears at or below a mark later is void: its put took effect after the listing, so by
//! then its stamp was too old to be acknowledged. A flush that meets another one gives up: the commit
//! refuses when the mark has moved.

mod encode;
mod error;
mod flush;
mod split;

pub use encode::{EncodeError, EncodedSection, encode_section};
pub use error::CompactError;
pub use flush::{FlushLimits, Flushed, Flusher, GaveUp};
pub use split::{DayRange, split_by_days};
