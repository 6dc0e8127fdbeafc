//! Property tests: `ASOF JOIN` against nested loops, for random tables.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
    },
    datatypes::{DataType, Field, Int64Type, Schema, TimeUnit},
};
use datafusion::prelude::{SessionConfig, SessionContext};
use neap_test_inputs::cases;
use proptest::prelude::*;

use crate::testing::{register_table, rows, session_with};

/// A row: its key, its time in seconds. Its id is its place.
type Point = (Option<u8>, Option<i64>);

const SECOND: i64 = 1_000_000_000;

fn register(session: &SessionContext, name: &str, points: &[Point], parts: usize) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("k", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, None), true),
    ]));
    let ids: Vec<i64> = (0..).take(points.len()).collect();
    let size = points.len().div_ceil(parts).max(1);
    let batch = |(ids, points): (&[i64], &[Point])| {
        let keys = points.iter().map(|(key, _)| key.map(|key| format!("k{key}")));
        let times = points.iter().map(|(_, time)| time.map(|time| time * SECOND));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids.to_vec())),
            Arc::new(keys.collect::<StringArray>()),
            Arc::new(times.collect::<TimestampNanosecondArray>()),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    let mut batches: Vec<_> = ids.chunks(size).zip(points.chunks(size)).map(batch).collect();
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(Arc::clone(&schema)));
    }
    register_table(session, name, &batches);
}

#[derive(Clone, Copy, Debug)]
struct RandomJoin {
    operator: &'static str,
    has_key: bool,
    keeps_unmatched: bool,
    tolerance: Option<i64>,
}

impl RandomJoin {
    fn sql(self) -> String {
        let kind = if self.keeps_unmatched {
            "LEFT"
        } else {
            "INNER"
        };
        let key = if self.has_key { "l.k = r.k AND " } else { "" };
        let tolerance = self.tolerance.map(|seconds| format!("TOLERANCE {seconds}s"));
        format!(
            "SELECT l.id, r.id FROM l ASOF {kind} JOIN r ON {key}l.ts {} r.ts {}",
            self.operator,
            tolerance.unwrap_or_default()
        )
    }

    /// Whether a row of the right table is before, or after, one of the left table as the operator demands.
    fn is_candidate(self, left: Point, right: Point) -> bool {
        let (Some(at), Some(time)) = (left.1, right.1) else {
            return false;
        };
        let is_equal = !self.has_key || (left.0.is_some() && left.0 == right.0);
        is_equal
            && match self.operator {
                ">=" => at >= time,
                ">" => at > time,
                "<=" => at <= time,
                _ => at < time,
            }
    }

    /// Returns the ids of the right rows, any of which may match a left row.
    fn matches(self, left: Point, right: &[Point]) -> Vec<i64> {
        let distance = |point: Point| (left.1.unwrap() - point.1.unwrap()).abs();
        let candidates = (0..).zip(right).filter(|(_, point)| self.is_candidate(left, **point));
        let nearest = candidates.clone().map(|(_, point)| distance(*point)).min();
        candidates
            .filter(|(_, point)| {
                let apart = distance(**point);
                Some(apart) == nearest && self.tolerance.is_none_or(|limit| apart <= limit)
            })
            .map(|(id, _)| id)
            .collect()
    }
}

/// Returns the match of each left row that is part of the answer.
async fn answer(session: &SessionContext, join: RandomJoin) -> BTreeMap<i64, Option<i64>> {
    let mut found = BTreeMap::new();
    for batch in rows(session, &join.sql()).await {
        let left = batch.column(0).as_primitive::<Int64Type>();
        let right = batch.column(1).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let id = right.is_valid(row).then(|| right.value(row));
            let earlier = found.insert(left.value(row), id);
            assert_eq!(earlier, None, "a row occurs twice");
        }
    }
    found
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    let key = prop::option::weighted(0.9, 0u8..3);
    let time = prop::option::weighted(0.9, 0i64..12);
    prop::collection::vec((key, time), 0..40)
}

fn joins() -> impl Strategy<Value = RandomJoin> {
    let operator = prop::sample::select(vec![">=", ">", "<=", "<"]);
    let tolerance = prop::option::weighted(0.3, 0i64..4);
    let parts = (operator, any::<bool>(), any::<bool>(), tolerance);
    parts.prop_map(|(operator, has_key, keeps_unmatched, tolerance)| RandomJoin {
        operator,
        has_key,
        keeps_unmatched,
        tolerance,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]
    /// Each left row has one of the nearest right rows.
    #[test]
    fn matches_are_those_of_nested_loops(
        left in points(),
        right in points(),
        join in joins(),
        parts in 1usize..4,
        batch_size in 1usize..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let config = SessionConfig::new().with_target_partitions(parts).with_batch_size(batch_size);
        let session = session_with(config);
        register(&session, "l", &left, parts);
        register(&session, "r", &right, 4 - parts);
        let found = runtime.block_on(answer(&session, join));
        for (id, point) in (0..).zip(&left) {
            let allowed = join.matches(*point, &right);
            let expected_row = join.keeps_unmatched || !allowed.is_empty();
            prop_assert_eq!(found.contains_key(&id), expected_row, "{:?} {}", point, id);
            match found.get(&id).copied().flatten() {
                Some(matched) => prop_assert!(allowed.contains(&matched), "{} of {:?}", matched, allowed),
                None => prop_assert!(allowed.is_empty(), "none of {:?}", allowed),
            }
        }
    }
}
