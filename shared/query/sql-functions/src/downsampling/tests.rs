//! Tests of the functions in SQL, of the algorithms against vectors and slow references, and of parts in any order.

use std::f64::consts::PI;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampNanosecondType};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Accumulator;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::accumulator::SeriesAccumulator;
use super::lttb::lttb;
use super::method::{Downsampling, DownsamplingKind};
use super::series::Point;
use crate::testing::{error, session, table};

const HOUR: i64 = 3_600_000_000_000;

fn points(pairs: &[(i64, f64)]) -> Vec<Point> {
    pairs.iter().map(|(time, value)| Point { time: *time, value: *value }).collect()
}

fn downsampling(
    kind: DownsamplingKind,
    max_points: usize,
    bounds: Option<RangeInclusive<i64>>,
) -> Downsampling {
    Downsampling { kind, max_points, bounds }
}

/// Returns an accumulator with points; a time or a value may be missing.
fn filled<T: Into<Option<i64>> + Copy, V: Into<Option<f64>> + Copy>(
    method: &Downsampling,
    pairs: &[(T, V)],
) -> SeriesAccumulator {
    let time_type = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let mut accumulator = SeriesAccumulator::new(method.clone(), time_type);
    for batch in pairs.chunks(1_000) {
        let times: Vec<Option<i64>> = batch.iter().map(|(time, _)| (*time).into()).collect();
        let values: Vec<Option<f64>> = batch.iter().map(|(_, value)| (*value).into()).collect();
        let columns: [ArrayRef; 2] = [
            Arc::new(TimestampNanosecondArray::from(times)),
            Arc::new(Float64Array::from(values)),
        ];
        accumulator.update_batch(&columns).unwrap();
    }
    accumulator
}

fn result(accumulator: &mut SeriesAccumulator) -> Vec<Point> {
    let ScalarValue::List(list) = accumulator.evaluate().unwrap() else {
        panic!("no list");
    };
    let mut result = Vec::new();
    for points in list.iter().flatten() {
        let times = points.as_struct().column(0).as_primitive::<TimestampNanosecondType>();
        let values = points.as_struct().column(1).as_primitive::<Float64Type>();
        let pairs = times.values().iter().zip(values.values());
        result.extend(pairs.map(|(time, value)| Point { time: *time, value: *value }));
    }
    result
}

/// Computed by hand. Of the second bucket, the triangles of (2, 10), (5, 0) with (3, -5) and (4, 8) have twice the areas 35 and 14.
#[test]
fn lttb_keeps_the_ends_and_the_largest_triangles() {
    let series = points(&[(1, 0.0), (2, 10.0), (3, -5.0), (4, 8.0), (5, 0.0)]);
    let expected = points(&[(1, 0.0), (2, 10.0), (3, -5.0), (5, 0.0)]);
    assert_eq!(lttb(&series, 4), expected);
    assert_eq!(lttb(&series, 2), points(&[(1, 0.0), (5, 0.0)]));
    assert_eq!(lttb(&series, 5), series);
}

/// The hours are those that TimescaleDB's documentation has for this series.
#[test]
fn lttb_keeps_the_points_that_timescaledb_keeps() {
    let value = |hour: i64| 5.0 + 5.0 * (hour as f64 / 24.0 * PI).sin();
    let series: Vec<(i64, f64)> = (1..169).map(|hour| (hour * HOUR, value(hour))).collect();
    let hours: Vec<i64> = lttb(&points(&series), 8).iter().map(|point| point.time / HOUR).collect();
    assert_eq!(hours, [1, 13, 35, 59, 85, 112, 140, 168]);
}

