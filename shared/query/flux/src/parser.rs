//! The parser: tokens to a syntax tree.

use crate::{
    FluxError, Span,
    ast::{BinaryOperator, Expr, ExprKind, MAX_DEPTH, Statement},
    lexer::{Lexer, SpannedToken, Token},
};

/// The maximum number of `and` in a query. The time to plan a conjunction grows with the cube of its length.
const MAX_ANDS: usize = 500;

/// The maximum number of `or` in a query.
const MAX_ORS: usize = 5_000;

/// Words that are no names.
const KEYWORDS: [&str; 14] = [
    "and", "builtin", "else", "exists", "if", "import", "not", "option", "or", "package", "return",
    "testcase", "then", "with",
];

/// Parses a query into its statements.
/// Fails if the text is no Flux, uses syntax outside of the subset, or exceeds a limit.
pub(crate) fn parse(text: &str) -> Result<Vec<Statement>, FluxError> {
    let mut lexer = Lexer::new(text);
    let current = lexer.token()?;
    let mut parser = Parser {
        lexer,
        last: current.span,
        current,
        depth: 0,
        ands: 0,
        ors: 0,
    };
    let mut statements = Vec::new();
    while parser.current.token != Token::End {
        statements.extend(parser.statement()?);
    }
    Ok(statements)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    current: SpannedToken<'a>,
    /// The position of the token before the current one.
    last: Span,
    /// The number of expressions that are being parsed.
    depth: u32,
    ands: usize,
    ors: usize,
}

impl<'a> Parser<'a> {
    fn statement(&mut self) -> Result<Option<Statement>, FluxError> {
        let span = self.current.span;
        if self.consume_word("package")? {
            self.name()?;
            return Ok(None);
        }
        if self.consume_word("import")? {
            let alias = match &self.current.token {
                Token::Word(_) => Some(self.name()?),
                _ => None,
            };
            let path = self.text()?;
            let span = span.to(self.last);
            return Ok(Some(Statement::Import { alias, path, span }));
        }
        for word in ["builtin", "return", "testcase"] {
            if self.is_word(word) {
                let text = format!("statements with \"{word}\" are not supported");
                return Err(FluxError::new(span, text));
            }
        }
        let is_option = self.consume_word("option")?;
        let target = self.expression()?;
        if !self.consume("=")? {
            return if is_option {
                Err(self.unexpected("\"=\""))
            } else {
                Ok(Some(Statement::Expression(target)))
            };
        }
        let value = self.expression()?;
        Ok(Some(match target.kind {
            ExprKind::Identifier(name) if is_option => Statement::Option { name, value },
            ExprKind::Member { object, name } if is_option => match object.kind {
                ExprKind::Identifier(package) => {
                    Statement::Option { name: format!("{package}.{name}"), value }
                }
                _ => return Err(FluxError::new(target.span, "expected a name before =")),
            },
            ExprKind::Identifier(name) => Statement::Assignment { name, value },
            _ => return Err(FluxError::new(target.span, "expected a name before =")),
        }))
    }

    /// Parses an expression of any kind.
    fn expression(&mut self) -> Result<Expr, FluxError> {
        self.nested(|parser| {
            let start = parser.current.span;
            if !parser.consume_word("if")? {
                return parser.disjunction();
            }
            let test = Box::new(parser.expression()?);
            parser.expect_word("then")?;
            let then = Box::new(parser.expression()?);
            parser.expect_word("else")?;
            let otherwise = Box::new(parser.expression()?);
            parser.node(start, ExprKind::Conditional { test, then, otherwise })
        })
    }

    fn disjunction(&mut self) -> Result<Expr, FluxError> {
        let start = self.current.span;
        let mut operands = vec![self.conjunction()?];
        while self.consume_word("or")? {
            self.ors += 1;
            self.check_count(self.ors, MAX_ORS, "or")?;
            operands.push(self.conjunction()?);
        }
        self.joined(start, operands, ExprKind::Or)
    }

    fn conjunction(&mut self) -> Result<Expr, FluxError> {
        let start = self.current.span;
        let mut operands = vec![self.negation()?];
        while self.consume_word("and")? {
            self.ands += 1;
            self.check_count(self.ands, MAX_ANDS, "and")?;
            operands.push(self.negation()?);
        }
        self.joined(start, operands, ExprKind::And)
    }

    fn joined(
        &self,
        start: Span,
        mut operands: Vec<Expr>,
        kind: fn(Vec<Expr>) -> ExprKind,
    ) -> Result<Expr, FluxError> {
        match operands.pop() {
            Some(only) if operands.is_empty() => Ok(only),
            last => {
                operands.extend(last);
                self.node(start, kind(operands))
            }
        }
    }

    fn negation(&mut self) -> Result<Expr, FluxError> {
        let start = self.current.span;
        if self.consume_word("not")? {
            let operand = self.nested(Self::negation)?;
            return self.node(start, ExprKind::Not(Box::new(operand)));
        }
        if self.consume_word("exists")? {
            let operand = self.nested(Self::negation)?;
            return self.node(start, ExprKind::Exists(Box::new(operand)));
        }
        self.binary(1)
    }

