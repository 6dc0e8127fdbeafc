//! Expressions and conditions.

/// An expression that yields a value for each row or window: a field of a `SELECT`, or one side of a comparison.
///
/// Parentheses and negation have no nodes: `-5` is a literal, `-x` is `-1 * x`.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A field, a tag, `time`, or a column of a subquery.
    Column(Column),
    /// All columns, or all of one kind: `*`, `*::tag`, `*::field`.
    Wildcard(Option<ColumnKind>),
    /// All columns whose names match, in a field list or as the argument of a function; on the right of `=~` and `!~`,
    /// the pattern that the left side is matched against.
    Regex(Regex),
    /// A constant.
    Literal(Literal),
    /// A placeholder `$name`. [`bind`](crate::Statement::bind) replaces all of them.
    Parameter(String),
    /// A function call. `DISTINCT x` is the call `distinct(x)`; `now()` has no arguments.
    Call(Call),
    /// An arithmetic operation.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// The left operand.
        left: Box<Self>,
        /// The right operand.
        right: Box<Self>,
    },
}

/// The name of a column and its cast.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// The name, without quotes.
    pub name: String,
    /// The cast after `::`, if any.
    pub cast: Option<Cast>,
}

/// The type that a column is read as, or the kind that it must have: `name::float`, `name::tag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cast {
    /// `::float`: a number as a float.
    Float,
    /// `::integer`: a number as a signed integer.
    Integer,
    /// `::unsigned`: a number as an unsigned integer.
    Unsigned,
    /// `::string`: matches only a string column.
    String,
    /// `::boolean`: matches only a boolean column.
    Boolean,
    /// `::tag` or `::field`: matches only a column of this kind.
    Kind(ColumnKind),
}

/// The two kinds of columns that `*::` and `name::` distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// `::tag`.
    Tag,
    /// `::field`.
    Field,
}

/// A regular expression as written between slashes, with `\/` read as `/`. The pattern is not checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regex(pub String);

/// A constant. A time is written as a string; the context makes it a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A whole number.
    Integer(i64),
    /// A whole number above the range of `i64`.
    Unsigned(u64),
    /// A finite number with a decimal point.
    Float(f64),
    /// Text in single quotes.
    String(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A length of time in nanoseconds, such as `1h30m` or `-10s`.
    Duration(i64),
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The name in lower case.
    pub name: String,
    /// The arguments.
    pub args: Vec<Expr>,
}

/// An arithmetic operator. From loosest to tightest: `+ - | ^`, then `* / % &`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `&`
    BitAnd,
}

/// A condition on rows.
///
/// Conditions are flat: no [`And`](Self::And) is an element of another `And`, no [`Or`](Self::Or) is an element of
/// another `Or`, and each has two or more elements. Thousands of alternatives make a long list, never a deep tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All of these conditions hold.
    And(Vec<Self>),
    /// At least one of these conditions holds.
    Or(Vec<Self>),
    /// A comparison of two values.
    Compare {
        /// The left side.
        left: Expr,
        /// The operator.
        op: CompareOp,
        /// The right side. For `=~` and `!~` it is always [`Expr::Regex`].
        right: Expr,
    },
    /// A boolean value used as a condition.
    Value(Expr),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`
    Equal,
    /// `!=` or `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

impl Expr {
    /// Returns a column without a cast.
    pub fn column(name: impl Into<String>) -> Self {
        Self::Column(Column { name: name.into(), cast: None })
    }

    /// Returns a call of a function.
    pub fn call(name: impl Into<String>, args: Vec<Self>) -> Self {
        Self::Call(Call { name: name.into(), args })
    }

    /// Returns an arithmetic operation.
    pub fn binary(left: Self, op: BinaryOp, right: Self) -> Self {
        Self::Binary { op, left: Box::new(left), right: Box::new(right) }
    }

    /// Returns the nanoseconds of a constant duration.
    pub fn as_duration(&self) -> Option<i64> {
        match self {
            Self::Literal(Literal::Duration(nanos)) => Some(*nanos),
            _ => None,
        }
    }
}

impl Condition {
    /// Returns the conjunction of two conditions, flattened.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut all = match self {
            Self::And(all) => all,
            one => vec![one],
        };
        match other {
            Self::And(others) => all.extend(others),
            one => all.push(one),
        }
        Self::And(all)
    }

    /// Returns the disjunction of two conditions, flattened.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut any = match self {
            Self::Or(any) => any,
            one => vec![one],
        };
        match other {
            Self::Or(others) => any.extend(others),
            one => any.push(one),
        }
        Self::Or(any)
    }
}
