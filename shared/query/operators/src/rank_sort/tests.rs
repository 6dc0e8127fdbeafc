//! Compares the rows of the operator with those of DataFusion's.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampNanosecondArray,
    },
    compute::{SortOptions, concat_batches},
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    common::{
        Result, config::ConfigOptions, exec_err, utils::memory::get_record_batch_memory_size,
    },
    datasource::memory::MemorySourceConfig,
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{GreedyMemoryPool, MemoryConsumer},
        runtime_env::RuntimeEnvBuilder,
    },
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::col},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, collect,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        stream::RecordBatchStreamAdapter,
    },
    prelude::SessionConfig,
};
use futures::{Stream, stream};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    RankSortExec,
    exec::ROWS_BY_RANK,
    input::{SortInput, SortLimits},
};

/// The values of dictionaries: not sorted, one of them null, and one there twice.
const VALUES: [Option<&str>; 5] = [Some("t2"), Some("t0"), None, Some("t1"), Some("t0")];

/// A row: the host and the zone by their keys, and a time.
type Row = (Option<u8>, Option<u8>, i64);

type Part = (&'static str, SortOptions);

const ENOUGH: SortLimits = SortLimits { rows: 1_000, bytes: 1 << 20 };

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let tag = |name| Field::new_dictionary(name, DataType::Int32, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        tag("host"),
        tag("zone"),
        Field::new("time", time, false),
        Field::new("id", DataType::Int64, false),
        Field::new("value", DataType::Int64, true),
    ]))
}

