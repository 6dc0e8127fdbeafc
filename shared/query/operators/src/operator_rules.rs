//! The rules that change the operators of a plan.
//!
//! They are DataFusion's, with those of scans. A rule builds operators anew, with their orders and equivalences, even if it
//! changes nothing: for a plan of few rows, all of them together take longer than the execution. So a rule that can change
//! nothing is left out.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, aggregates::AggregateExec, filter::FilterExec,
        projection::ProjectionExec, scalar_subquery::ScalarSubqueryExec, sorts::sort::SortExec,
    },
};
use neap_scan::{DedupExec, without_redundant_time_bounds};

use crate::{
    aggregate_split::AggregateSplit,
    derived_orders::{DERIVED_ORDERS, MISSING_SORTS, WINDOW_PARTITIONS},
    grouping_sets::{SmallBatchesExec, UnorderedExec},
    last_rows::LastRowsRule,
    limited_filters::LIMITED_FILTERS,
    rank_sort::RankSortExec,
    run_aggregate::RunAggregateExec,
    skipped_rows::SKIPPED_ROWS,
    substitution_rule::SubstitutionRule,
};

/// A rule of a session.
type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// Returns the rules in their order.
pub fn operator_rules() -> Vec<Rule> {
    let mut known = HashSet::new();
    let rules = PhysicalOptimizer::new().rules.into_iter().map(|rule| {
        let is_first = known.insert(rule.name().to_owned());
        match rule.name() {
            // A scan has the conditions of the query, and would prune sections and pages by them twice. Only those with
            // subqueries come later.
            "FilterPushdown" => conditional(rule, has_movable_filters),
            "EnsureRequirements" => {
                conditional(Arc::new(AboveMerges(rule)), has_unmet_requirements)
            }
            "FilterPushdown(Post)" => conditional(rule, has_dynamic_filters),
            // A second one follows.
            "ProjectionPushdown" if is_first => conditional(rule, has_joins),
            _ => rule,
        }
    });
    let mut all: Vec<Rule> = vec![
        // Before any rule derives orders from those of inputs.
        Arc::new(UnorderedExec::RULE),
        Arc::new(DERIVED_ORDERS),
        Arc::new(WINDOW_PARTITIONS),
        Arc::new(SKIPPED_ROWS),
        // Before any rule moves a filter into a scan.
        Arc::new(AggregateSplit),
        Arc::new(REDUNDANT_TIME_BOUNDS),
    ];
    all.extend(rules);
    // After all rules that move sorts, and before the last one, which refuses plans with missing ones.
    let check = all.pop();
    all.push(Arc::new(MISSING_SORTS));
    all.extend(check);
    // After the rule that sorts the rows of an aggregate.
    all.push(Arc::new(UNSORTED_LIMITS));
    all.push(Arc::new(SmallBatchesExec::RULE));
    all.push(Arc::new(LIMITED_FILTERS));
    // After the rules that move filters, which must not pass the operator.
    all.push(Arc::new(LastRowsRule));
    // Last, because other rules look for the aggregates and the sorts in their place.
    all.push(Arc::new(RunAggregateExec::RULE));
    all.push(Arc::new(RankSortExec::RULE));
    all
}

/// Removes bounds of times from filters above scans, if all rows meet them.
const REDUNDANT_TIME_BOUNDS: SubstitutionRule = SubstitutionRule {
    name: "redundant_time_bounds",
    substitute: without_redundant_time_bounds,
};

/// Removes limits that an aggregate can't obey any more: that of groups in any order, if another rule has sorted its rows since.
/// The rows above it are limited, too. DataFusion 55.2 fails otherwise (<https://github.com/apache/datafusion/issues/25350>).
const UNSORTED_LIMITS: SubstitutionRule = SubstitutionRule {
    name: "unsorted_limits",
    substitute: |plan| {
        let aggregate = plan.downcast_ref::<AggregateExec>();
        Ok(aggregate.and_then(|aggregate| {
            let limit = aggregate.limit_options()?;
            let is_obeyed = limit.descending().is_some()
                || aggregate.is_unordered_unfiltered_group_by_distinct();
            (!is_obeyed).then(|| Arc::new(aggregate.with_new_limit_options(None)) as Arc<_>)
        }))
    },
};

/// A rule that is applied to the plans for which `is_needed`.
#[derive(Debug)]
struct ConditionalRule {
    rule: Rule,
    is_needed: fn(&Arc<dyn ExecutionPlan>, &ConfigOptions) -> Result<bool>,
}

fn conditional(
    rule: Rule,
    is_needed: fn(&Arc<dyn ExecutionPlan>, &ConfigOptions) -> Result<bool>,
) -> Rule {
    Arc::new(ConditionalRule { rule, is_needed })
}

impl PhysicalOptimizerRule for ConditionalRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if (self.is_needed)(&plan, config)? {
            self.rule.optimize(plan, config)
        } else {
            Ok(plan)
        }
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// A rule that does not see the inputs of merges. They meet the requirements of their merge, each in one partition. The rule
/// would divide them to execute them in parallel, and merge the parts again row by row.
#[derive(Debug)]
struct AboveMerges(Rule);

