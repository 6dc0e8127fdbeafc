//! The schemas of a plan in which operators were replaced.

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TransformedResult},
    },
    logical_expr::LogicalPlan,
};

/// Computes the schema of each operator from those of its inputs. An operator whose input was replaced still has the keys of the
/// former input, by which DataFusion leaves out columns of `ORDER BY`, `GROUP BY` and `DISTINCT`.
///
/// # Errors
/// The plan is not valid.
pub(crate) fn with_computed_schemas(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| node.recompute_schema().map(Transformed::yes))
        .data()
}
