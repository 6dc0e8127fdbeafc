//! Row expressions as expressions of DataFusion, with everything computed that no row is needed for.

use arrow::datatypes::DataType;
use datafusion::{
    common::{Result, ScalarValue},
    functions::expr_fn::power,
    logical_expr::{Expr, Operator, binary_expr, cast, in_list, lit, not, when},
};
use neap_flux::{Arithmetic, Comparison, Constant, RowExpr, RowExprKind, Span, ValueType};
use neap_schema::ColumnType;
use neap_tables::balanced;

use crate::typed_value::{
    TypedValue, compare_constants, flux_name, is_number, is_text, literal, null_of, refused,
};

/// Returns the value of an expression. `column` returns the values of columns.
/// Fails with a planning error if types can't be combined.
pub(crate) fn translate(expr: &RowExpr, column: &dyn Fn(&str) -> TypedValue) -> Result<TypedValue> {
    let span = expr.span;
    let value = |operand: &RowExpr| translate(operand, column);
    match &expr.kind {
        RowExprKind::Constant(constant) => Ok(TypedValue::Constant(constant.clone())),
        RowExprKind::Column(name) => Ok(column(name)),
        RowExprKind::Exists(name) => Ok(match column(name) {
            TypedValue::Null => TypedValue::boolean(false),
            TypedValue::Constant(_) => TypedValue::boolean(true),
            TypedValue::Computed(expr, _) => boolean(expr.is_not_null()),
            TypedValue::Unknown => TypedValue::Unknown,
        }),
        RowExprKind::Not(operand) => match value(operand)? {
            TypedValue::Constant(Constant::Boolean(value)) => Ok(TypedValue::boolean(!value)),
            TypedValue::Computed(expr, ColumnType::Boolean) => Ok(boolean(not(expr))),
            unchanged @ (TypedValue::Null | TypedValue::Unknown) => Ok(unchanged),
            _ => Err(refused(span, "expected a bool after not")),
        },
        RowExprKind::And(operands) => joined(operands, column, false),
        RowExprKind::Or(operands) => joined(operands, column, true),
        RowExprKind::Compare(comparison, left, right) => {
            compared(span, *comparison, value(left)?, value(right)?)
        }
        RowExprKind::Arithmetic(operator, left, right) => {
            computed(span, *operator, value(left)?, value(right)?)
        }
        RowExprKind::Negate(operand) => negated(span, value(operand)?),
        RowExprKind::Match { value: text, pattern, matches } => {
            matched(span, value(text)?, pattern, *matches)
        }
        RowExprKind::Contains(operand, set) => Ok(contained(value(operand)?, set)),
        RowExprKind::Convert(to, operand) => converted(span, *to, value(operand)?),
        RowExprKind::Conditional(parts) => {
            let [test, then, otherwise] = parts.as_ref();
            chosen(span, value(test)?, value(then)?, value(otherwise)?)
        }
    }
}

fn boolean(expr: Expr) -> TypedValue {
    TypedValue::Computed(expr, ColumnType::Boolean)
}

/// Joins operands by `and`, or by `or`: `decisive` is the value of an operand that decides the result.
fn joined(
    operands: &[RowExpr],
    column: &dyn Fn(&str) -> TypedValue,
    decisive: bool,
) -> Result<TypedValue> {
    let mut exprs = Vec::new();
    let (mut has_null, mut has_unknown) = (false, false);
    for operand in operands {
        match translate(operand, column)? {
            TypedValue::Constant(Constant::Boolean(value)) if value == decisive => {
                return Ok(TypedValue::boolean(decisive));
            }
            TypedValue::Constant(Constant::Boolean(_)) => {}
            TypedValue::Computed(expr, ColumnType::Boolean) => exprs.push(expr),
            TypedValue::Null => has_null = true,
            TypedValue::Unknown => has_unknown = true,
            _ => return Err(refused(operand.span, "expected a bool")),
        }
    }
    Ok(match (has_unknown, has_null, exprs.is_empty()) {
        (true, _, _) => TypedValue::Unknown,
        (false, true, true) => TypedValue::Null,
        (false, false, true) => TypedValue::boolean(!decisive),
        (false, _, false) => {
            exprs.extend(has_null.then(|| lit(ScalarValue::Boolean(None))));
            boolean(balanced(exprs, if decisive { Expr::or } else { Expr::and }))
        }
    })
}

