//! Compares the answers of plans with the operator and of plans without it.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, RecordBatch,
        TimestampNanosecondArray,
    },
    datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    datasource::MemTable,
    execution::{
        SessionStateBuilder, TaskContext, memory_pool::GreedyMemoryPool,
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::col,
    physical_optimizer::optimizer::PhysicalOptimizer,
    physical_plan::{ExecutionPlan, collect, displayable},
    prelude::{SessionConfig, SessionContext},
};
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::RunAggregateExec;

/// A row: the host, the zone, a time and a value.
type Row = (Option<u8>, Option<u8>, i64, Option<i64>);

const MINUTE: i64 = 60_000_000_000;

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let tag = |name| Field::new_dictionary(name, DataType::Int32, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        tag("host"),
        tag("zone"),
        Field::new("time", time, false),
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Float64, true),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let tags = |tag: fn(&Row) -> Option<u8>| -> ArrayRef {
        let texts: Vec<Option<String>> =
            rows.iter().map(|row| tag(row).map(|tag| format!("t{tag}"))).collect();
        let values = texts.iter().map(Option::as_deref);
        Arc::new(values.collect::<DictionaryArray<Int32Type>>())
    };
    let columns: Vec<ArrayRef> = vec![
        tags(|row| row.0),
        tags(|row| row.1),
        Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.2))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.3))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.3.map(|a| a as f64 / 2.0)))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The options of a session.
#[derive(Clone, Copy, Debug)]
struct Setting {
    with_rule: bool,
    is_sorted: bool,
    /// The number of rows after which groups may be skipped.
    probe_rows: usize,
}

fn session(setting: Setting, partitions: Vec<Vec<RecordBatch>>) -> SessionContext {
    let mut rules = PhysicalOptimizer::new().rules;
    if setting.with_rule {
        rules.push(Arc::new(RunAggregateExec::RULE));
    }
    let mut config = SessionConfig::new().with_target_partitions(2).with_batch_size(16);
    let options = &mut config.options_mut().execution;
    options.skip_partial_aggregation_probe_rows_threshold = setting.probe_rows;
    let builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_physical_optimizer_rules(rules);
    let state = neap_sql_functions::register(builder).build();
    let context = SessionContext::new_with_state(state);
    let table = MemTable::try_new(schema(), partitions).unwrap();
    let table = if setting.is_sorted {
        let order = ["host", "zone", "time"].map(|name| col(name).sort(true, true));
        table.with_sort_order(vec![order.to_vec()])
    } else {
        table
    };
    context.register_table("rows", Arc::new(table)).unwrap();
    context
}

async fn answer(context: &SessionContext, sql: &str) -> String {
    let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&rows).unwrap().to_string()
}

async fn operators(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let rows = context.sql(sql).await.unwrap();
    rows.create_physical_plan().await.unwrap()
}

async fn plan(context: &SessionContext, sql: &str) -> String {
    let plan = operators(context, sql).await;
    displayable(plan.as_ref()).indent(false).to_string()
}

