//! One interface to both kinds of cache, for the code that loads, builds and keeps them.

use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use neap_bucket::StoreTime;
use neap_catalog::Table;
use neap_points::TailImageBuilder;
use neap_row_delete::Condition;
use neap_schema::{CacheId, TIME_COLUMN};

use crate::{
    CacheError, DistinctCacheQuery, DistinctCacheShape, DistinctTailIndex, DistinctValues,
    DistinctValuesBuilder, KeyFilter, LastCacheQuery, LastCacheShape, LastRows, LastRowsBuilder,
    LastTailIndex, decode_distinct, decode_last, encode_distinct, encode_last,
};

/// Time by which layers reach back further than their cache shows, because the clocks of the instances that build them
/// and of those that read them may differ.
pub const CLOCK_SLACK: Duration = Duration::from_secs(10 * 60);

/// The shape of a cache over tags for the current columns of its table.
#[derive(Clone, Debug)]
pub enum CacheShape {
    /// A last value cache.
    Last(LastCacheShape),
    /// A distinct value cache.
    Distinct(DistinctCacheShape),
}

impl CacheShape {
    /// Returns the shape of a cache of a table; `None` if the cache is keyed by fields or does not exist.
    pub fn for_cache(table: &Table, cache: CacheId) -> Option<Self> {
        let last = table.last_caches().iter().find(|one| one.id == cache);
        if let Some(last) = last {
            return LastCacheShape::for_cache(table, last).map(Self::Last);
        }
        let distinct = table.distinct_caches().iter().find(|one| one.id == cache);
        DistinctCacheShape::for_cache(table, distinct?).map(Self::Distinct)
    }

    /// Returns the shapes of all caches over tags of a table.
    pub fn all_of(table: &Table) -> impl Iterator<Item = (CacheId, Self)> {
        let last = table.last_caches().iter().filter_map(|cache| {
            let shape = LastCacheShape::for_cache(table, cache)?;
            Some((cache.id, Self::Last(shape)))
        });
        let distinct = table.distinct_caches().iter().filter_map(|cache| {
            let shape = DistinctCacheShape::for_cache(table, cache)?;
            Some((cache.id, Self::Distinct(shape)))
        });
        last.chain(distinct)
    }

    /// Maximum age of a row by its `time` column.
    pub fn age(&self) -> Duration {
        match self {
            Self::Last(shape) => shape.ttl(),
            Self::Distinct(shape) => shape.max_age(),
        }
    }

    /// The time from which a layer that is built now has all rows.
    pub fn complete_from(&self, now: StoreTime) -> i64 {
        now.nanos_before(self.age().saturating_add(CLOCK_SLACK))
    }

    /// The time from which a layer must have all rows now, by the clock of its reader.
    pub fn needed_from(&self, now: StoreTime) -> i64 {
        now.nanos_before(self.age().saturating_add(CLOCK_SLACK / 2))
    }

    /// The columns of a layer.
    pub fn schema(&self) -> &SchemaRef {
        match self {
            Self::Last(shape) => shape.schema(),
            Self::Distinct(shape) => shape.schema(),
        }
    }

    /// The columns of the table from which a layer is built.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Last(shape) => {
                let fields = shape.schema().fields().iter();
                fields.map(|field| field.name().as_str()).collect()
            }
            Self::Distinct(shape) => {
                let columns = shape.columns().iter().map(String::as_str);
                columns.chain([TIME_COLUMN]).collect()
            }
        }
    }
}

/// The contents of a cache for a part of its table's rows: those up to a mark, of an interval, or of the tail.
#[derive(Clone, Debug)]
pub enum CacheLayer {
    /// The newest rows of each key.
    Last(LastRows),
    /// The most recently seen combinations.
    Distinct(DistinctValues),
}

impl CacheLayer {
    /// Returns an empty layer that is complete from `complete_from` on.
    pub fn empty(shape: &CacheShape, complete_from: i64) -> Self {
        match shape {
            CacheShape::Last(shape) => Self::Last(LastRows::empty(shape, complete_from)),
            CacheShape::Distinct(shape) => {
                Self::Distinct(DistinctValues::empty(shape, complete_from))
            }
        }
    }

    /// The time from which all rows are known.
    pub fn complete_from(&self) -> i64 {
        match self {
            Self::Last(rows) => rows.complete_from(),
            Self::Distinct(values) => values.complete_from(),
        }
    }

    /// The number of rows or combinations.
    pub fn num_rows(&self) -> usize {
        match self {
            Self::Last(rows) => rows.num_rows(),
            Self::Distinct(values) => values.len(),
        }
    }

