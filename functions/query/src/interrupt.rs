//! Queries that compute can be given up.
//!
//! Operators give others a turn when an input makes them wait. DataFusion sees to it that inputs do so now and then
//! (`EnsureCooperative`), but by the batches that are read: a join, `unnest` or a recursive query makes any number of
//! batches of one. So whatever may give more rows than it takes gets a [`CheckedExec`] above it, which counts those
//! batches, too. And a join that finds nothing gives no batch at all: what it reads, and the condition that it looks
//! for, are checked as well.
//!
//! All that is put into a plan when it is executed, so that `EXPLAIN` shows what DataFusion has planned.

use std::{
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
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
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

use crate::executor::Place;

/// Whether a query was given up. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Whether the query was given up.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Gives the query up; true if it was not before.
    pub(crate) fn set(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    fn check(&self) -> Result<()> {
        match self.is_set() {
            true => exec_err!("the query was given up"),
            false => Ok(()),
        }
    }
}

/// The same plan, which can be given up wherever it makes much of little.
pub(crate) fn interruptible(
    plan: Arc<dyn ExecutionPlan>,
    interrupt: &Interrupt,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        if !may_grow(node.as_ref()) {
            return Ok(Transformed::no(node));
        }
        let inputs = node.children().into_iter().map(Arc::clone);
        let inputs: Vec<_> = inputs.map(|input| checked(input, interrupt)).collect();
        let node = node.replace_children(
            inputs,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )?;
        let node = with_checked_condition(node, interrupt)?;
        Ok(Transformed::yes(checked(node, interrupt)))
    })?;
    Ok(plan.data)
}

/// Whether an operator may give more rows than it takes. Those that read, and so take none, look after themselves.
fn may_grow(node: &dyn ExecutionPlan) -> bool {
    let takes_rows = !node.children().is_empty();
    let effect = node.cardinality_effect();
    takes_rows
        && matches!(
            effect,
            CardinalityEffect::Unknown | CardinalityEffect::GreaterEqual
        )
}

fn checked(plan: Arc<dyn ExecutionPlan>, interrupt: &Interrupt) -> Arc<dyn ExecutionPlan> {
    if plan.is::<CheckedExec>() {
        return plan;
    }
    Arc::new(CheckedExec::new(plan, interrupt.clone()))
}

/// The same join with a condition that is not looked for any more once the query is given up.
fn with_checked_condition(
    node: Arc<dyn ExecutionPlan>,
    interrupt: &Interrupt,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = &join.filter
    {
        let filter = Some(checked_filter(filter, interrupt));
        return join.builder().with_filter(filter).build_exec();
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
        let join = NestedLoopJoinExecBuilder::new(left, right, *join.join_type())
            .with_projection_ref(join.projection().clone())
            .with_filter(Some(checked_filter(filter, interrupt)))
            .build()?;
        return Ok(Arc::new(join));
    }
    Ok(node)
}

fn checked_filter(filter: &JoinFilter, interrupt: &Interrupt) -> JoinFilter {
    let expression = CheckedExpr {
        inner: Arc::clone(filter.expression()),
        interrupt: interrupt.clone(),
    };
    JoinFilter::new(
        Arc::new(expression),
        filter.column_indices().to_vec(),
        Arc::clone(filter.schema()),
    )
}

/// Gives the batches of its input, each of which uses up a part of the turn that a task has, and none once the query
/// is given up. Who executes it has the place of the query.
#[derive(Debug)]
struct CheckedExec {
    input: Arc<dyn ExecutionPlan>,
    interrupt: Interrupt,
    properties: Arc<PlanProperties>,
}

impl CheckedExec {
    fn new(input: Arc<dyn ExecutionPlan>, interrupt: Interrupt) -> Self {
        let properties = PlanProperties::clone(input.properties());
        let properties = properties.with_scheduling_type(SchedulingType::Cooperative);
        Self {
            input,
            interrupt,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for CheckedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for CheckedExec {
    fn name(&self) -> &'static str {
        "CheckedExec"
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

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next();
        let input = input.unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self::new(input, self.interrupt.clone())))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let place = context.session_config().get_extension::<Place>();
        let batches = self.input.execute(partition, context)?;
        Ok(make_cooperative(Box::pin(Checked {
            batches,
            interrupt: self.interrupt.clone(),
            _place: place,
        })))
    }
}

struct Checked {
    batches: SendableRecordBatchStream,
    interrupt: Interrupt,
    _place: Option<Arc<Place>>,
}

impl Stream for Checked {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.interrupt.check() {
            Ok(()) => self.batches.poll_next_unpin(cx),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl RecordBatchStream for Checked {
    fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }
}

/// The condition of a join, which is an error once the query is given up.
#[derive(Debug)]
struct CheckedExpr {
    inner: Arc<dyn PhysicalExpr>,
    interrupt: Interrupt,
}

impl PartialEq for CheckedExpr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.as_ref() == other.inner.as_ref()
    }
}

impl Eq for CheckedExpr {}

impl Hash for CheckedExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for CheckedExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl PhysicalExpr for CheckedExpr {
    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.interrupt.check()?;
        self.inner.evaluate(batch)
    }

    fn evaluate_selection(
        &self,
        batch: &RecordBatch,
        selection: &BooleanArray,
    ) -> Result<ColumnarValue> {
        self.interrupt.check()?;
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
            interrupt: self.interrupt.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
