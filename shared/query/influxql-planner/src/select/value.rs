//! Values and their arithmetic, by the rules of InfluxQL.
//!
//! * A division by zero is 0, and so is its remainder; only NULL operands yield NULL. In InfluxDB 1, the remainder of
//!   floats is NULL.
//! * Dividing integers yields a float.
//! * Operands of incompatible types, such as a number and a string, yield NULL.

use arrow::datatypes::DataType;
use datafusion::{
    common::{Result, ScalarValue, plan_err},
    logical_expr::{BinaryExpr, Expr, Operator, cast, lit, try_cast, when},
};
use neap_formats::series::AnswerInterface;
use neap_influxql::{BinaryOp, Expr as Ast};
use neap_schema::ColumnType;

use super::{
    math,
    typed_expr::{TypedExpr, is_number},
};

/// Returns the value of an expression. `leaf` returns those of columns and of calls computed before.
/// Fails with planning errors for expressions that can't be operands.
pub(super) fn evaluate(
    expr: &Ast,
    interface: AnswerInterface,
    leaf: &dyn Fn(&Ast) -> Option<TypedExpr>,
) -> Result<TypedExpr> {
    if let Some(value) = leaf(expr) {
        return Ok(value);
    }
    match expr {
        Ast::Literal(literal) => Ok(TypedExpr::of_literal(literal)),
        Ast::Binary { op, left, right } => {
            let left = evaluate(left, interface, leaf)?;
            let right = evaluate(right, interface, leaf)?;
            arithmetic(*op, interface, left, right)
        }
        Ast::Call(call) => {
            let args = call.args.iter().map(|arg| evaluate(arg, interface, leaf));
            math::call(&call.name, args.collect::<Result<_>>()?)
        }
        Ast::Column(column) => plan_err!("unexpected column {}", column.name),
        Ast::Wildcard(_) | Ast::Regex(_) => plan_err!("unexpected wildcard or regular expression"),
        Ast::Parameter(name) => plan_err!("no value for parameter ${name}"),
    }
}

/// Refuses operands whose types can't be combined, as InfluxDB 1 does. An operand that is always NULL fits any other.
/// Fails with a planning error with the text of InfluxDB 1.
pub(super) fn check_types(expr: &Ast, leaf: &dyn Fn(&Ast) -> Option<TypedExpr>) -> Result<()> {
    if leaf(expr).is_some() {
        return Ok(());
    }
    match expr {
        Ast::Binary { op, left, right } => {
            check_types(left, leaf)?;
            check_types(right, leaf)?;
            let of_left = evaluate(left, AnswerInterface::V1, leaf)?.kind;
            let of_right = evaluate(right, AnswerInterface::V1, leaf)?.kind;
            match (of_left, of_right) {
                (Some(one), Some(two)) if !can_combine(*op, one, two) => {
                    let (one, two) = (one.influxql_name(), two.influxql_name());
                    let typed = |expr: &Ast, name: &str| match expr {
                        Ast::Column(column) => format!("{}::{name}", column.name),
                        other => other.to_string(),
                    };
                    plan_err!(
                        "type error: {} {op} {}: incompatible types: {one} and {two}",
                        typed(left, one),
                        typed(right, two)
                    )
                }
                _ => Ok(()),
            }
        }
        Ast::Call(call) => {
            let mut args = call.args.iter();
            args.try_for_each(|arg| check_types(arg, leaf))
        }
        _ => Ok(()),
    }
}

fn can_combine(op: BinaryOp, left: ColumnType, right: ColumnType) -> bool {
    let is_bitwise = matches!(op, BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor);
    match (left, right) {
        (ColumnType::Boolean, ColumnType::Boolean) => is_bitwise,
        (ColumnType::Float, other) | (other, ColumnType::Float) => !is_bitwise && is_number(other),
        _ => is_number(left) && is_number(right),
    }
}

/// Converts two numbers to the same type: float if one is a float, else unsigned only if both can be unsigned.
fn promote(left: TypedExpr, right: TypedExpr) -> Option<(TypedExpr, TypedExpr, ColumnType)> {
    use ColumnType::{Float, Integer, UInteger};
    if !left.is_number() || !right.is_number() {
        return None;
    }
    let kind = match (left.kind?, right.kind?) {
        (Float, _) | (_, Float) => Float,
        (UInteger, UInteger) => UInteger,
        (UInteger, Integer) if right.is_literal_from_zero() => UInteger,
        (Integer, UInteger) if left.is_literal_from_zero() => UInteger,
        _ => Integer,
    };
    Some((left.read_as(kind), right.read_as(kind), kind))
}

