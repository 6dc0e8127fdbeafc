//! An optimizer rule that answers counts, minima and maxima from exact statistics, for each input of a scan that has
//! them.
//!
//! ```text
//!   AggregateExec (final)                        AggregateExec (final)
//!     AggregateExec (partial: count, max(time))    UnionExec
//!       FilterExec (time > ...)             ->       DataSourceExec   a row for each known input
//!         UnionExec                                  AggregateExec (partial)
//!           sections without overlap                   UnionExec
//!           merge of an overlap                          merge of an overlap
//! ```
//!
//! DataFusion's own rule answers an aggregate from statistics only if those of the whole input are exact, so one
//! overlap causes a read of all sections. This rule decides for each input of a union separately. If there is a filter
//! in between, the minima and maxima of the columns must show that it is true of all rows of the input. Otherwise the
//! input is read.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::{
    common::{
        Result, ScalarValue, Statistics,
        config::ConfigOptions,
        stats::Precision,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    datasource::memory::MemorySourceConfig,
    logical_expr::interval_arithmetic::Interval,
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, Column, Literal},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateMode},
        execution_plan::replace_children_if_necessary,
        filter::FilterExec,
        projection::ProjectionExec,
        statistics::{StatisticsArgs, StatisticsContext},
        udaf::{AggregateFunctionExpr, StatisticsArgs as AggregateStatisticsArgs},
        union::UnionExec,
    },
};

/// The functions whose partial state is their value, so that a value from statistics can replace rows.
const SPLITTABLE_FUNCTIONS: [&str; 3] = ["count", "max", "min"];

/// Answers aggregates from exact statistics, for the inputs of a union that have them.
#[derive(Debug)]
pub(crate) struct AggregateSplit;

