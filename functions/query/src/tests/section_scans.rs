//! Queries of some series select row groups and pages of sections by their footers, and answer as queries that read all rows.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use neap_bucket::{CallHook, CallPhase, KeyClass, Operation, StoreCall};
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::{
    QueryTestInstance,
    instance::{TestDeleter, hooked_store},
};
use crate::QuerySettings;

/// The time of minute 0, in nanoseconds: 2023-11-14T22:13:20.
const FIRST: i64 = 1_700_000_000_000_000_000;

/// A point: host, zone, minute, and the values of `v` and `w`.
type Point = (u8, Option<u8>, i64, u8, Option<u8>);

/// A request, or what happens between requests.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Point>),
    Flush,
    Merge,
    /// Deletes the rows of a host from a minute on.
    Delete(u8, i64),
}

fn lines(points: &[Point]) -> String {
    let line = |(host, zone, minute, v, w): &Point| {
        let zone = zone.map_or_else(String::new, |zone| format!(",zone=z{zone}"));
        let w = w.map_or_else(String::new, |w| format!(",w={w}i"));
        let time = FIRST + minute * 60_000_000_000;
        format!("t,host=h{host}{zone} v={v}i{w} {time}\n")
    };
    points.iter().map(line).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let zone = || proptest::option::weighted(0.8, 0..3u8);
    let w = || proptest::option::weighted(0.3, any::<u8>());
    // Two days.
    let point = (0..6u8, zone(), 0..2_880i64, any::<u8>(), w());
    let points = proptest::collection::vec(point, 1..40);
    prop_oneof![
        4 => points.prop_map(Step::Write),
        3 => Just(Step::Flush),
        1 => Just(Step::Merge),
        1 => (0..6u8, 0..2_880i64).prop_map(|(host, minute)| Step::Delete(host, minute)),
    ]
}

/// Conditions on keys, and the same ones in a form that selects no rows of a section.
const CONDITIONS: &str = "
    host = 'h3' ==> host || '' = 'h3'
    host IN ('h1', 'h4') ==> host || '' IN ('h1', 'h4')
    zone = 'z1' ==> zone || '' = 'z1'
    host = 'h2' AND zone = 'z0' ==> host || '' = 'h2' AND zone || '' = 'z0'
    host = 'absent' ==> host || '' = 'absent'
    host = 'h3' AND v > 100 ==> host || '' = 'h3' AND v > 100
    host = 'h3' AND w IS NULL ==> host || '' = 'h3' AND w IS NULL
    host = 'h3' AND time >= '2023-11-15T06:00:00' AND time < '2023-11-15T20:00:00' ==> host || '' = 'h3' AND time >= '2023-11-15T06:00:00' AND time < '2023-11-15T20:00:00'
    host = 'h3' AND time > (SELECT max(time) - INTERVAL '1 day' FROM t) ==> host || '' = 'h3' AND time > (SELECT max(time) - INTERVAL '1 day' FROM t)
";

async fn compare(one: &QueryTestInstance) -> Result<(), TestCaseError> {
    for (selecting, other) in neap_test_inputs::text_pairs(CONDITIONS) {
        for (columns, order) in [
            ("*", "ORDER BY host, zone, time"),
            ("v, time", "ORDER BY time DESC, host, zone LIMIT 3"),
            ("host, w", "ORDER BY v DESC, host, zone, time LIMIT 2"),
            ("count(*) AS n, sum(v) AS s, count(w) AS w, min(time) AS t", ""),
        ] {
            let rows_of = |condition| format!("SELECT {columns} FROM t WHERE {condition} {order}");
            let answer = one.sql(&rows_of(selecting)).await;
            let expected = one.sql(&rows_of(other)).await;
            prop_assert_eq!(answer, expected, "{}", rows_of(selecting));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(12)))]
    #[test]
    fn answers_are_those_of_all_rows(steps in proptest::collection::vec(step(), 4..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = QueryTestInstance::alone().await;
            // The first section has neither the second tag nor the second field.
            one.write(&format!("t,host=h3 v=1i {FIRST}")).await;
            one.flush().await;
            one.write(&format!("t,host=h3,zone=z1 w=2i {FIRST}")).await;
            for step in steps {
                match step {
                    Step::Write(points) => {
                        one.write(&lines(&points)).await;
                    }
                    Step::Flush => {
                        one.flush().await;
                    }
                    Step::Merge => {
                        one.merge().await;
                    }
                    Step::Delete(host, minute) => {
                        let first = "TIMESTAMP '2023-11-14T22:13:20'";
                        let after = format!("time > {first} + INTERVAL '{minute} minutes'");
                        let delete = format!("DELETE FROM t WHERE host = 'h{host}' AND {after}");
                        one.sql(&delete).await;
                    }
                }
            }
            compare(&one).await
        })?;
    }
}

/// Returns the number of rows that the scan of sections of a query outputs, as plans show it.
async fn scanned_rows(one: &QueryTestInstance, sql: &str) -> String {
    let executed = one.sql(&format!("EXPLAIN ANALYZE {sql}")).await;
    let (_, scan) = executed.split_once("SectionScanExec").expect(&executed);
    let (_, value) = scan.split_once("output_rows=").expect(&executed);
    value.split([',', ']']).next().unwrap().to_owned()
}

