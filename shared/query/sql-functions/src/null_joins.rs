//! Joins whose nulls are equal, and DataFusion's `eliminate_cross_join`.
//!
//! `ON a IS NOT DISTINCT FROM b` is a join with equal nulls. The rule makes one list of the conditions of several inner joins, and
//! gives all of them the equality of nulls of the outermost join. So those of the other joins would lose rows, or get wrong ones.

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

#[cfg(test)]
mod tests {
    use crate::testing::{rows, session};

    const TABLES: &str =
        "WITH a(id, v) AS (VALUES (1, 10), (2, NULL)), b(id, v) AS (VALUES (1, 10), (2, NULL)) ";

    #[tokio::test]
    async fn each_of_several_joins_compares_nulls_in_its_own_way() {
        for (joins, expected) in [
            (
                "a JOIN b ON a.v IS NOT DISTINCT FROM b.v JOIN b AS c ON a.id = c.id",
                2,
            ),
            (
                "a JOIN b ON a.v = b.v JOIN b AS c ON a.v IS NOT DISTINCT FROM c.v",
                1,
            ),
            (
                "a JOIN b ON a.id = b.id JOIN b AS c ON a.v IS NOT DISTINCT FROM c.v",
                2,
            ),
            (
                "a JOIN b ON a.v IS NOT DISTINCT FROM b.v JOIN b AS c ON c.id = 1",
                2,
            ),
        ] {
            let sql = format!("{TABLES} SELECT a.id FROM {joins}");
            let found = rows(&session(), &sql).await;
            let number: usize = found.iter().map(arrow::array::RecordBatch::num_rows).sum();
            assert_eq!(number, expected, "{sql}");
        }
    }
}
