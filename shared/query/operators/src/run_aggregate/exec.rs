//! The operator that computes partial states.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::Result,
    execution::{
        RecordBatchStream, SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode,
        aggregates::{AggregateExec, AggregateMode},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
    },
};
use futures::{Stream, StreamExt};

use super::partial_states::PartialStates;
use crate::{
    one_input::{one_input_methods, same_rows_methods},
    substitution_rule::SubstitutionRule,
};

/// Computes what the partial aggregate below it describes, in its place.
#[derive(Debug)]
pub struct RunAggregateExec {
    aggregate: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl RunAggregateExec {
    /// Adds the operator above the partial aggregates that it can compute.
    pub(crate) const RULE: SubstitutionRule = SubstitutionRule {
        name: "run_aggregate",
        substitute: |plan| {
            let is_supported = Self::supports(plan);
            Ok(is_supported.then(|| Arc::new(Self::new(Arc::clone(plan))) as Arc<_>))
        },
    };

    /// Computes `aggregate` in its place if it is [supported](Self::supports). Otherwise `aggregate` is executed.
    pub fn new(aggregate: Arc<dyn ExecutionPlan>) -> Self {
        Self { aggregate, metrics: ExecutionPlanMetricsSet::new() }
    }

    fn with_input(&self, aggregate: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(aggregate))
    }

    /// Whether a plan is an aggregate that this operator can compute: partial, with one set of groups, whose functions have states
    /// of many groups, and without a limit.
    pub fn supports(plan: &Arc<dyn ExecutionPlan>) -> bool {
        plan.downcast_ref::<AggregateExec>().is_some_and(is_supported)
    }
}

fn is_supported(aggregate: &AggregateExec) -> bool {
    let groups = aggregate.group_expr();
    *aggregate.mode() == AggregateMode::Partial
        && groups.is_single()
        && !groups.is_empty()
        && aggregate.limit_options().is_none()
        && aggregate
            .aggr_expr()
            .iter()
            .all(|function| function.groups_accumulator_supported())
}

impl DisplayAs for RunAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunAggregateExec")
    }
}

impl ExecutionPlan for RunAggregateExec {
    fn name(&self) -> &'static str {
        "RunAggregateExec"
    }

    one_input_methods!(aggregate);
    same_rows_methods!(aggregate);

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let aggregate = self.aggregate.downcast_ref::<AggregateExec>();
        let Some(aggregate) = aggregate.filter(|aggregate| is_supported(aggregate)) else {
            return self.aggregate.execute(partition, context);
        };
        let options = &context.session_config().options().execution;
        let batch_size = context.session_config().batch_size();
        // It emits its groups instead of using the disk.
        let consumer =
            MemoryConsumer::new(format!("RunAggregateExec[{partition}]")).with_can_spill(true);
        Ok(Box::pin(RunAggregateStream {
            states: PartialStates::new(aggregate)?,
            schema: self.aggregate.schema(),
            // Sorted input has no more rows of the groups, except those of the last one.
            max_groups: match aggregate.input_order_mode() {
                InputOrderMode::Sorted => batch_size,
                InputOrderMode::Linear | InputOrderMode::PartiallySorted(_) => usize::MAX,
            },
            probe: SkipProbe {
                rows: 0,
                groups: 0,
                min_rows: options.skip_partial_aggregation_probe_rows_threshold,
                max_share: options.skip_partial_aggregation_probe_ratio_threshold,
            },
            skips_groups: false,
            output: None,
            batch_size,
            memory: consumer.register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            input: Some(aggregate.input().execute(partition, context)?),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Decides whether rows are grouped: whether there are fewer groups than rows.
struct SkipProbe {
    rows: usize,
    /// The groups that were emitted.
    groups: usize,
    /// The number of rows before which nothing is decided.
    min_rows: usize,
    /// The share of groups in rows above which rows are not grouped.
    max_share: f64,
}

impl SkipProbe {
    // A ratio of numbers below 2^53.
    fn has_too_many_groups(&self, groups: usize) -> bool {
        let groups = self.groups.saturating_add(groups);
        self.rows >= self.min_rows && groups as f64 / self.rows as f64 > self.max_share
    }
}

struct RunAggregateStream {
    /// `None` after its end.
    input: Option<SendableRecordBatchStream>,
    states: PartialStates,
    schema: SchemaRef,
    /// The number of groups at which they are emitted.
    max_groups: usize,
    probe: SkipProbe,
    /// Whether each row is emitted as a group of its own.
    skips_groups: bool,
    /// Groups that are emitted next.
    output: Option<RecordBatch>,
    batch_size: usize,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

impl RunAggregateStream {
    /// Adds a batch, and sets `output` if groups are emitted.
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.skips_groups {
            self.memory.free();
            self.output = Some(self.states.states_of_rows(batch)?);
            return Ok(());
        }
        self.states.add(batch)?;
        self.probe.rows = self.probe.rows.saturating_add(batch.num_rows());
        let groups = self.states.len();
        self.skips_groups = self.probe.has_too_many_groups(groups);
        // Emitted groups are merged by the final aggregate, which can use the disk.
        let has_memory = self.memory.try_resize(self.states.size_bytes()).is_ok();
        if self.skips_groups || groups >= self.max_groups || !has_memory {
            self.take_groups()?;
        }
        Ok(())
    }

    /// Moves all groups to `output`.
    fn take_groups(&mut self) -> Result<()> {
        self.probe.groups = self.probe.groups.saturating_add(self.states.len());
        self.output = self.states.take()?;
        let output = self.output.as_ref();
        self.memory.resize(output.map_or(0, RecordBatch::get_array_memory_size));
        Ok(())
    }

    /// Returns the next rows of `output`; `None` if none are left.
    fn next_output(&mut self) -> Option<RecordBatch> {
        let output = self.output.take()?;
        let rows = output.num_rows();
        if rows > self.batch_size {
            let rest = output.slice(self.batch_size, rows - self.batch_size);
            self.output = Some(rest);
        }
        Some(output.slice(0, rows.min(self.batch_size)))
    }
}

impl Stream for RunAggregateStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let timer = self.metrics.elapsed_compute().clone();
        let next = loop {
            if let Some(batch) = self.next_output() {
                break Some(Ok(batch));
            }
            let Some(input) = &mut self.input else {
                self.memory.free();
                break None;
            };
            let next = ready!(input.poll_next_unpin(context));
            let _timer = timer.timer();
            let result = match next {
                Some(Ok(batch)) => self.push(&batch),
                Some(Err(error)) => Err(error),
                None => {
                    self.input = None;
                    self.take_groups()
                }
            };
            if let Err(error) = result {
                self.input = None;
                break Some(Err(error));
            }
        };
        self.metrics.record_poll(Poll::Ready(next))
    }
}

impl RecordBatchStream for RunAggregateStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
