//! The mathematical functions of single values.

use datafusion::{
    common::{Result, ScalarValue, plan_err},
    functions::expr_fn as df,
    logical_expr::{Expr, cast, lit, when},
};
use neap_schema::ColumnType;

use super::typed_expr::TypedExpr;

/// The functions of one number that return a float.
const FLOAT_FUNCTIONS: [&str; 11] = [
    "acos", "asin", "atan", "cos", "exp", "ln", "log2", "log10", "sin", "sqrt", "tan",
];

/// The functions of one number that return a number of the same type.
const SAME_TYPE_FUNCTIONS: [&str; 4] = ["abs", "ceil", "floor", "round"];

/// Whether a function with this name exists.
pub(super) fn is_known(name: &str) -> bool {
    FLOAT_FUNCTIONS.contains(&name)
        || SAME_TYPE_FUNCTIONS.contains(&name)
        || matches!(name, "atan2" | "log" | "pow" | "date_part")
}

/// Returns the value of a call.
/// Fails with planning errors for unknown functions and wrong numbers of arguments.
pub(super) fn call(name: &str, args: Vec<TypedExpr>) -> Result<TypedExpr> {
    if name == "date_part" {
        return date_part(args);
    }
    let expected = if matches!(name, "atan2" | "log" | "pow") {
        2
    } else {
        1
    };
    let given = args.len();
    let mut args = args.into_iter();
    match (args.next(), args.next(), args.next()) {
        (Some(x), None, None) if expected == 1 => Ok(unary_function(name, x)),
        (Some(x), Some(y), None) if expected == 2 => Ok(binary_function(name, x, y)),
        _ if !is_known(name) => plan_err!("unsupported function {name}()"),
        _ => plan_err!("invalid number of arguments for {name}, expected {expected}, got {given}"),
    }
}

fn unary_function(name: &str, x: TypedExpr) -> TypedExpr {
    if !x.is_number() {
        return TypedExpr::null();
    }
    if SAME_TYPE_FUNCTIONS.contains(&name) {
        return same_type(name, x);
    }
    let x = x.read_as(ColumnType::Float).expr;
    let expr = match name {
        "acos" => df::acos(x),
        "asin" => df::asin(x),
        "atan" => df::atan(x),
        "cos" => df::cos(x),
        "exp" => df::exp(x),
        "ln" => df::ln(x),
        "log2" => df::log2(x),
        "log10" => df::log10(x),
        "sin" => df::sin(x),
        "sqrt" => return square_root(x),
        "tan" => df::tan(x),
        _ => return TypedExpr::null(),
    };
    TypedExpr::new(expr, ColumnType::Float)
}

/// Integers need no rounding, and unsigned ones have no sign.
fn same_type(name: &str, x: TypedExpr) -> TypedExpr {
    let TypedExpr { expr, kind } = x;
    let expr = match (name, kind) {
        ("abs", Some(ColumnType::Float | ColumnType::Integer)) => df::abs(expr),
        ("ceil", Some(ColumnType::Float)) => df::ceil(expr),
        ("floor", Some(ColumnType::Float)) => df::floor(expr),
        ("round", Some(ColumnType::Float)) => df::round(vec![expr]),
        _ => expr,
    };
    TypedExpr { expr, kind }
}

/// Returns NULL for negative numbers, for which DataFusion would fail.
fn square_root(x: Expr) -> TypedExpr {
    let null = lit(ScalarValue::Float64(None));
    let guarded = when(x.clone().lt(lit(0.0)), null).otherwise(df::sqrt(x));
    guarded.map_or_else(|_| TypedExpr::null(), |expr| TypedExpr::new(expr, ColumnType::Float))
}

fn binary_function(name: &str, x: TypedExpr, y: TypedExpr) -> TypedExpr {
    if !x.is_number() || !y.is_number() {
        return TypedExpr::null();
    }
    let float = ColumnType::Float;
    let (x, y) = (x.read_as(float).expr, y.read_as(float).expr);
    let expr = match name {
        "atan2" => df::atan2(x, y),
        // The order of InfluxQL: the number, then the base.
        "log" => df::log(y, x),
        _ => df::power(x, y),
    };
    TypedExpr::new(expr, float)
}

/// `date_part('unit', time)`, an extension of InfluxDB 3.
fn date_part(args: Vec<TypedExpr>) -> Result<TypedExpr> {
    match <[TypedExpr; 2]>::try_from(args) {
        Ok([unit, time])
            if unit.kind == Some(ColumnType::String) && time.kind == Some(ColumnType::Time) =>
        {
            let part = df::date_part(unit.expr, time.expr);
            let part = cast(part, ColumnType::Integer.data_type());
            Ok(TypedExpr::new(part, ColumnType::Integer))
        }
        _ => plan_err!("date_part takes the name of a unit and time"),
    }
}
