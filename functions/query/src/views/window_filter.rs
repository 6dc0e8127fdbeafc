//! Limits the rows of a plan to a range of times.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, Result, ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, Filter, LogicalPlan},
};
use neap_manifest::TimeRange;
use neap_schema::TIME_COLUMN;

/// Adds a filter of times to each table of a plan.
pub(super) fn within(plan: LogicalPlan, times: TimeRange) -> Result<LogicalPlan> {
    let filtered = plan.transform_down(|node| {
        let LogicalPlan::TableScan(scan) = &node else {
            return Ok(Transformed::no(node));
        };
        let schema = &scan.projected_schema;
        let (qualifier, field) = schema.qualified_field_with_unqualified_name(TIME_COLUMN)?;
        let time = || Expr::Column(Column::from((qualifier, field)));
        let literal =
            |time| Expr::Literal(ScalarValue::TimestampNanosecond(Some(time), None), None);
        let predicate = time().gt_eq(literal(times.first)).and(time().lt_eq(literal(times.last)));
        let filter = Filter::try_new(predicate, Arc::new(node))?;
        let filter = LogicalPlan::Filter(filter);
        Ok(Transformed::new(filter, true, TreeNodeRecursion::Jump))
    });
    Ok(filtered?.data)
}
