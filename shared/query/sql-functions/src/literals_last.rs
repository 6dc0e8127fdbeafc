//! Comparisons of filters with the literal on the right, for DataFusion's `push_down_filter`.
//!
//! Of several conditions on one column, that rule keeps the strictest one, and it compares expressions instead of values. So
//! DataFusion 55.2 takes `time = 1 AND 1 = time` for a contradiction, and of `time >= 1 AND 1 < time` it keeps the first one. Its
//! simplifier puts literals on the right only before it evaluates conversions: those of tags and times are evaluated later, and the
//! columns of a derived table become literals when a filter moves below it.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan},
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

/// A rule that gets filters whose literals are on the right of columns, and have no metadata.
#[derive(Debug)]
pub(crate) struct LiteralsLast(pub(crate) Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for LiteralsLast {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let ordered = with_literals_last(plan)?;
        let mut rewritten = self.0.rewrite(ordered.data, config)?;
        rewritten.transformed |= ordered.transformed;
        Ok(rewritten)
    }
}

/// Exchanges the sides of comparisons in a filter, and in the filters directly below it, with which the rule combines it.
fn with_literals_last(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_down(|node| {
        if matches!(node, LogicalPlan::Filter(_)) {
            node.map_expressions(|predicate| predicate.transform_up(|expr| Ok(literal_last(expr))))
        } else {
            Ok(Transformed::new(node, false, TreeNodeRecursion::Jump))
        }
    })
}

fn literal_last(mut expr: Expr) -> Transformed<Expr> {
    let mut is_changed = false;
    if let Expr::BinaryExpr(comparison) = &mut expr
        && let Some(exchanged) = comparison.op.swap()
    {
        let is_literal_first = matches!(*comparison.left, Expr::Literal(..))
            && matches!(*comparison.right, Expr::Column(_));
        if is_literal_first {
            comparison.op = exchanged;
            std::mem::swap(&mut comparison.left, &mut comparison.right);
            is_changed = true;
        }
        if let Expr::Literal(_, metadata) = &mut *comparison.right {
            is_changed |= metadata.take().is_some();
        }
    }
    Transformed::new_transformed(expr, is_changed)
}

#[cfg(test)]
mod tests {
    use crate::testing::{row_count, session};

    /// Returns the number of rows of `home` that meet a condition.
    async fn count(relation: &str, condition: &str) -> usize {
        let sql = format!("SELECT temp FROM {relation} WHERE {condition}");
        row_count(&session(), &sql).await
    }

    #[tokio::test]
    async fn the_same_condition_twice_is_the_condition() {
        for (condition, expected) in [
            ("room = 'Kitchen' AND 'Kitchen' = room", 13),
            ("'Kitchen' = room AND room = CAST('Kitchen' AS VARCHAR)", 13),
            ("time = '2024-01-01T08:00:00Z' AND '2024-01-01T08:00:00Z' = time", 2),
            ("time = '2024-01-01T08:00:00Z' AND TIMESTAMP '2024-01-01T08:00:00' = time", 2),
            ("co = 0 AND 0 = co", 11),
            ("temp = 23 AND 23 = temp", 1),
            ("co = with_metadata(0, 'unit', 'ppm') AND co = 0", 11),
            ("NOT (co = 0 AND 0 = co)", 15),
            ("co = 0 AND 1 = co", 0),
        ] {
            assert_eq!(count("home", condition).await, expected, "{condition}");
        }
    }

    #[tokio::test]
    async fn the_strictest_bound_remains() {
        for (condition, expected) in [
            ("time >= '2024-01-01T20:00:00Z' AND '2024-01-01T20:00:00Z' < time", 0),
            ("'2024-01-01T20:00:00Z' < time AND time >= '2024-01-01T20:00:00Z'", 0),
            ("'2024-01-01T08:00:00Z' >= time AND time < '2024-01-01T08:00:00Z'", 0),
            ("time <= '2024-01-01T08:00:00Z' AND '2024-01-01T08:00:00Z' >= time", 2),
            ("temp <= 21 AND 21 > temp", 0),
        ] {
            assert_eq!(count("home", condition).await, expected, "{condition}");
        }
    }

    #[tokio::test]
    async fn a_literal_of_a_derived_table_is_one_of_the_filter_below() {
        let derived = "(SELECT *, TIMESTAMP '2024-01-01T08:00:00' AS first FROM home) AS derived";
        let condition = "first = time AND time = '2024-01-01T08:00:00Z'";
        assert_eq!(count(derived, condition).await, 2);
        let filtered = "(SELECT * FROM home WHERE '2024-01-01T08:00:00Z' = time) AS filtered";
        assert_eq!(count(filtered, "time = '2024-01-01T08:00:00Z'").await, 2);
    }
}
