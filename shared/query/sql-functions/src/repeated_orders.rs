//! Expressions that occur twice in the `ORDER BY` of an aggregate, such as `last_value(v ORDER BY w, w)`.
//!
//! DataFusion 55.2 sorts by the first one only, and makes room for both in the state of the aggregate, so that the query fails.

use std::collections::HashSet;

use datafusion::common::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr};

/// Leaves out what `ORDER BY` has already, in this or the opposite direction.
#[derive(Debug)]
pub(crate) struct RepeatedOrderPlanner;

impl ExprPlanner for RepeatedOrderPlanner {
    fn plan_aggregate(
        &self,
        mut expr: RawAggregateExpr,
    ) -> Result<PlannerResult<RawAggregateExpr>> {
        let mut known = HashSet::new();
        expr.order_by.retain(|order| known.insert(order.expr.clone()));
        Ok(PlannerResult::Original(expr))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{session, table};

    #[tokio::test]
    async fn an_aggregate_is_ordered_by_the_first_of_equal_expressions() {
        let sql = "SELECT room, last_value(co ORDER BY time, home.time DESC) AS last, array_agg(DISTINCT co ORDER BY co, co) AS set \
                   FROM home WHERE co < 4 GROUP BY room ORDER BY room";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | room        | last | set       |
        | Kitchen     | 3    | [0, 1, 3] |
        | Living Room | 1    | [0, 1]    |
        ");
    }
}