const STATEMENTS: [&str; 15] = [
    "SELECT tz(date_bin(INTERVAL '1 minute', time), 'Europe/Paris') AS t, min(tz(time, 'Europe/Paris')) AS a, \
     max(tz(time, 'Europe/Paris')) AS b FROM rows GROUP BY t ORDER BY t",
    "SELECT date_bin(INTERVAL '90 seconds', time, TIMESTAMP '1970-01-01T00:00:07') AS t, zone, min(time), count(*) FROM rows \
     GROUP BY t, zone ORDER BY t, zone",
    "SELECT date_bin(INTERVAL '1 month', time) AS t, max(time), avg(a) FROM rows GROUP BY t ORDER BY t",
    "SELECT date_bin(INTERVAL '1 day 2 seconds', time, TIMESTAMP '2020-01-01T00:00:00') AS t, host, count(a) FROM rows \
     GROUP BY t, host ORDER BY t, host",
    "SELECT host, zone, count(*), count(a), sum(a), avg(b), min(b), max(a) FROM rows GROUP BY host, zone ORDER BY host, zone",
    "SELECT date_bin(INTERVAL '1 minute', time) AS t, host, sum(b), max(b) FROM rows GROUP BY t, host ORDER BY t, host",
    "SELECT date_bin(INTERVAL '2 minutes', time) AS t, avg(a), stddev(b) FROM rows GROUP BY t ORDER BY t",
    "SELECT host, sum(a) FILTER (WHERE b > 1), count(*) FILTER (WHERE zone = 't1') FROM rows GROUP BY host ORDER BY host",
    "SELECT host, last_value(a ORDER BY time, a), first_value(b ORDER BY time DESC, b) FROM rows GROUP BY host ORDER BY host",
    "SELECT host, time, sum(a) FROM rows GROUP BY host, time ORDER BY host, time",
    "SELECT a, count(*) FROM rows GROUP BY a ORDER BY a",
    "SELECT b, count(*) FROM rows GROUP BY b ORDER BY b",
    "SELECT a > 1 AS large, zone || 'x' AS name, min(time) FROM rows GROUP BY large, name ORDER BY large, name",
    "SELECT DISTINCT host, zone FROM rows ORDER BY host, zone",
    "SELECT host, count(DISTINCT a), avg(a) FROM rows GROUP BY host ORDER BY host",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(96)))]
    #[test]
    fn answers_are_those_of_the_operator_of_datafusion(
        runs in prop::collection::vec(
            (prop::option::of(0u8..3), prop::option::of(0u8..2), -3i64..4, prop::option::of(0i64..4), 1usize..30),
            0..8,
        ),
        batch_rows in prop::sample::select(vec![1usize, 7, 40]),
        is_sorted in any::<bool>(),
        probe_rows in prop::sample::select(vec![0usize, 20, 100_000]),
        statement in prop::sample::select(STATEMENTS.to_vec()),
    ) {
        let rows = runs.iter().flat_map(|(host, zone, minute, value, rows)| {
            (0..*rows).map(move |at| {
                let second = at as i64 * MINUTE / 60;
                (*host, *zone, minute * MINUTE + second, value.map(|value| value + at as i64 % 3))
            })
        });
        let mut rows: Vec<Row> = rows.collect();
        if is_sorted {
            rows.sort();
        }
        let mut partitions = vec![Vec::new(), Vec::new()];
        for (at, part) in rows.chunks(batch_rows).enumerate() {
            partitions[at % 2].push(batch(part));
        }
        let setting = Setting { with_rule: true, is_sorted, probe_rows };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (expected, found) = runtime.block_on(async {
            let without = Setting { with_rule: false, ..setting };
            let expected = answer(&session(without, partitions.clone()), statement).await;
            (expected, answer(&session(setting, partitions), statement).await)
        });
        prop_assert_eq!(expected, found, "{}", statement);
    }
}

fn plain(with_rule: bool) -> Setting {
    Setting { with_rule, is_sorted: false, probe_rows: 100_000 }
}

#[tokio::test]
async fn partial_aggregates_with_groups_get_the_operator() {
    let context = session(plain(true), vec![vec![], vec![]]);
    for statement in STATEMENTS.iter().take(14) {
        let plan = plan(&context, statement).await;
        assert_eq!(plan.matches("RunAggregateExec").count(), 1, "{statement}\n{plan}");
    }
}

#[tokio::test]
async fn other_aggregates_are_left_alone() {
    let context = session(plain(true), vec![vec![], vec![]]);
    for statement in [
        "SELECT count(*), max(a) FROM rows",
        "SELECT host, sum(a) FROM rows GROUP BY ROLLUP (host)",
        "SELECT host, hll_accumulate(a) FROM rows GROUP BY host",
        "SELECT DISTINCT host FROM rows LIMIT 3",
    ] {
        let plan = plan(&context, statement).await;
        assert!(!plan.contains("RunAggregateExec"), "{statement}\n{plan}");
    }
}

#[tokio::test]
async fn windows_near_the_limits_of_times_are_those_of_date_bin() {
    // Times whose distance from an origin, the beginning of 1970, 2200 or 1909, is a limit of its type.
    let origins = [0, 7_258_118_400_000_000_000, -1_924_992_000_000_000_000];
    let limits = origins.map(|origin: i64| match origin {
        0 => i64::MAX,
        origin if origin > 0 => origin + i64::MIN,
        origin => origin + i64::MAX,
    });
    let times = limits.map(|limit| [limit.saturating_sub(1), limit, limit.saturating_add(1)]);
    for times in times.into_iter().chain([[i64::MIN, i64::MIN + 1, -1]]) {
        let rows: Vec<Row> = times
            .iter()
            .flat_map(|time| (0..8).map(|_| (None, None, *time, Some(1))))
            .collect();
        let answers = [true, false].map(|with_rule| {
            let context = session(plain(with_rule), vec![vec![batch(&rows)], vec![]]);
            async move {
                let mut answers = Vec::new();
                for origin in origins {
                    let origin = format!("to_timestamp_nanos({origin})");
                    let bin = format!("date_bin(INTERVAL '1 hour', time, {origin})");
                    let sql = format!("SELECT {bin} AS t, count(*) FROM rows GROUP BY t");
                    let batches = context.sql(&sql).await.unwrap().collect().await;
                    let rows = batches.map(|rows| {
                        let columns = rows.iter().flat_map(|rows| rows.columns().to_vec());
                        format!("{:?}", columns.collect::<Vec<_>>())
                    });
                    answers.push(rows.map_err(|error| error.to_string()));
                }
                answers
            }
        });
        let [found, expected] = answers;
        assert_eq!(found.await, expected.await, "{times:?}");
    }
}