/// Returns rows with ascending ids from `id`.
fn batch(rows: &[Row], id: usize) -> RecordBatch {
    let tags = |tag: fn(&Row) -> Option<u8>| -> ArrayRef {
        let keys: Int32Array = rows.iter().map(|row| tag(row).map(i32::from)).collect();
        let values = StringArray::from(VALUES.to_vec());
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
    };
    let times = rows.iter().map(|row| row.2);
    let ids = (id as i64..).take(rows.len());
    let columns: Vec<ArrayRef> = vec![
        tags(|row| row.0),
        tags(|row| row.1),
        Arc::new(TimestampNanosecondArray::from_iter_values(times)),
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(Int64Array::from_iter(ids.map(|id| (id % 3 > 0).then_some(id)))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn numbered(partitions: &[Vec<Vec<Row>>]) -> Vec<Vec<RecordBatch>> {
    let mut id = 0;
    let mut next = |rows: &Vec<Row>| {
        let batch = batch(rows, id);
        id += rows.len();
        batch
    };
    let partitions = partitions.iter();
    partitions.map(|batches| batches.iter().map(&mut next).collect()).collect()
}

fn order(parts: &[Part]) -> LexOrdering {
    let parts = parts.iter().map(|(name, options)| {
        let column = col(name, &schema()).unwrap();
        PhysicalSortExpr::new(column, *options)
    });
    LexOrdering::new(parts).unwrap()
}

fn sort(partitions: &[Vec<RecordBatch>], parts: &[Part]) -> Arc<dyn ExecutionPlan> {
    let input = MemorySourceConfig::try_new_exec(partitions, schema(), None).unwrap();
    let sort = SortExec::new(order(parts), input).with_preserve_partitioning(true);
    Arc::new(SortPreservingMergeExec::new(order(parts), Arc::new(sort)))
}

fn context(batch_rows: usize, memory: usize) -> Arc<TaskContext> {
    let pool = Arc::new(GreedyMemoryPool::new(memory));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool);
    let config = SessionConfig::new().with_batch_size(batch_rows);
    let context = TaskContext::default().with_session_config(config);
    Arc::new(context.with_runtime(runtime.build_arc().unwrap()))
}

async fn rows_of(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<RecordBatch> {
    let batches = collect(plan, context).await?;
    Ok(concat_batches(&schema(), &batches)?)
}

/// The number of rows that the operator has sorted itself.
fn rows_by_rank(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let metrics = plan.metrics().unwrap();
    let rows = metrics.sum_by_name(ROWS_BY_RANK).unwrap();
    rows.as_usize()
}

fn row() -> impl Strategy<Value = Row> {
    (option::of(0..5_u8), option::of(0..5_u8), -3..3_i64)
}

fn runtime(is_multi_threaded: bool) -> tokio::runtime::Runtime {
    let builder = if is_multi_threaded {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()
    } else {
        tokio::runtime::Builder::new_current_thread().build()
    };
    builder.unwrap()
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let names = select(vec![
        vec!["time"],
        vec!["host"],
        vec!["time", "host"],
        vec!["time", "host", "zone"],
        vec!["zone", "host", "time"],
        vec!["host", "time", "zone"],
    ]);
    let options = any::<(bool, bool)>()
        .prop_map(|(descending, nulls_first)| SortOptions { descending, nulls_first });
    (names, vec(options, 3)).prop_map(|(names, options)| names.into_iter().zip(options).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn rows_are_those_of_a_stable_sort_of_all_partitions(
        partitions in vec(vec(vec(row(), 0..12), 0..4), 1..4),
        parts in parts(),
        batch_rows in 1..20_usize,
        is_multi_threaded in any::<bool>(),
    ) {
        let partitions = numbered(&partitions);
        let plan = sort(&partitions, &parts);
        prop_assert_eq!(RankSortExec::sorted_columns(&plan), parts.len());
        let plan: Arc<dyn ExecutionPlan> = Arc::new(RankSortExec::new(plan).with_limits(ENOUGH));
        let mut with_id = parts.clone();
        with_id.push(("id", SortOptions::default()));
        let expected = sort(&partitions, &with_id);
        let (sorted, expected) = runtime(is_multi_threaded).block_on(async {
            let sorted = rows_of(Arc::clone(&plan), context(batch_rows, 1 << 20)).await.unwrap();
            let expected = rows_of(expected, context(batch_rows, 1 << 30)).await.unwrap();
            (sorted, expected)
        });
        prop_assert_eq!(rows_by_rank(&plan), sorted.num_rows());
        prop_assert_eq!(shown(&sorted), shown(&expected));
    }

    #[test]
    fn rows_beyond_a_limit_are_sorted_by_the_operators_below(
        partitions in vec(vec(vec(row(), 1..12), 2..4), 1..4),
        parts in parts(),
        is_by_rows in any::<bool>(),
        is_multi_threaded in any::<bool>(),
    ) {
        let partitions = numbered(&partitions);
        let limits = if is_by_rows { SortLimits { rows: 1, ..ENOUGH } } else { SortLimits { bytes: 1, ..ENOUGH } };
        let plan = RankSortExec::new(sort(&partitions, &parts)).with_limits(limits);
        let plan: Arc<dyn ExecutionPlan> = Arc::new(plan);
        let by_id = [("id", SortOptions::default())];
        let mut with_id = parts.clone();
        with_id.extend(by_id);
        let (sorted, again, all, expected) = runtime(is_multi_threaded).block_on(async {
            let rows = async |plan| rows_of(plan, context(5, 1 << 30)).await.unwrap();
            let sorted = rows(Arc::clone(&plan)).await;
            let again = rows(sort(&[vec![sorted.clone()]], &by_id)).await;
            let all = rows(sort(&partitions, &by_id)).await;
            (sorted, again, all, rows(sort(&partitions, &with_id)).await)
        });
        prop_assert_eq!(shown(&again), shown(&all));
        let keys = |rows: &RecordBatch| {
            let indexes = parts.iter().map(|(name, _)| schema().index_of(name).unwrap());
            shown(&rows.project(&indexes.collect::<Vec<_>>()).unwrap())
        };
        prop_assert_eq!(keys(&sorted), keys(&expected));
        prop_assert_eq!(rows_by_rank(&plan), 0);
        let metrics = plan.metrics().unwrap();
        prop_assert_eq!(metrics.output_rows(), Some(all.num_rows()));
        // Those of the operators below, too.
        prop_assert!(metrics.spill_count().is_some());
    }
}

/// Returns rows as text, because equal tags may have different keys.
fn shown(rows: &RecordBatch) -> String {
    pretty_format_batches(std::slice::from_ref(rows)).unwrap().to_string()
}

fn stream(
    batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema(), batches))
}

/// Reads partitions, with memory for rows of so many bytes.
async fn read(
    partitions: Vec<SendableRecordBatchStream>,
    limits: SortLimits,
    memory: usize,
) -> Result<bool> {
    let context = context(1, memory);
    let memory = MemoryConsumer::new("test").register(context.memory_pool());
    SortInput::new(partitions, limits, 1, memory).read().await
}

#[tokio::test]
async fn reading_ends_at_a_limit_while_other_partitions_wait() {
    let rows = batch(&[(None, None, 1), (None, None, 2)], 0);
    let two = || stream(stream::iter([Ok(rows.clone())]));
    let waiting = || stream(stream::pending());
    let limits = SortLimits { rows: 1, ..ENOUGH };
    assert!(!read(vec![waiting(), two()], limits, 1 << 20).await.unwrap());
    assert!(!read(vec![two(), waiting()], limits, 1 << 20).await.unwrap());
    assert!(read(vec![two(), two()], ENOUGH, 1 << 20).await.unwrap());
    // The rows have memory, but one of their keys has not.
    let memory = 3 * get_record_batch_memory_size(&rows) + 1;
    assert!(!read(vec![waiting(), two()], ENOUGH, memory).await.unwrap());
    assert!(read(vec![two()], ENOUGH, memory + 1).await.unwrap());
    let failing = stream(stream::iter([exec_err!("failed")]));
    let failed = read(vec![waiting(), two(), failing], ENOUGH, 1 << 20).await;
    assert!(failed.unwrap_err().to_string().contains("failed"));
}

#[test]
fn sorts_by_one_column_stay_as_they_are() {
    let partitions = vec![vec![], vec![]];
    let ascending = SortOptions::default();
    let name = |parts: &[Part]| {
        let plan = RankSortExec::RULE.optimize(sort(&partitions, parts), &ConfigOptions::new());
        plan.unwrap().name().to_owned()
    };
    assert_eq!(name(&[("time", ascending)]), "SortPreservingMergeExec");
    assert_eq!(name(&[("time", ascending), ("host", ascending)]), "RankSortExec");
}

#[test]
fn other_sorts_are_left_to_datafusion() {
    let partitions = vec![vec![], vec![]];
    let ascending = SortOptions::default();
    let supports = |plan: Arc<dyn ExecutionPlan>| RankSortExec::sorted_columns(&plan) > 0;
    let sort_of = |parts: &[Part], partitions: &[Vec<RecordBatch>]| {
        let input = MemorySourceConfig::try_new_exec(partitions, schema(), None).unwrap();
        SortExec::new(order(parts), input)
    };
    let time = [("time", ascending)];
    assert!(supports(sort(&partitions, &time)));
    assert!(supports(Arc::new(sort_of(&time, &partitions[..1]))));
    // It sorts each partition.
    let in_parts = sort_of(&time, &partitions).with_preserve_partitioning(true);
    assert!(!supports(Arc::new(in_parts.clone())));
    // It returns the first rows.
    let first = sort_of(&time, &partitions[..1]).with_fetch(Some(1));
    assert!(!supports(Arc::new(first)));
    let merge = SortPreservingMergeExec::new(order(&time), Arc::new(in_parts));
    assert!(!supports(Arc::new(merge.with_fetch(Some(1)))));
    // A dictionary of all rows may be too long for its keys.
    let narrow = Field::new_dictionary("narrow", DataType::Int8, DataType::Utf8, true);
    let columns = schema().fields().to_vec();
    let columns = Arc::new(Schema::new([columns, vec![Arc::new(narrow)]].concat()));
    let input = MemorySourceConfig::try_new_exec(&[vec![]], columns, None).unwrap();
    assert!(!supports(Arc::new(SortExec::new(order(&time), input))));
    // These integers may be null, and these keys have too many bits.
    assert!(!supports(sort(&partitions, &[("value", ascending)])));
    let long = ["time", "host", "id"].map(|name| (name, ascending));
    assert!(!supports(sort(&partitions, &long)));
    // It merges sorts by something else.
    let by_host = sort_of(&[("host", ascending)], &partitions).with_preserve_partitioning(true);
    let merge = SortPreservingMergeExec::new(order(&time), Arc::new(by_host));
    assert!(!supports(Arc::new(merge)));
}
