//! Caches of either kind behind one face, for whoever loads, builds and keeps them.

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
    CacheError, DistinctShape, DistinctTail, DistinctValues, DistinctValuesBuilder, DistinctWanted,
    KeyFilter, LastRows, LastRowsBuilder, LastShape, LastTail, LastWanted, decode_distinct,
    decode_last, encode_distinct, encode_last,
};

/// Layers have the rows of so much more time than their cache shows: the clocks of those who make them and of those
/// who read them may differ.
pub const CLOCK_SLACK: Duration = Duration::from_secs(10 * 60);

/// What a cache over tags holds for a table as it is now.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A last value cache.
    Last(LastShape),
    /// A distinct value cache.
    Distinct(DistinctShape),
}

impl Shape {
    /// The shape of a cache of a table; `None` if it is keyed by fields, or there is no such cache.
    pub fn of(table: &Table, cache: CacheId) -> Option<Self> {
        let last = table.last_caches().iter().find(|one| one.id == cache);
        if let Some(last) = last {
            return LastShape::of(table, last).map(Self::Last);
        }
        let distinct = table.distinct_caches().iter().find(|one| one.id == cache);
        DistinctShape::of(table, distinct?).map(Self::Distinct)
    }

    /// The shapes of all caches of a table that are over tags.
    pub fn all_of(table: &Table) -> impl Iterator<Item = (CacheId, Self)> {
        let last = table.last_caches().iter().filter_map(|cache| {
            let shape = LastShape::of(table, cache)?;
            Some((cache.id, Self::Last(shape)))
        });
        let distinct = table.distinct_caches().iter().filter_map(|cache| {
            let shape = DistinctShape::of(table, cache)?;
            Some((cache.id, Self::Distinct(shape)))
        });
        last.chain(distinct)
    }

    /// How old a row may be by its own time.
    pub fn age(&self) -> Duration {
        match self {
            Self::Last(shape) => shape.ttl(),
            Self::Distinct(shape) => shape.max_age(),
        }
    }

    /// The time from which on a layer that is made now has all rows.
    pub fn complete_from(&self, now: StoreTime) -> i64 {
        now.nanos_before(self.age().saturating_add(CLOCK_SLACK))
    }

    /// The time from which on a layer should have all rows now, by the clock of whoever asks for them.
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

    /// The columns of the table that a layer is made of.
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

/// What a cache holds of one part of its table's rows: up to a mark, of an interval, or of the tail.
#[derive(Clone, Debug)]
pub enum Layer {
    /// The newest rows of each key.
    Last(LastRows),
    /// The combinations that were seen latest.
    Distinct(DistinctValues),
}

impl Layer {
    /// Nothing, and that is all there is from a time on.
    pub fn empty(shape: &Shape, complete_from: i64) -> Self {
        match shape {
            Shape::Last(shape) => Self::Last(LastRows::empty(shape, complete_from)),
            Shape::Distinct(shape) => Self::Distinct(DistinctValues::empty(shape, complete_from)),
        }
    }

    /// The time from which on all rows are known.
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

