//! Values of row expressions, with their types.

use std::cmp::Ordering;

use datafusion::{
    common::{DataFusionError, Result, ScalarValue},
    logical_expr::{Expr, lit},
};
use neap_flux::{Comparison, Constant, FluxError, Span};
use neap_schema::ColumnType;

/// The value of a row expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TypedValue {
    /// Always null.
    Null,
    /// The same in all rows.
    Constant(Constant),
    /// Computed from each row.
    Computed(Expr, ColumnType),
    /// Not known yet, because it depends on the field.
    Unknown,
}

impl TypedValue {
    pub(crate) fn boolean(value: bool) -> Self {
        Self::Constant(Constant::Boolean(value))
    }

    /// Returns the value as an expression with its type; `None` if it is null or unknown.
    pub(crate) fn into_expr(self) -> Option<(Expr, ColumnType)> {
        match self {
            Self::Null | Self::Unknown => None,
            Self::Constant(constant) => Some(literal(&constant)),
            Self::Computed(expr, kind) => Some((expr, kind)),
        }
    }
}

/// Returns a constant as an expression with its type.
pub(crate) fn literal(constant: &Constant) -> (Expr, ColumnType) {
    match constant {
        Constant::Boolean(value) => (lit(*value), ColumnType::Boolean),
        Constant::Integer(number) => (lit(*number), ColumnType::Integer),
        Constant::Unsigned(number) => (lit(*number), ColumnType::UInteger),
        Constant::Float(number) => (lit(*number), ColumnType::Float),
        Constant::Text(text) => (lit(text.clone()), ColumnType::String),
        Constant::Time(nanos) => (time(*nanos), ColumnType::Time),
    }
}

/// Returns a time as a constant.
pub(crate) fn time(nanos: i64) -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(nanos), None))
}

/// Returns a column that is null in every row.
pub(crate) fn null_of(kind: ColumnType) -> Result<Expr> {
    let null = ScalarValue::try_from(&kind.data_type())?;
    Ok(Expr::Literal(null, None))
}

/// Compares two constants. `None` if their types can't be compared.
pub(crate) fn compare_constants(
    comparison: Comparison,
    left: &Constant,
    right: &Constant,
) -> Option<bool> {
    let order = match (left, right) {
        (Constant::Text(one), Constant::Text(other)) => Some(one.cmp(other)),
        (Constant::Time(one), Constant::Time(other)) => Some(one.cmp(other)),
        (Constant::Integer(one), Constant::Integer(other)) => Some(one.cmp(other)),
        (Constant::Unsigned(one), Constant::Unsigned(other)) => Some(one.cmp(other)),
        (Constant::Boolean(one), Constant::Boolean(other)) => Some(one.cmp(other)),
        _ => float(left)?.partial_cmp(&float(right)?),
    };
    Some(match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

/// Returns a number as a float.
// As Flux compares numbers of different types.
pub(crate) fn float(constant: &Constant) -> Option<f64> {
    match constant {
        Constant::Integer(number) => Some(*number as f64),
        Constant::Unsigned(number) => Some(*number as f64),
        Constant::Float(number) => Some(*number),
        _ => None,
    }
}

/// Whether values of a type are strings.
pub(crate) fn is_text(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Tag | ColumnType::String)
}

/// Whether values of a type are numbers.
pub(crate) fn is_number(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Float | ColumnType::Integer | ColumnType::UInteger)
}

pub(crate) fn flux_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Tag | ColumnType::String => "string",
        ColumnType::Time => "time",
        ColumnType::Float => "float",
        ColumnType::Integer => "int",
        ColumnType::UInteger => "uint",
        ColumnType::Boolean => "bool",
    }
}

/// Returns the error about a part of a query.
pub(crate) fn refused(span: Span, message: impl Into<String>) -> DataFusionError {
    DataFusionError::Plan(FluxError::new(span, message).to_string())
}
