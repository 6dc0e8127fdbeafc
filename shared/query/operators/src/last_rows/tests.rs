//! Compares the answers of plans with the operator and of plans without it, for rows in any order.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampNanosecondArray,
    },
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    datasource::{MemTable, memory::MemorySourceConfig},
    execution::{
        SessionStateBuilder, TaskContext, memory_pool::GreedyMemoryPool,
        runtime_env::RuntimeEnvBuilder,
    },
    physical_optimizer::optimizer::PhysicalOptimizer,
    physical_plan::{collect, displayable},
    prelude::{SessionConfig, SessionContext},
};
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::{
    LastRowsExec, LastRowsParameters, LastRowsRule, LastValuesRule, TimeEnd,
    group_times::GroupTimes,
};

/// A row: the group, two values, and whether it has a time.
type Row = (Option<u8>, Option<i64>, Option<i64>, bool);

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Arc::new(Schema::new(vec![
        Field::new("host", DataType::Utf8, true),
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Float64, true),
        Field::new("time", time, true),
        Field::new_dictionary("zone", DataType::Int32, DataType::Utf8, true),
    ]))
}

/// Returns rows whose times are all different: the first row has the lowest one if `order` is 1.
fn batch(rows: &[Row], first: i64, order: i64) -> RecordBatch {
    let hosts = rows.iter().map(|(host, ..)| host.map(|host| format!("h{host}")));
    let zones = rows.iter().map(|(_, a, ..)| match a {
        Some(0) => Some("north"),
        Some(1) => Some("south"),
        Some(_) => Some("east"),
        None => None,
    });
    let times = rows.iter().enumerate().map(|(at, (.., has_time))| {
        let time = first + order * at as i64;
        has_time.then_some(time)
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter(hosts)),
        Arc::new(Int64Array::from_iter(rows.iter().map(|(_, a, ..)| *a))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|(_, _, b, _)| b.map(|b| b as f64)))),
        Arc::new(TimestampNanosecondArray::from_iter(times)),
        Arc::new(zones.collect::<DictionaryArray<Int32Type>>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn session(with_rule: bool, partitions: Vec<Vec<RecordBatch>>) -> SessionContext {
    let mut rules = PhysicalOptimizer::new().rules;
    if with_rule {
        rules.push(Arc::new(LastRowsRule));
    }
    let builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(SessionConfig::new().with_target_partitions(2))
        .with_physical_optimizer_rules(rules);
    let builder = if with_rule {
        builder.with_optimizer_rule(Arc::new(LastValuesRule))
    } else {
        builder
    };
    let state = neap_sql_functions::register(builder).build();
    let context = SessionContext::new_with_state(state);
    let table = MemTable::try_new(schema(), partitions).unwrap();
    context.register_table("rows", Arc::new(table)).unwrap();
    context
}

async fn answer(context: &SessionContext, sql: &str) -> String {
    let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&rows).unwrap().to_string()
}

