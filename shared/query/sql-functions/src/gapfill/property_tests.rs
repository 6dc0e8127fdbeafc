//! Property tests: gap filling against a slow and simple reference implementation, for random tables and ranges.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimestampNanosecondType};
use datafusion::prelude::{SessionConfig, SessionContext};
use neap_test_inputs::cases;
use proptest::prelude::*;

use crate::testing::{register_table, rows, session_with, time_column, time_field};

/// Registers a table `points(time, series, value)` with these rows, spread over two partitions.
fn points(session: &SessionContext, points: &[(i64, u8, Option<i32>)]) {
    let schema = Arc::new(Schema::new(vec![
        time_field(),
        Field::new("series", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
    ]));
    let batch = |points: &[(i64, u8, Option<i32>)]| {
        let name = |series: u8| (series > 0).then(|| format!("s{series}"));
        let columns: Vec<ArrayRef> = vec![
            time_column(points.iter().map(|(time, ..)| *time)),
            Arc::new(points.iter().map(|(_, series, _)| name(*series)).collect::<StringArray>()),
            Arc::new(
                points.iter().map(|(.., value)| value.map(f64::from)).collect::<Float64Array>(),
            ),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    let (a, b) = points.split_at(points.len() / 2);
    register_table(session, "points", &[batch(a), batch(b)]);
}

/// One output row: count, average, locf and interpolated average.
type FilledRow = (i64, Option<f64>, Option<f64>, Option<f64>);

async fn filled(
    session: &SessionContext,
    stride: i64,
    lower: i64,
    upper: i64,
) -> BTreeMap<(Option<String>, i64), FilledRow> {
    let sql = format!("
        SELECT date_bin_gapfill(INTERVAL '{stride} nanoseconds', time) AS t, series, count(value) AS n,
               avg(value) AS raw, locf(avg(value)) AS last, interpolate(avg(value)) AS line
        FROM points WHERE time >= to_timestamp({lower}) AND time < to_timestamp({upper}) GROUP BY t, series");
    let mut result = BTreeMap::new();
    for batch in rows(session, &sql).await {
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let series = batch.column(1).as_string::<i32>();
        let counts = batch.column(2).as_primitive::<Int64Type>();
        let float = |column: usize, row: usize| {
            let values = batch.column(column).as_primitive::<Float64Type>();
            values.is_valid(row).then(|| values.value(row))
        };
        for row in 0..batch.num_rows() {
            let key =
                (series.is_valid(row).then(|| series.value(row).to_owned()), times.value(row));
            let value = (counts.value(row), float(3, row), float(4, row), float(5, row));
            assert!(result.insert(key, value).is_none(), "a bin occurs twice");
        }
    }
    result
}

/// The reference implementation of gap filling.
fn expected(
    points: &[(i64, u8, Option<i32>)],
    stride: i64,
    lower: i64,
    upper: i64,
) -> BTreeMap<(Option<String>, i64), FilledRow> {
    let mut series: BTreeMap<Option<String>, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
    for (time, name, value) in points.iter().filter(|(time, ..)| (lower..upper).contains(time)) {
        let bins = series.entry((*name > 0).then(|| format!("s{name}"))).or_default();
        let values = bins.entry(time.div_euclid(stride) * stride).or_default();
        values.extend(value.map(f64::from));
    }
    let mut result = BTreeMap::new();
    for (name, bins) in series {
        let averages: BTreeMap<i64, f64> = bins
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(bin, values)| (*bin, values.iter().sum::<f64>() / values.len() as f64))
            .collect();
        let mut bin = lower.div_euclid(stride) * stride;
        while bin < upper {
            let count = bins.get(&bin).map_or(0, |values| i64::try_from(values.len()).unwrap());
            let before = averages.range(..=bin).next_back();
            let after = averages.range(bin..).next();
            let line = before.zip(after).map(|((t0, v0), (t1, v1))| match t1 - t0 {
                0 => *v0,
                span => v0 + (v1 - v0) * ((bin - t0) as f64 / span as f64),
            });
            let row = (count, averages.get(&bin).copied(), before.map(|(_, value)| *value), line);
            result.insert((name.clone(), bin), row);
            bin += stride;
        }
    }
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]
    /// The output contains every bin for every group with data, with the expected values.
    #[test]
    fn output_is_groups_times_bins(
        rows in prop::collection::vec((-100i64..400, 0u8..4, prop::option::weighted(0.8, -50i32..50)), 0..60),
        stride in 1i64..60,
        lower in -120i64..100,
        length in 0i64..300,
        batch_size in 1usize..40,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let session = session_with(SessionConfig::new().with_target_partitions(2).with_batch_size(batch_size));
        points(&session, &rows);
        let found = runtime.block_on(filled(&session, stride, lower, lower + length));
        let expected = expected(&rows, stride, lower, lower + length);
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            (a, b) => a == b,
        };
        for (key, (count, raw, last, line)) in &expected {
            let row = &found[key];
            prop_assert!(row.0 == *count && close(row.1, *raw) && close(row.2, *last) && close(row.3, *line),
                "{:?}: {:?} instead of {:?}", key, row, expected[key]);
        }
    }
}
