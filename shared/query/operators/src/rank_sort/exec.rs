//! The operator that sorts.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use arrow::{
    array::RecordBatch,
    compute::{concat_batches, take_record_batch},
    datatypes::{DataType, Schema, SchemaRef},
};
use datafusion::{
    common::{Result, utils::memory::get_record_batch_memory_size},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::LexOrdering,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
        common::spawn_buffered,
        metrics::{
            BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricValue, MetricsSet,
        },
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        stream::RecordBatchStreamAdapter,
        streaming::StreamingTableExec,
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    input::{SortInput, SortLimits},
    keys::RankKeys,
};
use crate::{
    one_input::{one_input_methods, same_rows_methods},
    substitution_rule::SubstitutionRule,
};

/// The rows that are sorted at once. More rows are sorted faster in several partitions.
const LIMITS: SortLimits = SortLimits { rows: 1 << 18, bytes: 32 << 20 };

/// The metric of the rows that this operator has sorted itself.
pub(super) const ROWS_BY_RANK: &str = "rows_by_rank";

/// Sorts as the operators below it describe, in their place.
#[derive(Debug)]
pub struct RankSortExec {
    sort: Arc<dyn ExecutionPlan>,
    limits: SortLimits,
    metrics: ExecutionPlanMetricsSet,
    /// The operators that have sorted rows beyond the limits.
    executed: Arc<OnceLock<Arc<dyn ExecutionPlan>>>,
}

impl RankSortExec {
    /// Adds the operator above the sorts by several columns that it can do. DataFusion compares one column as fast, and sorts
    /// the partitions at the same time.
    pub(crate) const RULE: SubstitutionRule = SubstitutionRule {
        name: "rank_sort",
        substitute: |plan| {
            let has_several = Self::sorted_columns(plan) > 1;
            Ok(has_several.then(|| Arc::new(Self::new(Arc::clone(plan))) as Arc<_>))
        },
    };

    /// Sorts in the place of `sort` if it can: if it is a sort of all rows into one partition by times, integers and
    /// tags. Otherwise `sort` is executed.
    pub fn new(sort: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            sort,
            limits: LIMITS,
            metrics: ExecutionPlanMetricsSet::new(),
            executed: Arc::default(),
        }
    }

    fn with_input(&self, sort: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { limits: self.limits, ..Self::new(sort) })
    }

    #[cfg(test)]
    pub(super) fn with_limits(self, limits: SortLimits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the number of columns by which a plan sorts; zero if it is no sort that this operator can do: of all rows, into
    /// one partition, by times and integers that are never null and by tags, with keys of at most 128 bits: 64 for a time or an
    /// integer, and 32 for adjacent tags.
    pub(super) fn sorted_columns(plan: &Arc<dyn ExecutionPlan>) -> usize {
        SortDescription::from_plan(plan).map_or(0, |description| description.order.len())
    }
}

/// What a sort does.
struct SortDescription<'a> {
    order: &'a LexOrdering,
    keys: RankKeys,
    input: &'a Arc<dyn ExecutionPlan>,
}

impl<'a> SortDescription<'a> {
    fn from_plan(plan: &'a Arc<dyn ExecutionPlan>) -> Option<Self> {
        let sort = match plan.downcast_ref::<SortPreservingMergeExec>() {
            Some(merge) => {
                let sort = merge.input().downcast_ref::<SortExec>()?;
                let is_merged = sort.preserve_partitioning() && merge.expr() == sort.expr();
                (is_merged && merge.fetch().is_none()).then_some(sort)?
            }
            None => {
                let sort = plan.downcast_ref::<SortExec>()?;
                let partitions = sort.input().output_partitioning().partition_count();
                (partitions == 1).then_some(sort)?
            }
        };
        if sort.fetch().is_some() {
            return None;
        }
        let (order, input) = (sort.expr(), sort.input());
        let schema = input.schema();
        let keys = RankKeys::new(order, &schema).filter(|_| !has_narrow_keys(&schema))?;
        Some(Self { order, keys, input })
    }
}

/// Whether a dictionary may be too short for the values of all rows.
fn has_narrow_keys(schema: &Schema) -> bool {
    schema.flattened_fields().iter().any(|field| {
        let DataType::Dictionary(keys, _) = field.data_type() else {
            return false;
        };
        keys.primitive_width().is_none_or(|bytes| bytes < 4)
    })
}

