//! Bounds of times that all rows of a scan meet are not evaluated.

use neap_test_inputs::cases;
use proptest::prelude::*;

use super::QueryTestInstance;

/// The time of second 0, in nanoseconds: 2023-11-14T22:13:20.
const FIRST: i64 = 1_700_000_000_000_000_000;

/// Returns a row per second, whose value is the second.
fn rows(seconds: impl IntoIterator<Item = i64>) -> String {
    let line = |second: i64| {
        let time = FIRST + second * 1_000_000_000;
        format!("t,host=h{} v={second}i {time}\n", second % 3)
    };
    seconds.into_iter().map(line).collect()
}

fn literal(second: i64) -> String {
    let second = 13 * 60 + 20 + second;
    format!("'2023-11-14T22:{:02}:{:02}Z'", second / 60, second % 60)
}

/// Returns the condition of the filter of an aggregate with these conditions; `None` if it has no filter.
async fn filter(one: &QueryTestInstance, conditions: &str) -> Option<String> {
    let sql = format!("SELECT host, sum(v) FROM t WHERE {conditions} GROUP BY host");
    let plan = one.plan(&sql).await;
    let (_, operators) = plan.split_once("physical_plan").unwrap();
    assert!(operators.contains("AggregateExec"), "{plan}");
    let (_, filter) = operators.split_once("FilterExec: ")?;
    let end = filter.find([',', '\n']).unwrap_or(filter.len());
    // Without the indexes of columns, which depend on the scan.
    let filter = filter[..end].split('@').enumerate().map(|(at, part)| match at {
        0 => part,
        _ => part.trim_start_matches(char::is_numeric),
    });
    Some(filter.collect())
}

/// Checks which conditions of queries are left, if the table has the seconds 10 to 19.
async fn check(one: &QueryTestInstance) {
    let from = |second: i64| format!("time >= {}", literal(second));
    let until = |second: i64| format!("time <= {}", literal(second));
    for (conditions, expected) in [
        (format!("{} AND {}", from(10), until(19)), None),
        (format!("{} AND {}", from(0), until(100)), None),
        (from(11), Some("time >= 1700000011000000000")),
        (until(18), Some("time <= 1700000018000000000")),
        (format!("{} AND v > 3", from(10)), Some("v > 3")),
        (
            format!("v > 3 AND {}", until(18)),
            Some("v > 3 AND time <= 1700000018000000000"),
        ),
    ] {
        let found = filter(one, &conditions).await;
        assert_eq!(found.as_deref(), expected, "{conditions}");
    }
}

#[tokio::test]
async fn only_bounds_that_rows_may_fail_are_evaluated() {
    let one = QueryTestInstance::with_rows(&rows(10..20)).await;
    check(&one).await;
    one.flush().await;
    check(&one).await;
    // A section and a tail after it.
    let many: String = (0..2_000)
        .map(|host| format!("t,host=h{host} v=1i {}\n", FIRST + 20_000_000_000))
        .collect();
    one.write(&many).await;
    let both = format!("time >= {} AND time <= {}", literal(10), literal(20));
    assert_eq!(filter(&one, &both).await, None);
    let section = format!("time <= {}", literal(19));
    assert_eq!(filter(&one, &section).await, None);
    let some = format!("time >= {}", literal(11));
    assert!(filter(&one, &some).await.is_some());
    // A tail alone.
    let tail = format!("time >= {} AND time <= {}", literal(20), literal(20));
    assert_eq!(filter(&one, &tail).await, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(24)))]
    #[test]
    fn answers_are_those_of_the_rows_in_the_times(
        requests in proptest::collection::vec(proptest::collection::btree_set(0..40_i64, 1..12), 1..5),
        flushed in 0..5usize,
        bounds in proptest::collection::vec((0..5usize, -5..45_i64, any::<bool>()), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = QueryTestInstance::alone().await;
            for (number, seconds) in requests.iter().enumerate() {
                one.write(&rows(seconds.iter().copied())).await;
                if number == flushed {
                    one.flush().await;
                }
            }
            let condition = |(operator, second, is_left): &(usize, i64, bool)| {
                let time = literal(*second);
                if *is_left {
                    format!("time {} {time}", ["<", "<=", ">", ">=", "="][*operator])
                } else {
                    format!("{time} {} time", [">", ">=", "<", "<=", "="][*operator])
                }
            };
            let conditions: Vec<String> = bounds.iter().map(condition).collect();
            let meets = |second: &i64| bounds.iter().all(|(operator, bound, _)| match operator {
                0 => second < bound,
                1 => second <= bound,
                2 => second > bound,
                3 => second >= bound,
                _ => second == bound,
            });
            let mut seconds: Vec<i64> = requests.iter().flatten().copied().collect();
            seconds.sort_unstable();
            seconds.dedup();
            let selected = seconds.into_iter().filter(meets);
            let mut expected: String = selected.map(|second| format!("{second}\n")).collect();
            if !expected.is_empty() {
                expected.insert_str(0, "v\n");
            }
            let sql = format!("SELECT v FROM t WHERE {} ORDER BY v", conditions.join(" AND "));
            prop_assert_eq!(one.sql(&sql).await, expected, "{}", sql);
            Ok(())
        })?;
    }
}
