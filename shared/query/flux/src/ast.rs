//! The syntax tree of a query.

use crate::{Arithmetic, Comparison, FluxDuration, FluxError, Span};

/// The maximum depth of a tree. Deeper ones would need too much stack.
pub(crate) const MAX_DEPTH: u32 = 40;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    /// `import "path"`, `import alias "path"`
    Import {
        alias: Option<String>,
        path: String,
        span: Span,
    },
    /// `option name = value`, and `option package.name = value`, whose names are joined by a point.
    Option { name: String, value: Expr },
    /// `name = value`
    Assignment { name: String, value: Expr },
    /// An expression, such as a pipeline.
    Expression(Expr),
}

/// An expression with its position and its depth.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr {
    pub(crate) span: Span,
    pub(crate) kind: ExprKind,
    depth: u32,
}

impl Expr {
    /// Creates an expression.
    /// Fails if it is too deep.
    pub(crate) fn new(span: Span, kind: ExprKind) -> Result<Self, FluxError> {
        let depth = kind.depth_of_children() + 1;
        if depth > MAX_DEPTH {
            let text = format!("the expression is nested more than {MAX_DEPTH} levels deep");
            return Err(FluxError::new(span, text));
        }
        Ok(Self { span, kind, depth })
    }
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ExprKind {
    Identifier(String),
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Duration(FluxDuration),
    /// Nanoseconds since the Unix epoch.
    Time(i64),
    /// The pattern of a regular expression.
    Regex(String),
    Array(Vec<Expr>),
    Record {
        /// The name of the record that this one extends: `{r with …}`.
        with: Option<String>,
        properties: Vec<(String, Expr)>,
    },
    Function {
        parameters: Vec<String>,
        body: Box<Expr>,
    },
    Call {
        callee: Box<Expr>,
        arguments: Vec<(String, Expr)>,
    },
    /// `source |> call |> call`
    Pipe {
        source: Box<Expr>,
        calls: Vec<Expr>,
    },
    /// `object.name`, `object["name"]`
    Member {
        object: Box<Expr>,
        name: String,
    },
    Negate(Box<Expr>),
    Not(Box<Expr>),
    Exists(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Binary {
        operator: BinaryOperator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Conditional {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
}

impl ExprKind {
    fn depth_of_children(&self) -> u32 {
        let deepest = |children: &[Expr]| children.iter().map(|it| it.depth).max().unwrap_or(0);
        let deepest_named =
            |children: &[(String, Expr)]| children.iter().map(|(_, it)| it.depth).max();
        match self {
            Self::Identifier(_)
            | Self::Boolean(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Duration(_)
            | Self::Time(_)
            | Self::Regex(_) => 0,
            Self::Array(elements) | Self::And(elements) | Self::Or(elements) => deepest(elements),
            Self::Record { properties, .. } => deepest_named(properties).unwrap_or(0),
            Self::Function { body, .. } => body.depth,
            Self::Call { callee, arguments } => {
                callee.depth.max(deepest_named(arguments).unwrap_or(0))
            }
            Self::Pipe { source, calls } => source.depth.max(deepest(calls)),
            Self::Member { object: only, .. }
            | Self::Negate(only)
            | Self::Not(only)
            | Self::Exists(only) => only.depth,
            Self::Binary { left, right, .. } => left.depth.max(right.depth),
            Self::Conditional { test, then, otherwise } => {
                test.depth.max(then.depth).max(otherwise.depth)
            }
        }
    }
}

/// Operators with two operands, except `and` and `or`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryOperator {
    Comparison(Comparison),
    Arithmetic(Arithmetic),
    Matches,
    NotMatches,
}

impl BinaryOperator {
    /// All operators by symbol, each with its precedence. Operators of a higher precedence bind tighter.
    pub(crate) const ALL: [(&'static str, Self, u8); 14] = [
        ("==", Self::Comparison(Comparison::Equal), 1),
        ("!=", Self::Comparison(Comparison::NotEqual), 1),
        ("<", Self::Comparison(Comparison::Less), 1),
        ("<=", Self::Comparison(Comparison::LessOrEqual), 1),
        (">", Self::Comparison(Comparison::Greater), 1),
        (">=", Self::Comparison(Comparison::GreaterOrEqual), 1),
        ("=~", Self::Matches, 1),
        ("!~", Self::NotMatches, 1),
        ("+", Self::Arithmetic(Arithmetic::Add), 2),
        ("-", Self::Arithmetic(Arithmetic::Subtract), 2),
        ("*", Self::Arithmetic(Arithmetic::Multiply), 3),
        ("/", Self::Arithmetic(Arithmetic::Divide), 3),
        ("%", Self::Arithmetic(Arithmetic::Modulo), 3),
        ("^", Self::Arithmetic(Arithmetic::Power), 4),
    ];

    /// The highest precedence.
    pub(crate) const MAX_PRECEDENCE: u8 = 4;
}
