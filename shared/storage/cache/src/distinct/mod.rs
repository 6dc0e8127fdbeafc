//! Distinct value caches: the combinations of values of recent rows.

mod builder;
mod merge;
mod prune;
mod select;
mod shape;
mod tail;
#[cfg(test)]
mod tests;
mod values;

pub use builder::DistinctValuesBuilder;
pub use select::DistinctCacheQuery;
pub use shape::DistinctCacheShape;
pub use tail::DistinctTailIndex;
pub use values::DistinctValues;
