//! Expressions and conditions.

/// What yields a value for each row or window: a field of a `SELECT`, a side of a comparison.
///
/// There are no nodes for parentheses, and none for negation: `-5` is a literal, `-x` is `-1 * x`.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A field, a tag, `time`, or a column of a subquery.
    Column(Column),
    /// All columns, or all of one kind: `*`, `*::tag`, `*::field`.
    Wildcard(Option<ColumnKind>),
    /// All columns whose name matches, in a field list or as the argument of a function; on the right of
    /// `=~` and `!~`, what the left side is matched with.
    Regex(Regex),
    /// A constant.
    Literal(Literal),
    /// A placeholder `$name`. [`bind`](crate::Statement::bind) leaves none of them.
    Parameter(String),
    /// A function with its arguments. `DISTINCT x` is the call `distinct(x)`; `now()` has no arguments.
    Call(Call),
    /// Two operands of arithmetic.
    Binary {
        /// What is done with them.
        op: BinaryOp,
        /// The left one.
        left: Box<Self>,
        /// The right one.
        right: Box<Self>,
    },
}

/// The name of a column, and the type that it is read as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// The name, without quotes.
    pub name: String,
    /// What comes after `::`, if anything.
    pub cast: Option<Cast>,
}

/// What a column is read as, or has to be: `name::float`, `name::tag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cast {
    /// `::float`: a number as a float.
    Float,
    /// `::integer`: a number as a signed integer.
    Integer,
    /// `::unsigned`: a number as an unsigned integer.
    Unsigned,
    /// `::string`: only if it is a string.
    String,
    /// `::boolean`: only if it is a boolean.
    Boolean,
    /// `::tag` or `::field`: only if it is one.
    Kind(ColumnKind),
}

/// The two kinds of columns that `*::` and `name::` tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// `::tag`.
    Tag,
    /// `::field`.
    Field,
}

/// A regular expression as written between slashes, with `\/` read as `/`. Not checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regex(pub String);

/// A constant. A time is a string, which its place makes a time.
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

/// A call of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The name in lower case.
    pub name: String,
    /// The arguments.
    pub args: Vec<Expr>,
}

/// Arithmetic, the tighter binding last: `+ - | ^` and `* / % &`.
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

/// What a row must satisfy.
///
/// Flat: no [`And`](Self::And) is an element of another, nor an [`Or`](Self::Or) of another, and each has two
/// elements or more. Thousands of alternatives make a long list, never a deep tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All of these.
    And(Vec<Self>),
    /// One of these.
    Or(Vec<Self>),
    /// A comparison of two values.
    Compare {
        /// What is on the left.
        left: Expr,
        /// How they are compared.
        op: CompareOp,
        /// What is on the right: of `=~` and `!~` always [`Expr::Regex`].
        right: Expr,
    },
    /// A value that is true or false by itself.
    Value(Expr),
}

/// How two values are compared.
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
    /// A column without a cast.
    pub fn column(name: impl Into<String>) -> Self {
        Self::Column(Column {
            name: name.into(),
            cast: None,
        })
    }

    /// A function with arguments.
    pub fn call(name: impl Into<String>, args: Vec<Self>) -> Self {
        Self::Call(Call {
            name: name.into(),
            args,
        })
    }

    /// Two operands of arithmetic.
    pub fn binary(left: Self, op: BinaryOp, right: Self) -> Self {
        Self::Binary {
            op,
            left: Box::new(left),
            right: Box::new(right),
        }
    }

    /// The nanoseconds of a constant length of time.
    pub fn as_duration(&self) -> Option<i64> {
        match self {
            Self::Literal(Literal::Duration(nanos)) => Some(*nanos),
            _ => None,
        }
    }
}

impl Condition {
    /// Both of two, flat.
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

    /// Either of two, flat.
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
