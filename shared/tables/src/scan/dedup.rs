//! Merges sorted sources and deduplicates the versions of each point.
//!
//! The inputs are in the order of their stamps, the oldest first. Each input is sorted by tags and time and contains
//! every point at most once. Among rows with equal keys, the merge outputs those of earlier inputs first, so the last
//! row of a run is the newest version. For each field, the newest value that is not null is output.
//!
//! ```text
//!   input 0   a 1 x=1 y=1            merged   a 1 x=1 y=1   \
//!   input 1   a 1 x=2 y=-    ->               a 1 x=2 y=-   /  ->   a 1 x=2 y=1
//!             b 1 x=3 y=3                     b 1 x=3 y=3           b 1 x=3 y=3
//! ```

mod memory;
mod passes;

use std::{
    fmt,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt64Array},
    compute::{concat_batches, partition, take},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Result, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_expr::{EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
        RecordBatchStream,
        execution_plan::{Boundedness, EmissionType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics},
        sorts::streaming_merge::StreamingMergeBuilder,
    },
};
use futures::{Stream, StreamExt};

pub(super) use memory::{MergeMemory, concurrent_merges};

/// Returns the maximum number of inputs that are read at once, because each holds some batches in memory.
fn max_inputs(context: &TaskContext) -> usize {
    // The batch size is smaller if there is less memory.
    context.session_config().batch_size() / ROWS_PER_INPUT
}

/// Rows of a batch per input: 16 inputs are read at once with batches of 1,024 rows, 128 with the default of 8,192.
const ROWS_PER_INPUT: usize = 64;