    /// Parses operators of at least this precedence.
    fn binary(&mut self, precedence: u8) -> Result<Expr, FluxError> {
        if precedence > BinaryOperator::MAX_PRECEDENCE {
            return self.unary();
        }
        let start = self.current.span;
        let mut left = self.binary(precedence + 1)?;
        while let Some(operator) = self.operator(precedence) {
            self.advance()?;
            let right = Box::new(self.binary(precedence + 1)?);
            let kind = ExprKind::Binary { operator, left: Box::new(left), right };
            left = self.node(start, kind)?;
        }
        Ok(left)
    }

    fn operator(&self, precedence: u8) -> Option<BinaryOperator> {
        let Token::Symbol(symbol) = self.current.token else {
            return None;
        };
        let mut all = BinaryOperator::ALL.into_iter();
        let operator = all.find(|(other, _, of)| *other == symbol && *of == precedence)?;
        Some(operator.1)
    }

    fn unary(&mut self) -> Result<Expr, FluxError> {
        let start = self.current.span;
        if self.consume("-")? {
            let operand = self.nested(Self::unary)?;
            return self.node(start, ExprKind::Negate(Box::new(operand)));
        }
        let source = self.postfix()?;
        let mut calls = Vec::new();
        while self.consume("|>")? {
            let call = self.postfix()?;
            if !matches!(call.kind, ExprKind::Call { .. }) {
                return Err(FluxError::new(call.span, "expected a call after |>"));
            }
            calls.push(call);
        }
        if calls.is_empty() {
            return Ok(source);
        }
        let source = Box::new(source);
        self.node(start, ExprKind::Pipe { source, calls })
    }

    fn postfix(&mut self) -> Result<Expr, FluxError> {
        let start = self.current.span;
        let mut expr = self.primary()?;
        loop {
            let kind = if self.consume(".")? {
                ExprKind::Member { object: Box::new(expr), name: self.name()? }
            } else if self.consume("[")? {
                let index = self.expression()?;
                self.expect("]")?;
                let ExprKind::Text(name) = index.kind else {
                    let text = "only the columns of a record can be selected by an index";
                    return Err(FluxError::new(index.span, text));
                };
                let object = Box::new(expr);
                ExprKind::Member { object, name }
            } else if self.consume("(")? {
                let arguments = self.properties(")")?;
                let callee = Box::new(expr);
                ExprKind::Call { callee, arguments }
            } else {
                return Ok(expr);
            };
            expr = self.node(start, kind)?;
        }
    }

    fn primary(&mut self) -> Result<Expr, FluxError> {
        let start = self.current.span;
        let kind = match &self.current.token {
            Token::Integer(number) => ExprKind::Integer(*number),
            Token::Float(number) => ExprKind::Float(*number),
            Token::Duration(duration) => ExprKind::Duration(*duration),
            Token::Time(nanos) => ExprKind::Time(*nanos),
            Token::Text(text) => ExprKind::Text(text.clone()),
            Token::Word("true") => ExprKind::Boolean(true),
            Token::Word("false") => ExprKind::Boolean(false),
            Token::Word(_) => {
                let name = self.name()?;
                return self.node(start, ExprKind::Identifier(name));
            }
            Token::Symbol("/") => {
                let (pattern, span) = self.lexer.regex(start)?;
                self.current.span = span;
                ExprKind::Regex(pattern)
            }
            Token::Symbol("(") => return self.parenthesized(),
            Token::Symbol("[") => return self.array(),
            Token::Symbol("{") => return self.record(),
            Token::Symbol(_) | Token::End => return Err(self.unexpected("an expression")),
        };
        self.advance()?;
        self.node(start, kind)
    }

