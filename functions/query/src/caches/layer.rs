//! The two kinds of cache contents behind one face, for what loads, builds and keeps them.

use std::fmt;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use neap_cache::{
    CacheError, DistinctShape, DistinctTail, DistinctValues, DistinctValuesBuilder, KeyFilter,
    KeyTest, LastRows, LastRowsBuilder, LastShape, LastTail,
};
use neap_points::TailImageBuilder;
use neap_row_delete::Condition;
use neap_schema::{CacheId, TIME_COLUMN};

/// Up to so many keys are looked up without moving to another thread.
const FEW_KEYS: usize = 8;

/// What a cache holds of one part of a table's rows.
pub(crate) trait Layer: Clone + Send + Sync + Sized + 'static {
    /// What it is to hold.
    type Shape: Clone + fmt::Debug + Send + Sync + 'static;
    /// Makes one of rows.
    type Builder: Send + 'static;

    /// The layer of no rows.
    fn empty(shape: &Self::Shape) -> Self;
    /// The layer in an object of the bucket.
    fn decode(
        cache: CacheId,
        key: &str,
        object: &Bytes,
        shape: &Self::Shape,
    ) -> Result<Self, CacheError>;
    /// The layer without the rows that these deletes name, and without those before a time.
    fn without(
        &self,
        shape: &Self::Shape,
        deletes: &[&Condition],
        before: Option<i64>,
    ) -> Result<Self, CacheError>;
    /// The time from which on it knows all rows.
    fn complete_from(&self) -> i64;
    /// The names of the columns that it is made of.
    fn columns(shape: &Self::Shape) -> Vec<String>;
    /// Begins one that knows all rows from a time on.
    fn builder(shape: &Self::Shape, complete_from: i64, limit_bytes: usize) -> Self::Builder;
    /// Adds rows.
    fn push(builder: &mut Self::Builder, rows: &RecordBatch) -> Result<(), CacheError>;
    /// Ends.
    fn finish(builder: Self::Builder) -> Result<Self, CacheError>;
    /// To be kept beside those of the other kind.
    fn kept(self) -> Kept;
    /// Out of what is kept.
    fn of_kept(kept: Kept) -> Option<Self>;
    /// The index of a tail that gives its layer.
    fn overlay(shape: &Self::Shape) -> Overlay;
    /// Whether filters leave so few keys, which are found without a look at others, that reading them may hold up
    /// a thread that serves requests.
    fn is_lookup(shape: &Self::Shape, filters: &[KeyFilter]) -> bool;
    /// The layer of a tail; `None` if the index is of the other kind.
    fn of_tail(
        overlay: &Overlay,
        tail: &TailImageBuilder,
        filters: &[KeyFilter],
        from: i64,
    ) -> Option<Result<Self, CacheError>>;
}

/// A layer of either kind.
#[derive(Clone)]
pub(crate) enum Kept {
    /// Of a last cache.
    Last(LastRows),
    /// Of a distinct cache.
    Distinct(DistinctValues),
    /// It can't be made: it is too large, damaged, or misses what would move up.
    Unusable,
}

impl Kept {
    /// About how many bytes it takes.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Last(rows) => rows.size_bytes(),
            Self::Distinct(values) => values.size_bytes(),
            Self::Unusable => 0,
        }
    }
}

/// The index of a tail for one cache, which follows one builder.
#[derive(Debug)]
pub(crate) struct Overlay {
    index: Index,
    /// The state of the builder that it has taken in.
    taken: (usize, u64),
}

#[derive(Debug)]
enum Index {
    Last(LastTail),
    Distinct(DistinctTail),
}

impl Overlay {
    fn of(index: Index) -> Self {
        Self {
            index,
            taken: (0, 0),
        }
    }

    /// Takes in the rows that are new.
    pub(crate) fn update(&mut self, tail: &TailImageBuilder) -> Result<(), CacheError> {
        if self.is_up_to_date(tail) {
            return Ok(());
        }
        match &mut self.index {
            Index::Last(index) => index.update(tail)?,
            Index::Distinct(index) => index.update(tail)?,
        }
        self.taken = (tail.next_row(), tail.removals());
        Ok(())
    }

    /// Whether it has taken in all rows and deletes.
    pub(crate) fn is_up_to_date(&self, tail: &TailImageBuilder) -> bool {
        self.taken == (tail.next_row(), tail.removals())
    }

    /// About how many bytes it takes.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.index {
            Index::Last(index) => index.size_bytes(),
            Index::Distinct(index) => index.size_bytes(),
        }
    }
}

impl Layer for LastRows {
    type Shape = LastShape;
    type Builder = LastRowsBuilder;

    fn empty(shape: &LastShape) -> Self {
        Self::empty(shape, i64::MIN)
    }

    fn decode(
        cache: CacheId,
        key: &str,
        object: &Bytes,
        shape: &LastShape,
    ) -> Result<Self, CacheError> {
        neap_cache::decode_last(cache, key, object, shape)
    }

    fn without(
        &self,
        shape: &LastShape,
        deletes: &[&Condition],
        before: Option<i64>,
    ) -> Result<Self, CacheError> {
        Self::without(self, shape, deletes, before)
    }

