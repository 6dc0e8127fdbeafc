//! The operators that another process can execute.

use std::sync::Arc;

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    execution::SessionState,
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr,
        aggregate::AggregateFunctionExpr,
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
use neap_operators::{
    LastRowsExec, RankSortExec, RunAggregateExec, SmallBatchesExec, UnorderedExec,
};
use neap_scan::SnapshotScanExec;

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
        let window = node.downcast_ref::<WindowAggExec>().map(WindowAggExec::window_expr);
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

    /// Whether workers have the function of a window, and its encoding has all of it.
    fn has_window(&self, window: &Arc<dyn WindowExpr>) -> bool {
        let has_function = match window_aggregate(window) {
            Some(aggregate) => self.has_aggregate(aggregate.fun().name()),
            None => window_function(window).is_some_and(|function| {
                let functions = self.0.window_functions();
                functions.contains_key(function.fun().name())
            }),
        };
        has_function && is_encoded_completely(window)
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
                Ok(if is_known {
                    TreeNodeRecursion::Continue
                } else {
                    TreeNodeRecursion::Stop
                })
            })
        };
        let checked = node.apply_expressions(&mut check);
        checked.is_ok() && is_portable
    }
}

/// The functions whose evaluation depends on their name alone, and not on a flag, if it is in the reverse order of rows.
const FUNCTIONS_WITHOUT_ORDER_FLAG: [&str; 4] = ["lag", "lead", "first_value", "last_value"];

pub(crate) fn window_aggregate(window: &Arc<dyn WindowExpr>) -> Option<&AggregateFunctionExpr> {
    let window = window.as_any();
    let plain = window.downcast_ref::<PlainAggregateWindowExpr>();
    let sliding = window.downcast_ref::<SlidingAggregateWindowExpr>();
    plain
        .map(PlainAggregateWindowExpr::get_aggregate_expr)
        .or(sliding.map(SlidingAggregateWindowExpr::get_aggregate_expr))
}

/// Returns the function of a window, if it is no aggregate.
pub(crate) fn window_function(window: &Arc<dyn WindowExpr>) -> Option<&WindowUDFExpr> {
    let standard = window.as_any().downcast_ref::<StandardWindowExpr>()?;
    let function: &dyn StandardWindowFunctionExpr = standard.get_standard_func_expr().as_ref();
    function.as_any().downcast_ref::<WindowUDFExpr>()
}

/// Whether the encoding of a window has all of its fields. DataFusion encodes fewer fields of an aggregate in a window than of
/// other aggregates.
pub(crate) fn is_encoded_completely(window: &Arc<dyn WindowExpr>) -> bool {
    if let Some(aggregate) = window_aggregate(window) {
        // The only field without an accessor is the last one.
        let is_unfiltered = format!("{window:?}").ends_with("filter: None }");
        return is_unfiltered && !aggregate.is_reversed() && aggregate.order_bys().is_empty();
    }
    window_function(window).is_some_and(|function| {
        let flags = WindowFlags::new(function);
        let knows_its_order = FUNCTIONS_WITHOUT_ORDER_FLAG.contains(&function.fun().name());
        !flags.ignores_nulls && (!flags.is_reversed || knows_its_order)
    })
}

/// The flags of a window function. DataFusion 55.2 does not encode them, and has no accessors for them.
struct WindowFlags {
    is_reversed: bool,
    ignores_nulls: bool,
}

impl WindowFlags {
    fn new(function: &WindowUDFExpr) -> Self {
        // They are the last fields, after names and literals of the statement. A flag that is not found counts as set.
        let text = format!("{function:?}");
        let has_end = |reversed: bool, ignored: bool| {
            text.ends_with(&format!(", is_reversed: {reversed}, ignore_nulls: {ignored} }}"))
        };
        Self {
            is_reversed: !has_end(false, false) && !has_end(false, true),
            ignores_nulls: !has_end(false, false) && !has_end(true, false),
        }
    }
}

/// Whether an operator may be part of a stage. Others depend on the state of their process, or can't be encoded.
fn has_portable_type(node: &dyn ExecutionPlan) -> bool {
    // DataFusion 55.2 encodes offsets, and some limits, with 32 bits.
    let skip = node.downcast_ref::<GlobalLimitExec>().map(GlobalLimitExec::skip);
    let mut limits = skip.into_iter().chain(node.fetch());
    if limits.any(|limit| u32::try_from(limit).is_err()) {
        return false;
    }
    node.is_network_boundary()
        || node.is::<SnapshotScanExec>()
        || node.is::<LastRowsExec>()
        || node.is::<RunAggregateExec>()
        || node.is::<RankSortExec>()
        || node.is::<UnorderedExec>()
        || node.is::<SmallBatchesExec>()
        || node.is::<DistributedLeafExec>()
        || node.is::<BroadcastExec>()
        || node.is::<AggregateExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<CooperativeExec>()
        || node.is::<EmptyExec>()
        || node.is::<FilterExec>()
        || node.is::<GlobalLimitExec>()
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
