//! Last value caches: the newest rows of each key.

mod builder;
mod fit;
mod merge;
mod ring;
mod rows;
mod select;
mod shape;
mod tail;
#[cfg(test)]
mod tests;
mod without;

pub use builder::LastRowsBuilder;
pub use rows::LastRows;
pub use select::LastCacheQuery;
pub use shape::LastCacheShape;
pub use tail::LastTailIndex;