/// Returns the operator with its input in a statement.
fn find(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    if plan.is::<RunAggregateExec>() {
        Some(Arc::clone(plan))
    } else {
        plan.children().into_iter().find_map(find)
    }
}

/// Returns the numbers of rows of the batches that the operator returns. A batch of its input has 24 rows of a host, with
/// the same times as each other batch.
async fn rows_of_output(statement: &str, setting: Setting, memory: usize) -> Vec<usize> {
    let batches = (0..3).map(|host| {
        let rows = (0..24).map(|at| (Some(host), None, at, Some(at)));
        batch(&rows.collect::<Vec<_>>())
    });
    let context = session(setting, vec![batches.collect(), vec![]]);
    let operator = find(&operators(&context, statement).await).unwrap();
    let pool = Arc::new(GreedyMemoryPool::new(memory));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool);
    let context = TaskContext::default()
        .with_session_config(context.copied_config())
        .with_runtime(Arc::new(runtime.build().unwrap()));
    let output = collect(operator, Arc::new(context)).await.unwrap();
    output.iter().map(RecordBatch::num_rows).collect()
}

#[tokio::test]
async fn groups_are_emitted_early_if_there_is_no_memory() {
    let statement = "SELECT host, sum(a) FROM rows GROUP BY host";
    assert_eq!(rows_of_output(statement, plain(true), 1 << 20).await, [3]);
    // The input has batches of at most 16 rows.
    assert_eq!(rows_of_output(statement, plain(true), 0).await, [1; 6]);
}

#[tokio::test]
async fn groups_of_sorted_rows_are_emitted_when_they_fill_a_batch() {
    let statement = "SELECT host, zone, time, sum(a) FROM rows GROUP BY host, zone, time";
    assert_eq!(rows_of_output(statement, plain(true), 1 << 20).await, [16, 16, 16, 16, 8]);
    let sorted = Setting { is_sorted: true, ..plain(true) };
    assert_eq!(rows_of_output(statement, sorted, 1 << 20).await, [16, 16, 8, 16, 8, 8]);
}

#[tokio::test]
async fn rows_are_not_grouped_after_most_had_a_group_of_their_own() {
    let statement = "SELECT time, sum(a) FROM rows GROUP BY time";
    assert_eq!(rows_of_output(statement, plain(true), 1 << 20).await, [16, 8]);
    let probed = Setting { probe_rows: 20, ..plain(true) };
    assert_eq!(rows_of_output(statement, probed, 1 << 20).await, [16, 8, 16, 8, 16, 8]);
}

/// Returns the numbers of the first column that the operator returns.
async fn first_column(statement: &str, partitions: Vec<Vec<RecordBatch>>) -> Vec<Option<i64>> {
    let context = session(plain(true), partitions);
    let operator = find(&operators(&context, statement).await).unwrap();
    let context = Arc::new(TaskContext::default());
    let output = collect(operator, context).await.unwrap();
    let values = output.iter().flat_map(|batch| {
        let values = batch.column(0).as_primitive::<Int64Type>();
        values.iter().collect::<Vec<_>>()
    });
    values.collect()
}

#[tokio::test]
async fn groups_of_sorted_rows_are_emitted_in_their_order() {
    // A null does not change the hash of a row: the first two groups of a number have the same one.
    let rows: Vec<Row> = (0..200)
        .flat_map(|number| [(number, Some(5)), (number, None)])
        .map(|(number, value)| (None, None, number, value))
        .collect();
    let statement = "SELECT n, a, c, sum(a) FROM (SELECT CAST(time AS BIGINT) AS n, a, \
                     CASE WHEN a IS NULL THEN 5 END AS c FROM rows ORDER BY n LIMIT 1000) GROUP BY n, a, c";
    let partitions = rows.chunks(100).map(|rows| vec![batch(rows)]).collect();
    let found = first_column(statement, partitions).await;
    assert_eq!(found.len(), 400);
    assert!(found.is_sorted(), "{found:?}");
}
