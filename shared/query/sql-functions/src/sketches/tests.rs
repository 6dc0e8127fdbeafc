//! Tests of the functions in SQL, and properties of sketches.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::distinct::DistinctSketch;
use super::percentile::PercentileSketch;
use super::{Sketch, from_text, to_text};
use crate::testing::{error, register_table, session, table};

/// 10,000 rows: `n` from 0, `g` in 0..10, `v` from -1,000 to 8,999 in another order, `s` in "0".."3332".
fn numbers() -> SessionContext {
    let count = 10_000_i64;
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    let group = Int64Array::from_iter_values((0..count).map(|n| n % 10));
    // Small numbers.
    let value = |n: i64| (n * 7_919 % count - 1_000) as f64;
    let values = Float64Array::from_iter_values((0..count).map(value));
    let texts = StringArray::from_iter_values((0..count).map(|n| (n % 3_333).to_string()));
    let batch = RecordBatch::try_from_iter([
        ("n", n),
        ("g", Arc::new(group) as ArrayRef),
        ("v", Arc::new(values) as ArrayRef),
        ("s", Arc::new(texts) as ArrayRef),
    ]);
    let session = session();
    register_table(&session, "numbers", &[batch.unwrap()]);
    session
}

#[tokio::test]
async fn combined_states_have_the_estimates_of_all_values() {
    let session = numbers();
    let estimates = "
        round(approx_percentile_estimate(p, 0.0)) AS p0, round(approx_percentile_estimate(p, 0.05)) AS p5,
        round(approx_percentile_estimate(p, 0.5)) AS p50, round(approx_percentile_estimate(p, 0.99)) AS p99,
        hll_estimate(numbers) AS numbers, hll_estimate(texts) AS texts, hll_estimate(groups) AS groups";
    let states = "approx_percentile_accumulate(v) AS p, hll_accumulate(v) AS numbers, hll_accumulate(s) AS texts, \
                  hll_accumulate(g) AS groups FROM numbers";
    let direct = table(&session, &format!("SELECT {estimates} FROM (SELECT {states})")).await;
    let combined = format!(
        "SELECT {estimates} FROM (SELECT approx_percentile_combine(p) AS p, hll_combine(numbers) AS numbers, \
         hll_combine(texts) AS texts, hll_combine(groups) AS groups FROM (SELECT g, {states} GROUP BY g))"
    );
    assert_eq!(table(&session, &combined).await, direct);
    insta::assert_snapshot!(direct, @"
    | p0      | p5     | p50    | p99    | numbers | texts | groups |
    | -1002.0 | -498.0 | 3985.0 | 8868.0 | 10124   | 3268  | 10     |
    ");
}

#[tokio::test]
async fn a_state_of_no_values_is_null() {
    insta::assert_snapshot!(table(&numbers(), "
        SELECT approx_percentile_accumulate(v) AS p, hll_accumulate(s) AS d, hll_combine(s) AS c,
               approx_percentile_estimate(approx_percentile_accumulate(v), 0.5) AS e,
               hll_estimate(hll_accumulate(NULL)) AS n
        FROM numbers WHERE n < 0").await, @"
    | p | d | c | e | n |
    |   |   |   |   |   |
    ");
}

#[tokio::test]
async fn wrong_arguments_are_errors() {
    let session = numbers();
    for sql in [
        "SELECT approx_percentile_accumulate(s) FROM numbers",
        "SELECT approx_percentile_combine(v) FROM numbers",
        "SELECT hll_combine(s) FROM numbers",
        "SELECT hll_accumulate(v, v) FROM numbers",
        "SELECT approx_percentile_estimate('AAAA') FROM numbers",
        "SELECT approx_percentile_estimate('AAAA', 0.5)",
        "SELECT hll_estimate(n) FROM numbers",
        "SELECT approx_percentile_estimate(approx_percentile_accumulate(v), 95) FROM numbers",
    ] {
        let error = error(&session, sql).await;
        let words = ["state", "argument", "type", "number from 0 to 1"];
        assert!(words.iter().any(|word| error.contains(word)), "{sql}: {error}");
    }
}

fn sketch_of<S: Sketch>(values: &[f64]) -> S {
    let mut sketch = S::default();
    let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    sketch.add(&values).unwrap();
    sketch
}

/// Checks that the state of values does not depend on how they are divided and ordered.
fn assert_mergeable<S: Sketch>(values: &[f64], parts: usize) {
    let whole = to_text(&sketch_of::<S>(values));
    let mut merged = S::default();
    for part in values.chunks(values.len().div_ceil(parts).max(1)).rev() {
        let text = to_text(&sketch_of::<S>(part));
        merged.merge(&from_text(&text).unwrap());
    }
    assert_eq!(to_text(&merged), whole);
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -1e6..1e6,
        (-300i32..300).prop_map(|power| 10_f64.powi(power)),
        Just(0.0),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]
    #[test]
    fn states_depend_on_the_values_only(
        values in proptest::collection::vec(any_number(), 0..1_500), parts in 1usize..9,
    ) {
        assert_mergeable::<PercentileSketch>(&values, parts);
        assert_mergeable::<DistinctSketch>(&values, parts);
    }

    #[test]
    fn percentiles_differ_by_at_most_one_percent(
        mut values in proptest::collection::vec(-1e6..1e6, 1..500), share in 0.0..=1.0,
    ) {
        let estimate = sketch_of::<PercentileSketch>(&values).estimate(share).unwrap();
        values.sort_by(f64::total_cmp);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let exact = values[(share * (values.len() - 1) as f64) as usize];
        prop_assert!((estimate - exact).abs() <= exact.abs() * 0.010_001, "{estimate} {exact}");
    }

    #[test]
    fn any_bytes_are_a_state_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Some(sketch) = PercentileSketch::decode(&bytes) {
            sketch.estimate(0.5);
            prop_assert_eq!(PercentileSketch::decode(&sketch.encode()), Some(sketch));
        }
        if let Some(sketch) = DistinctSketch::decode(&bytes) {
            sketch.estimate();
            prop_assert_eq!(DistinctSketch::decode(&sketch.encode()), Some(sketch));
        }
    }
}

#[test]
fn distinct_counts_differ_by_a_few_percent() {
    for count in [1_u32, 10, 100, 1_000, 10_000, 100_000] {
        let values: Vec<f64> = (0..count).chain(0..count / 2).map(f64::from).collect();
        let distinct: BTreeSet<u64> = values.iter().map(|value| value.to_bits()).collect();
        let estimate = sketch_of::<DistinctSketch>(&values).estimate();
        let error = estimate.abs_diff(distinct.len() as u64);
        assert!(error * 20 <= u64::from(count), "{count}: {estimate}");
    }
}

#[test]
fn the_highest_and_lowest_numbers_have_buckets() {
    let values = [f64::MAX, f64::MIN_POSITIVE, 5e-324, -f64::MAX, f64::INFINITY, f64::NAN];
    let sketch: PercentileSketch = sketch_of(&values);
    let estimates = [0.0, 0.4, 0.7, 1.0].map(|share| sketch.estimate(share).unwrap());
    assert!(estimates[0] < -1e308 && estimates[0].is_finite(), "{estimates:?}");
    // 5e-324 is counted as 0.
    assert!(estimates[1].abs() < f64::MIN_POSITIVE, "{estimates:?}");
    assert!(estimates[2] < 1e300, "{estimates:?}");
    assert!(estimates[3] > 1e308, "{estimates:?}");
}
