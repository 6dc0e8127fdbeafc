//! Last value caches: the newest rows of each key.

mod builder;
mod merge;
mod newest_entries;
mod prune;
mod rows;
mod schema_evolution;
mod select;
mod shape;
mod tail;
#[cfg(test)]
mod tests;

pub use builder::LastRowsBuilder;
pub use rows::LastRows;
pub use select::LastCacheQuery;
pub use shape::LastCacheShape;
pub use tail::LastTailIndex;
