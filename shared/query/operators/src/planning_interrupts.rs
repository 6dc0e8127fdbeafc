//! Ends the planning of a cancelled query: each rule of the optimizer checks for cancellation before each part of the plan.
//!
//! DataFusion plans without yielding, so a query whose client is gone, or whose time is over, would occupy its thread until
//! the plan is complete.

use std::sync::Arc;

use datafusion::{common::Result, logical_expr::LogicalPlan, optimizer::OptimizerRule};
use neap_sql_functions::ConditionalRule;

use crate::cancellation::Cancellation;

tokio::task_local! {
    /// The cancellation of the query that the task plans.
    static PLANNED_QUERY: Cancellation;
}

/// Plans a query. The planning fails soon after the query is cancelled.
pub async fn interruptible<T>(cancellation: Cancellation, planning: impl Future<Output = T>) -> T {
    PLANNED_QUERY.scope(cancellation, planning).await
}

/// Returns the rules with a check before each application.
pub fn interruptible_rules(
    rules: impl IntoIterator<Item = Arc<dyn OptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = rules.into_iter();
    rules
        .map(|rule| Arc::new(ConditionalRule::new(rule, is_planned_further)) as _)
        .collect()
}

fn is_planned_further(_: &LogicalPlan) -> Result<bool> {
    // Plans outside of a query, such as those of views, have no cancellation.
    let check = PLANNED_QUERY.try_with(Cancellation::check);
    check.unwrap_or(Ok(())).map(|()| true)
}

#[cfg(test)]
mod tests {
    use datafusion::{
        common::tree_node::Transformed,
        optimizer::{OptimizerConfig, OptimizerContext},
        prelude::SessionContext,
    };

    use super::*;

    /// A rule that counts its applications.
    #[derive(Debug, Default)]
    struct CountingRule(std::sync::atomic::AtomicUsize);

    impl OptimizerRule for CountingRule {
        fn name(&self) -> &str {
            "counting"
        }

        fn rewrite(
            &self,
            plan: LogicalPlan,
            _: &dyn OptimizerConfig,
        ) -> Result<Transformed<LogicalPlan>> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(Transformed::no(plan))
        }
    }

    #[tokio::test]
    async fn no_rule_is_applied_to_the_plan_of_a_cancelled_query() {
        let counting = Arc::new(CountingRule::default());
        let rules = interruptible_rules([Arc::clone(&counting) as _]);
        let rule = rules.first().unwrap();
        let plan = SessionContext::new().sql("SELECT 1").await.unwrap().into_unoptimized_plan();
        let apply = || rule.rewrite(plan.clone(), &OptimizerContext::new());
        let cancellation = Cancellation::default();
        let applied = interruptible(cancellation.clone(), async {
            let before = apply().is_ok();
            cancellation.cancel();
            (before, apply().is_ok())
        });
        assert_eq!(applied.await, (true, false));
        assert!(apply().is_ok());
        assert_eq!(counting.0.load(std::sync::atomic::Ordering::SeqCst), 2);
        assert_eq!(rule.name(), "counting");
    }
}