    /// About how many bytes of memory it takes.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Last(rows) => rows.size_bytes(),
            Self::Distinct(values) => values.size_bytes(),
        }
    }

    /// The layer after row deletes that are newer than all of its rows, and without what is older than `before`.
    ///
    /// # Errors
    /// `Incomplete`: what is left can't be told from the layer, or it is of the other kind of cache.
    pub fn without(
        &self,
        shape: &Shape,
        deletes: &[&Condition],
        before: Option<i64>,
    ) -> Result<Self, CacheError> {
        match (self, shape) {
            (Self::Last(rows), Shape::Last(shape)) => {
                rows.without(shape, deletes, before).map(Self::Last)
            }
            (Self::Distinct(values), Shape::Distinct(shape)) => {
                values.without(shape, deletes, before).map(Self::Distinct)
            }
            _ => Err(CacheError::Incomplete),
        }
    }

    /// This layer with one of later writes: what the cache holds of both from `from` on.
    ///
    /// # Errors
    /// `Incomplete`: one of them is of the other kind of cache.
    pub fn merged(&self, shape: &Shape, newer: &Self, from: i64) -> Result<Self, CacheError> {
        match (self, shape, newer) {
            (Self::Last(rows), Shape::Last(shape), Self::Last(newer)) => {
                rows.merged(shape, newer, from).map(Self::Last)
            }
            (Self::Distinct(values), Shape::Distinct(shape), Self::Distinct(newer)) => {
                values.merged(shape, newer, from).map(Self::Distinct)
            }
            _ => Err(CacheError::Incomplete),
        }
    }

    /// What is wanted of this layer and one of later writes together, in the order of the cache.
    ///
    /// # Errors
    /// A filter is not on a key column, or the layers are not those of the shape; `Incomplete`: one of them is of the
    /// other kind of cache.
    pub fn select(
        &self,
        shape: &Shape,
        newer: Option<&Self>,
        wanted: &Wanted<'_>,
    ) -> Result<RecordBatch, CacheError> {
        let Wanted {
            filters,
            from,
            projection,
            ..
        } = *wanted;
        match (self, shape, newer) {
            (Self::Last(rows), Shape::Last(shape), None | Some(Self::Last(_))) => {
                let newer = newer.and_then(Self::as_last);
                let count = wanted.count.unwrap_or(usize::MAX).min(shape.count());
                let wanted = LastWanted {
                    filters,
                    from,
                    count,
                    projection,
                };
                rows.select(shape, newer, &wanted)
            }
            (Self::Distinct(values), Shape::Distinct(shape), None | Some(Self::Distinct(_))) => {
                let newer = newer.and_then(Self::as_distinct);
                let wanted = DistinctWanted {
                    filters,
                    from,
                    limit: wanted.limit,
                    projection,
                };
                values.select(shape, newer, &wanted)
            }
            _ => Err(CacheError::Incomplete),
        }
    }

    /// Whether nothing that counts from `from` on was cut off for want of room, in this layer and one of later writes
    /// together: only in distinct value caches something is.
    ///
    /// # Errors
    /// The layers are not those of the shape.
    pub fn is_complete(
        &self,
        shape: &Shape,
        newer: Option<&Self>,
        from: i64,
    ) -> Result<bool, CacheError> {
        match (self, shape) {
            (Self::Distinct(values), Shape::Distinct(shape)) => {
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

    /// The object of the layer.
    ///
    /// # Errors
    /// Arrow can't encode it.
    pub fn encode(&self, cache: CacheId, put_id: u128) -> Result<Bytes, CacheError> {
        match self {
            Self::Last(rows) => encode_last(cache, put_id, rows),
            Self::Distinct(values) => encode_distinct(cache, put_id, values),
        }
    }

    /// The layer in an object named `key`.
    ///
    /// # Errors
    /// The object is no layer of this cache as it is defined, is of a newer release, or is damaged.
    pub fn decode(
        cache: CacheId,
        key: &str,
        object: &Bytes,
        shape: &Shape,
    ) -> Result<Self, CacheError> {
        match shape {
            Shape::Last(shape) => decode_last(cache, key, object, shape).map(Self::Last),
            Shape::Distinct(shape) => {
                decode_distinct(cache, key, object, shape).map(Self::Distinct)
            }
        }
    }
}

/// What is wanted of a cache.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What the key columns must pass.
    pub filters: &'a [KeyFilter],
    /// The earliest time, in nanoseconds since the Unix epoch; not before the layers' [`Layer::complete_from`].
    pub from: i64,
    /// The most rows of each key, if fewer than a last value cache keeps.
    pub count: Option<usize>,
    /// The most combinations of a distinct value cache.
    pub limit: Option<usize>,
    /// The columns, by their places in [`Shape::schema`].
    pub projection: &'a [usize],
}

/// Makes a layer of the rows of a table, each point once.
#[derive(Debug)]
pub enum LayerBuilder {
    /// For a last value cache.
    Last(LastRowsBuilder),
    /// For a distinct value cache.
    Distinct(DistinctValuesBuilder),
}

impl LayerBuilder {
    /// For the rows from a time on, in at most about so many bytes.
    pub fn new(shape: &Shape, complete_from: i64, limit_bytes: usize) -> Self {
        match shape {
            Shape::Last(shape) => {
                Self::Last(LastRowsBuilder::new(shape, complete_from, limit_bytes))
            }
            Shape::Distinct(shape) => Self::Distinct(DistinctValuesBuilder::new(
                shape,
                complete_from,
                limit_bytes,
            )),
        }
    }

    /// Takes rows.
    ///
    /// # Errors
    /// `TooLarge`: what is to be kept takes more memory than it may.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<(), CacheError> {
        match self {
            Self::Last(builder) => builder.push(rows),
            Self::Distinct(builder) => builder.push(rows),
        }
    }

    /// About how many bytes of memory it holds.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Last(builder) => builder.size_bytes(),
            Self::Distinct(builder) => builder.size_bytes(),
        }
    }

    /// What the cache holds of all rows.
    ///
    /// # Errors
    /// `TooLarge`, as for [`push`](Self::push).
    pub fn finish(self) -> Result<Layer, CacheError> {
        match self {
            Self::Last(builder) => builder.finish().map(Layer::Last),
            Self::Distinct(builder) => builder.finish().map(Layer::Distinct),
        }
    }
}