async fn plan(sql: &str) -> String {
    let context = session(true, vec![vec![]]);
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

/// Statements that need only the last rows of each group, or the first ones.
const SELECTIVE: [&str; 12] = [
    "SELECT host, last_value(a ORDER BY time), last_value(b ORDER BY time) FROM rows GROUP BY host ORDER BY host",
    "SELECT host, first_value(a ORDER BY time DESC NULLS LAST), max(time) FROM rows GROUP BY host ORDER BY host",
    "SELECT host, first_value(a ORDER BY time), first_value(b ORDER BY time), min(time) FROM rows \
     GROUP BY host ORDER BY host",
    "SELECT host, last_value(a ORDER BY time DESC) FROM rows GROUP BY host ORDER BY host",
    "SELECT host, last_value(a ORDER BY time) IGNORE NULLS AS a, last_value(b ORDER BY time) AS b FROM rows \
     GROUP BY host ORDER BY host",
    "SELECT host, selector_last(a, time)['value'] AS a, selector_last(b, time)['value'] AS b FROM rows \
     GROUP BY host ORDER BY host",
    "SELECT host, selector_first(a, time)['value'] AS a, selector_first(b, time)['time'] AS b FROM rows \
     GROUP BY host ORDER BY host",
    "SELECT last_value(a ORDER BY time), last_value(host ORDER BY time) FROM rows",
    "SELECT DISTINCT ON (host) * FROM rows ORDER BY host, time DESC",
    "SELECT host, last_value(zone ORDER BY time) AS zone, arrow_typeof(last_value(zone ORDER BY time)) AS type, \
     first_value(zone ORDER BY time DESC) IGNORE NULLS AS other FROM rows GROUP BY host ORDER BY host",
    "SELECT zone, last_value(host ORDER BY time) AS host, last_value(zone ORDER BY time) AS same FROM rows \
     GROUP BY zone ORDER BY zone",
    "SELECT host, last_value(a ORDER BY time) FROM rows WHERE a > 1 AND time < to_timestamp_nanos(40) \
     GROUP BY host ORDER BY host",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]
    #[test]
    fn answers_are_those_of_all_rows(
        rows in prop::collection::vec(
            (
                prop::option::weighted(0.9, 0u8..4),
                prop::option::weighted(0.7, 0i64..5),
                prop::option::weighted(0.7, 0i64..5),
                Just(true),
            ),
            0..60,
        ),
        batch_rows in 1usize..20,
        order in prop::sample::select(vec![1i64, -1]),
        statement in prop::sample::select(SELECTIVE.to_vec()),
    ) {
        let mut first = 30;
        let mut partitions = vec![Vec::new(), Vec::new()];
        for (at, part) in rows.chunks(batch_rows).enumerate() {
            partitions[at % 2].push(batch(part, first, order));
            first += order * part.len() as i64;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (expected, found) = runtime.block_on(async {
            let expected = answer(&session(false, partitions.clone()), statement).await;
            (expected, answer(&session(true, partitions), statement).await)
        });
        prop_assert_eq!(expected, found, "{}", statement);
    }
}

#[tokio::test]
async fn aggregates_of_last_rows_get_the_operator() {
    for statement in SELECTIVE {
        let plan = plan(statement).await;
        assert!(plan.contains("LastRowsExec"), "{statement}\n{plan}");
    }
    let statement = "SELECT host, last_value(a ORDER BY time) IGNORE NULLS FROM rows GROUP BY host";
    let plan = plan(statement).await;
    assert!(plan.contains("LastRowsExec: last by time, gby=[host], required=[a]"), "{plan}");
}

#[tokio::test]
async fn tags_are_read_as_texts_and_returned_as_tags() {
    let statement = "SELECT last_value(zone ORDER BY time) AS zone FROM rows GROUP BY host";
    let plan = plan(statement).await;
    let converted = "@1 AS Dictionary(Int32, Utf8)) as zone";
    assert!(plan.contains(converted), "{plan}");
}

#[tokio::test]
async fn rows_of_a_group_are_not_ordered_by_its_keys() {
    let context = session(true, vec![vec![]]);
    let functions = async |sql: &str| {
        let frame = context.sql(sql).await.unwrap();
        let plan = frame.into_optimized_plan().unwrap().to_string();
        let (_, functions) = plan.split_once("aggr=[[").unwrap();
        functions.split_once("]]").unwrap().0.to_owned()
    };
    let sql = "SELECT DISTINCT ON (host) a FROM rows ORDER BY host, time DESC";
    let expected = "first_value(rows.a) ORDER BY [rows.time DESC NULLS FIRST] AS ";
    let found = functions(sql).await;
    assert!(found.starts_with(expected), "{found}");
    // All rows of a group are equal in this order.
    let sql = "SELECT host, first_value(a ORDER BY host) FROM rows GROUP BY host";
    let found = functions(sql).await;
    assert_eq!(found, "first_value(rows.a) ORDER BY [rows.host ASC NULLS LAST");
}

#[tokio::test]
async fn aggregates_of_all_rows_are_left_alone() {
    for statement in [
        "SELECT host, last_value(a ORDER BY time), count(*) FROM rows GROUP BY host",
        "SELECT host, last_value(a ORDER BY time), first_value(a ORDER BY time) FROM rows GROUP BY host",
        "SELECT host, last_value(a ORDER BY time, b) FROM rows GROUP BY host",
        "SELECT host, last_value(a ORDER BY b) FROM rows GROUP BY host",
        "SELECT host, last_value(a) FROM rows GROUP BY host",
        "SELECT host, last_value(a ORDER BY time) FILTER (WHERE a > 1) FROM rows GROUP BY host",
        "SELECT host, last_value(a ORDER BY time) FROM rows GROUP BY ROLLUP (host)",
        "SELECT host, max(time) FROM rows GROUP BY host",
        "SELECT DISTINCT host FROM rows",
    ] {
        let plan = plan(statement).await;
        assert!(!plan.contains("LastRowsExec"), "{statement}\n{plan}");
    }
}

/// Returns the rows of hosts and zones, each of which has some rows one after the other: as tags, and as texts.
fn batch_of_runs(runs: &[(Option<u8>, Option<u8>, i64)], texts: bool) -> RecordBatch {
    let rows = || runs.iter().flat_map(|run| (0..run.2).map(move |_| run));
    let text = |value: Option<u8>| value.map(|value| format!("t{value}"));
    let column = |texts_of_rows: Vec<Option<String>>| -> ArrayRef {
        let values = texts_of_rows.iter().map(Option::as_deref);
        if texts {
            Arc::new(values.collect::<StringArray>())
        } else {
            Arc::new(values.collect::<DictionaryArray<Int32Type>>())
        }
    };
    let times = rows().enumerate().map(|(at, run)| (at as i64 * 7919 + run.2) % 97);
    RecordBatch::try_from_iter([
        ("host", column(rows().map(|run| text(run.0)).collect())),
        ("zone", column(rows().map(|run| text(run.1)).collect())),
        ("time", Arc::new(TimestampNanosecondArray::from_iter_values(times)) as ArrayRef),
    ])
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]
    #[test]
    fn groups_of_runs_of_tags_are_those_of_their_texts(
        batches in prop::collection::vec(
            prop::collection::vec(
                (prop::option::of(0..3u8), prop::option::of(0..2u8), prop_oneof![1..4i64, 9..60i64]),
                1..8,
            ),
            1..5,
        ),
    ) {
        let parameters = LastRowsParameters {
            keys: vec![0, 1],
            time: 2,
            end: TimeEnd::Last,
            required: Vec::new(),
        };
        let needed = |texts: bool| {
            let batches: Vec<_> = batches.iter().map(|runs| batch_of_runs(runs, texts)).collect();
            let mut groups = GroupTimes::new(&parameters, &batches[0].schema()).unwrap();
            let needed = batches.iter().map(|batch| groups.needed_rows(batch).unwrap());
            needed.collect::<Vec<_>>()
        };
        prop_assert_eq!(needed(false), needed(true));
    }
}

