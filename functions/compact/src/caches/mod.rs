//! Keeps the objects of last value and distinct value caches at the low-water mark.
//!
//! ```text
//!   flush       old object (GET, or in memory) + rows of the interval -> new object (PUT), in the flush's commit
//!   backfill    sections (GETs) -> first object (PUT) -> commit, if the mark is still where it was
//!   sweep       objects that the manifest no longer references -> DELETE
//! ```
//!
//! Only caches over tags have objects: there, a point never changes its key, so the newest rows of each key are among
//! the rows of the old object and of the interval. No result depends on an object: an object that is missing, damaged,
//! too large or outdated is removed from the manifest, and queries read the sections until the cache is filled again.

mod advance;
mod backfill;
mod backfill_task;
mod build;
mod contents;
mod objects;
mod sweep;

pub(crate) use advance::{IntervalLayers, MaterializedCaches, advance, has_had_caches};
pub use backfill::CacheBackfill;
#[cfg(test)]
pub(crate) use contents::MAX_CONTENT_BYTES;
pub(crate) use objects::CacheObjects;
pub(crate) use sweep::sweep;