impl PhysicalOptimizerRule for AggregateSplit {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|node| {
            Ok(match split(&node)? {
                Some(split) => Transformed::new(split, true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "aggregate_split"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Replaces the inputs of a partial aggregate that have exact statistics by their states; `None` if there are none.
fn split(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(aggregate) = node.downcast_ref::<AggregateExec>() else {
        return Ok(None);
    };
    if !is_splittable(aggregate) {
        return Ok(None);
    }
    let mut states = Vec::new();
    let mut rest = Vec::new();
    for input in inputs_of(aggregate.input()) {
        match input.state(aggregate)? {
            Some(state) => states.push(state),
            None => rest.push(input.plan()?),
        }
    }
    if states.is_empty() {
        return Ok(None);
    }
    let known = known_states(aggregate, &states)?;
    if rest.is_empty() {
        return Ok(Some(known));
    }
    let rest = replace_children_if_necessary(Arc::clone(node), vec![UnionExec::try_new(rest)?])?;
    UnionExec::try_new(vec![known, rest]).map(Some)
}

/// Whether statistics can provide the states of an aggregate.
fn is_splittable(aggregate: &AggregateExec) -> bool {
    let is_value = |function: &Arc<AggregateFunctionExpr>| {
        SPLITTABLE_FUNCTIONS.contains(&function.fun().name()) && !function.is_distinct()
    };
    *aggregate.mode() == AggregateMode::Partial
        && aggregate.group_expr().is_empty()
        && aggregate.filter_expr().iter().all(Option::is_none)
        && !aggregate.aggr_expr().is_empty()
        && aggregate.aggr_expr().iter().all(is_value)
        && aggregate.schema().fields().len() == aggregate.aggr_expr().len()
}

/// An input of a union, with the operators between it and the aggregate.
struct AggregateBranch {
    source: Arc<dyn ExecutionPlan>,
    /// The operators in the order from the source to the aggregate.
    operators: Vec<Arc<dyn ExecutionPlan>>,
}

/// Returns the inputs of a plan below filters, projections and unions.
fn inputs_of(plan: &Arc<dyn ExecutionPlan>) -> Vec<AggregateBranch> {
    let is_filter = plan
        .downcast_ref::<FilterExec>()
        .is_some_and(|filter| filter.projection().is_none() && filter.fetch().is_none());
    let is_union = plan.downcast_ref::<UnionExec>().is_some();
    if !is_filter && !is_union && plan.downcast_ref::<ProjectionExec>().is_none() {
        return vec![AggregateBranch { source: Arc::clone(plan), operators: Vec::new() }];
    }
    let mut inputs: Vec<AggregateBranch> =
        plan.children().into_iter().flat_map(inputs_of).collect();
    if !is_union {
        for input in &mut inputs {
            input.operators.push(Arc::clone(plan));
        }
    }
    inputs
}

impl AggregateBranch {
    /// Returns the plan of the input with its operators.
    fn plan(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = Arc::clone(&self.source);
        for operator in &self.operators {
            plan = replace_children_if_necessary(Arc::clone(operator), vec![plan])?;
        }
        Ok(plan)
    }

    /// Returns the state of an aggregate over all rows of this input; `None` if the statistics are not exact.
    fn state(&self, aggregate: &AggregateExec) -> Result<Option<Vec<ScalarValue>>> {
        let Some(statistics) = self.statistics()? else {
            return Ok(None);
        };
        let schema = aggregate.schema();
        let functions = aggregate.aggr_expr().iter().zip(schema.fields());
        let state = functions.map(|(function, state)| {
            let field = function.field();
            let args = AggregateStatisticsArgs {
                statistics: &statistics,
                return_type: field.data_type(),
                is_distinct: false,
                exprs: &function.expressions(),
            };
            let value = function.fun().value_from_stats(&args)?;
            (value.data_type() == *state.data_type()).then_some(value)
        });
        Ok(state.collect())
    }

    /// Returns the statistics of the input at the aggregate; `None` if a filter may drop rows.
    fn statistics(&self) -> Result<Option<Arc<Statistics>>> {
        let statistics = |plan: &Arc<dyn ExecutionPlan>| {
            StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())
        };
        let mut plan = Arc::clone(&self.source);
        for operator in &self.operators {
            match operator.downcast_ref::<FilterExec>() {
                None => plan = replace_children_if_necessary(Arc::clone(operator), vec![plan])?,
                Some(filter) => {
                    let statistics = statistics(&plan)?;
                    if bounds(filter.predicate(), &statistics) != Some(Interval::TRUE) {
                        return Ok(None);
                    }
                }
            }
        }
        statistics(&plan).map(Some)
    }
}

/// Returns the interval of the values of an expression; `None` if it is unknown.
fn bounds(expr: &Arc<dyn PhysicalExpr>, statistics: &Statistics) -> Option<Interval> {
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        let value = Some(literal.value()).filter(|value| !value.is_null())?;
        return Interval::try_new(value.clone(), value.clone()).ok();
    }
    if let Some(column) = expr.downcast_ref::<Column>() {
        let column = statistics.column_statistics.get(column.index())?;
        return match (&column.min_value, &column.max_value, column.null_count) {
            (Precision::Exact(min), Precision::Exact(max), Precision::Exact(0))
                if !min.is_null() && !max.is_null() =>
            {
                Interval::try_new(min.clone(), max.clone()).ok()
            }
            _ => None,
        };
    }
    let binary = expr.downcast_ref::<BinaryExpr>()?;
    let left = bounds(binary.left(), statistics)?;
    let right = bounds(binary.right(), statistics)?;
    binary.evaluate_bounds(&[&left, &right]).ok()
}

/// Returns a plan with the states of an aggregate as rows.
fn known_states(
    aggregate: &AggregateExec,
    states: &[Vec<ScalarValue>],
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = aggregate.schema();
    let columns = (0..schema.fields().len()).map(|at| {
        let values = states.iter().filter_map(|state| state.get(at).cloned());
        ScalarValue::iter_to_array(values)
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], schema, None)?)
}
