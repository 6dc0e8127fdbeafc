//! Joins whose nulls are equal, and the rules of DataFusion that give the equality to other conditions.
//!
//! `ON a IS NOT DISTINCT FROM b` is a join with equal nulls.
//!
//! * `eliminate_cross_join` makes one list of the conditions of several inner joins, and gives all of them the equality of nulls of
//!   the outermost join. So those of the other joins would lose rows, or get wrong ones.
//! * `extract_equijoin_predicate` adds the equality that another rule has moved into the join, such as `WHERE a.x = b.x`, to its keys,
//!   where nulls are equal.

use datafusion::{
    common::{JoinType, NullEquality, Result, tree_node::TreeNodeRecursion},
    logical_expr::LogicalPlan,
};

/// Whether nulls are equal in no inner join of a plan.
pub(crate) fn compares_no_nulls(plan: &LogicalPlan) -> Result<bool> {
    let mut has_equal_nulls = false;
    plan.apply_with_subqueries(|node| {
        let is_found = matches!(node, LogicalPlan::Join(join)
            if join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull);
        has_equal_nulls |= is_found;
        Ok(if is_found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(!has_equal_nulls)
}

/// Whether a plan is another one than a join with equal nulls, whose keys would be equal if both are null.
pub(crate) fn distinguishes_nulls(plan: &LogicalPlan) -> Result<bool> {
    let has_equal_nulls = matches!(plan, LogicalPlan::Join(join)
        if join.null_equality == NullEquality::NullEqualsNull);
    Ok(!has_equal_nulls)
}

#[cfg(test)]
mod tests {
    use crate::testing::{row_count, session};

    const TABLES: &str =
        "WITH a(id, v) AS (VALUES (1, 10), (2, NULL)), b(id, v) AS (VALUES (1, 10), (2, NULL)) ";

    #[tokio::test]
    async fn each_condition_of_joins_compares_nulls_in_its_own_way() {
        for (joins, expected) in [
            ("a JOIN b ON a.v IS NOT DISTINCT FROM b.v JOIN b AS c ON a.id = c.id", 2),
            ("a JOIN b ON a.v = b.v JOIN b AS c ON a.v IS NOT DISTINCT FROM c.v", 1),
            ("a JOIN b ON a.id = b.id JOIN b AS c ON a.v IS NOT DISTINCT FROM c.v", 2),
            ("a JOIN b ON a.v IS NOT DISTINCT FROM b.v JOIN b AS c ON c.id = 1", 2),
            (
                "a JOIN b ON a.v IS NOT DISTINCT FROM b.v WHERE nullif(a.id, 2) = nullif(b.id, 2)",
                1,
            ),
            ("b JOIN a ON a.id IS NOT DISTINCT FROM b.id WHERE a.v = b.v", 1),
            ("a LEFT JOIN b ON a.id IS NOT DISTINCT FROM b.id WHERE a.v = b.v", 1),
        ] {
            let sql = format!("{TABLES} SELECT a.id FROM {joins}");
            assert_eq!(row_count(&session(), &sql).await, expected, "{sql}");
        }
    }
}
