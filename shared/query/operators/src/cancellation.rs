//! Cancellation of CPU-bound queries.
//!
//! An operator yields to the scheduler when its input is pending. DataFusion makes inputs return pending regularly
//! (`EnsureCooperative`), but counts only the batches that are read: a join, `unnest` or a recursive query can make any
//! number of batches of one. Therefore every operator that can output more rows than it reads gets a
//! [`CancellationExec`] above it, which counts these batches too. A join without matches outputs no batch at all, so
//! its inputs and its condition are checked as well.
//!
//! The checks are added when a plan is executed, so that `EXPLAIN` shows the plan of DataFusion.

use std::{
    any::Any,
    fmt,
    hash::{Hash, Hasher},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use arrow::{
    array::{BooleanArray, RecordBatch},
    datatypes::{FieldRef, Schema, SchemaRef},
};
use datafusion::{
    common::{
        Result, exec_err,
        tree_node::{Transformed, TreeNode},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        RecordBatchStream, ReplaceChildrenOptions,
        coop::make_cooperative,
        execution_plan::{CardinalityEffect, SchedulingType},
        joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, utils::JoinFilter},
    },
};
use futures::{Stream, StreamExt};

use crate::{
    grouping_sets::expanding_aggregate, one_input::one_input_methods,
    single_execution::SingleExecutionExec,
};

/// The error of a query that was cancelled.
pub const CANCELLED: &str = "the query was cancelled";

/// The cancellation flag of a query. Cloning shares the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Whether the query was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Cancels the query. Returns true if it was not cancelled before.
    pub fn cancel(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            exec_err!("{CANCELLED}")
        } else {
            Ok(())
        }
    }
}

/// An extension of the session configuration of a query that lives until the last operator of the query ends: the
/// permit to execute.
#[derive(Debug)]
pub struct RunningGuard(pub Arc<dyn Any + Send + Sync>);

/// Returns the plan with a check for cancellation at each operator that can output more rows than it reads.
///
/// # Errors
/// An operator can't be rebuilt over its checked inputs.
pub fn with_cancellation(
    plan: Arc<dyn ExecutionPlan>,
    cancellation: &Cancellation,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        if !may_grow(node.as_ref()) {
            return Ok(Transformed::no(node));
        }
        let mut inputs: Vec<_> = node
            .children()
            .into_iter()
            .map(|input| with_check(Arc::clone(input), cancellation))
            .collect();
        if node.is::<NestedLoopJoinExec>()
            && let Some(left) = inputs.first_mut()
        {
            *left = Arc::new(SingleExecutionExec::new(Arc::clone(left)));
        }
        let node = node.replace_children(
            inputs,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )?;
        let node = with_checked_condition(node, cancellation)?;
        Ok(Transformed::yes(with_check(node, cancellation)))
    })?;
    Ok(plan.data)
}

/// Whether an operator can output more rows than it reads. Leaf operators are excluded because they are cooperative
/// themselves.
fn may_grow(node: &dyn ExecutionPlan) -> bool {
    let takes_rows = !node.children().is_empty();
    let effect = node.cardinality_effect();
    takes_rows
        && (matches!(effect, CardinalityEffect::Unknown | CardinalityEffect::GreaterEqual)
            || expanding_aggregate(node).is_some())
}

fn with_check(plan: Arc<dyn ExecutionPlan>, cancellation: &Cancellation) -> Arc<dyn ExecutionPlan> {
    if plan.is::<CancellationExec>() {
        return plan;
    }
    Arc::new(CancellationExec::new(plan, cancellation.clone()))
}

/// Returns the join with a condition that fails once the query is cancelled. Other operators are returned unchanged.
fn with_checked_condition(
    node: Arc<dyn ExecutionPlan>,
    cancellation: &Cancellation,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = &join.filter
    {
        let filter = Some(with_checked_filter(filter, cancellation));
        return join.builder().with_filter(filter).build_exec();
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
        let join = NestedLoopJoinExecBuilder::new(left, right, *join.join_type())
            .with_projection_ref(join.projection().clone())
            .with_filter(Some(with_checked_filter(filter, cancellation)))
            .build()?;
        return Ok(Arc::new(join));
    }
    Ok(node)
}

fn with_checked_filter(filter: &JoinFilter, cancellation: &Cancellation) -> JoinFilter {
    let expression = CancellationExpr {
        inner: Arc::clone(filter.expression()),
        cancellation: cancellation.clone(),
    };
    JoinFilter::new(
        Arc::new(expression),
        filter.column_indices().to_vec(),
        Arc::clone(filter.schema()),
    )
}

/// Passes on the batches of its input until the query is cancelled. Each batch consumes cooperative budget of the task.
/// The stream holds the [`RunningGuard`] of the query.
#[derive(Debug)]
struct CancellationExec {
    input: Arc<dyn ExecutionPlan>,
    cancellation: Cancellation,
    properties: Arc<PlanProperties>,
}

impl CancellationExec {
    fn new(input: Arc<dyn ExecutionPlan>, cancellation: Cancellation) -> Self {
        let properties = PlanProperties::clone(input.properties())
            .with_scheduling_type(SchedulingType::Cooperative);
        Self { input, cancellation, properties: Arc::new(properties) }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.cancellation.clone()))
    }
}

impl DisplayAs for CancellationExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for CancellationExec {
    fn name(&self) -> &'static str {
        "CancellationExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    one_input_methods!(input);

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let guard = context.session_config().get_extension::<RunningGuard>();
        let batches = self.input.execute(partition, context)?;
        Ok(make_cooperative(Box::pin(CancellableStream {
            batches,
            cancellation: self.cancellation.clone(),
            _guard: guard,
        })))
    }
}

struct CancellableStream {
    batches: SendableRecordBatchStream,
    cancellation: Cancellation,
    _guard: Option<Arc<RunningGuard>>,
}

impl Stream for CancellableStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.cancellation.check() {
            Ok(()) => self.batches.poll_next_unpin(cx),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl RecordBatchStream for CancellableStream {
    fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }
}

/// The condition of a join, which returns an error once the query is cancelled.
#[derive(Debug)]
struct CancellationExpr {
    inner: Arc<dyn PhysicalExpr>,
    cancellation: Cancellation,
}

impl PartialEq for CancellationExpr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.as_ref() == other.inner.as_ref()
    }
}

impl Eq for CancellationExpr {}

impl Hash for CancellationExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for CancellationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl PhysicalExpr for CancellationExpr {
    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.cancellation.check()?;
        self.inner.evaluate(batch)
    }

    fn evaluate_selection(
        &self,
        batch: &RecordBatch,
        selection: &BooleanArray,
    ) -> Result<ColumnarValue> {
        self.cancellation.check()?;
        self.inner.evaluate_selection(batch, selection)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next();
        Ok(Arc::new(Self {
            inner: inner.unwrap_or_else(|| Arc::clone(&self.inner)),
            cancellation: self.cancellation.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
