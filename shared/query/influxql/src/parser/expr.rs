//! Parses expressions and conditions by precedence: `OR`, `AND`, comparisons, `+ - | ^`, `* / % &`.

use super::{Parser, Result, limits::StatementElement};
use crate::{
    BinaryOp, Cast, Column, ColumnKind, CompareOp, Condition, Expr, Literal, ParseError,
    lexer::Token,
};

/// Maximum depth of an expression tree. A chain of `n` operators makes a tree of depth `n`.
const MAX_TREE_DEPTH: usize = 256;

/// A parsed node: a value or a condition. Only its operators tell which one it is.
enum ValueOrCondition {
    /// A value and the depth of its tree.
    Value(Expr, usize),
    /// A condition, true or false for each row.
    Condition(Condition),
}

/// An operator between two operands.
#[derive(Clone, Copy)]
enum Operator {
    Or,
    And,
    Compare(CompareOp),
    Arithmetic(BinaryOp),
}

impl Operator {
    fn binds(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Compare(_) => 3,
            Self::Arithmetic(op) => 3 + op.binds(),
        }
    }

    /// Returns the element kind that this operator counts as. Comparisons are not counted, because every comparison
    /// but one has an `AND` or `OR` next to it.
    fn element(self) -> Option<StatementElement> {
        match self {
            Self::Or => Some(StatementElement::Or),
            Self::And => Some(StatementElement::And),
            Self::Compare(_) => None,
            Self::Arithmetic(_) => Some(StatementElement::Operator),
        }
    }
}

