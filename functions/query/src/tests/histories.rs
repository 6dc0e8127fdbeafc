//! Random histories of writes and flushes, beside a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Instance;

type Point = ((Option<u8>, i64), [Option<i8>; 2]);

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Point>),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fields = proptest::array::uniform2(proptest::option::of(any::<i8>()))
        .prop_filter("a line has a field", |fields| {
            fields.iter().any(Option::is_some)
        });
    let point = ((proptest::option::of(0..3u8), 0..6i64), fields);
    let write = proptest::collection::vec(point, 1..6).prop_map(Step::Write);
    proptest::collection::vec(prop_oneof![3 => write, 1 => Just(Step::Flush)], 1..10)
}

/// Half a day from point to point, so that a table has sections of several days.
fn line(((tag, time), [a, b]): &Point) -> String {
    let tag = tag.map_or(String::new(), |tag| format!(",k=k{tag}"));
    let fields = [("a", a), ("b", b)].into_iter();
    let fields: Vec<String> = fields
        .filter_map(|(name, value)| value.map(|value| format!("{name}={value}i")))
        .collect();
    let time = 1_700_000_000_000_000_000 + time * 43_200_000_000_000;
    format!("t{tag} {} {time}", fields.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn answers_are_those_of_a_map_whenever_it_was_flushed(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let one = Instance::alone().await;
            // All columns exist from the start.
            one.write("t,k=all a=0i,b=0i 0").await;
            let mut model: BTreeMap<(Option<u8>, i64), [Option<i8>; 2]> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Flush => {
                        one.flush().await;
                    }
                    Step::Write(points) => {
                        let lines: Vec<String> = points.iter().map(line).collect();
                        one.write(&lines.join("\n")).await;
                        for (key, fields) in points {
                            let row = model.entry(key).or_default();
                            for (slot, field) in row.iter_mut().zip(fields) {
                                *slot = field.or(*slot);
                            }
                        }
                    }
                }
                let text = |value: Option<i8>| value.map_or(String::new(), |value| value.to_string());
                let mut expected: Vec<String> = model
                    .iter()
                    .filter(|((_, time), [a, _])| (1..5).contains(time) && a.is_none_or(|a| a != 7))
                    .map(|((tag, time), [a, b])| {
                        let tag = tag.map_or(String::new(), |tag| format!("k{tag}"));
                        format!("{tag},{time},{},{}", text(*a), text(*b))
                    })
                    .collect();
                expected.sort_unstable();
                let answer = one
                    .sql(
                        "SELECT k, (CAST(time AS BIGINT) - 1700000000000000000) / 43200000000000 AS n, a, b \
                         FROM t WHERE time >= '2023-11-15T10:13:20Z' AND time < '2023-11-17T10:13:20Z' \
                         AND (a != 7 OR a IS NULL)",
                    )
                    .await;
                let mut found: Vec<String> = answer.lines().skip(1).map(str::to_owned).collect();
                found.sort_unstable();
                assert_eq!(found, expected);
            }
        });
    }
}