/// Compares two values. Values of types that can't be compared, such as a number and a string, satisfy no comparison.
fn compared(
    span: Span,
    comparison: Comparison,
    left: TypedValue,
    right: TypedValue,
) -> Result<TypedValue> {
    if let (TypedValue::Constant(one), TypedValue::Constant(other)) = (&left, &right) {
        let result = compare_constants(comparison, one, other);
        return result.map(TypedValue::boolean).ok_or_else(|| {
            let (one, other) = (literal(one).1, literal(other).1);
            let text =
                format!("a {} can't be compared with a {}", flux_name(one), flux_name(other));
            refused(span, text)
        });
    }
    if left == TypedValue::Unknown || right == TypedValue::Unknown {
        return Ok(TypedValue::Unknown);
    }
    let first = with_type_of(left, &right);
    let second = with_type_of(right, &first);
    let (Some((one, kind)), Some((other, of_other))) = (first.into_expr(), second.into_expr())
    else {
        return Ok(TypedValue::Null);
    };
    let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    let operator = operator(comparison);
    Ok(match (kind, of_other) {
        (ColumnType::Boolean, ColumnType::Boolean) if !is_equality => TypedValue::Null,
        _ if kind == of_other || is_text(kind) && is_text(of_other) => {
            boolean(binary_expr(one, operator, other))
        }
        _ if is_number(kind) && is_number(of_other) => {
            let has_float = kind == ColumnType::Float || of_other == ColumnType::Float;
            // No integer type holds signed and unsigned integers.
            let common = if has_float {
                DataType::Float64
            } else {
                DataType::Decimal128(20, 0)
            };
            boolean(binary_expr(cast(one, common.clone()), operator, cast(other, common)))
        }
        _ => TypedValue::Null,
    })
}

/// Converts a whole number to the type of the values that it is compared with, so that a scan can use the comparison.
// As Flux compares numbers of different types.
fn with_type_of(value: TypedValue, other: &TypedValue) -> TypedValue {
    let (TypedValue::Constant(Constant::Integer(number)), TypedValue::Computed(_, kind)) =
        (&value, other)
    else {
        return value;
    };
    let converted = match kind {
        ColumnType::Float => Some(Constant::Float(*number as f64)),
        ColumnType::UInteger => u64::try_from(*number).ok().map(Constant::Unsigned),
        _ => None,
    };
    converted.map_or(value, TypedValue::Constant)
}

fn operator(comparison: Comparison) -> Operator {
    match comparison {
        Comparison::Equal => Operator::Eq,
        Comparison::NotEqual => Operator::NotEq,
        Comparison::Less => Operator::Lt,
        Comparison::LessOrEqual => Operator::LtEq,
        Comparison::Greater => Operator::Gt,
        Comparison::GreaterOrEqual => Operator::GtEq,
    }
}

/// Computes with two numbers of one type, or joins two strings.
fn computed(
    span: Span,
    operator: Arithmetic,
    left: TypedValue,
    right: TypedValue,
) -> Result<TypedValue> {
    if left == TypedValue::Unknown || right == TypedValue::Unknown {
        return Ok(TypedValue::Unknown);
    }
    let (Some((one, kind)), Some((other, of_other))) = (left.into_expr(), right.into_expr()) else {
        return Ok(TypedValue::Null);
    };
    if is_text(kind) && is_text(of_other) && operator == Arithmetic::Add {
        let joined = binary_expr(text(one), Operator::StringConcat, text(other));
        return Ok(TypedValue::Computed(joined, ColumnType::String));
    }
    let is_supported = kind == of_other
        && is_number(kind)
        && (operator != Arithmetic::Power || kind == ColumnType::Float);
    if !is_supported {
        let (one, other) = (flux_name(kind), flux_name(of_other));
        let text = format!("unsupported binary expression {one} {} {other}", operator.symbol());
        return Err(refused(span, text));
    }
    let expr = match operator {
        Arithmetic::Add => one + other,
        Arithmetic::Subtract => one - other,
        Arithmetic::Multiply => one * other,
        Arithmetic::Divide => one / other,
        Arithmetic::Modulo => one % other,
        Arithmetic::Power => power(one, other),
    };
    Ok(TypedValue::Computed(expr, kind))
}

fn text(expr: Expr) -> Expr {
    cast(expr, DataType::Utf8)
}

fn negated(span: Span, value: TypedValue) -> Result<TypedValue> {
    match value {
        TypedValue::Constant(Constant::Float(number)) => {
            Ok(TypedValue::Constant(Constant::Float(-number)))
        }
        TypedValue::Constant(Constant::Integer(number)) => {
            Ok(TypedValue::Constant(Constant::Integer(number.wrapping_neg())))
        }
        TypedValue::Computed(expr, kind @ (ColumnType::Float | ColumnType::Integer)) => {
            Ok(TypedValue::Computed(Expr::Negative(Box::new(expr)), kind))
        }
        unchanged @ (TypedValue::Null | TypedValue::Unknown) => Ok(unchanged),
        _ => Err(refused(span, "only floats and integers can be negated")),
    }
}

