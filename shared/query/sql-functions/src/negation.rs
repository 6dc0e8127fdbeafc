//! Negation of unsigned numbers, such as `-rank() OVER (...)`, and of numbers that a function makes of tags, such as `-length(tag)`.
//!
//! DataFusion 55.2 refuses it while it plans the syntax tree, and asks extensions only about operators with two operands. So `-x` becomes
//! `NULL OPERATOR(neap_negation) x`, which is planned as `0 - x` if `x` is unsigned, and otherwise as `-x`.

use std::mem;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::type_coercion::{is_interval, is_signed_numeric, is_timestamp};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, lit};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr as SqlExpr, UnaryOperator, Value};

/// The name of the operator.
const NEGATION: &str = "neap_negation";

/// Replaces a negation by the operator. Those of values stay, because DataFusion plans them as literals, also as `INTERVAL -'1 hour'`.
pub(crate) fn as_operator(expr: &mut SqlExpr) {
    let SqlExpr::UnaryOp { op: UnaryOperator::Minus, expr: operand } = expr else {
        return;
    };
    if matches!(&**operand, SqlExpr::Interval(_) | SqlExpr::Value(_)) {
        return;
    }
    let right = mem::replace(operand, Box::new(SqlExpr::value(Value::Null)));
    *expr = SqlExpr::BinaryOp {
        left: Box::new(SqlExpr::value(Value::Null)),
        op: BinaryOperator::PGCustomBinaryOperator(vec![NEGATION.to_owned()]),
        right,
    };
}

/// Plans the operator.
#[derive(Debug)]
pub(crate) struct NegationPlanner;

impl ExprPlanner for NegationPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        match &expr.op {
            BinaryOperator::PGCustomBinaryOperator(name) if *name == [NEGATION] => {
                Ok(PlannerResult::Planned(negated(expr.right, schema)?))
            }
            _ => Ok(PlannerResult::Original(expr)),
        }
    }
}

/// Returns the negative of an expression. Its column has the usual name.
fn negated(operand: Expr, schema: &DFSchema) -> Result<Expr> {
    let data_type = operand.get_type(schema)?;
    if data_type.is_null()
        || is_signed_numeric(&data_type)
        || is_interval(&data_type)
        || is_timestamp(&data_type)
    {
        return Ok(Expr::Negative(Box::new(operand)));
    }
    let name = Expr::Negative(Box::new(operand.clone())).schema_name().to_string();
    let negative = match data_type {
        DataType::Dictionary(_, values) if is_signed_numeric(&values) => {
            Expr::Negative(Box::new(Expr::Cast(Cast::new(Box::new(operand), *values))))
        }
        // A decimal number if 64 bits could be too few.
        unsigned if unsigned.is_unsigned_integer() => lit(0_i64) - operand,
        other => {
            return plan_err!(
                "Unary operator '-' only supports numeric, interval and timestamp types, not {other}"
            );
        }
    };
    Ok(negative.alias(name))
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, session, table};

    #[tokio::test]
    async fn unsigned_numbers_are_negated() {
        let sql = "SELECT -max(-r) AS first, min(-u) AS least, -count(*) AS n FROM (SELECT rank() OVER (ORDER BY v) AS r, \
                   arrow_cast('18446744073709551615', 'UInt64') AS u FROM units) AS d WHERE -r < 0";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | first | least                 | n  |
        | 1     | -18446744073709551615 | -2 |
        ");
    }

    #[tokio::test]
    async fn other_negations_have_their_usual_types_and_names() {
        let sql = "SELECT -v, -(-v) AS twice, -5 AS literal, -INTERVAL '1 hour' AS hour, -0.0 AS zero, \
                   INTERVAL -'90 minutes' AS minutes, arrow_typeof(-v) AS type, -length(arrow_cast('ab', 'Dictionary(Int32, Utf8)')) AS length \
                   FROM units WHERE -v = -2 GROUP BY -v, v ORDER BY -v";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | (- units.v) | twice | literal | hour     | zero | minutes           | type  | length |
        | -2          | 2     | -5      | -1 hours | -0.0 | -1 hours -30 mins | Int64 | -2     |
        ");
        let refusal = error(&session(), "SELECT -room FROM home").await;
        assert!(refusal.contains("Unary operator '-'"), "{refusal}");
    }
}
