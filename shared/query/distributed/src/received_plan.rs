//! Compares the plan of a stage with the one that a worker decodes.
//!
//! DataFusion's encoding leaves out some fields of its operators: 55.2 does so with the `FILTER` of a window, and with the order
//! in which its function is evaluated. Nothing reports this, and the answer is another one. So all fields that an answer
//! depends on are compared. Those that an operator derives from the orders of its inputs are not: a worker that knows fewer
//! orders executes the same operator in another way, and the check of orders follows.

use std::sync::{Arc, LazyLock};

use arrow::{compute::SortOptions, datatypes::Schema};
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    logical_expr::AggregateUDF,
    physical_expr::{
        Partitioning, PhysicalExpr, PhysicalSortExpr, ScalarFunctionExpr,
        aggregate::AggregateFunctionExpr, expressions::DynamicFilterPhysicalExpr,
    },
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, WindowExpr,
        aggregates::AggregateExec,
        displayable,
        filter::FilterExec,
        joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec, utils::JoinFilter},
        repartition::RepartitionExec,
        sorts::sort::SortExec,
        unnest::UnnestExec,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};
use datafusion_distributed::NetworkBoundaryExt;
use neap_scan::SnapshotScanExec;

use crate::portability::{is_encoded_completely, window_aggregate, window_function};

type Plan = Arc<dyn ExecutionPlan>;

type Expr = Arc<dyn PhysicalExpr>;

/// Returns the first operator whose copy is another one, in a stage and in those that it reads.
/// Fails if an expression can't be rebuilt.
pub(crate) fn changed_operator<'a>(sent: &'a Plan, received: &Plan) -> Result<Option<&'a Plan>> {
    if !is_same(sent, received)? {
        return Ok(Some(sent));
    }
    for (sent, received) in sent.children().into_iter().zip(received.children()) {
        let changed = changed_operator(sent, received)?;
        if changed.is_some() {
            return Ok(changed);
        }
    }
    Ok(None)
}

/// Whether two operators are the same, apart from their inputs.
fn is_same(sent: &Plan, received: &Plan) -> Result<bool> {
    let has_same_properties = sent.name() == received.name()
        && sent.schema() == received.schema()
        && sent.fetch() == received.fetch()
        && is_same_partitioning(sent.output_partitioning(), received.output_partitioning())
        && sent.children().len() == received.children().len();
    Ok(has_same_properties
        && operator_exprs(sent)? == operator_exprs(received)?
        && has_same_fields(sent, received)?)
}

/// The expressions are those of a shuffle below, or columns.
fn is_same_partitioning(sent: &Partitioning, received: &Partitioning) -> bool {
    // A column that is not in the rows any more equals nothing, and neither do two unknown divisions.
    sent.to_string() == received.to_string()
}

/// Compares the fields that are neither properties nor expressions.
fn has_same_fields(sent: &Plan, received: &Plan) -> Result<bool> {
    if let Some((sent, received)) = both::<AggregateExec>(sent, received) {
        return Ok(is_same_aggregation(sent, received));
    }
    if let Some((sent, received)) = both::<WindowAggExec>(sent, received) {
        return are_same_windows(sent.window_expr(), received.window_expr());
    }
    if let Some((sent, received)) = both::<BoundedWindowAggExec>(sent, received) {
        return Ok(sent.input_order_mode == received.input_order_mode
            && are_same_windows(sent.window_expr(), received.window_expr())?);
    }
    if let Some((sent, received)) = both::<SortExec>(sent, received) {
        return Ok(sent.preserve_partitioning() == received.preserve_partitioning()
            && sort_options(sent.expr()) == sort_options(received.expr()));
    }
    if let Some((sent, received)) = both::<FilterExec>(sent, received) {
        return Ok(filtered_columns(sent) == filtered_columns(received));
    }
    if let Some((sent, received)) = both::<RepartitionExec>(sent, received) {
        return Ok(sent.preserve_order() == received.preserve_order());
    }
    // The codec of scans is Neap's. It encodes all of a fragment, and estimates the bytes of the copy.
    if sent.is_network_boundary() || sent.is::<SnapshotScanExec>() {
        return Ok(true);
    }
    // The text of other operators has their remaining fields, with few exceptions.
    let has_same_text = displayable(sent.as_ref()).one_line().to_string()
        == displayable(received.as_ref()).one_line().to_string();
    let has_same_rest = if let Some((sent, received)) = both::<HashJoinExec>(sent, received) {
        is_same_filter(sent.filter(), received.filter())
    } else if let Some((sent, received)) = both::<NestedLoopJoinExec>(sent, received) {
        is_same_filter(sent.filter(), received.filter())
    } else if let Some((sent, received)) = both::<SortMergeJoinExec>(sent, received) {
        sent.sort_options() == received.sort_options()
            && is_same_filter(sent.filter().as_ref(), received.filter().as_ref())
    } else if let Some((sent, received)) = both::<UnnestExec>(sent, received) {
        sent.list_column_indices() == received.list_column_indices()
            && sent.struct_column_indices() == received.struct_column_indices()
            && sent.options() == received.options()
    } else {
        true
    };
    Ok(has_same_text && has_same_rest)
}

/// Returns two operators of one type.
fn both<'a, T: ExecutionPlan>(sent: &'a Plan, received: &'a Plan) -> Option<(&'a T, &'a T)> {
    Some((sent.downcast_ref()?, received.downcast_ref()?))
}