/// Returns `rows` lines of each of these series.
fn series(count: i64, rows: i64, tags: impl Fn(i64) -> String) -> String {
    let lines = (0..count).flat_map(|series| {
        let tags = tags(series);
        (0..rows).map(move |row| format!("t,{tags} v={row}i {}\n", FIRST + row * 1_000_000_000))
    });
    lines.collect()
}

#[tokio::test]
async fn only_the_pages_of_a_series_are_read() {
    let one = QueryTestInstance::alone().await;
    // 40,000 rows of 8,192 a page: two of its pages have rows of the series.
    one.write(&series(100, 400, |host| format!("host=h{host:02}"))).await;
    one.flush().await;
    let rows = scanned_rows(&one, "SELECT v FROM t WHERE host = 'h40'").await;
    assert_eq!(rows, "16.38 K");
    let rows = scanned_rows(&one, "SELECT v FROM t WHERE host = 'h10'").await;
    assert_eq!(rows, "8.19 K");
    let none = scanned_rows(&one, "SELECT v FROM t WHERE host = 'h400'").await;
    assert_eq!(none, "8.19 K");
}

/// Each page has devices from the lowest to the highest value.
#[tokio::test]
async fn a_row_group_without_a_value_is_not_read_according_to_its_bloom_filter() {
    let one = QueryTestInstance::alone().await;
    for part in 0..2 {
        let device = |device: i64| format!("host=h{},device=d{:04}", device % 2, device * 3 + part);
        one.write(&series(1_000, 20, device)).await;
        one.flush().await;
    }
    let of_device = |device: i64| format!("SELECT v FROM t WHERE device = 'd{device:04}'");
    one.merge().await;
    assert_ne!(scanned_rows(&one, &of_device(1_501)).await, "0");
    assert_eq!(scanned_rows(&one, &of_device(1_502)).await, "0");
    assert_eq!(one.sql(&of_device(1_502)).await, "");
}

/// DataFusion's operator skips sections by the times that were found so far. By fields, it would skip few pages of a series.
#[tokio::test]
async fn the_newest_rows_of_a_series_are_read_by_a_scan_that_knows_those_found() {
    let one = QueryTestInstance::with_rows(&series(10, 40, |host| format!("host=h{host}"))).await;
    one.flush().await;
    let of_host = "SELECT v FROM t WHERE host = 'h4'";
    for (end, is_by_keys) in [
        ("", true),
        ("ORDER BY v DESC LIMIT 2", true),
        ("AND v > (SELECT max(v) - 2 FROM t) ORDER BY v DESC", true),
        ("ORDER BY v DESC, time LIMIT 2", false),
        ("ORDER BY time DESC LIMIT 2", false),
    ] {
        let sql = format!("{of_host} {end}");
        let plan = one.sql(&format!("EXPLAIN {sql}")).await;
        assert_eq!(plan.contains("SectionScanExec"), is_by_keys, "{plan}");
        assert!(is_by_keys || plan.contains("DynamicFilter"), "{plan}");
        if !end.is_empty() {
            assert_eq!(one.sql(&sql).await, "v\n39\n38\n");
        }
    }
}

/// The rows of a series in one section are few, compared to the rows that a filter collects to a batch.
#[tokio::test]
async fn the_newest_rows_of_a_series_are_read_from_the_newest_section_only() {
    let (memory, clock) = QueryTestInstance::memory_store();
    let objects: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let read = Arc::clone(&objects);
    let hook: CallHook = Arc::new(move |call: &StoreCall| {
        if call.operation == Operation::Get
            && call.phase == CallPhase::Before
            && KeyClass::from_key(&call.key) == KeyClass::Data
        {
            read.lock().unwrap().insert(call.key.clone());
        }
        Box::pin(async {})
    });
    let store = Arc::new(hooked_store(memory, &clock, hook));
    let settings = QuerySettings::default();
    let one = QueryTestInstance::over(store, clock, settings, TestDeleter::Writer).await;
    let (sections, rows) = (20_i64, 100_i64);
    for section in 0..sections {
        let rows_of = |host: &str| -> String {
            let numbers = section * rows..(section + 1) * rows;
            let line = |v: i64| format!("t,host={host} v={v}i {}\n", FIRST + v * 1_000_000_000);
            numbers.map(line).collect()
        };
        one.write(&(rows_of("a") + &rows_of("b"))).await;
        one.flush().await;
    }
    objects.lock().unwrap().clear();
    let newest = "SELECT v FROM t WHERE host = 'a' ORDER BY time DESC LIMIT 3";
    assert_eq!(one.sql(newest).await, "v\n1999\n1998\n1997\n");
    assert_eq!(objects.lock().unwrap().len(), 1);
    let all = "SELECT count(v) AS n FROM t WHERE host = 'a'";
    assert_eq!(one.sql(all).await, "n\n2000\n");
    assert_eq!(objects.lock().unwrap().len(), 20);
}