fn matched(span: Span, value: TypedValue, pattern: &str, matches: bool) -> Result<TypedValue> {
    Ok(match value {
        TypedValue::Constant(Constant::Text(text)) => {
            let compiled = regex::Regex::new(pattern);
            let regex = compiled.map_err(|error| refused(span, error.to_string()))?;
            TypedValue::boolean(regex.is_match(&text) == matches)
        }
        TypedValue::Computed(expr, kind) if is_text(kind) => {
            let operator = if matches {
                Operator::RegexMatch
            } else {
                Operator::RegexNotMatch
            };
            boolean(binary_expr(expr, operator, lit(pattern)))
        }
        TypedValue::Unknown => TypedValue::Unknown,
        _ => TypedValue::Null,
    })
}

fn contained(value: TypedValue, set: &[Constant]) -> TypedValue {
    match value {
        TypedValue::Constant(constant) => {
            let is_equal = |other: &Constant| {
                compare_constants(Comparison::Equal, &constant, other).unwrap_or(false)
            };
            TypedValue::boolean(set.iter().any(is_equal))
        }
        TypedValue::Computed(expr, kind) => {
            let comparable = set
                .iter()
                .map(literal)
                .filter(|(_, other)| *other == kind || is_text(*other) && is_text(kind));
            let list: Vec<Expr> = comparable.map(|(element, _)| element).collect();
            if list.is_empty() {
                TypedValue::boolean(false)
            } else {
                boolean(in_list(expr, list, false))
            }
        }
        unchanged => unchanged,
    }
}

fn converted(span: Span, to: ValueType, value: TypedValue) -> Result<TypedValue> {
    if value == TypedValue::Unknown {
        return Ok(value);
    }
    let Some((expr, kind)) = value.into_expr() else {
        return Ok(TypedValue::Null);
    };
    let (wanted, name) = match to {
        ValueType::Float => (ColumnType::Float, "float"),
        ValueType::Integer => (ColumnType::Integer, "int"),
        ValueType::Unsigned => (ColumnType::UInteger, "uint"),
        ValueType::Text => (ColumnType::String, "string"),
    };
    let is_supported = match (wanted, kind) {
        (ColumnType::Float, ColumnType::Time) => false,
        // The texts of floats and times differ from those of Flux.
        (ColumnType::String, ColumnType::Float | ColumnType::Time) => false,
        _ => true,
    };
    if !is_supported {
        let text = format!("{name}() of a {} is not supported", flux_name(kind));
        return Err(refused(span, text));
    }
    let plain = if kind == ColumnType::Tag {
        text(expr)
    } else {
        expr
    };
    Ok(TypedValue::Computed(cast(plain, wanted.data_type()), wanted))
}

fn chosen(
    span: Span,
    test: TypedValue,
    then: TypedValue,
    otherwise: TypedValue,
) -> Result<TypedValue> {
    let condition = match test {
        TypedValue::Constant(Constant::Boolean(true)) => return Ok(then),
        TypedValue::Constant(Constant::Boolean(false)) | TypedValue::Null => return Ok(otherwise),
        TypedValue::Computed(expr, ColumnType::Boolean) => expr,
        TypedValue::Unknown => return Ok(TypedValue::Unknown),
        _ => return Err(refused(span, "expected a bool after if")),
    };
    if then == TypedValue::Unknown || otherwise == TypedValue::Unknown {
        return Ok(TypedValue::Unknown);
    }
    let (then, otherwise, kind) = match (then.into_expr(), otherwise.into_expr()) {
        (None, None) => return Ok(TypedValue::Null),
        (Some((expr, kind)), None) => (expr, null_of(kind)?, kind),
        (None, Some((expr, kind))) => (null_of(kind)?, expr, kind),
        (Some((one, kind)), Some((other, of_other))) if kind == of_other => (one, other, kind),
        (Some((one, kind)), Some((other, of_other))) if is_text(kind) && is_text(of_other) => {
            (text(one), text(other), ColumnType::String)
        }
        _ => {
            return Err(refused(span, "both values of a condition must have the same type"));
        }
    };
    let expr = when(condition, then).otherwise(otherwise)?;
    Ok(TypedValue::Computed(expr, kind))
}
