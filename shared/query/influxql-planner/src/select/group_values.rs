//! The values of calls in the rows of groups.

use datafusion::{
    common::Result,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};
use neap_influxql::Expr as Ast;
use neap_tables::balanced;

use super::typed_expr::TypedExpr;

/// Rows and the values of calls in them. The columns are `time`, the tags of the group, and one for each call.
#[derive(Debug)]
pub(super) struct GroupValues {
    pub(super) plan: LogicalPlan,
    pub(super) values: Vec<(Ast, TypedExpr)>,
}

/// Removes rows without any of these values.
pub(super) fn drop_empty_rows(
    plan: LogicalPlan,
    values: &[(Ast, TypedExpr)],
) -> Result<LogicalPlan> {
    let something = values.iter().map(|(_, value)| value.expr.clone().is_not_null());
    let something = balanced(something.collect(), Expr::or);
    LogicalPlanBuilder::from(plan).filter(something)?.build()
}