#[tokio::test]
async fn needed_rows_of_small_batches_come_out_together() {
    let rows = [(Some(1), Some(1), None, true), (Some(2), None, None, true)];
    let batches = (0..100).map(|at| batch(&rows, 100 - at, 1)).collect();
    let batches = needed_batches(batches, 1 << 20).await;
    let rows: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [101]);
}

#[tokio::test]
async fn rows_come_out_in_the_order_in_which_they_came_in() {
    let with_value = [(Some(1), Some(1), None, true)];
    let without = [(Some(1), None, None, true); 3_000];
    let batches = vec![
        batch(&with_value, 0, 1),
        batch(&without, 1, 1),
        batch(&without[..5], 4_000, 1),
        batch(&without, 5_000, 1),
    ];
    let batches = needed_batches(batches, 1 << 20).await;
    let times = batches.iter().flat_map(|batch| {
        let times = batch.column(3).as_primitive::<TimestampNanosecondType>();
        times.values().to_vec()
    });
    let times: Vec<i64> = times.collect();
    assert_eq!(times.len(), 6_006);
    assert!(times.is_sorted());
}

/// Returns the number of rows that the operator returns of some batches.
async fn needed(batches: Vec<RecordBatch>, memory: usize) -> usize {
    let rows = needed_batches(batches, memory).await;
    rows.iter().map(RecordBatch::num_rows).sum()
}

/// Returns the rows that the operator returns of some batches.
async fn needed_batches(batches: Vec<RecordBatch>, memory: usize) -> Vec<RecordBatch> {
    let input = MemorySourceConfig::try_new_exec(&[batches], schema(), None).unwrap();
    let parameters = LastRowsParameters {
        keys: vec![0],
        time: 3,
        end: TimeEnd::Last,
        required: vec![1],
    };
    let operator = LastRowsExec::try_new(input, parameters).unwrap();
    let runtime =
        RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)));
    let context = TaskContext::default().with_runtime(Arc::new(runtime.build().unwrap()));
    collect(Arc::new(operator), Arc::new(context)).await.unwrap()
}

#[tokio::test]
async fn rows_older_than_one_of_an_earlier_batch_are_dropped() {
    let rows = [(Some(1), Some(1), None, true); 10];
    let newest_first = vec![batch(&rows, 100, 1), batch(&rows, 50, 1), batch(&rows, 0, 1)];
    assert_eq!(needed(newest_first.clone(), 1 << 20).await, 1);
    // Without memory for the groups, each batch is on its own.
    assert_eq!(needed(newest_first, 0).await, 3);
}

#[tokio::test]
async fn rows_without_a_required_value_replace_no_others() {
    let with_value = (Some(1), Some(1), None, true);
    let without = (Some(1), None, None, true);
    let rows = [with_value, with_value, without, without];
    assert_eq!(needed(vec![batch(&rows, 0, 1)], 1 << 20).await, 3);
}

#[tokio::test]
async fn rows_without_a_time_are_retained() {
    let timeless = (Some(1), Some(1), None, false);
    let rows = [timeless, (Some(1), Some(1), None, true), timeless];
    assert_eq!(needed(vec![batch(&rows, 0, 1)], 1 << 20).await, 3);
}
