//! Merges two layers of a distinct value cache.

use std::cmp::Ordering;

use super::values::{ValueCombinations, newest};
use crate::{
    CacheError, DistinctCacheShape, DistinctValues,
    dictionary_union::{CodedRows, unify},
    layer_selection::LayerSelection,
};

impl DistinctValues {
    /// Merges this layer with a layer of later writes. Keeps the combinations that were last seen at or after `from`,
    /// at most as many as the cache holds.
    ///
    /// # Errors
    /// The layers do not have this shape.
    pub fn merged(
        &self,
        shape: &DistinctCacheShape,
        newer: &Self,
        from: i64,
    ) -> Result<Self, CacheError> {
        let from = from.max(self.complete_from()).max(newer.complete_from());
        let all = (LayerSelection::all(self.len()), LayerSelection::all(newer.len()));
        let union = union((self, &all.0), (newer, &all.1))?;
        Self::newest(shape, union, from)
    }

    /// Whether the layers have all combinations that were seen at or after `from`. If not, the cache may have had no
    /// room for some.
    ///
    /// # Errors
    /// The layers do not have this shape.
    pub fn is_complete(
        &self,
        shape: &DistinctCacheShape,
        newer: Option<&Self>,
        from: i64,
    ) -> Result<bool, CacheError> {
        // A full layer keeps the most recently seen combinations. Therefore, as long as it has room for one that is too
        // old, it dropped no other.
        let limit = shape.max_cardinality();
        let others = newer.map_or(0, Self::len);
        if self.len() + others < limit {
            return Ok(true);
        }
        let none = Self::empty(shape, from);
        let newer = newer.unwrap_or(&none);
        let all = (LayerSelection::all(self.len()), LayerSelection::all(newer.len()));
        let union = union((self, &all.0), (newer, &all.1))?;
        Ok(newest(&union.seen, from, limit).len() < limit)
    }
}

/// Merges some combinations of two layers.
pub(super) fn union(
    (older, older_rows): (&DistinctValues, &LayerSelection),
    (newer, newer_rows): (&DistinctValues, &LayerSelection),
) -> Result<ValueCombinations, CacheError> {
    let mut one = coded(older, older_rows)?;
    let mut other = coded(newer, newer_rows)?;
    let values = unify(&mut one, &mut other);
    let (seen, newer_seen) = (seen(older, older_rows)?, seen(newer, newer_rows)?);
    let mut union = ValueCombinations {
        codes: vec![Vec::with_capacity(seen.len() + newer_seen.len()); values.len()],
        values,
        seen: Vec::with_capacity(seen.len() + newer_seen.len()),
    };
    let (mut at, mut newer_at) = (0, 0);
    while at < seen.len() || newer_at < newer_seen.len() {
        let order = if at == seen.len() {
            Ordering::Greater
        } else if newer_at == newer_seen.len() {
            Ordering::Less
        } else {
            let columns = one.codes.iter().zip(&other.codes);
            columns
                .map(|(codes, others)| codes.get(at).cmp(&others.get(newer_at)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        let (side, place) = if order.is_le() {
            (&one, at)
        } else {
            (&other, newer_at)
        };
        for (out, codes) in union.codes.iter_mut().zip(&side.codes) {
            out.extend(codes.get(place));
        }
        let times = [
            seen.get(at).filter(|_| order.is_le()),
            newer_seen.get(newer_at).filter(|_| order.is_ge()),
        ];
        union.seen.extend(times.into_iter().flatten().max());
        at += usize::from(order.is_le());
        newer_at += usize::from(order.is_ge());
    }
    Ok(union)
}

fn coded(layer: &DistinctValues, rows: &LayerSelection) -> Result<CodedRows, CacheError> {
    let rows = rows.rows();
    let mut coded = CodedRows::default();
    for column in layer.columns()? {
        let (codes, values) = column.selected(rows.iter().copied())?;
        coded.codes.push(codes);
        coded.values.push(values);
    }
    Ok(coded)
}

fn seen(layer: &DistinctValues, rows: &LayerSelection) -> Result<Vec<i64>, CacheError> {
    let seen = layer.seen()?;
    Ok(rows.iter().filter_map(|row| seen.get(row).copied()).collect())
}