impl DisplayAs for RankSortExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for RankSortExec {
    fn name(&self) -> &'static str {
        "RankSortExec"
    }

    one_input_methods!(sort);
    same_rows_methods!(sort);

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let description = SortDescription::from_plan(&self.sort).filter(|_| partition == 0);
        let Some(SortDescription { order, keys, input }) = description else {
            return self.sort.execute(partition, context);
        };
        let count = input.output_partitioning().partition_count();
        let partitions = (0..count).map(|partition| {
            let rows = input.execute(partition, Arc::clone(&context))?;
            // Partitions are computed at the same time.
            Ok(match count {
                1 => rows,
                _ => spawn_buffered(rows, 1),
            })
        });
        let partitions = partitions.collect::<Result<_>>()?;
        let memory = MemoryConsumer::new("RankSortExec").register(context.memory_pool());
        let rows_by_rank = MetricBuilder::new(&self.metrics).counter(ROWS_BY_RANK, partition);
        let sort = RowSort {
            input: SortInput::new(partitions, self.limits, keys.row_bytes(), memory),
            schema: self.schema(),
            order: order.clone(),
            keys,
            executed: Arc::clone(&self.executed),
            rows_by_rank,
            metrics: BaselineMetrics::new(&self.metrics, partition),
            context,
        };
        let rows = stream::once(sort.run()).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        let mut executed = self.executed.get();
        while let Some(operator) = executed {
            for metric in operator.metrics().unwrap_or_default().iter() {
                if is_cost(metric.value()) {
                    metrics.push(Arc::clone(metric));
                }
            }
            executed = operator.children().first().copied();
        }
        Some(metrics)
    }
}

/// Whether a metric is a time or a number of spilled rows, and not the number of rows, which several operators count.
fn is_cost(metric: &MetricValue) -> bool {
    matches!(
        metric,
        MetricValue::ElapsedCompute(_)
            | MetricValue::SpillCount(_)
            | MetricValue::SpilledBytes(_)
            | MetricValue::SpilledRows(_)
    )
}

/// An execution.
struct RowSort {
    input: SortInput,
    schema: SchemaRef,
    order: LexOrdering,
    keys: RankKeys,
    executed: Arc<OnceLock<Arc<dyn ExecutionPlan>>>,
    rows_by_rank: Count,
    metrics: BaselineMetrics,
    context: Arc<TaskContext>,
}

impl RowSort {
    async fn run(mut self) -> Result<SendableRecordBatchStream> {
        if self.input.read().await? {
            self.sort_by_ranks()
        } else {
            self.sort_as_described()
        }
    }

    /// Sorts all rows at once.
    fn sort_by_ranks(self) -> Result<SendableRecordBatchStream> {
        let timer = self.metrics.elapsed_compute().timer();
        let (batches, memory) = self.input.into_read();
        let rows = concat_batches(&self.schema, &batches)?;
        drop(batches);
        let sorted = take_record_batch(&rows, &self.keys.sorted(&rows)?)?;
        drop(rows);
        memory.resize(get_record_batch_memory_size(&sorted));
        self.rows_by_rank.add(sorted.num_rows());
        drop(timer);
        let output = SortedBatches {
            rows: sorted,
            position: 0,
            batch_rows: self.context.session_config().batch_size(),
            metrics: self.metrics,
            _memory: memory,
        };
        let output = stream::iter(output).map(Ok);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema, output)))
    }

    /// Executes DataFusion's operators for the rows that were read and for the rest.
    fn sort_as_described(self) -> Result<SendableRecordBatchStream> {
        let partitions = self.input.into_partitions();
        let count = partitions.len();
        let input = StreamingTableExec::try_new(self.schema, partitions, None, [], false, None)?;
        let sort = SortExec::new(self.order.clone(), Arc::new(input));
        let plan: Arc<dyn ExecutionPlan> = match count {
            1 => Arc::new(sort),
            _ => {
                let sort = sort.with_preserve_partitioning(true);
                Arc::new(SortPreservingMergeExec::new(self.order, Arc::new(sort)))
            }
        };
        let rows = plan.execute(0, self.context)?;
        // A plan is executed once, so that there is no other.
        _ = self.executed.set(plan);
        let metrics = self.metrics;
        let schema = rows.schema();
        let rows = rows.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Sorted rows, which are returned in batches.
struct SortedBatches {
    rows: RecordBatch,
    position: usize,
    batch_rows: usize,
    metrics: BaselineMetrics,
    _memory: MemoryReservation,
}

impl Iterator for SortedBatches {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        let count = self.batch_rows.min(self.rows.num_rows() - self.position);
        if count == 0 {
            self.metrics.done();
            return None;
        }
        let batch = self.rows.slice(self.position, count);
        self.position += count;
        self.metrics.record_output(count);
        Some(batch)
    }
}