impl PhysicalOptimizerRule for AboveMerges {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = DedupExec::hide_inputs(plan, true)?;
        DedupExec::hide_inputs(self.0.optimize(plan, config)?, false)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether an operator has an order or a distribution of rows that another one should change: whether not all operators form
/// a chain of one partition, whose orders are those that the operators need, with no other sort than one for the answer.
fn has_unmet_requirements(plan: &Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<bool> {
    if config.execution.target_partitions > 1 {
        return Ok(true);
    }
    let mut operator = plan;
    let mut is_order_of_answer = true;
    loop {
        // Windows choose their operator by the order of their input.
        if operator.output_partitioning().partition_count() > 1
            || operator.name().contains("Window")
        {
            return Ok(true);
        }
        let input = match operator.children().as_slice() {
            [] => return Ok(false),
            [input] => *input,
            _ => return Ok(true),
        };
        let orders = input.equivalence_properties();
        match operator.downcast_ref::<SortExec>() {
            Some(sort) => {
                let is_superfluous = sort.fetch().is_none() && !is_order_of_answer;
                if is_superfluous || orders.ordering_satisfy(sort.expr().iter().cloned())? {
                    return Ok(true);
                }
                is_order_of_answer = false;
            }
            None => is_order_of_answer &= keeps_order_of_answer(operator),
        }
        for required in operator.required_input_ordering().into_iter().flatten() {
            if !orders.ordering_satisfy_requirement(required.into_single())? {
                return Ok(true);
            }
        }
        operator = input;
    }
}

/// Whether the order of the input of an operator is that of the answer, if nothing above it changes the order.
fn keeps_order_of_answer(operator: &Arc<dyn ExecutionPlan>) -> bool {
    ["OutputRequirementExec", "ProjectionExec", "GlobalLimitExec", "LocalLimitExec"]
        .contains(&operator.name())
}

/// Whether the plan has conditions that get their values from a subquery when it executes.
fn has_scalar_subqueries(plan: &Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<bool> {
    any_operator(plan, |operator| operator.downcast_ref::<ScalarSubqueryExec>().is_some())
}

/// Maximum number of expressions of a filter that is moved below a projection, as in the rules before.
const MAX_PUSHED_EXPRESSIONS: u64 = 10_000;

/// Whether filters with subqueries are to be moved, and stay small. A filter below a projection has the expressions of the
/// projection in the place of its columns, and doubles with each projection that has a column twice in an expression.
fn has_movable_filters(plan: &Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<bool> {
    let grows = |operator: &Arc<dyn ExecutionPlan>| {
        let filter = operator.downcast_ref::<FilterExec>();
        filter.is_some_and(|filter| largest_size(filter) > MAX_PUSHED_EXPRESSIONS)
    };
    Ok(has_scalar_subqueries(plan, config)? && !any_operator(plan, grows)?)
}

/// Returns the number of expressions of a filter below those projections under it where it is largest.
fn largest_size(filter: &FilterExec) -> u64 {
    let mut largest = 0;
    let mut columns = ExprSize::new(filter.predicate()).columns;
    let mut input = filter.input();
    while let Some(projection) = input.downcast_ref::<ProjectionExec>() {
        let mut below = BTreeMap::<usize, u64>::new();
        let mut total = 0_u64;
        for (column, times) in columns {
            let Some(expr) = projection.expr().get(column) else {
                continue;
            };
            let size = ExprSize::new(&expr.expr);
            total = total.saturating_add(times.saturating_mul(size.expressions));
            for (column, in_expr) in size.columns {
                let known = below.entry(column).or_default();
                *known = known.saturating_add(times.saturating_mul(in_expr));
            }
        }
        largest = largest.max(total);
        columns = below;
        input = projection.input();
    }
    largest
}

/// The number of expressions in one, and how often it has each column.
#[derive(Default)]
struct ExprSize {
    expressions: u64,
    columns: BTreeMap<usize, u64>,
}

impl ExprSize {
    fn new(expr: &Arc<dyn PhysicalExpr>) -> Self {
        let mut size = Self::default();
        let mut parts = vec![expr];
        while let Some(part) = parts.pop() {
            size.expressions += 1;
            if let Some(column) = part.downcast_ref::<Column>() {
                *size.columns.entry(column.index()).or_default() += 1;
            }
            parts.extend(part.children());
        }
        size
    }
}

/// Whether an operator has a filter that changes while it executes, or may get one.
fn has_dynamic_filters(plan: &Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<bool> {
    any_operator(plan, |operator| {
        is_join(operator) || !operator.dynamic_expressions_produced().is_empty()
    })
}

fn has_joins(plan: &Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<bool> {
    any_operator(plan, is_join)
}

fn is_join(operator: &Arc<dyn ExecutionPlan>) -> bool {
    operator.name().contains("Join")
}

fn any_operator(
    plan: &Arc<dyn ExecutionPlan>,
    test: impl Fn(&Arc<dyn ExecutionPlan>) -> bool,
) -> Result<bool> {
    let mut is_found = false;
    plan.apply(|operator| {
        is_found = test(operator);
        Ok(if is_found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(is_found)
}

#[cfg(test)]
mod tests;
