//! Keeping the objects of last value and distinct value caches at the low-water mark.
//!
//! ```text
//!   flush       old object (GET, or at hand) + rows of the interval -> new object (PUT), in the flush's commit
//!   backfill    sections (GETs) -> first object (PUT) -> commit, if the mark is still where it was
//!   sweep       objects that the manifest does not name any more -> DELETE
//! ```
//!
//! Only caches over tags have objects: there, a point never changes its key, so the newest rows of each key are
//! those of the old object and of the interval together. Nothing depends on an object: one that is missing, damaged,
//! too large or no longer true leaves the manifest, and queries read the sections until it is filled again.

mod advance;
mod backfill;
mod build;
mod contents;
mod objects;
mod sweep;

pub(crate) use advance::{Interval, Kept, advance, has_had_caches};
pub use backfill::CacheBackfill;
#[cfg(test)]
pub(crate) use contents::MAX_CONTENT_BYTES;
pub(crate) use objects::CacheObjects;
pub(crate) use sweep::sweep;