/// The index of one [`TailImageBuilder`] for one cache.
#[derive(Debug)]
pub enum TailIndex {
    /// For a last value cache.
    Last(LastTail),
    /// For a distinct value cache.
    Distinct(DistinctTail),
}

impl TailIndex {
    /// An index of nothing yet.
    pub fn new(shape: &Shape) -> Self {
        match shape {
            Shape::Last(shape) => Self::Last(LastTail::new(shape)),
            Shape::Distinct(shape) => Self::Distinct(DistinctTail::new(shape)),
        }
    }

    /// Whether it has taken in all rows and deletes of the tail.
    pub fn is_up_to_date(&self, tail: &TailImageBuilder) -> bool {
        match self {
            Self::Last(index) => index.is_up_to_date(tail),
            Self::Distinct(index) => index.is_up_to_date(tail),
        }
    }

    /// Takes in what is new in the tail.
    ///
    /// # Errors
    /// The tail's table does not have the key columns as tags.
    pub fn update(&mut self, tail: &TailImageBuilder) -> Result<(), CacheError> {
        match self {
            Self::Last(index) => index.update(tail),
            Self::Distinct(index) => index.update(tail),
        }
    }

    /// The layer of the tail from `from` on, for last value caches of the wanted keys only. The tail must be as it was
    /// at the last [`update`](Self::update).
    ///
    /// # Errors
    /// A filter is not on a key column.
    pub fn layer(
        &self,
        tail: &TailImageBuilder,
        filters: &[KeyFilter],
        from: i64,
    ) -> Result<Layer, CacheError> {
        match self {
            Self::Last(index) => index.rows(tail, filters, from).map(Layer::Last),
            Self::Distinct(index) => index.values(tail, from).map(Layer::Distinct),
        }
    }

    /// About how many bytes of memory it takes.
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
    use crate::test_rows::{schema, tags};

    fn shapes(age: Duration) -> [Shape; 2] {
        let keys = || vec!["host".to_owned()];
        let last = LastShape::new(keys(), tags(false), schema(false), 2, age).unwrap();
        let distinct = DistinctShape::new(keys(), 10, age);
        [Shape::Last(last), Shape::Distinct(distinct)]
    }

    #[test]
    fn layers_reach_back_further_than_whoever_reads_them_needs() {
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
    fn layers_of_the_other_kind_have_nothing_to_say() {
        let [last, distinct] = &shapes(Duration::from_secs(100));
        let wanted = Wanted {
            filters: &[],
            from: 0,
            count: None,
            limit: None,
            projection: &[0],
        };
        for (one, other) in [(last, distinct), (distinct, last)] {
            let (layer, newer) = (Layer::empty(one, 0), Layer::empty(other, 0));
            assert_eq!(
                layer.merged(one, &layer, 5).unwrap().complete_from(),
                5,
                "{one:?}"
            );
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