impl Parser<'_> {
    /// Parses a value.
    pub(super) fn expr(&mut self) -> Result<Expr> {
        let start = self.peeked.start;
        match self.node(0)? {
            ValueOrCondition::Value(value, _) => Ok(value),
            ValueOrCondition::Condition(_) => {
                Err(ParseError::new("invalid expression, a condition is not a value", start))
            }
        }
    }

    /// Parses `WHERE` and its condition if `WHERE` is the next token.
    pub(super) fn where_clause(&mut self) -> Result<Option<Condition>> {
        if self.take_word("WHERE")? {
            Ok(Some(condition(self.node(0)?)))
        } else {
            Ok(None)
        }
    }

    /// Parses operands and the operators between them that bind at least as tightly as `least`.
    fn node(&mut self, least: u8) -> Result<ValueOrCondition> {
        let mut left = self.operand()?;
        while let Some(operator) = self.operator()
            && operator.binds() >= least
        {
            let start = self.peeked.start;
            if let Some(element) = operator.element() {
                self.count(element)?;
            }
            self.advance()?;
            let right = match operator {
                Operator::Compare(CompareOp::Matches | CompareOp::NotMatches) => {
                    let regex = self.take_regex()?.ok_or_else(|| {
                        self.expected("invalid condition, expected a regular expression")
                    })?;
                    ValueOrCondition::Value(Expr::Regex(regex), 1)
                }
                _ => self.node(operator.binds() + 1)?,
            };
            left = combine(left, operator, right, start)?;
        }
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        let symbol = match self.peeked.token {
            Token::Symbol(symbol) => symbol,
            Token::Word(_) if self.is_word("AND") => return Some(Operator::And),
            Token::Word(_) if self.is_word("OR") => return Some(Operator::Or),
            _ => return None,
        };
        Some(match symbol {
            "=" => Operator::Compare(CompareOp::Equal),
            "!=" | "<>" => Operator::Compare(CompareOp::NotEqual),
            "<" => Operator::Compare(CompareOp::Less),
            "<=" => Operator::Compare(CompareOp::LessOrEqual),
            ">" => Operator::Compare(CompareOp::Greater),
            ">=" => Operator::Compare(CompareOp::GreaterOrEqual),
            "=~" => Operator::Compare(CompareOp::Matches),
            "!~" => Operator::Compare(CompareOp::NotMatches),
            "+" => Operator::Arithmetic(BinaryOp::Add),
            "-" => Operator::Arithmetic(BinaryOp::Subtract),
            "|" => Operator::Arithmetic(BinaryOp::BitOr),
            "^" => Operator::Arithmetic(BinaryOp::BitXor),
            "*" => Operator::Arithmetic(BinaryOp::Multiply),
            "/" => Operator::Arithmetic(BinaryOp::Divide),
            "%" => Operator::Arithmetic(BinaryOp::Modulo),
            "&" => Operator::Arithmetic(BinaryOp::BitAnd),
            _ => return None,
        })
    }

    fn operand(&mut self) -> Result<ValueOrCondition> {
        let start = self.peeked.start;
        if let Some(regex) = self.take_regex()? {
            return Ok(ValueOrCondition::Value(Expr::Regex(regex), 1));
        }
        let value = match &self.peeked.token {
            Token::Symbol("(") => return self.nested(Self::in_parentheses),
            Token::Symbol("-") => return self.nested(Self::negative),
            Token::Symbol("+") => {
                self.advance()?;
                return self.nested(Self::operand);
            }
            Token::Symbol("*") => self.wildcard()?,
            Token::Word(_) if self.is_word("DISTINCT") => return self.distinct(),
            Token::Word(_) if self.is_word("TRUE") || self.is_word("FALSE") => {
                let value = self.is_word("TRUE");
                self.advance()?;
                Expr::Literal(Literal::Boolean(value))
            }
            Token::Word(_) | Token::Quoted(_) => return self.column_or_call(),
            _ => match self.constant()? {
                Some(constant) => constant,
                None => {
                    return Err(ParseError::new("invalid expression, expected a value", start));
                }
            },
        };
        Ok(ValueOrCondition::Value(value, 1))
    }

    /// Parses a number, a string, a duration or a placeholder, if the next token is one.
    fn constant(&mut self) -> Result<Option<Expr>> {
        if let Token::Parameter(name) = &self.peeked.token {
            let name = name.clone();
            self.advance()?;
            return Ok(Some(Expr::Parameter(name)));
        }
        Ok(self.literal()?.map(Expr::Literal))
    }

    /// Parses a number, a string or a duration, if the next token is one.
    pub(super) fn literal(&mut self) -> Result<Option<Literal>> {
        let literal = match &self.peeked.token {
            Token::String(text) => Literal::String(text.clone()),
            Token::Integer(number) => {
                let integer = i64::try_from(*number).map(Literal::Integer);
                integer.unwrap_or(Literal::Unsigned(*number))
            }
            Token::Float(number) => Literal::Float(*number),
            // The lexer has checked that the value fits.
            Token::Duration(nanos) => Literal::Duration(i64::try_from(*nanos).unwrap_or(i64::MAX)),
            Token::Months(_) => {
                let text = "months and years have no fixed length: mo and y are units of GROUP BY time(...) only";
                return Err(self.expected(text));
            }
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(literal))
    }

    fn in_parentheses(&mut self) -> Result<ValueOrCondition> {
        self.advance()?;
        let node = self.node(0)?;
        self.expect_symbol(")", "invalid expression, expected ')'")?;
        Ok(node)
    }

    fn negative(&mut self) -> Result<ValueOrCondition> {
        self.advance()?;
        let start = self.peeked.start;
        let ValueOrCondition::Value(value, depth) = self.operand()? else {
            return Err(ParseError::new(
                "invalid expression, a condition cannot be negated with '-'",
                start,
            ));
        };
        let overflow = || ParseError::new("constant overflows", start);
        let literal = match value {
            Expr::Literal(Literal::Integer(i64::MIN)) => Literal::Unsigned(1 << 63),
            Expr::Literal(Literal::Integer(number)) => Literal::Integer(-number),
            Expr::Literal(Literal::Unsigned(number)) => {
                let number = 0_i64.checked_sub_unsigned(number);
                Literal::Integer(number.ok_or_else(overflow)?)
            }
            Expr::Literal(Literal::Float(number)) => Literal::Float(-number),
            Expr::Literal(Literal::Duration(nanos)) => Literal::Duration(-nanos),
            other => {
                let minus_one = ValueOrCondition::Value(Expr::Literal(Literal::Integer(-1)), 1);
                let times = Operator::Arithmetic(BinaryOp::Multiply);
                return combine(minus_one, times, ValueOrCondition::Value(other, depth), start);
            }
        };
        Ok(ValueOrCondition::Value(Expr::Literal(literal), 1))
    }

    fn wildcard(&mut self) -> Result<Expr> {
        self.advance()?;
        if !self.take_symbol("::")? {
            return Ok(Expr::Wildcard(None));
        }
        match self.cast()? {
            Cast::Kind(kind) => Ok(Expr::Wildcard(Some(kind))),
            _ => Err(self.expected("invalid wildcard, expected tag or field after '::'")),
        }
    }

    fn cast(&mut self) -> Result<Cast> {
        let cast = match self.word().as_deref() {
            Some("FLOAT") => Cast::Float,
            Some("INTEGER") => Cast::Integer,
            Some("UNSIGNED") => Cast::Unsigned,
            Some("STRING") => Cast::String,
            Some("BOOLEAN") => Cast::Boolean,
            Some("TAG") => Cast::Kind(ColumnKind::Tag),
            Some("FIELD") => Cast::Kind(ColumnKind::Field),
            _ => {
                let text = "invalid data type, expected float, integer, unsigned, string, boolean, field or tag";
                return Err(self.expected(text));
            }
        };
        self.advance()?;
        Ok(cast)
    }

    /// Parses `DISTINCT(x)` or `DISTINCT x`.
    fn distinct(&mut self) -> Result<ValueOrCondition> {
        self.advance()?;
        if self.is_symbol("(") {
            return self.nested(|parser| parser.arguments("distinct"));
        }
        let name = self.segments("invalid DISTINCT expression, expected a field")?;
        let call = Expr::call("distinct", vec![Expr::column(name)]);
        Ok(ValueOrCondition::Value(call, 2))
    }

    fn column_or_call(&mut self) -> Result<ValueOrCondition> {
        let word = match self.peeked.token {
            Token::Word(word) => Some(word),
            _ => None,
        };
        let name = self.segments("invalid expression, expected a value")?;
        match word {
            Some(word) if self.is_symbol("(") && name == word => {
                return self.nested(|parser| parser.arguments(word));
            }
            _ => {}
        }
        let cast = if self.take_symbol("::")? {
            Some(self.cast()?)
        } else {
            None
        };
        Ok(ValueOrCondition::Value(Expr::Column(Column { name, cast }), 1))
    }

    /// Parses a name of one or more parts separated by dots.
    fn segments(&mut self, message: &str) -> Result<String> {
        let mut name = self.name(message)?;
        while self.take_symbol(".")? {
            name.push('.');
            name.push_str(&self.name("invalid name, expected an identifier after '.'")?);
        }
        Ok(name)
    }

    fn arguments(&mut self, name: &str) -> Result<ValueOrCondition> {
        self.advance()?;
        let mut args = Vec::new();
        let mut deepest = 0;
        while !self.is_symbol(")") {
            let start = self.peeked.start;
            match self.node(0)? {
                ValueOrCondition::Value(value, depth) => {
                    args.push(value);
                    deepest = deepest.max(depth);
                }
                ValueOrCondition::Condition(_) => {
                    return Err(ParseError::new(
                        "invalid function call, a condition cannot be an argument",
                        start,
                    ));
                }
            }
            if !self.take_symbol(",")? {
                break;
            }
        }
        self.expect_symbol(")", "invalid function call, expected ')'")?;
        Ok(ValueOrCondition::Value(
            Expr::call(name.to_ascii_lowercase(), args),
            1 + deepest,
        ))
    }
}