#[tokio::test]
async fn each_group_of_several_partitions_is_a_series() {
    let of = |call: &str| {
        format!(
            "SELECT room, p['time'] AS time, p['value'] AS temp FROM \
             (SELECT room, unnest({call}) AS p FROM home GROUP BY room) ORDER BY room, time"
        )
    };
    insta::assert_snapshot!(table(&session(), &of("lttb(time, temp, 4)")).await, @r"
    | room        | time                | temp |
    | Kitchen     | 2024-01-01T08:00:00 | 21.0 |
    | Kitchen     | 2024-01-01T09:00:00 | 23.0 |
    | Kitchen     | 2024-01-01T18:00:00 | 23.3 |
    | Kitchen     | 2024-01-01T20:00:00 | 22.7 |
    | Living Room | 2024-01-01T08:00:00 | 21.1 |
    | Living Room | 2024-01-01T11:00:00 | 22.2 |
    | Living Room | 2024-01-01T18:00:00 | 22.8 |
    | Living Room | 2024-01-01T20:00:00 | 22.2 |
    ");
    insta::assert_snapshot!(table(&session(), &of("m4(time, temp, 8)")).await, @r"
    | room        | time                | temp |
    | Kitchen     | 2024-01-01T08:00:00 | 21.0 |
    | Kitchen     | 2024-01-01T09:00:00 | 23.0 |
    | Kitchen     | 2024-01-01T13:00:00 | 22.8 |
    | Kitchen     | 2024-01-01T14:00:00 | 22.8 |
    | Kitchen     | 2024-01-01T16:00:00 | 22.4 |
    | Kitchen     | 2024-01-01T18:00:00 | 23.3 |
    | Kitchen     | 2024-01-01T20:00:00 | 22.7 |
    | Living Room | 2024-01-01T08:00:00 | 21.1 |
    | Living Room | 2024-01-01T13:00:00 | 22.4 |
    | Living Room | 2024-01-01T14:00:00 | 22.3 |
    | Living Room | 2024-01-01T18:00:00 | 22.8 |
    | Living Room | 2024-01-01T20:00:00 | 22.2 |
    ");
}

#[tokio::test]
async fn m4_divides_a_range_that_includes_its_ends() {
    insta::assert_snapshot!(table(&session(), "
        SELECT p['time'] AS time, p['value'] AS temp FROM (
            SELECT unnest(m4(time, temp, 4, '2024-01-01T09:00:00Z', '2024-01-01T12:00:00Z')) AS p
            FROM home WHERE room = 'Kitchen') ORDER BY time").await, @r"
    | time                | temp |
    | 2024-01-01T09:00:00 | 23.0 |
    | 2024-01-01T11:00:00 | 22.4 |
    | 2024-01-01T12:00:00 | 22.5 |
    ");
}

#[tokio::test]
async fn placeholders_are_arguments() {
    let sql = "SELECT array_length(m4(time, temp, $points, $from, $to)) AS n FROM home WHERE room = 'Kitchen'";
    let values = vec![
        ("points", ScalarValue::Int64(Some(4))),
        ("from", ScalarValue::Utf8(Some("2024-01-01T09:00:00Z".to_owned()))),
        ("to", ScalarValue::Utf8(Some("2024-01-01T12:00:00Z".to_owned()))),
    ];
    let frame = session().sql(sql).await.unwrap().with_param_values(values).unwrap();
    let rows = frame.collect().await.unwrap();
    let lengths = rows[0].column(0);
    assert_eq!(ScalarValue::try_from_array(lengths, 0).unwrap(), ScalarValue::UInt64(Some(3)));
}

#[tokio::test]
async fn times_keep_their_zone_and_no_points_are_null() {
    insta::assert_snapshot!(table(&session(), "
        SELECT lttb(tz(time, 'Europe/Berlin'), temp, 2)[1]['time'] AS first,
               lttb(time, temp, 2) FILTER (WHERE co > 100) IS NULL AS none FROM home").await, @r"
    | first                     | none |
    | 2024-01-01T09:00:00+01:00 | true |
    ");
}

#[tokio::test]
async fn other_arguments_are_refused() {
    let session = session();
    let pairs = "
        lttb(time, temp, 1) ==> which is at least 2
        m4(time, temp, 3) ==> at least 4, and optionally the first and the last time
        m4(time, temp, -4) ==> at least 4
        m4(time, temp, NULL) ==> at least 4
        m4(time, temp, 4, '2024-01-02T00:00:00Z', '2024-01-01T00:00:00Z') ==> in this order
        m4(time, temp, 4, '2024-01-02T00:00:00Z') ==> in this order
        lttb(time, temp, 4, '2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z') ==> lttb takes a time
        lttb(temp, time, 4) ==> lttb takes a time
        lttb(time, room, 4) ==> lttb takes a time
        lttb(time, temp) ==> lttb takes a time
        lttb(time, temp, co) ==> must be constants
    ";
    for (call, reason) in neap_test_inputs::text_pairs(pairs) {
        let refusal = error(&session, &format!("SELECT {call} FROM home")).await;
        assert!(refusal.contains(reason), "{call}: {refusal}");
    }
}

#[test]
fn rows_without_a_time_or_a_finite_value_are_ignored() {
    for kind in DownsamplingKind::ALL {
        let pairs = [
            (Some(1_i64), None),
            (None, Some(1.0)),
            (Some(2), Some(f64::NAN)),
            (Some(3), Some(f64::INFINITY)),
            (Some(4), Some(2.0)),
        ];
        let mut accumulator = filled(&downsampling(kind, 4, None), &pairs);
        assert_eq!(result(&mut accumulator), points(&[(4, 2.0)]));
    }
}

#[test]
fn m4_over_a_known_range_holds_little_more_than_its_result() {
    let pairs: Vec<(i64, f64)> =
        (0..100_000).map(|n| (n * 7_919 % 100_000, (n % 1_013) as f64)).collect();
    let bounded = downsampling(DownsamplingKind::M4, 40, Some(0..=99_999));
    let unbounded = downsampling(DownsamplingKind::M4, 40, None);
    let (mut few, mut all) = (filled(&bounded, &pairs), filled(&unbounded, &pairs));
    assert!(few.size() < 100_000, "{}", few.size());
    assert!(all.size() >= 100_000 * size_of::<Point>(), "{}", all.size());
    assert_eq!(result(&mut few), result(&mut all));
}

/// A series whose times and values repeat, as `(time, value)`.
fn series() -> impl Strategy<Value = Vec<(i64, f64)>> {
    prop::collection::vec((-50_i64..50, (-9_i32..9).prop_map(f64::from)), 1..200)
}

fn bounds() -> impl Strategy<Value = Option<RangeInclusive<i64>>> {
    prop::option::of((-60_i64..0, 0_i64..60).prop_map(|(start, end)| start..=end))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn m4_keeps_the_extremes_of_each_bucket(pairs in series(), buckets in 1_i64..20, bounds in bounds()) {
        let max_points = usize::try_from(buckets * 4).unwrap();
        let method = downsampling(DownsamplingKind::M4, max_points, bounds.clone());
        let found = result(&mut filled(&method, &pairs));
        prop_assert!(found.len() <= max_points);
        let first = pairs.iter().map(|(time, _)| *time).min().unwrap();
        let last = pairs.iter().map(|(time, _)| *time).max().unwrap();
        let range = bounds.unwrap_or(first..=last);
        let (start, length) = (*range.start(), (range.end() - range.start()).max(1));
        for bucket in 0..buckets {
            let is_inside = |point: &Point| {
                let place = ((point.time - start) * buckets / length).min(buckets - 1);
                range.contains(&point.time) && place == bucket
            };
            let mut all = points(&pairs);
            all.retain(is_inside);
            let mut kept = found.clone();
            kept.retain(is_inside);
            prop_assert!(kept.len() <= 4);
            prop_assert!(kept.iter().all(|point| all.contains(point)));
            prop_assert!(kept.is_sorted_by_key(|point| point.time));
            prop_assert_eq!(extremes(&kept), extremes(&all));
        }
    }

    #[test]
    fn the_order_and_the_parts_of_the_points_do_not_matter(
        (pairs, shuffled) in series().prop_flat_map(|pairs| (Just(pairs.clone()), Just(pairs).prop_shuffle())),
        part in 1_usize..50,
        max_points in 4_usize..60,
        bounds in bounds(),
    ) {
        for kind in DownsamplingKind::ALL {
            let method = downsampling(kind, max_points, bounds.clone().filter(|_| kind == DownsamplingKind::M4));
            let mut merged = filled::<i64, f64>(&method, &[]);
            for pairs_of_part in shuffled.chunks(part) {
                let state = filled(&method, pairs_of_part).state().unwrap();
                let columns: Vec<ArrayRef> = state.iter().map(|value| value.to_array().unwrap()).collect();
                merged.merge_batch(&columns).unwrap();
            }
            prop_assert_eq!(result(&mut merged), result(&mut filled(&method, &pairs)));
        }
    }
}

/// The values by which points are sorted, the first one of most weight.
type SortKey = fn(&Point) -> (f64, f64);

/// Returns the first, the last, the lowest and the highest of points in any order. Of equal values, it is the earliest one.
fn extremes(points: &[Point]) -> [Option<Point>; 4] {
    let orders: [SortKey; 4] = [
        |point| (point.time as f64, point.value),
        |point| (-point.time as f64, -point.value),
        |point| (point.value, point.time as f64),
        |point| (-point.value, point.time as f64),
    ];
    orders.map(|order| {
        let compare = |left: &&Point, right: &&Point| order(left).partial_cmp(&order(right));
        points.iter().min_by(|left, right| compare(left, right).unwrap()).copied()
    })
}