    /// The approximate memory size in bytes.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Last(rows) => rows.size_bytes(),
            Self::Distinct(values) => values.size_bytes(),
        }
    }

    /// Returns the layer after row deletes that are newer than all of its rows, and without everything older than
    /// `before`.
    ///
    /// # Errors
    /// `Incomplete`: the layer does not know the result, or is of the other kind of cache.
    pub fn without(
        &self,
        shape: &CacheShape,
        deletes: &[&Condition],
        before: Option<i64>,
    ) -> Result<Self, CacheError> {
        match (self, shape) {
            (Self::Last(rows), CacheShape::Last(shape)) => {
                rows.without(shape, deletes, before).map(Self::Last)
            }
            (Self::Distinct(values), CacheShape::Distinct(shape)) => {
                values.without(shape, deletes, before).map(Self::Distinct)
            }
            _ => Err(CacheError::Incomplete),
        }
    }

    /// Merges this layer with a layer of later writes. Keeps the contents of the cache from `from` on.
    ///
    /// # Errors
    /// `Incomplete`: one of them is of the other kind of cache.
    pub fn merged(&self, shape: &CacheShape, newer: &Self, from: i64) -> Result<Self, CacheError> {
        match (self, shape, newer) {
            (Self::Last(rows), CacheShape::Last(shape), Self::Last(newer)) => {
                rows.merged(shape, newer, from).map(Self::Last)
            }
            (Self::Distinct(values), CacheShape::Distinct(shape), Self::Distinct(newer)) => {
                values.merged(shape, newer, from).map(Self::Distinct)
            }
            _ => Err(CacheError::Incomplete),
        }
    }

    /// Returns the queried rows of this layer merged with a layer of later writes, in the order of the cache.
    ///
    /// # Errors
    /// A filter is not on a key column, or the layers do not have this shape; `Incomplete`: one of them is of the other
    /// kind of cache.
    pub fn select(
        &self,
        shape: &CacheShape,
        newer: Option<&Self>,
        wanted: &CacheQuery<'_>,
    ) -> Result<RecordBatch, CacheError> {
        let CacheQuery { filters, from, projection, .. } = *wanted;
        match (self, shape, newer) {
            (Self::Last(rows), CacheShape::Last(shape), None | Some(Self::Last(_))) => {
                let newer = newer.and_then(Self::as_last);
                let count = wanted.count.unwrap_or(usize::MAX).min(shape.count());
                let wanted = LastCacheQuery { filters, from, count, projection };
                rows.select(shape, newer, &wanted)
            }
            (
                Self::Distinct(values),
                CacheShape::Distinct(shape),
                None | Some(Self::Distinct(_)),
            ) => {
                let newer = newer.and_then(Self::as_distinct);
                let wanted = DistinctCacheQuery { filters, from, limit: wanted.limit, projection };
                values.select(shape, newer, &wanted)
            }
            _ => Err(CacheError::Incomplete),
        }
    }

    /// Whether this layer merged with a layer of later writes has everything from `from` on. Only distinct value caches
    /// may lack something, because their number of combinations is limited.
    ///
    /// # Errors
    /// The layers do not have this shape.
    pub fn is_complete(
        &self,
        shape: &CacheShape,
        newer: Option<&Self>,
        from: i64,
    ) -> Result<bool, CacheError> {
        match (self, shape) {
            (Self::Distinct(values), CacheShape::Distinct(shape)) => {
                values.is_complete(shape, newer.and_then(Self::as_distinct), from)
            }
            _ => Ok(true),
        }
    }

    fn as_last(&self) -> Option<&LastRows> {
        match self {
            Self::Last(rows) => Some(rows),
            Self::Distinct(_) => None,
        }
    }

    fn as_distinct(&self) -> Option<&DistinctValues> {
        match self {
            Self::Distinct(values) => Some(values),
            Self::Last(_) => None,
        }
    }

    /// Encodes the layer as an object.
    ///
    /// # Errors
    /// Arrow cannot encode the layer.
    pub fn encode(&self, cache: CacheId, put_id: u128) -> Result<Bytes, CacheError> {
        match self {
            Self::Last(rows) => encode_last(cache, put_id, rows),
            Self::Distinct(values) => encode_distinct(cache, put_id, values),
        }
    }

    /// Decodes a layer from the object named `key`.
    ///
    /// # Errors
    /// The object is not a layer of this cache with this definition, is from a newer release, or is damaged.
    pub fn decode(
        cache: CacheId,
        key: &str,
        object: &Bytes,
        shape: &CacheShape,
    ) -> Result<Self, CacheError> {
        match shape {
            CacheShape::Last(shape) => decode_last(cache, key, object, shape).map(Self::Last),
            CacheShape::Distinct(shape) => {
                decode_distinct(cache, key, object, shape).map(Self::Distinct)
            }
        }
    }
}

/// A query of a cache.
#[derive(Clone, Copy, Debug)]
pub struct CacheQuery<'a> {
    /// Filters on the key columns.
    pub filters: &'a [KeyFilter],
    /// The earliest time, in nanoseconds since the Unix epoch; not before the layers' [`CacheLayer::complete_from`].
    pub from: i64,
    /// Maximum number of rows of each key, if fewer than a last value cache keeps.
    pub count: Option<usize>,
    /// Maximum number of combinations of a distinct value cache.
    pub limit: Option<usize>,
    /// The columns, by their indexes in [`CacheShape::schema`].
    pub projection: &'a [usize],
}

/// Builds a layer from the rows of a table, each point once.
#[derive(Debug)]
pub enum CacheLayerBuilder {
    /// For a last value cache.
    Last(LastRowsBuilder),
    /// For a distinct value cache.
    Distinct(DistinctValuesBuilder),
}

