//! Rules of the optimizer that are applied to some plans only.

use std::sync::Arc;

use datafusion::{
    common::{Result, tree_node::Transformed},
    logical_expr::LogicalPlan,
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

/// A rule that is applied to a plan if a condition holds, and otherwise leaves it as it is.
#[derive(Debug)]
pub struct ConditionalRule {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
    /// Whether the rule is applied. An error ends the planning.
    applies: fn(&LogicalPlan) -> Result<bool>,
}

impl ConditionalRule {
    /// Returns a rule with a condition.
    pub fn new(
        rule: Arc<dyn OptimizerRule + Send + Sync>,
        applies: fn(&LogicalPlan) -> Result<bool>,
    ) -> Self {
        Self { rule, applies }
    }

    /// Adds a condition to the rules of a name.
    pub(crate) fn restrict(
        rules: &mut [Arc<dyn OptimizerRule + Send + Sync>],
        name: &str,
        applies: fn(&LogicalPlan) -> Result<bool>,
    ) {
        for rule in rules.iter_mut().filter(|rule| rule.name() == name) {
            *rule = Arc::new(Self::new(Arc::clone(rule), applies));
        }
    }
}

impl OptimizerRule for ConditionalRule {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if (self.applies)(&plan)? {
            self.rule.rewrite(plan, config)
        } else {
            Ok(Transformed::no(plan))
        }
    }
}
