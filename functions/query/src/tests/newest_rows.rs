//! Queries of the newest rows of groups read only the newest rows of each series from the tail, and answer as queries that read
//! all rows.

use neap_test_inputs::cases;
use proptest::prelude::*;

use super::QueryTestInstance;

/// The time of second 0, in nanoseconds: 2023-11-14T22:13:20.
const FIRST: i64 = 1_700_000_000_000_000_000;

/// A point: host, zone (none if it is 2), second, and the values of `v` and `w`.
type Point = (u8, u8, i64, Option<u8>, Option<u8>);

fn lines(points: &[Point]) -> String {
    let line = |(host, zone, second, v, w): &Point| {
        let fields: Vec<String> = [("v", v), ("w", w)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}i", (*value)?)))
            .collect();
        let fields = if fields.is_empty() {
            "u=1i".to_owned()
        } else {
            fields.join(",")
        };
        let zone_tag = if *zone == 2 {
            String::new()
        } else {
            format!(",zone=z{zone}")
        };
        format!("t,host=h{host}{zone_tag} {fields} {}\n", FIRST + second * 1_000_000_000)
    };
    points.iter().map(line).collect()
}

fn point() -> impl Strategy<Value = Point> {
    let value = || proptest::option::weighted(0.7, any::<u8>());
    (0..4u8, 0..3u8, 0..60i64, value(), value())
}

/// Conditions, and whether rows of the tail are looked up: the newest ones of each series, or all of the few series that the
/// condition selects. Otherwise, chunks are read whole.
const CONDITIONS: [(&str, bool); 17] = [
    ("true", true),
    ("host = 'h1'", true),
    ("host IN ('h1', 'h2') AND zone <> 'z0'", true),
    ("upper(host) = 'H1'", true),
    ("time > '2023-11-14T22:13:40'", true),
    ("time >= '2023-11-14T22:13:30' AND time < '2023-11-14T22:14:00'", true),
    ("time <= '2023-11-14T22:14:00' AND host <> 'h3'", true),
    ("w IS NOT NULL", true),
    ("zone IS NOT NULL", true),
    ("zone IS NULL", true),
    ("NOT (zone IS NULL) OR host = 'h0'", true),
    ("host <> 'h0' AND (v IS NOT NULL OR w IS NOT NULL)", true),
    ("w > 100", false),
    ("w IS NULL", false),
    ("v IS NOT NULL OR w > 100", false),
    ("host = 'h1' OR time > '2023-11-14T22:13:50'", false),
    ("date_bin(INTERVAL '10 seconds', time) > '2023-11-14T22:13:40'", false),
];

/// Returns pairs of queries with the same answer: the second one reads all rows.
fn queries(condition: &str) -> [(String, String); 3] {
    let newest = |values: &str, required: &str| {
        format!(
            "SELECT host, zone, {values}, time FROM (SELECT *, row_number() OVER (PARTITION BY host, zone ORDER BY time \
             DESC) AS n FROM t WHERE {required} AND ({condition})) WHERE n = 1 ORDER BY host, zone"
        )
    };
    [
        (
            format!(
                "SELECT DISTINCT ON (host, zone) host, zone, v, w, time FROM t WHERE {condition} ORDER BY host, zone, \
                 time DESC"
            ),
            newest("v, w", "true"),
        ),
        (
            format!(
                "SELECT host, zone, s['value'] AS v, s['time'] AS time FROM (SELECT host, zone, selector_last(v, time) AS \
                 s FROM t WHERE {condition} GROUP BY host, zone) WHERE s['time'] IS NOT NULL ORDER BY host, zone"
            ),
            newest("v", "v IS NOT NULL"),
        ),
        (
            format!(
                "SELECT host, last_value(time ORDER BY time) AS newest FROM t WHERE {condition} GROUP BY host ORDER BY host"
            ),
            format!(
                "SELECT host, max(time) AS newest FROM t WHERE {condition} GROUP BY host ORDER BY host"
            ),
        ),
    ]
}

/// Whether the plan of a query reads chunks of the tail whole.
async fn reads_chunks(one: &QueryTestInstance, sql: &str) -> bool {
    let plan = one.sql(&format!("EXPLAIN {sql}")).await;
    plan.contains("TailScanExec: ")
}

async fn compare(one: &QueryTestInstance) -> Result<(), TestCaseError> {
    for (condition, _) in CONDITIONS {
        for (sql, of_all_rows) in queries(condition) {
            let expected = one.sql(&of_all_rows).await;
            prop_assert_eq!(one.sql(&sql).await, expected, "{}", sql);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(12)))]
    #[test]
    fn answers_are_those_of_all_rows(
        requests in proptest::collection::vec(proptest::collection::vec(point(), 1..20), 1..8),
        ordered in any::<bool>(),
        deleted in proptest::option::of((0..4u8, 0..60i64)),
        flushed in 0..8usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = QueryTestInstance::with_rows(&format!("t,host=h9,zone=z0 u=1i,v=1i,w=1i {FIRST}")).await;
            for (number, points) in requests.iter().enumerate() {
                let mut points = points.clone();
                if ordered {
                    points.sort_by_key(|(_, _, second, ..)| *second);
                    for point in &mut points {
                        point.2 += 60 * number as i64;
                    }
                }
                one.write(&lines(&points)).await;
                if number == flushed {
                    one.flush().await;
                }
            }
            if let Some((host, second)) = deleted {
                let first = "TIMESTAMP '2023-11-14T22:13:20'";
                let after = format!("time > {first} + INTERVAL '{second} seconds'");
                let delete = format!("DELETE FROM t WHERE host = 'h{host}' AND {after}");
                one.sql(&delete).await;
            }
            compare(&one).await
        })?;
    }
}

#[tokio::test]
async fn chunks_are_read_whole_only_if_a_condition_needs_it() {
    let one = QueryTestInstance::alone().await;
    let points = |seconds: std::ops::Range<i64>| {
        let of_second = |second| (0..4).map(move |host| (host, 0, second, Some(1), Some(2)));
        lines(&seconds.flat_map(of_second).collect::<Vec<_>>())
    };
    // The second request comes late.
    one.write(&points(20..60)).await;
    one.write(&points(0..20)).await;
    for (condition, are_looked_up) in CONDITIONS {
        for (sql, _) in queries(condition) {
            assert_eq!(!reads_chunks(&one, &sql).await, are_looked_up, "{sql}");
        }
    }
    let first = "SELECT host, first_value(v ORDER BY time) FROM t GROUP BY host";
    assert!(reads_chunks(&one, first).await);
    let by_field = "SELECT v, last_value(w ORDER BY time) FROM t GROUP BY v";
    assert!(reads_chunks(&one, by_field).await);
    let limited =
        "SELECT host, last_value(w ORDER BY time) FROM (SELECT * FROM t LIMIT 5) GROUP BY host";
    assert!(reads_chunks(&one, limited).await);
}