impl CacheLayerBuilder {
    /// Creates a builder for the rows from `complete_from` on, which takes at most about `limit_bytes` bytes.
    pub fn new(shape: &CacheShape, complete_from: i64, limit_bytes: usize) -> Self {
        match shape {
            CacheShape::Last(shape) => {
                Self::Last(LastRowsBuilder::new(shape, complete_from, limit_bytes))
            }
            CacheShape::Distinct(shape) => {
                Self::Distinct(DistinctValuesBuilder::new(shape, complete_from, limit_bytes))
            }
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `TooLarge`: the layer takes more memory than its limit.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<(), CacheError> {
        match self {
            Self::Last(builder) => builder.push(rows),
            Self::Distinct(builder) => builder.push(rows),
        }
    }

    /// The approximate memory size in bytes.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Last(builder) => builder.size_bytes(),
            Self::Distinct(builder) => builder.size_bytes(),
        }
    }

    /// Returns the layer of all added rows.
    ///
    /// # Errors
    /// `TooLarge`, as for [`push`](Self::push).
    pub fn finish(self) -> Result<CacheLayer, CacheError> {
        match self {
            Self::Last(builder) => builder.finish().map(CacheLayer::Last),
            Self::Distinct(builder) => builder.finish().map(CacheLayer::Distinct),
        }
    }
}

/// The index of one [`TailImageBuilder`] for one cache.
#[derive(Debug)]
pub enum CacheTailIndex {
    /// For a last value cache.
    Last(LastTailIndex),
    /// For a distinct value cache.
    Distinct(DistinctTailIndex),
}

impl CacheTailIndex {
    /// Creates an empty index.
    pub fn new(shape: &CacheShape) -> Self {
        match shape {
            CacheShape::Last(shape) => Self::Last(LastTailIndex::new(shape)),
            CacheShape::Distinct(shape) => Self::Distinct(DistinctTailIndex::new(shape)),
        }
    }

    /// Whether the index contains all rows and deletes of the tail.
    pub fn is_up_to_date(&self, tail: &TailImageBuilder) -> bool {
        match self {
            Self::Last(index) => index.is_up_to_date(tail),
            Self::Distinct(index) => index.is_up_to_date(tail),
        }
    }

    /// Adds the new rows of the tail.
    ///
    /// # Errors
    /// The key columns are not tags of the tail's table.
    pub fn update(&mut self, tail: &TailImageBuilder) -> Result<(), CacheError> {
        match self {
            Self::Last(index) => index.update(tail),
            Self::Distinct(index) => index.update(tail),
        }
    }

    /// Returns the layer of the tail from `from` on; for a last value cache, only of the keys that pass the filters.
    /// The tail must be unchanged since the last [`update`](Self::update).
    ///
    /// # Errors
    /// A filter is not on a key column.
    pub fn layer(
        &self,
        tail: &TailImageBuilder,
        filters: &[KeyFilter],
        from: i64,
    ) -> Result<CacheLayer, CacheError> {
        match self {
            Self::Last(index) => index.rows(tail, filters, from).map(CacheLayer::Last),
            Self::Distinct(index) => index.values(tail, from).map(CacheLayer::Distinct),
        }
    }

    /// The approximate memory size in bytes.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Last(index) => index.size_bytes(),
            Self::Distinct(index) => index.size_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_model::{schema, tags};

    fn shapes(age: Duration) -> [CacheShape; 2] {
        let keys = || vec!["host".to_owned()];
        let last = LastCacheShape::new(keys(), tags(false), schema(false), 2, age).unwrap();
        let distinct = DistinctCacheShape::new(keys(), 10, age);
        [CacheShape::Last(last), CacheShape::Distinct(distinct)]
    }

    #[test]
    fn layers_reach_back_further_than_readers_need() {
        let now = StoreTime::from_micros(2_000_000_000);
        for shape in shapes(Duration::from_secs(100)) {
            assert_eq!(shape.needed_from(now), 1_600_000_000_000);
            assert_eq!(shape.complete_from(now), 1_300_000_000_000);
        }
        for shape in shapes(Duration::MAX) {
            assert_eq!(shape.needed_from(now), i64::MIN);
        }
    }

    #[test]
    fn layers_of_the_other_kind_are_incomplete() {
        let [last, distinct] = &shapes(Duration::from_secs(100));
        let wanted = CacheQuery {
            filters: &[],
            from: 0,
            count: None,
            limit: None,
            projection: &[0],
        };
        for (one, other) in [(last, distinct), (distinct, last)] {
            let (layer, newer) = (CacheLayer::empty(one, 0), CacheLayer::empty(other, 0));
            assert_eq!(layer.merged(one, &layer, 5).unwrap().complete_from(), 5, "{one:?}");
            let refused = [
                layer.without(other, &[], None).err(),
                layer.merged(one, &newer, 0).err(),
                layer.select(one, Some(&newer), &wanted).err(),
            ];
            for error in refused {
                assert!(matches!(error, Some(CacheError::Incomplete)), "{error:?}");
            }
        }
    }
}
