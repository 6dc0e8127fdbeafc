//! Random histories of writes, deletes, flushes and merges: the answers over workers are those of one process.

use neap_distributed::Exchange;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::distributed::Pair;

/// The time of points with number 0.
const START: i64 = 1_700_000_000_000_000_000;

const STEP: i64 = 3_600_000_000_000;

#[derive(Clone, Debug)]
enum Step {
    /// Writes points with these tags, times and values.
    Write(Vec<(u8, i64, i8)>),
    /// Deletes the points with a tag in a range of times.
    Delete(u8, i64, i64),
    Flush,
    Merge,
}

const STATEMENTS: [&str; 8] = [
    "SELECT * FROM t",
    "SELECT k, count(*) AS n, sum(a) AS s FROM t GROUP BY k",
    "SELECT date_bin(INTERVAL '5 hours', time) AS b, max(a) AS m FROM t GROUP BY 1",
    "SELECT time, k, a FROM t ORDER BY a DESC, time, k LIMIT 5",
    "SELECT DISTINCT k FROM t WHERE a > 0",
    "SELECT x.k, x.a, y.b FROM t x JOIN t y ON x.k = y.k AND x.time = y.time WHERE x.a < 50",
    "SELECT k, time, a - lag(a) OVER (PARTITION BY k ORDER BY time) AS d FROM t",
    "SELECT count(*) AS n FROM t WHERE time >= to_timestamp(1700010800000000000) \
     AND time < to_timestamp(1700028800000000000) AND k <> 'k1'",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let point = (0..5u8, 0..12i64, any::<i8>());
    let step = prop_oneof![
        6 => proptest::collection::vec(point, 1..12).prop_map(Step::Write),
        2 => (0..5u8, 0..12i64, 0..6i64).prop_map(|(k, first, more)| Step::Delete(k, first, first + more)),
        4 => Just(Step::Flush),
        2 => Just(Step::Merge),
    ];
    proptest::collection::vec(step, 1..14)
}

async fn take(pair: &Pair, step: Step) {
    let one = &pair.local;
    match step {
        Step::Write(points) => {
            let line = |(k, time, a): &(u8, i64, i8)| {
                let field = if a % 2 == 0 { "a" } else { "b" };
                format!("t,k=k{k} {field}={a}i {}", START + time * STEP)
            };
            let lines: Vec<String> = points.iter().map(line).collect();
            one.write(&lines.join("\n")).await;
        }
        Step::Delete(k, first, last) => {
            one.pass(std::time::Duration::from_millis(1));
            one.sql(&format!(
                "DELETE FROM t WHERE k = 'k{k}' AND time BETWEEN to_timestamp({}) AND to_timestamp({})",
                START + first * STEP,
                START + last * STEP
            ))
            .await;
        }
        Step::Flush => {
            one.flush().await;
        }
        Step::Merge => {
            one.merge().await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]
    #[test]
    fn answers_over_workers_are_those_of_one_process_after_any_history(
        steps in steps(),
        workers in 2..6usize,
        exchanges in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let exchange = if exchanges { Exchange::Workers } else { Exchange::Coordinator };
            let pair = Pair::new(workers, exchange).await;
            // Creates all columns at the start.
            take(&pair, Step::Write(vec![(0, 0, 0), (0, 0, 1)])).await;
            for step in steps {
                take(&pair, step).await;
            }
            for sql in STATEMENTS {
                pair.check(sql).await;
            }
        });
    }
}
