//! The logical plan node of `ASOF JOIN`, and its execution plan.

use std::{cmp::Ordering, fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{DFSchema, DFSchemaRef, JoinType, Result, internal_err},
    logical_expr::{
        Expr, LogicalPlan, Operator, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
        builder::build_join_schema, physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::PhysicalExpr,
    physical_plan::ExecutionPlan,
    physical_planner::{ExtensionPlanner, PhysicalPlanner},
};

use super::{conditions::AsOfConditions, exec::AsOfJoinExec};

/// Joins each row of the left input with at most one of the right input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AsOfJoin {
    pub(super) left: Arc<LogicalPlan>,
    pub(super) right: Arc<LogicalPlan>,
    /// The expressions of both inputs that are equal in a match.
    pub(super) on: Vec<(Expr, Expr)>,
    /// The expressions of both inputs that are compared with `operator`.
    pub(super) times: (Expr, Expr),
    /// `>=`, `>`, `<=` or `<`.
    pub(super) operator: Operator,
    /// `Left`, or `Inner`, which leaves out rows without a match.
    pub(super) join_type: JoinType,
    /// The columns of the left input, then those of the right one.
    schema: DFSchemaRef,
}

impl AsOfJoin {
    pub(super) fn try_new(
        left: Arc<LogicalPlan>,
        right: Arc<LogicalPlan>,
        on: Vec<(Expr, Expr)>,
        times: (Expr, Expr),
        operator: Operator,
        join_type: JoinType,
    ) -> Result<Self> {
        let schema = build_join_schema(left.schema(), right.schema(), &join_type)?;
        Ok(Self {
            left,
            right,
            on,
            times,
            operator,
            join_type,
            schema: Arc::new(schema),
        })
    }
}

impl PartialOrd for AsOfJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for AsOfJoin {
    fn name(&self) -> &str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let pairs = self.on.iter().chain([&self.times]);
        pairs.flat_map(|(left, right)| [left.clone(), right.clone()]).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "AsOfJoin: {}, on=[", self.join_type)?;
        for (index, (left, right)) in self.on.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{left} = {right}")?;
        }
        let (left, right) = &self.times;
        write!(f, "], match=[{left} {} {right}]", self.operator)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut remaining = exprs.into_iter();
        let mut pairs = Vec::with_capacity(self.on.len() + 1);
        while let (Some(left), Some(right)) = (remaining.next(), remaining.next()) {
            pairs.push((left, right));
        }
        let (Some(times), Ok([left, right])) = (pairs.pop(), <[LogicalPlan; 2]>::try_from(inputs))
        else {
            return internal_err!("an ASOF JOIN has two inputs and a comparison");
        };
        Self::try_new(Arc::new(left), Arc::new(right), pairs, times, self.operator, self.join_type)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let left_columns = self.left.schema().fields().len();
        let (left, right): (Vec<usize>, Vec<usize>) =
            output_columns.iter().copied().partition(|column| *column < left_columns);
        let right = right.into_iter().map(|column| column - left_columns);
        Some(vec![left, right.collect()])
    }
}

/// Plans [`AsOfJoin`].
#[derive(Debug)]
pub(crate) struct AsOfJoinPlanner;

#[async_trait]
impl ExtensionPlanner for AsOfJoinPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<AsOfJoin>() else {
            return Ok(None);
        };
        let [left, right] = physical_inputs else {
            return internal_err!("an ASOF JOIN has two inputs");
        };
        let physical = |expr: &Expr, schema: &DFSchema| -> Result<Arc<dyn PhysicalExpr>> {
            planner.create_physical_expr(expr, schema, session, context)
        };
        let both = |(of_left, of_right): &(Expr, Expr)| -> Result<_> {
            Ok((physical(of_left, node.left.schema())?, physical(of_right, node.right.schema())?))
        };
        let conditions = AsOfConditions {
            on: node.on.iter().map(both).collect::<Result<_>>()?,
            times: both(&node.times)?,
            operator: node.operator,
            join_type: node.join_type,
        };
        let exec = AsOfJoinExec::try_new(
            Arc::clone(left),
            Arc::clone(right),
            Arc::new(node.schema.as_arrow().clone()),
            Arc::new(conditions),
        )?;
        Ok(Some(Arc::new(exec)))
    }
}
