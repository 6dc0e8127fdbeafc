//! Expressions over the columns of a row, and constants.

use crate::Span;

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A boolean.
    Boolean(bool),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// A time in nanoseconds since the Unix epoch.
    Time(i64),
}

/// A type that a row expression converts a value to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// `float()`
    Float,
    /// `int()`
    Integer,
    /// `uint()`
    Unsigned,
    /// `string()`
    Text,
}

/// An operator that compares two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// An arithmetic operator, or `+` of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `^`
    Power,
}

impl Arithmetic {
    /// The symbol of the operator.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "^",
        }
    }
}

/// An expression over the columns of a row, with its position in the query.
#[derive(Clone, Debug, PartialEq)]
pub struct RowExpr {
    /// The position.
    pub span: Span,
    /// The expression.
    pub kind: RowExprKind,
}

/// The kinds of row expressions. Variables of the query are replaced by their values.
#[derive(Clone, Debug, PartialEq)]
pub enum RowExprKind {
    /// A constant.
    Constant(Constant),
    /// The value of a column; null if the row lacks the column.
    Column(String),
    /// Whether a column has a value.
    Exists(String),
    /// `not x`
    Not(Box<RowExpr>),
    /// `-x`
    Negate(Box<RowExpr>),
    /// `x and y …`
    And(Vec<RowExpr>),
    /// `x or y …`
    Or(Vec<RowExpr>),
    /// A comparison. Null if an operand is null.
    Compare(Comparison, Box<RowExpr>, Box<RowExpr>),
    /// Arithmetic of two numbers of one type, or of two strings.
    Arithmetic(Arithmetic, Box<RowExpr>, Box<RowExpr>),
    /// `x =~ /pattern/`, or `x !~ /pattern/`
    Match {
        /// The string.
        value: Box<RowExpr>,
        /// A valid regular expression.
        pattern: String,
        /// Whether the operator is `=~`.
        matches: bool,
    },
    /// `contains(value: x, set: […])`
    Contains(Box<RowExpr>, Vec<Constant>),
    /// `float(v: x)`, `int(v: x)`, `uint(v: x)`, `string(v: x)`
    Convert(ValueType, Box<RowExpr>),
    /// `if x then y else z`
    Conditional(Box<[RowExpr; 3]>),
}
