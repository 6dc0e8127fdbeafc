//! The operator that drops rows.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arrow::{array::RecordBatch, compute::filter_record_batch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{
        RecordBatchStream, SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
    },
};
use futures::{Stream, StreamExt};

use super::{LastRowsParameters, TimeEnd, group_times::GroupTimes};

/// The number of rows after which the operator stops if it drops less than half of them.
const TRIAL_ROWS: usize = 1 << 17;

/// Drops rows of groups whose newer rows were seen, or older ones. The order of rows does not matter, but the fewer rows
/// come out the earlier the needed ones come in. Each partition has its own groups.
#[derive(Debug)]
pub struct LastRowsExec {
    input: Arc<dyn ExecutionPlan>,
    parameters: LastRowsParameters,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl LastRowsExec {
    /// Drops rows of `input`.
    ///
    /// # Errors
    /// The input lacks a column, or the times are no timestamps in nanoseconds.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, parameters: LastRowsParameters) -> Result<Self> {
        parameters.check(&input.schema())?;
        let properties = Arc::clone(input.properties());
        Ok(Self {
            input,
            parameters,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The rows that are needed.
    pub fn parameters(&self) -> &LastRowsParameters {
        &self.parameters
    }
}

impl DisplayAs for LastRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let name = |column: &usize| schema.field(*column).name().as_str();
        let names = |columns: &[usize]| columns.iter().map(name).collect::<Vec<_>>().join(", ");
        let end = match self.parameters.end {
            TimeEnd::First => "first",
            TimeEnd::Last => "last",
        };
        let (keys, time) = (names(&self.parameters.keys), name(&self.parameters.time));
        write!(f, "LastRowsExec: {end} by {time}, gby=[{keys}]")?;
        match names(&self.parameters.required).as_str() {
            "" => Ok(()),
            required => write!(f, ", required=[{required}]"),
        }
    }
}

impl ExecutionPlan for LastRowsExec {
    fn name(&self) -> &'static str {
        "LastRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop();
        let input = input.ok_or_else(|| internal_datafusion_err!("the input is missing"))?;
        Ok(Arc::new(Self::try_new(input, self.parameters.clone())?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.input.schema();
        let groups = GroupTimes::new(&self.parameters, &schema)?;
        let memory = MemoryConsumer::new("LastRowsExec").register(context.memory_pool());
        Ok(Box::pin(LastRowsStream {
            input: self.input.execute(partition, context)?,
            parameters: self.parameters.clone(),
            schema,
            groups: Some(groups),
            memory,
            rows: 0,
            needed: 0,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

struct LastRowsStream {
    input: SendableRecordBatchStream,
    parameters: LastRowsParameters,
    schema: SchemaRef,
    /// `None` if too few rows are dropped.
    groups: Option<GroupTimes>,
    memory: MemoryReservation,
    /// The rows that came in.
    rows: usize,
    /// The rows that came out.
    needed: usize,
    metrics: BaselineMetrics,
}

impl LastRowsStream {
    /// Returns the needed rows of a batch.
    fn without_old_rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let Some(groups) = &mut self.groups else {
            return Ok(batch);
        };
        let needed = groups.needed_rows(&batch)?;
        let count = needed.true_count();
        self.rows += batch.num_rows();
        self.needed += count;
        if self.rows >= TRIAL_ROWS && self.needed > self.rows / 2 {
            self.groups = None;
            self.memory.free();
        } else if self.memory.try_resize(groups.size_bytes()).is_err() {
            // The aggregate needs the memory. Without the known groups, more rows come out.
            self.groups = Some(GroupTimes::new(&self.parameters, &self.schema)?);
            self.memory.free();
        }
        match count == batch.num_rows() {
            true => Ok(batch),
            false => Ok(filter_record_batch(&batch, &needed)?),
        }
    }
}

impl Stream for LastRowsStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = loop {
            let batch = match ready!(self.input.poll_next_unpin(context)) {
                Some(Ok(batch)) => batch,
                other => break other,
            };
            let timer = self.metrics.elapsed_compute().clone();
            let timer = timer.timer();
            let filtered = self.without_old_rows(batch);
            timer.done();
            match filtered {
                Ok(batch) if batch.num_rows() == 0 => {}
                filtered => break Some(filtered),
            }
        };
        self.metrics.record_poll(Poll::Ready(next))
    }
}

impl RecordBatchStream for LastRowsStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
