//! Compares deduplication with a map, for sources and batches of any sizes.

use std::collections::BTreeMap;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, DictionaryArray, Int64Array, RecordBatch,
        TimestampNanosecondArray,
    },
    compute::SortOptions,
    datatypes::{Int32Type, Int64Type, Schema, TimestampNanosecondType},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    datasource::memory::MemorySourceConfig,
    physical_expr::expressions::col,
    physical_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions},
    prelude::{SessionConfig, SessionContext},
};
use futures::TryStreamExt;
use neap_schema::ColumnType;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::{merge::ROWS_PER_INPUT, *};

type PointMap = BTreeMap<(Option<u8>, i64), [Option<i64>; 2]>;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        ColumnType::Integer.arrow_field("a"),
        ColumnType::Integer.arrow_field("b"),
        ColumnType::Tag.arrow_field("host"),
        ColumnType::Time.arrow_field("time"),
    ]))
}

fn order() -> LexOrdering {
    let options = SortOptions { descending: false, nulls_first: true };
    let sort = |name| PhysicalSortExpr::new(col(name, &schema()).unwrap(), options);
    LexOrdering::new([sort("host"), sort("time")]).unwrap()
}

fn batch(points: &PointMap) -> RecordBatch {
    let host: DictionaryArray<Int32Type> = points
        .keys()
        .map(|(host, _)| host.map(|host| format!("h{host}")))
        .collect::<Vec<_>>()
        .iter()
        .map(Option::as_deref)
        .collect();
    let field = |at: usize| Int64Array::from_iter(points.values().map(|fields| fields[at]));
    let time = TimestampNanosecondArray::from_iter_values(points.keys().map(|(_, time)| *time));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(field(0)), Arc::new(field(1)), Arc::new(host), Arc::new(time)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Tag and time of a point, and its fields.
type PointRow = ((Option<u8>, i64), [Option<i64>; 2]);

fn points(batches: &[RecordBatch]) -> Vec<PointRow> {
    let mut all = Vec::new();
    for batch in batches {
        let field = |at: usize, row: usize| {
            let column = batch.column(at).as_primitive::<Int64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let host = batch.column(2).as_dictionary::<Int32Type>();
        let names = host.values().as_string::<i32>();
        let time = batch.column(3).as_primitive::<TimestampNanosecondType>();
        for row in 0..batch.num_rows() {
            let host = host.key(row).map(|key| names.value(key)[1..].parse().unwrap());
            all.push(((host, time.value(row)), [field(0, row), field(1, row)]));
        }
    }
    all
}

fn dedup(sources: &[PointMap], batch_size: usize, max_bytes: u64) -> Vec<RecordBatch> {
    let sources: Vec<RecordBatch> = sources.iter().map(batch).collect();
    merged(&sources, batch_size, max_bytes)
}

fn merged(sources: &[RecordBatch], batch_size: usize, max_bytes: u64) -> Vec<RecordBatch> {
    merged_columns(sources, &[0, 1, 2, 3], batch_size, max_bytes)
}

/// Merges sources, and outputs only these columns.
fn merged_columns(
    sources: &[RecordBatch],
    output: &[usize],
    batch_size: usize,
    max_bytes: u64,
) -> Vec<RecordBatch> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plan = merge_of(sources, output, batch_size, max_bytes);
    let rows = plan.execute(0, context(batch_size)).unwrap();
    runtime.block_on(rows.try_collect()).unwrap()
}

fn context(batch_size: usize) -> Arc<TaskContext> {
    let config = SessionConfig::new().with_batch_size(batch_size);
    SessionContext::new_with_config(config).task_ctx()
}

fn merge_of(
    sources: &[RecordBatch],
    output: &[usize],
    batch_size: usize,
    max_bytes: u64,
) -> DedupExec {
    let memory = MergeMemory {
        input_bytes: sources.iter().map(|rows| rows.num_rows() as u64).collect(),
        max_bytes,
    };
    let inputs = sources
        .iter()
        .map(|batch| {
            let parts = (0..batch.num_rows())
                .step_by(batch_size)
                .map(|at| batch.slice(at, batch_size.min(batch.num_rows() - at)))
                .collect::<Vec<_>>();
            MemorySourceConfig::try_new_exec(&[parts], schema(), None).unwrap() as _
        })
        .collect();
    let keys = Arc::from([2, 3]);
    DedupExec::try_new(inputs, order(), keys, output.into(), memory).unwrap()
}

/// A runtime on which merges may have tasks.
fn with_threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn source() -> impl Strategy<Value = PointMap> {
    let key = (proptest::option::of(0..3u8), 0..4i64);
    let fields = proptest::array::uniform2(proptest::option::of(any::<i64>()));
    proptest::collection::btree_map(key, fields, 0..12)
}

/// Returns the newest value of each field of each point.
fn newest(sources: &[PointMap]) -> Vec<PointRow> {
    let mut expected = PointMap::new();
    for (key, fields) in sources.iter().flatten() {
        let point = expected.entry(*key).or_default();
        for (slot, field) in point.iter_mut().zip(fields) {
            *slot = field.or(*slot);
        }
    }
    expected.into_iter().collect()
}

/// Rows of a few hosts at consecutive times, and some at other times.
fn long_source() -> impl Strategy<Value = PointMap> {
    let fields = || proptest::array::uniform2(proptest::option::of(any::<i64>()));
    let stretch = (proptest::option::of(0..4u8), 0..200i64, 1..120i64, fields());
    let single = (proptest::option::of(0..4u8), 0..320i64, fields());
    let stretches = proptest::collection::vec(stretch, 0..4);
    let singles = proptest::collection::vec(single, 0..20);
    (stretches, singles).prop_map(|(stretches, singles)| {
        let stretches = stretches.into_iter().flat_map(|(host, first, length, fields)| {
            (first..first + length).map(move |time| ((host, time), fields))
        });
        let singles = singles.into_iter().map(|(host, time, fields)| ((host, time), fields));
        stretches.chain(singles).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]
    #[test]
    fn newest_value_of_each_field_is_output_with_any_batch_size_and_memory(
        sources in proptest::collection::vec(source(), 1..12),
        // The last two sizes read 4 and all sources at once, the others 2.
        batch_size in prop_oneof![1..6usize, Just(4 * ROWS_PER_INPUT), Just(12 * ROWS_PER_INPUT)],
        max_bytes in prop_oneof![0..40u64, Just(u64::MAX)],
    ) {
        let found = points(&dedup(&sources, batch_size, max_bytes));
        prop_assert_eq!(found, newest(&sources));
    }

    #[test]
    fn columns_that_are_output_are_the_same_without_the_others(
        sources in proptest::collection::vec(source(), 1..8),
        output in proptest::sample::subsequence(vec![0usize, 1, 2, 3], 0..=4).prop_shuffle(),
        batch_size in prop_oneof![1..6usize, Just(12 * ROWS_PER_INPUT)],
        max_bytes in prop_oneof![0..40u64, Just(u64::MAX)],
    ) {
        let sources: Vec<RecordBatch> = sources.iter().map(batch).collect();
        let rows = |batches: &[RecordBatch]| {
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let texts = pretty_format_batches(batches).unwrap();
            (rows, texts.to_string())
        };
        let all: Vec<_> = merged(&sources, batch_size, max_bytes)
            .into_iter()
            .map(|batch| batch.project(&output).unwrap())
            .collect();
        let found = merged_columns(&sources, &output, batch_size, max_bytes);
        prop_assert_eq!(rows(&found), rows(&all));
    }

    #[test]
    fn long_runs_are_merged_by_time_and_no_batch_is_larger_than_allowed(
        sources in proptest::collection::vec(long_source(), 1..5),
        batch_size in prop_oneof![Just(16usize), Just(5 * ROWS_PER_INPUT), Just(100 * ROWS_PER_INPUT)],
    ) {
        let batches = dedup(&sources, batch_size, u64::MAX);
        prop_assert!(batches.iter().all(|batch| (1..=batch_size).contains(&batch.num_rows())));
        prop_assert_eq!(points(&batches), newest(&sources));
    }

    #[test]
    fn tasks_output_the_same_batches(
        sources in proptest::collection::vec(long_source(), 1..5),
        batch_size in prop_oneof![Just(16usize), Just(5 * ROWS_PER_INPUT), Just(100 * ROWS_PER_INPUT)],
        max_bytes in prop_oneof![0..40u64, Just(u64::MAX)],
    ) {
        let sources: Vec<RecordBatch> = sources.iter().map(batch).collect();
        let plan = merge_of(&sources, &[0, 1, 2, 3], batch_size, max_bytes).in_tasks();
        let found = with_threads().block_on(async {
            let rows = plan.execute(0, context(batch_size)).unwrap();
            rows.try_collect::<Vec<RecordBatch>>().await.unwrap()
        });
        prop_assert_eq!(found, merged(&sources, batch_size, max_bytes));
    }
}

#[test]
fn a_merge_in_tasks_has_one_for_each_input_and_one_for_its_output() {
    let points: PointMap = (0..1_000).map(|time| ((Some(0), time), [Some(time), None])).collect();
    let sources = [batch(&points), batch(&points)];
    let batch_size = 2 * ROWS_PER_INPUT;
    let plan = Arc::new(merge_of(&sources, &[0], batch_size, u64::MAX).in_tasks());
    // Rules replace the inputs.
    let inputs = plan.children().into_iter().cloned().collect();
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    let rebuilt = plan.replace_children(inputs, options).unwrap();
    let runtime = with_threads();
    runtime.block_on(async {
        // The tasks wait, because nothing reads the output.
        let _rows = rebuilt.execute(0, context(batch_size)).unwrap();
        assert_eq!(runtime.metrics().num_alive_tasks(), 3);
    });
}

#[test]
fn rows_that_one_source_has_alone_are_not_copied() {
    let source = |host: u8| -> PointMap {
        let points = (0..100).map(|time| ((Some(host), time), [Some(time), None]));
        points.collect()
    };
    let sources = [source(0), source(1)].map(|points| batch(&points));
    let batches = merged(&sources, 256, u64::MAX);
    let values = |rows: &RecordBatch| {
        let values = rows.column(0).as_primitive::<Int64Type>().values();
        (values.as_ptr(), values.len())
    };
    let found: Vec<_> = batches.iter().map(values).collect();
    assert_eq!(found, sources.each_ref().map(values));
}

#[test]
fn the_order_of_rows_ends_before_the_first_key_column_that_is_not_output() {
    let order_of = |output: &[usize]| {
        let order = order_of_output(&order(), &[2, 3], output);
        order.map(|order| order.to_string())
    };
    let (host, time) = ("host@0 ASC", "time@1 ASC");
    assert_eq!(order_of(&[2, 3]).unwrap(), format!("{host}, {time}"));
    assert_eq!(order_of(&[2, 0]).unwrap(), host);
    assert_eq!(order_of(&[0, 3]), None);
}

#[test]
fn values_that_a_dictionary_has_twice_are_the_same_tag() {
    let codes = arrow::array::Int32Array::from(vec![0, 1, 1, 2]);
    let values = arrow::array::StringArray::from(vec!["h1", "h1", "h2"]);
    let host = DictionaryArray::<Int32Type>::try_new(codes, Arc::new(values)).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
        Arc::new(Int64Array::from(vec![None; 4])),
        Arc::new(host),
        Arc::new(TimestampNanosecondArray::from(vec![1, 2, 3, 1])),
    ];
    let older = RecordBatch::try_new(schema(), columns).unwrap();
    let newer = batch(&PointMap::from([((Some(1), 2), [None, Some(5)])]));
    let found = points(&merged(&[older, newer], 8, u64::MAX));
    let point = |host, time, fields| ((Some(host), time), fields);
    let expected = [
        point(1, 1, [Some(1), None]),
        point(1, 2, [Some(2), Some(5)]),
        point(1, 3, [Some(3), None]),
        point(2, 1, [Some(4), None]),
    ];
    assert_eq!(found, expected);
}
