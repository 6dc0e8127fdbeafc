//! Tests that distinct value caches, in any division into layers, match the definition over all rows.

use std::{collections::BTreeMap, time::Duration};

use neap_points::TailImageBuilder;
use neap_row_delete::Condition;
use neap_schema::CacheId;
use proptest::prelude::*;

use crate::{
    CacheError, DistinctCacheQuery, DistinctCacheShape, DistinctTailIndex, DistinctValues,
    DistinctValuesBuilder, decode_distinct, encode_distinct,
    test_model::{
        HistoryPortion, ModelPoints, TAGS, TableHistoryStep, TestFilter, batch, filters, points,
        portions, rendered, scan, schema, tags,
    },
};

fn shape(columns: &[String], max_cardinality: usize) -> DistinctCacheShape {
    DistinctCacheShape::new(columns.to_vec(), max_cardinality, Duration::from_secs(1))
}

/// Returns all combinations and the time at which each was last seen.
fn combinations(
    points: &ModelPoints,
    columns: &[String],
    from: i64,
) -> BTreeMap<Vec<Option<String>>, i64> {
    let mut seen = BTreeMap::new();
    for (tags, time) in points.keys().filter(|(_, time)| *time >= from) {
        let tag = |name: &String| tags[TAGS.iter().position(|tag| tag == name).unwrap()].clone();
        let latest = seen.entry(columns.iter().map(tag).collect()).or_insert(*time);
        *latest = (*latest).max(*time);
    }
    seen
}

/// Computes the expected rows from the definition, with `seen`.
fn expected(
    points: &ModelPoints,
    shape: &DistinctCacheShape,
    filters: &[TestFilter],
    wanted: &DistinctCacheQuery<'_>,
) -> Vec<Vec<Option<String>>> {
    let mut all: Vec<_> = combinations(points, shape.columns(), wanted.from).into_iter().collect();
    all.sort_by_key(|(columns, seen)| (-seen, columns.clone()));
    all.truncate(shape.max_cardinality());
    all.sort();
    let column = |name: &String| shape.columns().iter().position(|column| column == name).unwrap();
    all.retain(|(columns, _)| {
        filters
            .iter()
            .all(|filter| filter.passes(&columns[column(&filter.filter.column)]))
    });
    all.truncate(wanted.limit.unwrap_or(usize::MAX));
    let row = |(mut columns, seen): (Vec<Option<String>>, i64)| {
        columns.push(Some(seen.to_string()));
        wanted.projection.iter().map(|column| columns[*column].clone()).collect()
    };
    all.into_iter().map(row).collect()
}

fn built<'a>(
    shape: &DistinctCacheShape,
    steps: impl Iterator<Item = &'a TableHistoryStep>,
    is_wide: bool,
    from: i64,
    rows_per_batch: usize,
) -> DistinctValues {
    let mut builder = DistinctValuesBuilder::new(shape, from, usize::MAX);
    for batch in scan(steps, is_wide, rows_per_batch) {
        builder.push(&batch).unwrap();
        if rows_per_batch.is_multiple_of(2) {
            builder.clear().unwrap();
        }
    }
    builder.finish().unwrap()
}

fn tail(
    shape: &DistinctCacheShape,
    portion: &HistoryPortion,
    updates: u8,
) -> (TailImageBuilder, DistinctTailIndex) {
    let mut tail = TailImageBuilder::new(&tags(portion.is_wide), schema(portion.is_wide));
    let mut index = DistinctTailIndex::new(shape);
    for (at, step) in portion.steps.iter().enumerate() {
        match step {
            TableHistoryStep::Write(rows) => tail.push(&batch(rows)).unwrap(),
            TableHistoryStep::Delete(condition) => tail.delete(condition).unwrap(),
        }
        if updates >> (at % 8) & 1 == 1 {
            index.update(&tail).unwrap();
            let values = index.values(&tail, i64::MIN).unwrap();
            let expected =
                combinations(&points(portion.steps[..=at].iter()), shape.columns(), i64::MIN);
            assert_eq!(values.len(), expected.len().min(shape.max_cardinality()));
        }
    }
    index.update(&tail).unwrap();
    (tail, index)
}

