//! The operators `->`, `->>` and `?`, with the names that they have in PostgreSQL.

use std::sync::Arc;

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::function::{AS_TEXT, CONTAINS, GET};

/// Plans the operators as calls. Their columns are called as in the statement.
#[derive(Debug)]
pub(crate) struct JsonOperatorPlanner;

impl ExprPlanner for JsonOperatorPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let function = match expr.op {
            BinaryOperator::Arrow => &GET,
            BinaryOperator::LongArrow => &AS_TEXT,
            BinaryOperator::Question => &CONTAINS,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (left, right) = (shown(&expr.left), shown(&expr.right));
        let name = format!("{left} {} {right}", expr.op);
        let args = path(expr.left, expr.right);
        let call = ScalarFunction::new_udf(Arc::clone(function), args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call).alias(name)))
    }
}

/// Returns the arguments of a call: a text and the path in it. The path of `text -> 'a' -> 'b'` has two steps, so that the text is
/// read once.
fn path(left: Expr, right: Expr) -> Vec<Expr> {
    let is_literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
    let mut args = match get_call(&left) {
        Some(call) if call.args.iter().skip(1).chain([&right]).all(is_literal) => call.args.clone(),
        _ => vec![left],
    };
    args.push(right);
    args
}

/// Returns the call of `->` that an expression is, below any names.
pub(super) fn get_call(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::Alias(alias) => get_call(&alias.expr),
        Expr::ScalarFunction(call) if call.func == *GET => Some(call),
        _ => None,
    }
}

fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Literal(value, _) => match value.try_as_str() {
            Some(Some(text)) => format!("'{text}'"),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}