/// Returns the indices of the columns that a filter returns. A projection of all columns is received as none.
fn filtered_columns(filter: &FilterExec) -> Vec<usize> {
    match filter.projection() {
        Some(projection) => projection.to_vec(),
        None => (0..filter.input().schema().fields().len()).collect(),
    }
}

fn is_same_aggregation(sent: &AggregateExec, received: &AggregateExec) -> bool {
    let have_same_functions = sent.aggr_expr().len() == received.aggr_expr().len()
        && sent
            .aggr_expr()
            .iter()
            .zip(received.aggr_expr())
            .all(|(sent, received)| is_same_aggregate(sent, received));
    let filters = |aggregate: &AggregateExec| -> Vec<bool> {
        let filters = aggregate.filter_expr().iter();
        filters.map(Option::is_some).collect()
    };
    let groups = |aggregate: &AggregateExec| {
        let groups = aggregate.group_expr();
        let names = groups.expr().iter().map(|(_, name)| name.clone());
        let nulls = groups.null_expr().iter().map(|(null, name)| (Arc::clone(null), name.clone()));
        (
            names.collect::<Vec<_>>(),
            nulls.collect::<Vec<_>>(),
            // An aggregate without groups has one, which is empty, or none.
            groups.groups().concat(),
            groups.has_grouping_set(),
        )
    };
    have_same_functions
        && sent.mode() == received.mode()
        && filters(sent) == filters(received)
        && groups(sent) == groups(received)
        && sent.limit_options() == received.limit_options()
        && sent.input_schema() == received.input_schema()
}

fn is_same_aggregate(sent: &AggregateFunctionExpr, received: &AggregateFunctionExpr) -> bool {
    is_same_function(sent.fun(), received.fun())
        && sent.name() == received.name()
        && sent.field() == received.field()
        && sent.expressions().len() == received.expressions().len()
        && sort_options(sent.order_bys()) == sort_options(received.order_bys())
        && sent.is_distinct() == received.is_distinct()
        && sent.ignore_nulls() == received.ignore_nulls()
        && sent.is_reversed() == received.is_reversed()
}

/// The aggregates with a flag that their input has the order that they need. Without it, a worker looks for the order itself.
const KNOW_THE_ORDER_OF_INPUTS: [&str; 4] = ["first_value", "last_value", "nth_value", "array_agg"];

fn is_same_function(sent: &AggregateUDF, received: &AggregateUDF) -> bool {
    let is_known = KNOW_THE_ORDER_OF_INPUTS.contains(&sent.name());
    sent == received || is_known && sent.name() == received.name()
}

fn are_same_windows(
    sent: &[Arc<dyn WindowExpr>],
    received: &[Arc<dyn WindowExpr>],
) -> Result<bool> {
    if sent.len() != received.len() {
        return Ok(false);
    }
    for (sent, received) in sent.iter().zip(received) {
        if !is_same_window(sent, received)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two windows are the same. The copy has no filter and no flags.
fn is_same_window(sent: &Arc<dyn WindowExpr>, received: &Arc<dyn WindowExpr>) -> Result<bool> {
    let has_same_function = match (window_aggregate(sent), window_aggregate(received)) {
        (Some(sent), Some(received)) => is_same_aggregate(sent, received),
        _ => match (window_function(sent), window_function(received)) {
            (Some(sent), Some(received)) => {
                sent.fun() == received.fun()
                    && comparable(sent.args())? == comparable(received.args())?
            }
            _ => false,
        },
    };
    Ok(has_same_function
        && is_encoded_completely(sent)
        && sent.name() == received.name()
        && sent.partition_by().len() == received.partition_by().len()
        && sort_options(sent.order_by()) == sort_options(received.order_by())
        && sent.get_window_frame() == received.get_window_frame())
}

fn is_same_filter(sent: Option<&JoinFilter>, received: Option<&JoinFilter>) -> bool {
    sent.map(JoinFilter::column_indices) == received.map(JoinFilter::column_indices)
        && sent.map(JoinFilter::schema) == received.map(JoinFilter::schema)
}

fn sort_options<'a>(order: impl IntoIterator<Item = &'a PhysicalSortExpr>) -> Vec<SortOptions> {
    order.into_iter().map(|key| key.options).collect()
}

/// Returns the expressions of an operator, without those that change while it executes: each process has its own.
fn operator_exprs(node: &Plan) -> Result<Vec<Expr>> {
    let mut exprs = Vec::new();
    node.apply_expressions(&mut |expr| {
        if !expr.is::<DynamicFilterPhysicalExpr>() {
            exprs.push(Arc::clone(expr));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    comparable(&exprs)
}

/// The options of all functions, where expressions are compared.
static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(Arc::default);

/// Returns expressions whose functions have the same options. Each process gives them its own.
fn comparable(exprs: &[Expr]) -> Result<Vec<Expr>> {
    let exprs = exprs.iter().map(|expr| {
        let with_options = Arc::clone(expr).transform_up(|expr| {
            let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() else {
                return Ok(Transformed::no(expr));
            };
            let call = ScalarFunctionExpr::new(
                call.name(),
                Arc::new(call.fun().clone()),
                call.args().to_vec(),
                call.return_field(&Schema::empty())?,
                Arc::clone(&OPTIONS),
            );
            Ok(Transformed::yes(Arc::new(call) as Expr))
        });
        with_options.data()
    });
    exprs.collect()
}

#[cfg(test)]
mod tests;