/// Converts two numbers to a common type for comparison. A signed and an unsigned integer are compared as decimals,
/// because no integer type holds both ranges.
pub(super) fn promote_for_comparison(left: TypedExpr, right: TypedExpr) -> Option<(Expr, Expr)> {
    let exact = |value: &TypedExpr| cast(value.expr.clone(), DataType::Decimal128(20, 0));
    let decimals = (exact(&left), exact(&right));
    let is_mixed = left.kind != right.kind;
    let (left, right, kind) = promote(left, right)?;
    match kind {
        ColumnType::Integer if is_mixed => Some(decimals),
        _ => Some((left.expr, right.expr)),
    }
}

fn arithmetic(
    op: BinaryOp,
    interface: AnswerInterface,
    left: TypedExpr,
    right: TypedExpr,
) -> Result<TypedExpr> {
    if let (Some(ColumnType::Boolean), Some(ColumnType::Boolean)) = (left.kind, right.kind) {
        return Ok(logic(op, left.expr, right.expr));
    }
    let mixed = exact_integers(op, &left, &right);
    let Some((left, right, kind)) = promote(left, right) else {
        return Ok(TypedExpr::null());
    };
    if let (Some(exact), ColumnType::Integer) = (mixed, kind) {
        return Ok(exact);
    }
    let (left, right, kind) = match op {
        BinaryOp::Divide => {
            let float = ColumnType::Float;
            (left.read_as(float), right.read_as(float), float)
        }
        _ => (left, right, kind),
    };
    let is_bitwise = matches!(op, BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor);
    if is_bitwise && kind == ColumnType::Float {
        return Ok(TypedExpr::null());
    }
    let expr = match op {
        BinaryOp::Divide | BinaryOp::Modulo => divide(op, interface, left.expr, right.expr, kind)?,
        _ => binary(left.expr, operator(op), right.expr),
    };
    Ok(TypedExpr::new(expr, kind))
}

/// Combines a signed and an unsigned integer as decimals, because no integer type holds both ranges. The result is NULL
/// only if it is outside the range of signed integers.
fn exact_integers(op: BinaryOp, left: &TypedExpr, right: &TypedExpr) -> Option<TypedExpr> {
    use ColumnType::{Integer, UInteger};
    let is_mixed = matches!((left.kind?, right.kind?), (Integer, UInteger) | (UInteger, Integer));
    let is_exact = matches!(op, BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply);
    if !is_mixed || !is_exact {
        return None;
    }
    let exact = |value: &TypedExpr| cast(value.expr.clone(), DataType::Decimal128(20, 0));
    let result = binary(exact(left), operator(op), exact(right));
    Some(TypedExpr::new(try_cast(result, Integer.data_type()), Integer))
}

/// Returns a quotient or a remainder, which is 0 if the divisor is 0. In InfluxDB 1, the remainder of floats is NULL then.
fn divide(
    op: BinaryOp,
    interface: AnswerInterface,
    left: Expr,
    right: Expr,
    kind: ColumnType,
) -> Result<Expr> {
    let zero = ScalarValue::new_zero(&kind.data_type())?;
    let of_zero = match (interface, op, kind) {
        (AnswerInterface::V1, BinaryOp::Modulo, ColumnType::Float) => ScalarValue::Float64(None),
        _ => zero.clone(),
    };
    let quotient = binary(left.clone(), operator(op), right.clone());
    match &right {
        Expr::Literal(value, _) if *value != zero => Ok(quotient),
        _ => {
            let null = ScalarValue::try_from(&kind.data_type())?;
            when(left.is_null().or(right.clone().is_null()), lit(null))
                .when(right.eq(lit(zero)), lit(of_zero))
                .otherwise(quotient)
        }
    }
}

fn logic(op: BinaryOp, left: Expr, right: Expr) -> TypedExpr {
    let expr = match op {
        BinaryOp::BitAnd => left.and(right),
        BinaryOp::BitOr => left.or(right),
        BinaryOp::BitXor => left.not_eq(right),
        _ => return TypedExpr::null(),
    };
    TypedExpr::new(expr, ColumnType::Boolean)
}

fn operator(op: BinaryOp) -> Operator {
    match op {
        BinaryOp::Add => Operator::Plus,
        BinaryOp::Subtract => Operator::Minus,
        BinaryOp::Multiply => Operator::Multiply,
        BinaryOp::Divide => Operator::Divide,
        BinaryOp::Modulo => Operator::Modulo,
        BinaryOp::BitAnd => Operator::BitwiseAnd,
        BinaryOp::BitOr => Operator::BitwiseOr,
        BinaryOp::BitXor => Operator::BitwiseXor,
    }
}

pub(super) fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}
