//! The operator that drops rows.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arrow::{array::RecordBatch, compute::filter_record_batch, datatypes::SchemaRef};
use datafusion::{
    common::Result,
    execution::{
        RecordBatchStream, SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
    },
};
use futures::{Stream, StreamExt, stream::Fuse};

use super::{LastRowsParameters, TimeEnd, group_times::GroupTimes, pending_rows::PendingRows};
use crate::one_input::one_input_methods;

/// The number of rows after which the operator stops if it drops less than half of them.
const TRIAL_ROWS: usize = 1 << 17;

/// A batch of at least one of this many rows of a full batch comes out as it is.
const MIN_FULL_SHARE: usize = 4;

/// Drops rows of groups whose newer rows were seen, or older ones. Rows may come in any order, which stays, but the fewer come
/// out the earlier the needed ones come in. Each partition has its own groups.
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

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::try_new(input, self.parameters.clone())
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

    one_input_methods!(input);

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.input.schema();
        let groups = GroupTimes::new(&self.parameters, &schema)?;
        let memory = MemoryConsumer::new("LastRowsExec").register(context.memory_pool());
        let batch_rows = context.session_config().batch_size();
        Ok(Box::pin(LastRowsStream {
            input: self.input.execute(partition, context)?.fuse(),
            parameters: self.parameters.clone(),
            groups: Some(groups),
            pending: PendingRows::new(&schema),
            schema,
            batch_rows,
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
    input: Fuse<SendableRecordBatchStream>,
    parameters: LastRowsParameters,
    schema: SchemaRef,
    /// `None` if too few rows are dropped.
    groups: Option<GroupTimes>,
    /// Needed rows that come out later.
    pending: PendingRows,
    /// The number of rows of a full batch.
    batch_rows: usize,
    memory: MemoryReservation,
    /// The rows that came in.
    rows: usize,
    /// The needed ones.
    needed: usize,
    metrics: BaselineMetrics,
}

impl LastRowsStream {
    /// Takes a batch. Returns needed rows if they are enough for a batch.
    fn push(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        let batch = self.without_old_rows(batch)?;
        let is_full = batch.num_rows() * MIN_FULL_SHARE >= self.batch_rows;
        if is_full && self.pending.len() == 0 {
            self.charge_memory()?;
            return Ok(Some(batch));
        }
        // Rows come out in the order in which they came in, which the plan may rely on.
        self.pending.push(batch)?;
        let has_memory = self.charge_memory()?;
        if is_full || !has_memory || self.pending.len() >= self.batch_rows {
            self.pending.take()
        } else {
            Ok(None)
        }
    }

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
        }
        if count == batch.num_rows() {
            Ok(batch)
        } else {
            Ok(filter_record_batch(&batch, &needed)?)
        }
    }

    /// Charges the known groups and the pending rows. Returns false if there is no memory for them, because the aggregate
    /// needs it. Then nothing is charged, and the groups are forgotten, so that more rows come out.
    fn charge_memory(&mut self) -> Result<bool> {
        let groups = self.groups.as_ref().map_or(0, GroupTimes::size_bytes);
        if self.memory.try_resize(groups + self.pending.size_bytes()).is_ok() {
            return Ok(true);
        }
        if self.groups.is_some() {
            self.groups = Some(GroupTimes::new(&self.parameters, &self.schema)?);
        }
        self.memory.free();
        Ok(false)
    }
}

impl Stream for LastRowsStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = loop {
            let next = ready!(self.input.poll_next_unpin(context));
            let timer = self.metrics.elapsed_compute().clone();
            let _timer = timer.timer();
            match next {
                Some(Ok(batch)) => match self.push(batch) {
                    Ok(None) => {}
                    Ok(Some(batch)) => break Some(Ok(batch)),
                    Err(error) => break Some(Err(error)),
                },
                Some(Err(error)) => break Some(Err(error)),
                None => break self.pending.take().transpose(),
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
