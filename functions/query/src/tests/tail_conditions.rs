//! Conditions select the same rows from the tail and from sections.

use neap_test_inputs::cases;
use proptest::prelude::*;

use super::QueryTestInstance;

/// The time of second 0, in nanoseconds: 2023-11-14T22:13:20.
const FIRST: i64 = 1_700_000_000_000_000_000;

/// A point: host, second, and the values of `v` and `w`.
type Point = (u8, i64, Option<i64>, Option<u8>);

/// Conditions on fields, whose integers have the narrowest type in each chunk of the tail.
const CONDITIONS: [&str; 9] = [
    "v > 100",
    "v IS NULL",
    "v + w > 300 AND host <> 'h1'",
    "v > 100 AND time >= '2023-11-14T22:13:40'",
    "w < 50 OR host = 'h2'",
    "(v > 100) IS NOT TRUE",
    "v > (SELECT min(v) FROM t)",
    "CASE WHEN w > 100 THEN v > 50 ELSE v < 200 END",
    "zone IS NULL AND v <> 7",
];

fn lines(points: &[Point]) -> String {
    let line = |(host, second, v, w): &Point| {
        let v = v.map(|v| format!("v={v}i"));
        let w = w.map(|w| format!("w={w}i"));
        let u = (v.is_none() && w.is_none()).then(|| "u=1i".to_owned());
        let fields: Vec<String> = [v, w, u].into_iter().flatten().collect();
        let zone = if *host == 0 { "" } else { ",zone=z1" };
        let time = FIRST + second * 1_000_000_000;
        format!("t,host=h{host}{zone} {} {time}\n", fields.join(","))
    };
    points.iter().map(line).collect()
}

fn point() -> impl Strategy<Value = Point> {
    let v = prop_oneof![0..300_i64, Just(70_000), Just(1 << 40)];
    let v = proptest::option::weighted(0.7, v);
    let w = proptest::option::weighted(0.7, any::<u8>());
    (0..4u8, 0..60i64, v, w)
}

fn queries(condition: &str) -> [String; 4] {
    [
        format!("SELECT * FROM t WHERE {condition} ORDER BY time, host"),
        format!("SELECT time, w FROM t WHERE {condition} ORDER BY time, host LIMIT 5"),
        format!(
            "SELECT host, count(*) AS n, sum(v) AS s FROM t WHERE {condition} GROUP BY host ORDER BY host"
        ),
        format!("SELECT count(*) AS n FROM (SELECT w FROM t WHERE {condition} LIMIT 3)"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(16)))]
    #[test]
    fn conditions_select_the_rows_that_they_select_after_a_flush(
        requests in proptest::collection::vec(proptest::collection::vec(point(), 1..20), 1..8),
        flushed in proptest::option::of(0..8usize),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = QueryTestInstance::with_rows(&format!("t,host=h9,zone=z1 u=1i,v=1i,w=1i {FIRST}")).await;
            for (number, points) in requests.iter().enumerate() {
                one.write(&lines(points)).await;
                if flushed == Some(number) {
                    one.flush().await;
                }
            }
            let queries: Vec<String> = CONDITIONS.into_iter().flat_map(queries).collect();
            let mut answers = Vec::new();
            for sql in &queries {
                answers.push(one.sql(sql).await);
            }
            one.flush().await;
            for (sql, answer) in queries.iter().zip(answers) {
                prop_assert_eq!(&one.sql(sql).await, &answer, "{}", sql);
            }
            Ok(())
        })?;
    }
}
