//! Databases that keep the values of earlier rows: answers do not depend on when rows are flushed, merged and spilled.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use neap_schema::OnDuplicate;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::{DATABASE, QueryTestInstance};
use crate::QuerySettings;

/// The time of points with number 0.
const START: i64 = 1_700_000_000_000_000_000;

/// The time between two numbers.
const STEP: i64 = 3_600_000_000_000;

/// The tag, the number of the time, and the values of two fields.
type Point = (u8, i64, Option<i8>, Option<i8>);

/// The values of each point.
type Points = BTreeMap<(u8, i64), (Option<i8>, Option<i8>)>;

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Point>),
    /// Deletes the points with a tag in a range of times.
    Delete(u8, i64, i64),
    Flush,
    Merge,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = || proptest::option::of(any::<i8>());
    let point = (0..3u8, 0..40i64, value(), value());
    let step = prop_oneof![
        6 => proptest::collection::vec(point, 1..12).prop_map(Step::Write),
        2 => (0..3u8, 0..40i64, 0..20i64)
            .prop_map(|(tag, first, more)| Step::Delete(tag, first, first + more)),
        4 => Just(Step::Flush),
        2 => Just(Step::Merge),
    ];
    proptest::collection::vec(step, 1..14)
}

/// Makes the database of the tests one that keeps the values of earlier rows.
async fn keep_earlier_rows(one: &QueryTestInstance) {
    let id = one.catalog.create_database("db", None).await.unwrap();
    assert_eq!(id, DATABASE);
    one.catalog.set_on_duplicate(id, OnDuplicate::Keep).await.unwrap();
}

/// Returns a point as a line. `c` has a value in each row.
fn line((tag, time, a, b): &Point) -> String {
    let mut fields = "c=1i".to_owned();
    for (name, value) in [("a", a), ("b", b)] {
        if let Some(value) = value {
            write!(fields, ",{name}={value}i").unwrap();
        }
    }
    format!("t,k=k{tag} {fields} {}\n", START + time * STEP)
}

async fn take(one: &QueryTestInstance, expected: &mut Points, step: &Step) {
    match step {
        Step::Write(points) => {
            one.write(&points.iter().map(line).collect::<String>()).await;
            for (tag, time, a, b) in points {
                let values = expected.entry((*tag, *time)).or_default();
                *values = (values.0.or(*a), values.1.or(*b));
            }
        }
        Step::Delete(tag, first, last) => {
            one.pass(Duration::from_millis(1));
            let (from, to) = (START + first * STEP, START + last * STEP);
            one.sql(&format!(
                "DELETE FROM t WHERE k = 'k{tag}' AND time BETWEEN to_timestamp({from}) AND to_timestamp({to})"
            ))
            .await;
            expected.retain(|(k, time), _| k != tag || time < first || time > last);
        }
        Step::Flush => {
            one.flush().await;
        }
        Step::Merge => {
            one.merge().await;
        }
    }
}

/// Returns the answer of a query of all points.
fn csv(points: &Points) -> String {
    let text = |value: &Option<i8>| value.map_or_else(String::new, |value| value.to_string());
    let mut csv = "k,n,a,b\n".to_owned();
    for ((tag, time), (a, b)) in points {
        let time = START + time * STEP;
        writeln!(csv, "k{tag},{time},{},{}", text(a), text(b)).unwrap();
    }
    csv
}

const ALL: &str = "SELECT k, CAST(time AS BIGINT) AS n, a, b FROM t ORDER BY k, time";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]
    #[test]
    fn the_first_value_of_each_field_is_kept_after_any_history(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = QueryTestInstance::alone().await;
            keep_earlier_rows(&one).await;
            let mut expected = Points::new();
            // Creates all columns at the start.
            take(&one, &mut expected, &Step::Write(vec![(0, 0, Some(0), Some(0))])).await;
            for step in &steps {
                take(&one, &mut expected, step).await;
                assert_eq!(one.sql(ALL).await, csv(&expected), "{step:?}");
            }
        });
    }
}

#[tokio::test]
async fn the_first_values_are_kept_over_spilled_rows() {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings {
        tail_bytes: 8 << 10,
        spill_bytes: 1 << 30,
        ..QuerySettings::default()
    };
    let one = QueryTestInstance::with(store, clock, settings).await;
    keep_earlier_rows(&one).await;
    // So many rows that each segment is spilled.
    let write = async |fields: &str| {
        let lines = (0..100).map(|sensor| format!("home,sensor=s{sensor} {fields} 1\n"));
        one.write(&lines.collect::<String>()).await;
    };
    write("temp=1").await;
    write("temp=2,hum=5").await;
    write("temp=3,hum=6").await;
    let sql = "SELECT count(temp) AS n, sum(temp) AS s, sum(hum) AS h FROM home";
    let expected = "n,s,h\n100,100.0,500.0\n";
    assert_eq!(one.sql(sql).await, expected);
    one.flush().await;
    assert_eq!(one.sql(sql).await, expected);
}
