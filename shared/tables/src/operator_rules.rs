//! The rules that change the operators of a plan.
//!
//! They are DataFusion's, with those of scans. A rule builds operators anew, with their orders and equivalences, even if it
//! changes nothing: for a plan of few rows, all of them together take longer than the execution. So a rule that can change
//! nothing is left out.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    physical_plan::{ExecutionPlan, ExecutionPlanProperties, sorts::sort::SortExec},
};

use crate::{last_rows::LastRowsRule, scan::AggregateSplit};

/// A rule of a session.
type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// Returns the rules in their order.
pub(crate) fn operator_rules() -> Vec<Rule> {
    let mut known = HashSet::new();
    let rules = PhysicalOptimizer::new().rules.into_iter();
    let rules = rules.filter_map(|rule| {
        let is_first = known.insert(rule.name().to_owned());
        match rule.name() {
            // A scan has the conditions of the query, and would prune sections and pages by them twice.
            "FilterPushdown" => None,
            "EnsureRequirements" => Some(conditional(rule, has_unmet_requirements)),
            "FilterPushdown(Post)" => Some(conditional(rule, has_dynamic_filters)),
            // A second one follows.
            "ProjectionPushdown" if is_first => Some(conditional(rule, has_joins)),
            _ => Some(rule),
        }
    });
    // Before any rule moves a filter into a scan.
    let mut all: Vec<Rule> = vec![Arc::new(AggregateSplit)];
    all.extend(rules);
    // After the rules that move filters, which must not pass the operator.
    all.push(Arc::new(LastRowsRule));
    all
}

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
        match (self.is_needed)(&plan, config)? {
            true => self.rule.optimize(plan, config),
            false => Ok(plan),
        }
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Whether an operator has an order or a distribution of rows that another one should change: whether not all operators form
/// a chain of one partition, whose orders are those that the operators need.
fn has_unmet_requirements(plan: &Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<bool> {
    if config.execution.target_partitions > 1 {
        return Ok(true);
    }
    any_operator(plan, |operator| {
        let inputs = operator.children();
        // Windows choose their operator by the order of their input.
        if operator.output_partitioning().partition_count() > 1
            || inputs.len() > 1
            || operator.name().contains("Window")
        {
            return Ok(true);
        }
        let Some(input) = inputs.first() else {
            return Ok(false);
        };
        let orders = input.equivalence_properties();
        if let Some(sort) = operator.downcast_ref::<SortExec>()
            && orders.ordering_satisfy(sort.expr().iter().cloned())?
        {
            return Ok(true);
        }
        for required in operator.required_input_ordering().into_iter().flatten() {
            if !orders.ordering_satisfy_requirement(required.into_single())? {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

/// Whether an operator has a filter that rises while it executes, or may get one.
fn has_dynamic_filters(plan: &Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<bool> {
    any_operator(plan, |operator| {
        Ok(is_join(operator) || !operator.dynamic_expressions_produced().is_empty())
    })
}

fn has_joins(plan: &Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<bool> {
    any_operator(plan, |operator| Ok(is_join(operator)))
}

fn is_join(operator: &Arc<dyn ExecutionPlan>) -> bool {
    operator.name().contains("Join")
}

fn any_operator(
    plan: &Arc<dyn ExecutionPlan>,
    test: impl Fn(&Arc<dyn ExecutionPlan>) -> Result<bool>,
) -> Result<bool> {
    let mut is_found = false;
    plan.apply(|operator| {
        is_found = test(operator)?;
        Ok(match is_found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(is_found)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
    use datafusion::{
        datasource::MemTable,
        execution::SessionStateBuilder,
        logical_expr::col,
        physical_plan::displayable,
        prelude::{SessionConfig, SessionContext},
    };

    use super::*;

    const STATEMENTS: [&str; 12] = [
        "SELECT date_bin(INTERVAL '1 minute', time) AS t, max(v) FROM cpu WHERE host IN ('a', 'b') GROUP BY t ORDER BY t",
        "SELECT * FROM cpu WHERE host = 'a' ORDER BY time DESC LIMIT 5",
        "SELECT host, avg(v) + 1 AS m FROM cpu GROUP BY host HAVING avg(v) + 1 > 2 ORDER BY m, host",
        "SELECT host, last_value(v ORDER BY time) FROM cpu GROUP BY host",
        "SELECT count(*), min(v), max(time) FROM cpu WHERE v > 1",
        "SELECT DISTINCT ON (host) * FROM cpu ORDER BY host, time DESC",
        "SELECT host, lag(v) OVER (PARTITION BY host ORDER BY time) AS before FROM cpu LIMIT 3",
        "SELECT v FROM cpu UNION ALL SELECT v + 1 FROM sorted ORDER BY v",
        "SELECT a.host, b.v FROM cpu AS a JOIN sorted AS b ON a.host = b.host AND a.time = b.time WHERE a.v > 1",
        "SELECT time, v FROM sorted ORDER BY host, time",
        "SELECT host, time, sum(v) FROM sorted GROUP BY host, time ORDER BY host, time LIMIT 2",
        "SELECT host, sum(v) OVER (ORDER BY host, time) FROM sorted",
    ];

    fn schema() -> SchemaRef {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
        Arc::new(Schema::new(vec![
            Field::new("host", DataType::Utf8, true),
            Field::new("time", time, false),
            Field::new("v", DataType::Float64, true),
        ]))
    }

    /// A session with these rules, and a table without an order of rows and one with.
    fn context(rules: Vec<Rule>, partitions: usize) -> SessionContext {
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(SessionConfig::new().with_target_partitions(partitions))
            .with_physical_optimizer_rules(rules)
            .build();
        let context = SessionContext::new_with_state(state);
        let table = || MemTable::try_new(schema(), vec![vec![]]).unwrap();
        context.register_table("cpu", Arc::new(table())).unwrap();
        let order = ["host", "time"].map(|name| col(name).sort(true, false));
        let sorted = table().with_sort_order(vec![order.to_vec()]);
        context.register_table("sorted", Arc::new(sorted)).unwrap();
        context
    }

    async fn plan(rules: Vec<Rule>, partitions: usize, statement: &str) -> String {
        let rows = context(rules, partitions).sql(statement).await.unwrap();
        let plan = rows.create_physical_plan().await.unwrap();
        displayable(plan.as_ref()).indent(true).to_string()
    }

    /// The operators of a plan without their order: a sort may stay above a projection.
    fn operators(plan: &str) -> Vec<&str> {
        let lines = plan.lines().map(str::trim_start);
        let mut operators: Vec<&str> = lines.filter_map(|line| line.split(':').next()).collect();
        operators.sort_unstable();
        operators
    }

    #[tokio::test]
    async fn plans_are_those_of_all_rules() {
        let all_rules = || {
            let mut rules = PhysicalOptimizer::new().rules;
            rules.insert(0, Arc::new(AggregateSplit));
            rules.push(Arc::new(LastRowsRule));
            rules
        };
        let mut different = Vec::new();
        for statement in STATEMENTS {
            for partitions in [1, 4] {
                let all = plan(all_rules(), partitions, statement).await;
                let ours = plan(operator_rules(), partitions, statement).await;
                let is_same = match partitions {
                    1 => operators(&all) == operators(&ours),
                    _ => all == ours,
                };
                if !is_same {
                    different.push(format!("{statement}, {partitions}\n{all}\n{ours}"));
                }
            }
        }
        assert!(different.is_empty(), "{}", different.join("\n"));
    }

    #[tokio::test]
    async fn a_rule_is_left_out_only_if_it_can_change_nothing() {
        let needs = async |statement: &str, partitions| {
            let rules = PhysicalOptimizer::new().rules;
            let before = rules.into_iter();
            let before = before.take_while(|rule| rule.name() != "EnsureRequirements");
            let context = context(before.collect(), partitions);
            let rows = context.sql(statement).await.unwrap();
            let plan = rows.create_physical_plan().await.unwrap();
            let state = context.state();
            let config = state.config_options();
            (
                has_unmet_requirements(&plan, config).unwrap(),
                has_dynamic_filters(&plan, config).unwrap(),
                has_joins(&plan, config).unwrap(),
            )
        };
        let grouped = STATEMENTS[0];
        assert_eq!(needs(grouped, 1).await, (false, false, false));
        assert_eq!(needs(grouped, 4).await, (true, false, false));
        assert_eq!(needs(STATEMENTS[1], 1).await, (false, true, false));
        // A window needs an order, and a sort of sorted rows is superfluous.
        assert!(needs(STATEMENTS[6], 1).await.0);
        assert!(needs(STATEMENTS[9], 1).await.0);
        assert_eq!(needs(STATEMENTS[8], 1).await, (true, true, true));
    }
}
