//! The operators that another process can execute.

use std::sync::Arc;

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    execution::SessionState,
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr,
        window::{
            PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr,
            StandardWindowFunctionExpr,
        },
    },
    physical_plan::{
        ExecutionPlan, WindowExpr,
        aggregates::AggregateExec,
        coalesce_partitions::CoalescePartitionsExec,
        coop::CooperativeExec,
        empty::EmptyExec,
        filter::FilterExec,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec},
        limit::{GlobalLimitExec, LocalLimitExec},
        placeholder_row::PlaceholderRowExec,
        projection::ProjectionExec,
        repartition::RepartitionExec,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        union::{InterleaveExec, UnionExec},
        unnest::UnnestExec,
        windows::{BoundedWindowAggExec, WindowAggExec, WindowUDFExpr},
    },
};
use datafusion_distributed::{BroadcastExec, DistributedLeafExec, NetworkBoundaryExt};
use neap_tables::{LastRowsExec, RankSortExec, RunAggregateExec, SnapshotScanExec};

/// Knows the functions of the sessions of workers.
#[derive(Clone, Debug)]
pub(crate) struct Portability(Arc<SessionState>);

impl Portability {
    /// Operators are portable if `session`, which is like those of workers, has their functions.
    pub(crate) fn new(session: Arc<SessionState>) -> Self {
        Self(session)
    }

    /// Whether another process can execute an operator. Its inputs are not checked.
    pub(crate) fn is_portable(&self, node: &dyn ExecutionPlan) -> bool {
        has_portable_type(node) && self.has_functions(node) && self.has_scalar_functions(node)
    }

    /// Whether workers have the aggregate and window functions of an operator.
    fn has_functions(&self, node: &dyn ExecutionPlan) -> bool {
        if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
            let mut functions = aggregate.aggr_expr().iter();
            return functions.all(|function| self.has_aggregate(function.fun().name()));
        }
        let window = node
            .downcast_ref::<WindowAggExec>()
            .map(WindowAggExec::window_expr);
        let bounded = || {
            let window = node.downcast_ref::<BoundedWindowAggExec>();
            window.map(BoundedWindowAggExec::window_expr)
        };
        let expressions = window.or_else(bounded).unwrap_or_default();
        expressions.iter().all(|window| self.has_window(window))
    }

    fn has_aggregate(&self, name: &str) -> bool {
        self.0.aggregate_functions().contains_key(name)
    }

    fn has_window(&self, window: &Arc<dyn WindowExpr>) -> bool {
        let window = window.as_any();
        if let Some(window) = window.downcast_ref::<PlainAggregateWindowExpr>() {
            return self.has_aggregate(window.get_aggregate_expr().fun().name());
        }
        if let Some(window) = window.downcast_ref::<SlidingAggregateWindowExpr>() {
            return self.has_aggregate(window.get_aggregate_expr().fun().name());
        }
        let standard = window.downcast_ref::<StandardWindowExpr>();
        let function = standard.map(StandardWindowExpr::get_standard_func_expr);
        let function = function.and_then(|function| {
            let function: &dyn StandardWindowFunctionExpr = function.as_ref();
            function.as_any().downcast_ref::<WindowUDFExpr>()
        });
        function.is_some_and(|function| {
            // DataFusion 55.2 does not encode IGNORE NULLS, and has no accessor for it.
            let respects_nulls = format!("{function:?}").contains("ignore_nulls: false");
            respects_nulls
                && self
                    .0
                    .window_functions()
                    .contains_key(function.fun().name())
        })
    }

    /// Whether workers have the scalar functions in the expressions of an operator.
    fn has_scalar_functions(&self, node: &dyn ExecutionPlan) -> bool {
        let mut is_portable = true;
        let mut check = |expression: &Arc<dyn PhysicalExpr>| {
            expression.apply(|expression| {
                let function = expression.downcast_ref::<ScalarFunctionExpr>();
                let is_known = function.is_none_or(|function| {
                    let functions = self.0.scalar_functions();
                    functions.contains_key(function.fun().name())
                });
                is_portable &= is_known;
                Ok(match is_known {
                    true => TreeNodeRecursion::Continue,
                    false => TreeNodeRecursion::Stop,
                })
            })
        };
        let checked = node.apply_expressions(&mut check);
        checked.is_ok() && is_portable
    }
}

/// Whether an operator may be part of a stage. Others depend on the state of their process, or can't be encoded.
fn has_portable_type(node: &dyn ExecutionPlan) -> bool {
    if let Some(limit) = node.downcast_ref::<GlobalLimitExec>() {
        // DataFusion 55.2 encodes the offset with 32 bits.
        return u32::try_from(limit.skip()).is_ok();
    }
    if let Some(filter) = node.downcast_ref::<FilterExec>() {
        return filter
            .fetch()
            .is_none_or(|fetch| u32::try_from(fetch).is_ok());
    }
    node.is_network_boundary()
        || node.is::<SnapshotScanExec>()
        || node.is::<LastRowsExec>()
        || node.is::<RunAggregateExec>()
        || node.is::<RankSortExec>()
        || node.is::<DistributedLeafExec>()
        || node.is::<BroadcastExec>()
        || node.is::<AggregateExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<CooperativeExec>()
        || node.is::<EmptyExec>()
        || node.is::<CrossJoinExec>()
        || node.is::<HashJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<LocalLimitExec>()
        || node.is::<PlaceholderRowExec>()
        || node.is::<ProjectionExec>()
        || node.is::<RepartitionExec>()
        || node.is::<SortExec>()
        || node.is::<SortPreservingMergeExec>()
        || node.is::<InterleaveExec>()
        || node.is::<UnionExec>()
        || node.is::<UnnestExec>()
        || node.is::<BoundedWindowAggExec>()
        || node.is::<WindowAggExec>()
}
