//! Merges two layers of a last value cache.

use std::{cmp::Ordering, sync::Arc};

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_select::interleave::interleave;

use super::rows::check_rows;
use crate::{
    CacheError, LastCacheShape, LastRows,
    codes::compacted_column,
    dictionary_union::{CodedRows, unify},
    layer_selection::LayerSelection,
};

impl LastRows {
    /// Merges this layer with a layer of later writes. Keeps the newest rows of each key from `from` on. If both layers
    /// have a version of a point, each column takes the newer value that is not null.
    ///
    /// # Errors
    /// The layers do not have this shape.
    pub fn merged(
        &self,
        shape: &LastCacheShape,
        newer: &Self,
        from: i64,
    ) -> Result<Self, CacheError> {
        let from = from.max(self.complete_from()).max(newer.complete_from());
        if newer.num_rows() == 0 {
            return self.without(shape, &[], Some(from));
        }
        if self.num_rows() == 0 {
            return newer.without(shape, &[], Some(from));
        }
        let (base, newer) = (self.conform_to(shape)?, newer.conform_to(shape)?);
        check_rows(base.num_rows() + newer.num_rows())?;
        let all = LayerSelection::all(base.num_rows());
        let all_newer = LayerSelection::all(newer.num_rows());
        let merge = LayerMerge::of(shape, (&base, &all), (&newer, &all_newer))?;
        let pairs = merge.pairs(shape.count(), from);
        let columns: Vec<usize> = (0..shape.schema().fields().len()).collect();
        Self::new(shape, merge.batch(&pairs, &columns)?, from)
    }
}

/// A point of the merged layers: its index in the older layer's selection, and in the newer one's.
#[derive(Clone, Copy, Debug)]
pub(super) struct MergedPoint {
    older: Option<u32>,
    newer: Option<u32>,
}

/// Selected rows of two layers, with common dictionaries.
#[derive(Debug)]
pub(super) struct LayerMerge<'a> {
    shape: &'a LastCacheShape,
    older: MergeSide<'a>,
    newer: MergeSide<'a>,
    /// The dictionaries of the columns by which rows are sorted.
    values: Vec<StringArray>,
}

#[derive(Debug)]
struct MergeSide<'a> {
    layer: &'a LastRows,
    rows: Vec<usize>,
    times: Vec<i64>,
    codes: Vec<Vec<i32>>,
}

impl<'a> MergeSide<'a> {
    fn try_new(
        shape: &LastCacheShape,
        layer: &'a LastRows,
        selection: &LayerSelection,
    ) -> Result<(Self, CodedRows), CacheError> {
        let rows = selection.rows();
        let times = layer.times(shape)?;
        let time = |row: &usize| times.get(*row).copied().unwrap_or(i64::MIN);
        let times = rows.iter().map(time).collect();
        let mut coded = CodedRows::default();
        for column in layer.sort_columns(shape)? {
            let (codes, values) = column.selected(rows.iter().copied())?;
            coded.codes.push(codes);
            coded.values.push(values);
        }
        let side = Self { layer, rows, times, codes: Vec::new() };
        Ok((side, coded))
    }

    fn time(&self, at: usize) -> i64 {
        self.times.get(at).copied().unwrap_or(i64::MIN)
    }

