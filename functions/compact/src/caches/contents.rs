//! The two kinds of caches as one.

use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use neap_bucket::StoreTime;
use neap_cache::{
    CacheError, DistinctShape, DistinctValues, DistinctValuesBuilder, LastRows, LastRowsBuilder,
    LastShape, decode_distinct, decode_last, encode_distinct, encode_last,
};
use neap_catalog::Table;
use neap_row_delete::Condition;
use neap_schema::CacheId;

/// An object has the rows of so much more time than its cache shows: the clocks of those who write it and of those
/// who read it may differ.
const SLACK: Duration = Duration::from_secs(10 * 60);

/// The most memory of what a cache holds, in bytes.
pub(crate) const MAX_CONTENT_BYTES: usize = 192 << 20;

/// A cache of a table as it is now.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A last value cache.
    Last(LastShape),
    /// A distinct value cache.
    Distinct(DistinctShape),
}

impl Shape {
    /// The caches of a table that can be kept: those over tags.
    pub(crate) fn all_of(table: &Table) -> impl Iterator<Item = (CacheId, Self)> {
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

    /// The time from which on an object that is written now has all rows.
    pub(crate) fn complete_from(&self, now: StoreTime) -> i64 {
        self.begin(now, SLACK)
    }

    /// The time from which on an object should have all rows now, by the clock of whoever asks for them.
    pub(crate) fn needed_from(&self, now: StoreTime) -> i64 {
        self.begin(now, SLACK / 2)
    }

    fn begin(&self, now: StoreTime, slack: Duration) -> i64 {
        let age = match self {
            Self::Last(shape) => shape.ttl(),
            Self::Distinct(shape) => shape.max_age(),
        };
        let now = i128::from(now.micros()) * 1_000;
        let age = age.saturating_add(slack).as_nanos();
        let from = now.saturating_sub(i128::try_from(age).unwrap_or(i128::MAX));
        i64::try_from(from).unwrap_or(i64::MIN)
    }
}

/// What a cache holds at a mark, or of an interval.
#[derive(Clone, Debug)]
pub(crate) enum Contents {
    /// The newest rows of each key.
    Last(LastRows),
    /// The combinations that were seen latest.
    Distinct(DistinctValues),
}

impl Contents {
    /// Nothing, and that is all there is from a time on.
    pub(crate) fn empty(shape: &Shape, complete_from: i64) -> Self {
        match shape {
            Shape::Last(shape) => Self::Last(LastRows::empty(shape, complete_from)),
            Shape::Distinct(shape) => Self::Distinct(DistinctValues::empty(shape, complete_from)),
        }
    }

    /// The time from which on they are all there is.
    pub(crate) fn complete_from(&self) -> i64 {
        match self {
            Self::Last(rows) => rows.complete_from(),
            Self::Distinct(values) => values.complete_from(),
        }
    }

    /// The number of rows or values.
    pub(crate) fn rows(&self) -> u64 {
        match self {
            Self::Last(rows) => rows.num_rows() as u64,
            Self::Distinct(values) => values.len() as u64,
        }
    }

    /// About how many bytes of memory they take.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Last(rows) => rows.size_bytes(),
            Self::Distinct(values) => values.size_bytes(),
        }
    }

    /// What is left of these after deletes and expiry, with what was written later; without what is before `from`.
    ///
    /// # Errors
    /// `Incomplete`: they have to be made anew of the sections.
    pub(crate) fn advanced(
        &self,
        shape: &Shape,
        deletes: &[&Condition],
        expired: Option<i64>,
        newer: &Self,
        from: i64,
    ) -> Result<Self, CacheError> {
        let advanced = match (self, shape, newer) {
            (Self::Last(rows), Shape::Last(shape), Self::Last(newer)) => {
                let rows = rows.fitted(shape)?.without(shape, deletes, expired)?;
                Self::Last(rows.merged(shape, newer, from)?)
            }
            (Self::Distinct(values), Shape::Distinct(shape), Self::Distinct(newer)) => {
                let values = values.without(shape, deletes, expired)?;
                Self::Distinct(values.merged(shape, newer, from)?)
            }
            // An id is given to one cache only.
            _ => return Err(CacheError::Incomplete),
        };
        if advanced.size_bytes() > MAX_CONTENT_BYTES {
            let limit = MAX_CONTENT_BYTES;
            return Err(CacheError::TooLarge { limit });
        }
        Ok(advanced)
    }

    /// The object.
    pub(crate) fn encode(&self, cache: CacheId, put_id: u128) -> Result<Bytes, CacheError> {
        match self {
            Self::Last(rows) => encode_last(cache, put_id, rows),
            Self::Distinct(values) => encode_distinct(cache, put_id, values),
        }
    }

    /// What is in an object.
    pub(crate) fn decode(
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

/// Takes in the rows of a table, each point once.
pub(crate) enum Builder {
    /// For a last value cache.
    Last(LastRowsBuilder),
    /// For a distinct value cache.
    Distinct(DistinctValuesBuilder),
}

impl Builder {
    /// For the rows from a time on.
    pub(crate) fn new(shape: &Shape, complete_from: i64) -> Self {
        Self::within(MAX_CONTENT_BYTES, shape, complete_from)
    }

    /// For the rows from a time on, in so much memory.
    pub(crate) fn within(limit: usize, shape: &Shape, complete_from: i64) -> Self {
        match shape {
            Shape::Last(shape) => Self::Last(LastRowsBuilder::new(shape, complete_from, limit)),
            Shape::Distinct(shape) => {
                Self::Distinct(DistinctValuesBuilder::new(shape, complete_from, limit))
            }
        }
    }

    /// Takes rows.
    ///
    /// # Errors
    /// `TooLarge`: what is to be kept takes more memory than a cache may.
    pub(crate) fn push(&mut self, rows: &RecordBatch) -> Result<(), CacheError> {
        match self {
            Self::Last(builder) => builder.push(rows),
            Self::Distinct(builder) => builder.push(rows),
        }
    }

    /// About how many bytes of memory it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Last(builder) => builder.size_bytes(),
            Self::Distinct(builder) => builder.size_bytes(),
        }
    }

    /// What the cache holds of all rows.
    pub(crate) fn finish(self) -> Result<Contents, CacheError> {
        match self {
            Self::Last(builder) => builder.finish().map(Contents::Last),
            Self::Distinct(builder) => builder.finish().map(Contents::Distinct),
        }
    }
}
