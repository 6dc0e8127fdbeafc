//! Expressions with the types of their values.

use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, lit, try_cast},
};
use neap_influxql::Literal;
use neap_schema::ColumnType;

/// An expression and the type of its values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TypedExpr {
    pub(super) expr: Expr,
    /// `None`: the value is always NULL.
    pub(super) kind: Option<ColumnType>,
}

impl TypedExpr {
    pub(super) fn new(expr: Expr, kind: ColumnType) -> Self {
        Self { expr, kind: Some(kind) }
    }

    /// NULL. As a column it has the type float.
    pub(super) fn null() -> Self {
        Self { expr: lit(ScalarValue::Float64(None)), kind: None }
    }

    pub(super) fn of_literal(literal: &Literal) -> Self {
        match literal {
            Literal::Integer(value) => Self::new(lit(*value), ColumnType::Integer),
            Literal::Unsigned(value) => Self::new(lit(*value), ColumnType::UInteger),
            Literal::Float(value) => Self::new(lit(*value), ColumnType::Float),
            Literal::String(value) => Self::new(lit(value.clone()), ColumnType::String),
            Literal::Boolean(value) => Self::new(lit(*value), ColumnType::Boolean),
            Literal::Duration(nanos) => Self::new(lit(*nanos), ColumnType::Integer),
        }
    }

    /// Whether it is a number of any type.
    pub(super) fn is_number(&self) -> bool {
        self.kind.is_some_and(is_number)
    }

    /// Converts a number to another number type; NULL if that can't represent it. Values of other types, and those that
    /// already have the type, are unchanged.
    pub(super) fn read_as(self, wanted: ColumnType) -> Self {
        if self.kind == Some(wanted) || !self.is_number() || !is_number(wanted) {
            return self;
        }
        let expr = match &self.expr {
            Expr::Literal(value, _) => match value.cast_to(&wanted.data_type()) {
                Ok(value) => lit(value),
                Err(_) => try_cast(self.expr, wanted.data_type()),
            },
            _ => try_cast(self.expr, wanted.data_type()),
        };
        Self::new(expr, wanted)
    }

    pub(super) fn is_literal_from_zero(&self) -> bool {
        matches!(&self.expr, Expr::Literal(ScalarValue::Int64(Some(value)), _) if *value >= 0)
    }
}

/// Whether the type is one of the three number types.
pub(super) fn is_number(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Float | ColumnType::Integer | ColumnType::UInteger)
}