/// Merges inputs that are sorted by the key of a point, and deduplicates the versions of each point.
#[derive(Debug)]
pub(crate) struct DedupExec {
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    order: LexOrdering,
    /// The indexes of the key columns. All other columns are fields.
    keys: Arc<[usize]>,
    memory: MergeMemory,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DedupExec {
    /// Merges `inputs`, from the oldest to the newest. Each input has one partition, sorted by `order`. `keys` are the
    /// indexes of the columns of `order`.
    pub(crate) fn try_new(
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        order: LexOrdering,
        keys: Arc<[usize]>,
        memory: MergeMemory,
    ) -> Result<Self> {
        let first = inputs
            .first()
            .ok_or_else(|| internal_datafusion_err!("a merge needs at least one source"))?;
        let equivalences =
            EquivalenceProperties::new_with_orderings(first.schema(), [order.clone()]);
        let properties = Arc::new(PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Self {
            inputs,
            order,
            keys,
            memory,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for DedupExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DedupExec: order=[{}]", self.order)
    }
}

impl ExecutionPlan for DedupExec {
    fn name(&self) -> &'static str {
        "DedupExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition; self.inputs.len()]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone())); self.inputs.len()]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true; self.inputs.len()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for sort in &self.order {
            if apply(&sort.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::try_new(
            children,
            self.order.clone(),
            Arc::clone(&self.keys),
            self.memory.clone(),
        )?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let fold = DedupMerge {
            schema: self.schema(),
            order: self.order.clone(),
            keys: Arc::clone(&self.keys),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            spills: SpillMetrics::new(&self.metrics, partition),
            context: Arc::clone(&context),
        };
        let groups = self.memory.groups(self.inputs.len(), max_inputs(&context));
        if groups.len() > 1 {
            let groups = groups
                .into_iter()
                .filter_map(|group| Some(self.inputs.get(group)?.to_vec()))
                .collect();
            return Ok(passes::deduplicate_in_passes(fold, groups));
        }
        fold.merged(execute_all(&self.inputs, &context)?)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Starts the execution of inputs with one partition each.
fn execute_all(
    inputs: &[Arc<dyn ExecutionPlan>],
    context: &Arc<TaskContext>,
) -> Result<Vec<SendableRecordBatchStream>> {
    let streams = inputs
        .iter()
        .map(|input| input.execute(0, Arc::clone(context)));
    streams.collect()
}

/// The parameters of a merge of sorted inputs.
struct DedupMerge {
    schema: SchemaRef,
    order: LexOrdering,
    keys: Arc<[usize]>,
    metrics: BaselineMetrics,
    spills: SpillMetrics,
    context: Arc<TaskContext>,
}

impl DedupMerge {
    /// Merges inputs, which are all read at once, and deduplicates the result.
    fn merged(&self, inputs: Vec<SendableRecordBatchStream>) -> Result<SendableRecordBatchStream> {
        let consumer = MemoryConsumer::new("DedupExec");
        let merged = StreamingMergeBuilder::new()
            .with_streams(inputs)
            .with_schema(Arc::clone(&self.schema))
            .with_expressions(&self.order)
            .with_metrics(self.metrics.clone())
            .with_batch_size(self.context.session_config().batch_size())
            .with_reservation(consumer.register(self.context.memory_pool()))
            // Among equal keys the earlier input must come first.
            .with_round_robin_tie_breaker(false)
            .build()?;
        Ok(Box::pin(DedupStream {
            merged,
            keys: Arc::clone(&self.keys),
            pending: None,
            metrics: self.metrics.clone(),
        }))
    }
}

struct DedupStream {
    merged: SendableRecordBatchStream,
    keys: Arc<[usize]>,
    /// Rows that are not output yet, because their last point may have further versions in the next batch.
    pending: Option<RecordBatch>,
    metrics: BaselineMetrics,
}

impl DedupStream {
    /// Adds the next rows of the merge. Returns the deduplicated rows of points that are complete now.
    fn advance(&mut self, next: RecordBatch) -> Result<Option<RecordBatch>> {
        if next.num_rows() == 0 {
            return Ok(None);
        }
        let Some(pending) = self.pending.take() else {
            self.pending = Some(next);
            return Ok(None);
        };
        let last_row = pending.slice(pending.num_rows() - 1, 1);
        let border = concat_batches(&pending.schema(), [&last_row, &next.slice(0, 1)])?;
        if runs(&border, &self.keys)?.len() == 2 {
            self.pending = Some(next);
            return deduplicate_runs(&pending, &self.keys).map(Some);
        }
        let last_run = runs(&pending, &self.keys)?.pop().unwrap_or(0..0);
        let open = pending.slice(last_run.start, last_run.len());
        self.pending = Some(concat_batches(&pending.schema(), [&open, &next])?);
        if last_run.start == 0 {
            return Ok(None);
        }
        deduplicate_runs(&pending.slice(0, last_run.start), &self.keys).map(Some)
    }
}

impl Stream for DedupStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let folded = match ready!(self.merged.poll_next_unpin(context)) {
                Some(next) => next.and_then(|next| self.advance(next)),
                None => match self.pending.take() {
                    Some(pending) => deduplicate_runs(&pending, &self.keys).map(Some),
                    None => return Poll::Ready(None),
                },
            };
            if let Some(item) = folded.transpose() {
                return self.metrics.record_poll(Poll::Ready(Some(item)));
            }
        }
    }
}

impl RecordBatchStream for DedupStream {
    fn schema(&self) -> SchemaRef {
        self.merged.schema()
    }
}

/// Returns the runs of rows with equal keys.
fn runs(batch: &RecordBatch, keys: &[usize]) -> Result<Vec<Range<usize>>> {
    let columns: Vec<ArrayRef> = keys
        .iter()
        .map(|key| Arc::clone(batch.column(*key)))
        .collect();
    Ok(partition(&columns)?.ranges())
}

/// Returns one row for each run: for each field the newest value that is not null.
fn deduplicate_runs(batch: &RecordBatch, keys: &[usize]) -> Result<RecordBatch> {
    let runs = runs(batch, keys)?;
    if runs.len() == batch.num_rows() {
        return Ok(batch.clone());
    }
    let newest: UInt64Array = runs.iter().map(|run| (run.end - 1) as u64).collect();
    let columns = batch
        .columns()
        .iter()
        .enumerate()
        .map(|(at, column)| {
            if keys.contains(&at) || column.null_count() == 0 {
                return Ok(take(column, &newest, None)?);
            }
            let valid: UInt64Array = runs
                .iter()
                .map(|run| {
                    run.clone()
                        .rev()
                        .find(|row| column.is_valid(*row))
                        .unwrap_or(run.end - 1) as u64
                })
                .collect();
            Ok(take(column, &valid, None)?)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::{
        array::{AsArray, DictionaryArray, Int64Array, TimestampNanosecondArray},
        compute::SortOptions,
        datatypes::{Int32Type, Int64Type, Schema, TimestampNanosecondType},
    };
    use datafusion::{
        datasource::memory::MemorySourceConfig,
        physical_expr::{PhysicalSortExpr, expressions::col},
        prelude::{SessionConfig, SessionContext},
    };
    use futures::TryStreamExt;
    use neap_schema::ColumnType;
    use proptest::prelude::*;

    use super::*;

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
        let options = SortOptions {
            descending: false,
            nulls_first: true,
        };
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
        let columns: Vec<ArrayRef> = vec![
            Arc::new(field(0)),
            Arc::new(field(1)),
            Arc::new(host),
            Arc::new(time),
        ];
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
                let host = host
                    .key(row)
                    .map(|key| names.value(key)[1..].parse().unwrap());
                all.push(((host, time.value(row)), [field(0, row), field(1, row)]));
            }
        }
        all
    }

    fn dedup(sources: &[PointMap], batch_size: usize, max_bytes: u64) -> Vec<RecordBatch> {
        let memory = MergeMemory {
            input_bytes: sources.iter().map(|points| points.len() as u64).collect(),
            max_bytes,
        };
        let inputs = sources
            .iter()
            .map(|points| {
                let batch = batch(points);
                let parts = (0..batch.num_rows())
                    .step_by(batch_size)
                    .map(|at| batch.slice(at, batch_size.min(batch.num_rows() - at)))
                    .collect::<Vec<_>>();
                MemorySourceConfig::try_new_exec(&[parts], schema(), None).unwrap() as _
            })
            .collect();
        let plan = DedupExec::try_new(inputs, order(), Arc::from([2, 3]), memory).unwrap();
        let config = SessionConfig::new().with_batch_size(batch_size);
        let context = SessionContext::new_with_config(config).task_ctx();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime
            .block_on(plan.execute(0, context).unwrap().try_collect())
            .unwrap()
    }

    fn source() -> impl Strategy<Value = PointMap> {
        let key = (proptest::option::of(0..3u8), 0..4i64);
        let fields = proptest::array::uniform2(proptest::option::of(any::<i64>()));
        proptest::collection::btree_map(key, fields, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn newest_value_of_each_field_is_output_with_any_batch_size_and_memory(
            sources in proptest::collection::vec(source(), 1..12),
            // The last two sizes read 4 and all sources at once, the others 2.
            batch_size in prop_oneof![1..6usize, Just(4 * ROWS_PER_INPUT), Just(12 * ROWS_PER_INPUT)],
            max_bytes in prop_oneof![0..40u64, Just(u64::MAX)],
        ) {
            let mut expected = PointMap::new();
            for (key, fields) in sources.iter().flatten() {
                let point = expected.entry(*key).or_default();
                for (slot, field) in point.iter_mut().zip(fields) {
                    *slot = field.or(*slot);
                }
            }
            let found = points(&dedup(&sources, batch_size, max_bytes));
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
