//! Random histories of writes, deletes, flushes, merges and a shrinking retention, compared with a plain map: at every
//! step as of now, and at the end as of every step. Rows replace earlier ones, or these are kept.

use std::{collections::BTreeMap, time::Duration};

use neap_schema::OnDuplicate;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::{DATABASE, QueryTestInstance};
use crate::QuerySettings;

type PointKey = (Option<u8>, i64);
type PointFields = [Option<i8>; 2];
type Points = BTreeMap<PointKey, PointFields>;

/// The points that a delete selects.
#[derive(Clone, Debug)]
enum PointSelection {
    Times(i64, i64),
    Tag(Option<u8>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

#[derive(Clone, Debug)]
enum QueryHistoryStep {
    Write(Vec<(PointKey, PointFields)>),
    Delete(PointSelection),
    Flush,
    Merge,
    /// Sets the retention to this number of half days and a quarter of a day.
    Keep(i64),
}

const HALF_DAY: i64 = 43_200_000_000_000;

/// The time of points with number 0: four days before the clock starts.
const FIRST: i64 = 1_700_000_000_000_000_000 - 8 * HALF_DAY;

fn which() -> impl Strategy<Value = PointSelection> {
    let times =
        (0..6i64, 0..4i64).prop_map(|(first, more)| PointSelection::Times(first, first + more));
    let tag = proptest::option::of(0..3u8).prop_map(PointSelection::Tag);
    prop_oneof![times, tag].prop_recursive(2, 6, 3, |part| {
        let parts = proptest::collection::vec(part, 2..4);
        prop_oneof![
            parts.clone().prop_map(PointSelection::All),
            parts.prop_map(PointSelection::Any)
        ]
    })
}

fn steps() -> impl Strategy<Value = Vec<QueryHistoryStep>> {
    let fields = proptest::array::uniform2(proptest::option::of(any::<i8>()))
        .prop_filter("a line has a field", |fields| fields.iter().any(Option::is_some));
    let point = ((proptest::option::of(0..3u8), 0..6i64), fields);
    let step = prop_oneof![
        6 => proptest::collection::vec(point, 1..6).prop_map(QueryHistoryStep::Write),
        3 => which().prop_map(QueryHistoryStep::Delete),
        3 => Just(QueryHistoryStep::Flush),
        2 => Just(QueryHistoryStep::Merge),
        1 => (1..9i64).prop_map(QueryHistoryStep::Keep),
    ];
    proptest::collection::vec(step, 1..16)
}

/// Formats a point as a line. Points are half a day apart, so that a table has sections of several days.
fn line(((tag, time), [a, b]): &(PointKey, PointFields)) -> String {
    let tag = tag.map_or(String::new(), |tag| format!(",k=k{tag}"));
    let fields: Vec<String> = [("a", a), ("b", b)]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={value}i")))
        .collect();
    format!("t{tag} {} {}", fields.join(","), FIRST + time * HALF_DAY)
}

impl PointSelection {
    fn holds(&self, key: &PointKey) -> bool {
        match self {
            Self::Times(first, last) => (*first..=*last).contains(&key.1),
            Self::Tag(tag) => key.0 == *tag,
            Self::All(parts) => parts.iter().all(|part| part.holds(key)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(key)),
        }
    }

    fn sql(&self) -> String {
        let join = |parts: &[Self], word| {
            let parts: Vec<String> = parts.iter().map(|part| format!("({})", part.sql())).collect();
            parts.join(word)
        };
        match self {
            Self::Times(first, last) => format!(
                "time BETWEEN to_timestamp({}) AND to_timestamp({})",
                FIRST + first * HALF_DAY,
                FIRST + last * HALF_DAY
            ),
            Self::Tag(None) => "k IS NULL".to_owned(),
            Self::Tag(Some(tag)) => format!("k = 'k{tag}'"),
            Self::All(parts) => join(parts, " AND "),
            Self::Any(parts) => join(parts, " OR "),
        }
    }
}

/// The steps by stamp, beside the database that they were applied to.
#[derive(Default)]
struct QueryHistoryModel {
    done: Vec<(u64, QueryHistoryStep)>,
    on_duplicate: OnDuplicate,
    /// The retention, in half days.
    kept: Option<i64>,
}

impl QueryHistoryModel {
    async fn take(&mut self, one: &QueryTestInstance, step: QueryHistoryStep) {
        match &step {
            QueryHistoryStep::Flush => {
                one.flush().await;
            }
            QueryHistoryStep::Merge => {
                one.merge().await;
            }
            QueryHistoryStep::Keep(half_days) => {
                let kept = self.kept.map_or(*half_days, |kept| kept.min(*half_days));
                self.kept = Some(kept);
                let nanos = kept * HALF_DAY + HALF_DAY / 2;
                let kept = Duration::from_nanos(nanos.unsigned_abs());
                one.catalog.set_retention(DATABASE, Some(kept)).await.unwrap();
            }
            QueryHistoryStep::Write(points) => {
                let lines: Vec<String> = points.iter().map(line).collect();
                let stamp = one.write(&lines.join("\n")).await;
                self.done.push((stamp, step));
            }
            QueryHistoryStep::Delete(which) => {
                one.pass(Duration::from_millis(1));
                let answer = one.sql(&format!("DELETE FROM t WHERE {}", which.sql())).await;
                let stamp = answer.lines().nth(1).unwrap().parse().unwrap();
                self.done.push((stamp, step));
            }
        }
    }

    /// Computes the points as of a stamp.
    fn points(&self, as_of: u64) -> Points {
        let mut points = Points::new();
        for (_, step) in self.done.iter().filter(|(stamp, _)| *stamp <= as_of) {
            match step {
                QueryHistoryStep::Write(written) => {
                    for (key, fields) in written {
                        let point = points.entry(*key).or_default();
                        for (slot, field) in point.iter_mut().zip(fields) {
                            *slot = match self.on_duplicate {
                                OnDuplicate::Replace => field.or(*slot),
                                OnDuplicate::Keep => slot.or(*field),
                            };
                        }
                    }
                }
                QueryHistoryStep::Delete(which) => points.retain(|key, _| !which.holds(key)),
                QueryHistoryStep::Flush | QueryHistoryStep::Merge | QueryHistoryStep::Keep(_) => {}
            }
        }
        if let Some(kept) = self.kept {
            points.retain(|(_, time), _| *time >= 8 - kept);
        }
        points
    }

    /// Compares the answers as of a stamp with the map.
    async fn check(&self, one: &QueryTestInstance, as_of: u64) {
        let ask = async |sql: &str| {
            let (status, shown, body) = one.sql_at(sql, &as_of.to_string()).await;
            assert_eq!(status, 200, "{body}");
            (shown.unwrap().parse::<u64>().unwrap(), body)
        };
        let (shown, counted) = ask("SELECT count(*) AS n FROM t").await;
        assert!(shown <= as_of);
        let points = self.points(shown);
        assert_eq!(counted, format!("n\n{}\n", points.len()));

        // Time bounds that differ from step to step.
        let (first, last) = [(0, 5), (0, 2), (1, 4), (3, 3), (4, 9)][self.done.len() % 5];
        let times: Vec<i64> = points
            .keys()
            .map(|(_, time)| *time)
            .filter(|time| (first..=last).contains(time))
            .collect();
        let (_, found) = ask(&format!(
            "SELECT count(*) AS n, (CAST(min(time) AS BIGINT) - {FIRST}) / {HALF_DAY} AS first, \
             (CAST(max(time) AS BIGINT) - {FIRST}) / {HALF_DAY} AS last FROM t \
             WHERE time >= to_timestamp({}) AND time <= to_timestamp({})",
            FIRST + first * HALF_DAY,
            FIRST + last * HALF_DAY
        ))
        .await;
        let end = |time: Option<&i64>| time.map_or(String::new(), |time| time.to_string());
        let ends = (end(times.iter().min()), end(times.iter().max()));
        let expected = format!("n,first,last\n{},{},{}\n", times.len(), ends.0, ends.1);
        assert_eq!(found, expected);

        let text = |value: Option<i8>| value.map_or(String::new(), |value| value.to_string());
        let mut expected: Vec<String> = points
            .iter()
            .filter(|((_, time), [a, _])| (1..5).contains(time) && a.is_none_or(|a| a != 7))
            .map(|((tag, time), [a, b])| {
                let tag = tag.map_or(String::new(), |tag| format!("k{tag}"));
                format!("{tag},{time},{},{}", text(*a), text(*b))
            })
            .collect();
        expected.sort_unstable();
        let (_, answer) = ask(&format!(
            "SELECT k, (CAST(time AS BIGINT) - {FIRST}) / {HALF_DAY} AS n, a, b FROM t \
             WHERE time >= to_timestamp({}) AND time < to_timestamp({}) AND (a != 7 OR a IS NULL)",
            FIRST + HALF_DAY,
            FIRST + 5 * HALF_DAY
        ))
        .await;
        let mut found: Vec<String> = answer.lines().skip(1).map(str::to_owned).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(96)))]
    #[test]
    fn answers_match_a_map_after_any_flushes_merges_and_spills(
        steps in steps(),
        spills in any::<bool>(),
        on_duplicate in prop_oneof![Just(OnDuplicate::Replace), Just(OnDuplicate::Keep)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (store, clock) = QueryTestInstance::memory_store();
            let mut settings = QuerySettings::default();
            if spills {
                settings.tail_bytes = 2 << 10;
            }
            let one = QueryTestInstance::with(store, clock, settings).await;
            let id = one.catalog.create_database("db", None).await.unwrap();
            assert_eq!(id, DATABASE);
            one.catalog.set_on_duplicate(id, on_duplicate).await.unwrap();
            let mut history = QueryHistoryModel {
                on_duplicate,
                ..QueryHistoryModel::default()
            };
            // Creates all columns at the start.
            history.take(&one, QueryHistoryStep::Write(vec![((Some(0), 0), [Some(0), Some(0)])])).await;
            for step in steps {
                history.take(&one, step).await;
                history.check(&one, u64::MAX).await;
            }
            for (stamp, _) in &history.done {
                history.check(&one, *stamp).await;
            }
        });
    }
}