    /// Parses an expression in parentheses, or a function.
    fn parenthesized(&mut self) -> Result<Expr, FluxError> {
        let start = self.current.span;
        let offset = self.lexer.offset();
        let is_function = self.is_function()?;
        self.lexer.rewind(offset);
        self.advance()?;
        if !is_function {
            let inner = self.expression()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let mut parameters = Vec::new();
        while !self.consume(")")? {
            let span = self.current.span;
            parameters.push(self.name()?);
            if self.is("=") {
                let text = "functions whose parameters have defaults, such as functions of tables, are \
                            not supported";
                return Err(FluxError::new(span, text));
            }
            if !self.is(")") {
                self.expect(",")?;
            }
        }
        self.expect("=>")?;
        if self.is("{") {
            let text = "functions with statements are not supported; write (r) => expression";
            return Err(FluxError::new(self.current.span, text));
        }
        let body = Box::new(self.expression()?);
        self.node(start, ExprKind::Function { parameters, body })
    }

    /// Returns whether the parenthesis that is the current token begins the parameters of a function.
    fn is_function(&mut self) -> Result<bool, FluxError> {
        loop {
            match self.lexer.token()?.token {
                Token::Symbol(")") => {
                    return Ok(self.lexer.token()?.token == Token::Symbol("=>"));
                }
                Token::Word(_) => match self.lexer.token()?.token {
                    Token::Symbol(",") => {}
                    Token::Symbol("=") => return Ok(true),
                    Token::Symbol(")") => {
                        return Ok(self.lexer.token()?.token == Token::Symbol("=>"));
                    }
                    _ => return Ok(false),
                },
                _ => return Ok(false),
            }
        }
    }

    fn array(&mut self) -> Result<Expr, FluxError> {
        let start = self.current.span;
        self.advance()?;
        let mut elements = Vec::new();
        while !self.consume("]")? {
            if self.is(":") {
                let text = "dictionaries are not supported";
                return Err(FluxError::new(self.current.span, text));
            }
            elements.push(self.expression()?);
            if !self.is("]") && !self.is(":") {
                self.expect(",")?;
            }
        }
        self.node(start, ExprKind::Array(elements))
    }

    fn record(&mut self) -> Result<Expr, FluxError> {
        let start = self.current.span;
        let offset = self.lexer.offset();
        let is_extended = matches!(self.lexer.token()?.token, Token::Word(_))
            && self.lexer.token()?.token == Token::Word("with");
        self.lexer.rewind(offset);
        self.advance()?;
        let with = if is_extended {
            let name = self.name()?;
            self.expect_word("with")?;
            Some(name)
        } else {
            None
        };
        let properties = self.properties("}")?;
        self.node(start, ExprKind::Record { with, properties })
    }

    /// Parses named expressions until a closing symbol. A name alone stands for the variable with this name.
    fn properties(&mut self, end: &'static str) -> Result<Vec<(String, Expr)>, FluxError> {
        let mut properties = Vec::new();
        while !self.consume(end)? {
            let span = self.current.span;
            let is_text = matches!(self.current.token, Token::Text(_));
            let name = if is_text { self.text()? } else { self.name()? };
            let value = if self.consume(":")? {
                self.expression()?
            } else {
                Expr::new(span, ExprKind::Identifier(name.clone()))?
            };
            properties.push((name, value));
            if !self.is(end) {
                self.expect(",")?;
            }
        }
        Ok(properties)
    }
}

impl<'a> Parser<'a> {
    /// Parses one level deeper.
    fn nested(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<Expr, FluxError>,
    ) -> Result<Expr, FluxError> {
        if self.depth >= MAX_DEPTH {
            let text = format!("the expression is nested more than {MAX_DEPTH} levels deep");
            return Err(FluxError::new(self.current.span, text));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Creates an expression from a start to the last token.
    fn node(&self, start: Span, kind: ExprKind) -> Result<Expr, FluxError> {
        Expr::new(start.to(self.last), kind)
    }

    fn check_count(&self, count: usize, most: usize, name: &str) -> Result<(), FluxError> {
        if count <= most {
            return Ok(());
        }
        let text = format!("the query has more than {most} \"{name}\" operators");
        Err(FluxError::new(self.last, text))
    }

    fn advance(&mut self) -> Result<(), FluxError> {
        self.last = self.current.span;
        self.current = self.lexer.token()?;
        Ok(())
    }

    fn is(&self, symbol: &'static str) -> bool {
        self.current.token == Token::Symbol(symbol)
    }

    fn consume(&mut self, symbol: &'static str) -> Result<bool, FluxError> {
        let is_next = self.is(symbol);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), FluxError> {
        if self.consume(symbol)? {
            Ok(())
        } else {
            Err(self.unexpected(&format!("\"{symbol}\"")))
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.current.token, Token::Word(current) if current == word)
    }

    fn consume_word(&mut self, word: &str) -> Result<bool, FluxError> {
        let is_next = self.is_word(word);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn expect_word(&mut self, word: &str) -> Result<(), FluxError> {
        if self.consume_word(word)? {
            Ok(())
        } else {
            Err(self.unexpected(&format!("\"{word}\"")))
        }
    }

    /// Parses a name that is no keyword.
    fn name(&mut self) -> Result<String, FluxError> {
        match self.current.token {
            Token::Word(word) if !KEYWORDS.contains(&word) => {
                self.advance()?;
                Ok(word.to_owned())
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// Parses a string.
    fn text(&mut self) -> Result<String, FluxError> {
        match &self.current.token {
            Token::Text(text) => {
                let value = text.clone();
                self.advance()?;
                Ok(value)
            }
            _ => Err(self.unexpected("a string")),
        }
    }

    fn unexpected(&self, expected: &str) -> FluxError {
        let found = match &self.current.token {
            Token::End => "the end of the query".to_owned(),
            Token::Word(word) => format!("\"{word}\""),
            Token::Symbol(symbol) => format!("\"{symbol}\""),
            Token::Text(_) => "a string".to_owned(),
            Token::Integer(_) | Token::Float(_) => "a number".to_owned(),
            Token::Duration(_) => "a duration".to_owned(),
            Token::Time(_) => "a time".to_owned(),
        };
        let text = format!("expected {expected}, found {found}");
        FluxError::new(self.current.span, text)
    }
}