fn deletes(portion: &HistoryPortion) -> Vec<&Condition> {
    let deletes = portion.steps.iter().filter_map(|step| match step {
        TableHistoryStep::Delete(condition) => Some(condition),
        TableHistoryStep::Write(_) => None,
    });
    deletes.collect()
}

fn cases() -> impl Strategy<Value = (Vec<String>, Vec<HistoryPortion>, Vec<TestFilter>)> {
    let columns = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let columns = proptest::sample::select(vec![
        (columns(&["host"]), false),
        (columns(&["zone", "host"]), false),
        (columns(&["host", "zone"]), false),
        (columns(&["az", "host"]), true),
        (columns(&["host", "az", "zone"]), true),
    ]);
    (columns, portions()).prop_flat_map(|((columns, all_wide), mut portions)| {
        for portion in &mut portions {
            portion.is_wide |= all_wide;
        }
        (Just(columns.clone()), Just(portions), filters(columns))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(1500)))]

    #[test]
    fn layers_in_any_division_match_the_definition_over_all_rows(
        (columns, portions, filters) in cases(),
        max_cardinality in prop_oneof![1..6_usize, Just(100)],
        (rows_per_batch, updates, by_object) in (1..8_usize, any::<u8>(), any::<u8>()),
        later in 0..3_i64,
        limit in proptest::option::of(0..4_usize),
    ) {
        let steps = |end: usize| portions[..end].iter().flat_map(|portion| &portion.steps);
        let shape = shape(&columns, max_cardinality);
        let Some((newest, flushed)) = portions.split_last() else { return Ok(()) };
        let mut base: Option<DistinctValues> = None;
        for (at, portion) in flushed.iter().enumerate() {
            let (tail, index) = tail(&shape, portion, updates);
            let scanned = || built(&shape, steps(at + 1), portion.is_wide, portion.from, rows_per_batch);
            let without = base.as_ref().map(|base| base.without(&shape, &deletes(portion), Some(portion.from)));
            let next = match without {
                None | Some(Err(CacheError::Incomplete)) => scanned(),
                Some(base) => {
                    let values = index.values(&tail, portion.from).unwrap();
                    base.unwrap().merged(&shape, &values, portion.from).unwrap()
                }
            };
            prop_assert_eq!(next.complete_from(), portion.from);
            base = Some(next);
            if by_object >> (at % 8) & 1 == 1 {
                let cache = CacheId::new(7);
                let object = encode_distinct(cache, 1, base.as_ref().unwrap()).unwrap();
                base = Some(decode_distinct(cache, "k", &object, &shape).unwrap());
            }
        }

        let base = base.unwrap();
        let base = match base.without(&shape, &deletes(newest), None) {
            Err(CacheError::Incomplete) => {
                let deletes = newest.steps.iter().filter(|step| matches!(step, TableHistoryStep::Delete(_)));
                let history = steps(flushed.len()).chain(deletes);
                built(&shape, history, newest.is_wide, base.complete_from(), rows_per_batch)
            }
            base => base.unwrap(),
        };
        let from = newest.from + later;
        let (tail, index) = tail(&shape, newest, updates);
        let newer = index.values(&tail, from).unwrap();
        let key_filters: Vec<_> = filters.iter().map(|filter| filter.filter.clone()).collect();
        let projection: Vec<usize> = (0..=columns.len()).rev().collect();
        let wanted = DistinctCacheQuery {
            filters: &key_filters,
            from,
            limit,
            projection: &projection,
        };
        let all = points(steps(portions.len()));
        let found = base.select(&shape, Some(&newer), &wanted).unwrap();
        prop_assert_eq!(rendered(&found), expected(&all, &shape, &filters, &wanted));
        if base.is_complete(&shape, Some(&newer), from).unwrap() {
            prop_assert!(combinations(&all, &columns, from).len() <= max_cardinality);
        }
    }
}
