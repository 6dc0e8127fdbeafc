//! Writes expressions and conditions as text.

use std::fmt::{self, Display, Formatter, Write};

use super::{DurationLiteral, Identifier, StringLiteral, write_separated};
use crate::{BinaryOp, Call, Cast, Column, ColumnKind, CompareOp, Condition, Expr, Literal, Regex};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => column.fmt(f),
            Self::Wildcard(None) => f.write_str("*"),
            Self::Wildcard(Some(kind)) => write!(f, "*::{kind}"),
            Self::Regex(regex) => regex.fmt(f),
            Self::Literal(literal) => literal.fmt(f),
            Self::Parameter(name) => write!(f, "${}", Identifier(name)),
            Self::Call(call) => call.fmt(f),
            Self::Binary { op, left, right } => {
                operand(f, left, op.binds() > binds(left))?;
                write!(f, " {op} ")?;
                // Operators of equal precedence group to the left.
                operand(f, right, op.binds() >= binds(right))
            }
        }
    }
}

/// Returns the precedence of an expression's operator. A higher number binds more tightly.
fn binds(expr: &Expr) -> u8 {
    match expr {
        Expr::Binary { op, .. } => op.binds(),
        _ => u8::MAX,
    }
}

fn operand(f: &mut Formatter<'_>, expr: &Expr, in_parentheses: bool) -> fmt::Result {
    if in_parentheses {
        write!(f, "({expr})")
    } else {
        expr.fmt(f)
    }
}

impl BinaryOp {
    /// Returns the precedence. A higher number binds more tightly.
    pub(crate) fn binds(self) -> u8 {
        match self {
            Self::Add | Self::Subtract | Self::BitOr | Self::BitXor => 1,
            Self::Multiply | Self::Divide | Self::Modulo | Self::BitAnd => 2,
        }
    }
}

impl Display for BinaryOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::BitOr => "|",
            Self::BitXor => "^",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::BitAnd => "&",
        })
    }
}

impl Display for CompareOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        })
    }
}

impl Display for Column {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Identifier(&self.name).fmt(f)?;
        match self.cast {
            Some(cast) => write!(f, "::{cast}"),
            None => Ok(()),
        }
    }
}

impl Display for Cast {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float => f.write_str("float"),
            Self::Integer => f.write_str("integer"),
            Self::Unsigned => f.write_str("unsigned"),
            Self::String => f.write_str("string"),
            Self::Boolean => f.write_str("boolean"),
            Self::Kind(kind) => kind.fmt(f),
        }
    }
}

impl Display for ColumnKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tag => "tag",
            Self::Field => "field",
        })
    }
}

impl Display for Regex {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('/')?;
        for char in self.0.chars() {
            match char {
                '/' => f.write_str("\\/")?,
                char => f.write_char(char)?,
            }
        }
        f.write_char('/')
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Unsigned(number) => number.fmt(f),
            Self::Float(number) if number.fract() == 0.0 => write!(f, "{number:.1}"),
            Self::Float(number) => number.fmt(f),
            Self::String(text) => StringLiteral(text).fmt(f),
            Self::Boolean(value) => value.fmt(f),
            Self::Duration(nanos) => DurationLiteral(*nanos).fmt(f),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        write_separated(f, &self.args, ", ")?;
        f.write_char(')')
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(elements) => write_separated(f, elements.iter().map(Conjunct), " AND "),
            Self::Or(elements) => write_separated(f, elements, " OR "),
            Self::Compare { left, op, right } => write!(f, "{left} {op} {right}"),
            Self::Value(value) => value.fmt(f),
        }
    }
}

/// An operand of `AND`.
struct Conjunct<'a>(&'a Condition);

impl Display for Conjunct<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Condition::Or(_) => write!(f, "({})", self.0),
            other => other.fmt(f),
        }
    }
}