fn condition(node: ValueOrCondition) -> Condition {
    match node {
        ValueOrCondition::Value(value, _) => Condition::Value(value),
        ValueOrCondition::Condition(condition) => condition,
    }
}

fn combine(
    left: ValueOrCondition,
    operator: Operator,
    right: ValueOrCondition,
    start: usize,
) -> Result<ValueOrCondition> {
    match (operator, left, right) {
        (Operator::And, left, right) => {
            Ok(ValueOrCondition::Condition(condition(left).and(condition(right))))
        }
        (Operator::Or, left, right) => {
            Ok(ValueOrCondition::Condition(condition(left).or(condition(right))))
        }
        (
            Operator::Compare(op),
            ValueOrCondition::Value(left, _),
            ValueOrCondition::Value(right, _),
        ) => {
            let matches = matches!(op, CompareOp::Matches | CompareOp::NotMatches);
            let is_regex = |value: &Expr| matches!(value, Expr::Regex(_));
            if is_regex(&left) || (is_regex(&right) && !matches) {
                let text = "invalid condition, a regular expression goes after =~ or !~";
                return Err(ParseError::new(text, start));
            }
            Ok(ValueOrCondition::Condition(Condition::Compare { left, op, right }))
        }
        (
            Operator::Arithmetic(op),
            ValueOrCondition::Value(left, left_depth),
            ValueOrCondition::Value(right, right_depth),
        ) => {
            let depth = 1 + left_depth.max(right_depth);
            if depth > MAX_TREE_DEPTH {
                let text = format!("more than {MAX_TREE_DEPTH} operators in a row");
                return Err(ParseError::new(text, start));
            }
            Ok(ValueOrCondition::Value(Expr::binary(left, op, right), depth))
        }
        (Operator::Compare(_), ..) => {
            Err(ParseError::new("invalid condition, a condition can't be compared", start))
        }
        (Operator::Arithmetic(_), ..) => {
            Err(ParseError::new("invalid expression, no arithmetic with conditions", start))
        }
    }
}