    fn complete_from(&self) -> i64 {
        Self::complete_from(self)
    }

    fn columns(shape: &LastShape) -> Vec<String> {
        names(shape.schema()).collect()
    }

    fn builder(shape: &LastShape, complete_from: i64, limit_bytes: usize) -> LastRowsBuilder {
        LastRowsBuilder::new(shape, complete_from, limit_bytes)
    }

    fn push(builder: &mut LastRowsBuilder, rows: &RecordBatch) -> Result<(), CacheError> {
        builder.push(rows)
    }

    fn finish(builder: LastRowsBuilder) -> Result<Self, CacheError> {
        builder.finish()
    }

    fn kept(self) -> Kept {
        Kept::Last(self)
    }

    fn of_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Last(rows) => Some(rows),
            Kept::Distinct(_) | Kept::Unusable => None,
        }
    }

    fn overlay(shape: &LastShape) -> Overlay {
        Overlay::of(Index::Last(LastTail::new(shape)))
    }

    fn is_lookup(shape: &LastShape, filters: &[KeyFilter]) -> bool {
        are_few(shape.keys(), filters)
    }

    fn of_tail(
        overlay: &Overlay,
        tail: &TailImageBuilder,
        filters: &[KeyFilter],
        from: i64,
    ) -> Option<Result<Self, CacheError>> {
        match &overlay.index {
            Index::Last(index) => Some(index.rows(tail, filters, from)),
            Index::Distinct(_) => None,
        }
    }
}

impl Layer for DistinctValues {
    type Shape = DistinctShape;
    type Builder = DistinctValuesBuilder;

    fn empty(shape: &DistinctShape) -> Self {
        Self::empty(shape, i64::MIN)
    }

    fn decode(
        cache: CacheId,
        key: &str,
        object: &Bytes,
        shape: &DistinctShape,
    ) -> Result<Self, CacheError> {
        neap_cache::decode_distinct(cache, key, object, shape)
    }

    fn without(
        &self,
        shape: &DistinctShape,
        deletes: &[&Condition],
        before: Option<i64>,
    ) -> Result<Self, CacheError> {
        Self::without(self, shape, deletes, before)
    }

    fn complete_from(&self) -> i64 {
        Self::complete_from(self)
    }

    fn columns(shape: &DistinctShape) -> Vec<String> {
        let time = TIME_COLUMN.to_owned();
        shape.columns().iter().cloned().chain([time]).collect()
    }

    fn builder(
        shape: &DistinctShape,
        complete_from: i64,
        limit_bytes: usize,
    ) -> DistinctValuesBuilder {
        DistinctValuesBuilder::new(shape, complete_from, limit_bytes)
    }

    fn push(builder: &mut DistinctValuesBuilder, rows: &RecordBatch) -> Result<(), CacheError> {
        builder.push(rows)
    }

    fn finish(builder: DistinctValuesBuilder) -> Result<Self, CacheError> {
        builder.finish()
    }

    fn kept(self) -> Kept {
        Kept::Distinct(self)
    }

    fn of_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Distinct(values) => Some(values),
            Kept::Last(_) | Kept::Unusable => None,
        }
    }

    fn overlay(shape: &DistinctShape) -> Overlay {
        Overlay::of(Index::Distinct(DistinctTail::new(shape)))
    }

    fn is_lookup(_: &DistinctShape, _: &[KeyFilter]) -> bool {
        false
    }

    fn of_tail(
        overlay: &Overlay,
        tail: &TailImageBuilder,
        _: &[KeyFilter],
        from: i64,
    ) -> Option<Result<Self, CacheError>> {
        match &overlay.index {
            Index::Distinct(index) => Some(index.values(tail, from)),
            Index::Last(_) => None,
        }
    }
}

fn names(schema: &SchemaRef) -> impl Iterator<Item = String> {
    schema.fields().iter().map(|field| field.name().clone())
}

/// Whether filters pin all columns of a key, to a few keys together.
fn are_few(columns: &[String], filters: &[KeyFilter]) -> bool {
    let values_of = |column: &String| {
        let of_column = filters.iter().filter(|filter| filter.column == *column);
        let pinned = of_column.filter_map(|filter| match &filter.test {
            KeyTest::In(values) => Some(values.len()),
            KeyTest::NotIn(_) | KeyTest::Other(_) => None,
        });
        pinned.min()
    };
    let keys = columns.iter().try_fold(1_usize, |keys, column| {
        Some(keys.saturating_mul(values_of(column)?))
    });
    keys.is_some_and(|keys| keys <= FEW_KEYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of(column: &str, values: usize) -> KeyFilter {
        KeyFilter {
            column: column.to_owned(),
            test: KeyTest::In((0..values).map(|value| value.to_string()).collect()),
        }
    }

    #[test]
    fn keys_are_few_only_if_all_their_columns_are_pinned() {
        let columns = ["a", "b"].map(str::to_owned);
        let are_few = |filters: &[KeyFilter]| are_few(&columns, filters);
        assert!(are_few(&[one_of("a", 2), one_of("b", 4)]));
        assert!(!are_few(&[one_of("a", 3), one_of("b", 4)]));
        assert!(!are_few(&[one_of("a", 1)]));
        assert!(!are_few(&[]));
    }
}