    /// Compares two rows by some of the columns by which rows are sorted.
    fn compare(
        &self,
        at: usize,
        other: &Self,
        other_at: usize,
        columns: std::ops::Range<usize>,
    ) -> Ordering {
        let (mine, others) = (self.codes.get(columns.clone()), other.codes.get(columns));
        let (mine, others) = (mine.unwrap_or(&[]), others.unwrap_or(&[]));
        mine.iter()
            .zip(others)
            .map(|(codes, others)| codes.get(at).cmp(&others.get(other_at)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl<'a> LayerMerge<'a> {
    pub(super) fn of(
        shape: &'a LastCacheShape,
        (older, older_rows): (&'a LastRows, &LayerSelection),
        (newer, newer_rows): (&'a LastRows, &LayerSelection),
    ) -> Result<Self, CacheError> {
        let (mut older, mut coded) = MergeSide::try_new(shape, older, older_rows)?;
        let (mut newer, mut newer_coded) = MergeSide::try_new(shape, newer, newer_rows)?;
        let values = unify(&mut coded, &mut newer_coded);
        older.codes = coded.codes;
        newer.codes = newer_coded.codes;
        Ok(Self { shape, older, newer, values })
    }

    /// Returns the `count` newest points of each key that are not older than `from`, in the order of a layer.
    pub(super) fn pairs(&self, count: usize, from: i64) -> Vec<MergedPoint> {
        let (keys, all) = (self.shape.keys().len(), self.values.len());
        let (older, newer) = (&self.older, &self.newer);
        let mut pairs = Vec::with_capacity(older.rows.len().max(newer.rows.len()));
        let (mut at, mut newer_at) = (0, 0);
        // The side and index of a row of the current key, and the number of points taken of that key.
        let mut key: Option<(&MergeSide<'_>, usize)> = None;
        let mut taken = 0;
        while at < older.rows.len() || newer_at < newer.rows.len() {
            let order = if at == older.rows.len() {
                Ordering::Greater
            } else if newer_at == newer.rows.len() {
                Ordering::Less
            } else {
                let times = || newer.time(newer_at).cmp(&older.time(at));
                older
                    .compare(at, newer, newer_at, 0..keys)
                    .then_with(times)
                    .then_with(|| older.compare(at, newer, newer_at, keys..all))
            };
            let (side, place) = if order.is_le() {
                (older, at)
            } else {
                (newer, newer_at)
            };
            let same_key = key.is_some_and(|(other, other_at)| {
                side.compare(place, other, other_at, 0..keys).is_eq()
            });
            if !same_key {
                key = Some((side, place));
                taken = 0;
            }
            if taken < count && side.time(place) >= from {
                taken += 1;
                pairs.push(MergedPoint {
                    older: order.is_le().then_some(at).and_then(|at| u32::try_from(at).ok()),
                    newer: order.is_ge().then_some(newer_at).and_then(|at| u32::try_from(at).ok()),
                });
            }
            at += usize::from(order.is_le());
            newer_at += usize::from(order.is_ge());
        }
        pairs
    }

    /// Returns some columns of these points.
    pub(super) fn batch(
        &self,
        pairs: &[MergedPoint],
        projection: &[usize],
    ) -> Result<RecordBatch, CacheError> {
        let schema = Arc::new(self.shape.schema().project(projection)?);
        let columns = projection
            .iter()
            .map(|column| self.column(pairs, *column))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    fn column(&self, pairs: &[MergedPoint], column: usize) -> Result<ArrayRef, CacheError> {
        let sorted = self.shape.sort_columns().iter();
        if let Some(tag) = sorted.clone().position(|sorted| *sorted == column)
            && let Some(values) = self.values.get(tag)
        {
            let code =
                |side: &MergeSide<'_>, at: u32| side.codes.get(tag)?.get(at as usize).copied();
            let of_pair = |pair: &MergedPoint| {
                let older = pair.older.and_then(|at| code(&self.older, at));
                older.or_else(|| code(&self.newer, pair.newer?)).unwrap_or(-1)
            };
            return compacted_column(pairs.iter().map(of_pair).collect(), values);
        }
        let older = self.older.layer.column(column)?;
        let newer = self.newer.layer.column(column)?;
        let row = |side: &MergeSide<'_>, at: Option<u32>| side.rows.get(at? as usize).copied();
        let place = |pair: &MergedPoint| {
            let (before, after) = (row(&self.older, pair.older), row(&self.newer, pair.newer));
            match (before, after) {
                (Some(before), Some(after)) if newer.is_null(after) => (0, before),
                (_, Some(after)) => (1, after),
                (Some(before), None) => (0, before),
                (None, None) => (0, 0),
            }
        };
        let places: Vec<(usize, usize)> = pairs.iter().map(place).collect();
        Ok(interleave(&[older.as_ref(), newer.as_ref()], &places)?)
    }
}
