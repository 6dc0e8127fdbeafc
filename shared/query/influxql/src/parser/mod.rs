//! Recursive-descent parser: text to statements.

mod admin;
mod continuous_query;
mod expr;
mod keywords;
mod limits;
mod select;
mod server;
mod show;
mod users;

pub(crate) use keywords::is_keyword;
pub use server::unknown_show_error;

use limits::{ElementCounts, StatementElement};

use crate::{
    ParseError, Regex, Statement,
    lexer::{self, SpannedToken, Token},
};

/// Maximum length of a statement text in bytes.
pub const MAX_STATEMENT_BYTES: usize = 4 << 20;

/// Maximum nesting depth of parentheses, calls and subqueries.
pub const MAX_DEPTH: usize = 64;

/// Parses the statements of a text. The result is empty if the text holds only whitespace, comments and `;`.
///
/// # Errors
/// Returns the first syntax error and its position.
///
/// # Examples
///
/// ```
/// use neap_influxql::parse;
///
/// let statements = parse("select mean(x) from cpu group by time(1h); show databases")?;
/// let texts: Vec<_> = statements.iter().map(ToString::to_string).collect();
/// let select = "SELECT mean(x) FROM cpu GROUP BY TIME(1h)";
/// assert_eq!(texts, [select, "SHOW DATABASES"]);
/// assert!(parse("select from cpu").is_err());
/// # Ok::<(), neap_influxql::ParseError>(())
/// ```
pub fn parse(text: &str) -> Result<Vec<Statement>, ParseError> {
    if text.len() > MAX_STATEMENT_BYTES {
        let text = format!("the text is longer than {MAX_STATEMENT_BYTES} bytes");
        return Err(ParseError::new(text, MAX_STATEMENT_BYTES));
    }
    let mut parser = Parser::new(text)?;
    let mut statements = Vec::new();
    loop {
        while parser.take_symbol(";")? {}
        if parser.peeked.token == Token::End {
            return Ok(statements);
        }
        statements.push(parser.statement()?);
        if parser.peeked.token != Token::End && !parser.is_symbol(";") {
            return Err(parser.expected("invalid InfluxQL statement, expected ';' or the end"));
        }
    }
}

/// The error for `INSERT`, a command of the InfluxDB 1 shell that is not an InfluxQL statement.
const INSERT: &str = "invalid InfluxQL statement: rows are written as line protocol, with POST /write?db=DATABASE or \
                      `neap write --database DATABASE 'LINES'`";

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// The parser state: the text, the current position and the next token.
struct Parser<'a> {
    text: &'a str,
    peeked: SpannedToken<'a>,
    depth: usize,
    /// The element counts of the current statement.
    counts: ElementCounts,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self> {
        Ok(Self {
            text,
            peeked: lexer::next(text, 0)?,
            depth: 0,
            counts: ElementCounts::default(),
        })
    }

    fn statement(&mut self) -> Result<Statement> {
        let start = self.peeked.start;
        self.counts = ElementCounts::default();
        Ok(match self.word().as_deref() {
            Some("SELECT") => self.select_statement()?,
            Some("EXPLAIN") => Statement::Explain(Box::new(self.explain()?)),
            Some("SHOW") => self.show()?,
            Some("CREATE") => self.create()?,
            Some("ALTER") => self.alter()?,
            Some("DROP") => self.drop_statement()?,
            Some("DELETE") => self.delete()?,
            Some("KILL") => self.kill()?,
            Some("GRANT") => self.grant()?,
            Some("REVOKE") => self.revoke()?,
            Some("SET") => self.set_password()?,
            Some("INSERT") => return Err(ParseError::new(INSERT, start)),
            _ => return Err(ParseError::new("invalid InfluxQL statement", start)),
        })
    }

    /// Counts the element that starts at the next token.
    fn count(&mut self, element: StatementElement) -> Result<()> {
        let counted = self.counts.add(element);
        counted.map_err(|message| self.expected(message))
    }

    /// Returns the next token in upper case if it is an unquoted word.
    fn word(&self) -> Option<String> {
        match self.peeked.token {
            Token::Word(word) => Some(word.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// Consumes the next token.
    fn advance(&mut self) -> Result<Token<'a>> {
        let next = lexer::next(self.text, self.peeked.end)?;
        Ok(std::mem::replace(&mut self.peeked, next).token)
    }

    /// Returns an error at the next token.
    fn expected(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(message, self.peeked.start)
    }

    fn is_word(&self, keyword: &str) -> bool {
        matches!(self.peeked.token, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peeked.token, Token::Symbol(ahead) if ahead == symbol)
    }

    /// Consumes the keyword if it is the next token.
    fn take_word(&mut self, keyword: &str) -> Result<bool> {
        let is_ahead = self.is_word(keyword);
        if is_ahead {
            self.advance()?;
        }
        Ok(is_ahead)
    }

    /// Consumes the symbol if it is the next token.
    fn take_symbol(&mut self, symbol: &str) -> Result<bool> {
        let is_ahead = self.is_symbol(symbol);
        if is_ahead {
            self.advance()?;
        }
        Ok(is_ahead)
    }

    fn expect_word(&mut self, keyword: &str, message: &str) -> Result<()> {
        if self.take_word(keyword)? {
            Ok(())
        } else {
            Err(self.expected(message))
        }
    }

    fn expect_symbol(&mut self, symbol: &str, message: &str) -> Result<()> {
        if self.take_symbol(symbol)? {
            Ok(())
        } else {
            Err(self.expected(message))
        }
    }

    /// Consumes a name if it is the next token: a quoted name, or a word that is not a keyword.
    fn take_name(&mut self) -> Result<Option<String>> {
        let is_name = match self.peeked.token {
            Token::Quoted(_) => true,
            Token::Word(word) => !is_keyword(word),
            _ => false,
        };
        if !is_name {
            return Ok(None);
        }
        Ok(match self.advance()? {
            Token::Quoted(name) => Some(name),
            Token::Word(name) => Some(name.to_owned()),
            _ => None,
        })
    }

    fn name(&mut self, message: &str) -> Result<String> {
        let name = self.take_name()?;
        name.ok_or_else(|| self.expected(message))
    }

    /// Consumes a regular expression if one starts at the next token. Call it only where a division cannot appear.
    fn take_regex(&mut self) -> Result<Option<Regex>> {
        if !self.is_symbol("/") {
            return Ok(None);
        }
        let Some((pattern, end)) = lexer::regex(self.text, self.peeked.start)? else {
            return Ok(None);
        };
        self.peeked = lexer::next(self.text, end)?;
        Ok(Some(Regex(pattern)))
    }

    /// Consumes a keyword and the number after it, if the keyword is the next token.
    fn clause_number(&mut self, keyword: &str) -> Result<Option<u64>> {
        if !self.take_word(keyword)? {
            return Ok(None);
        }
        match self.peeked.token {
            Token::Integer(number) => {
                self.advance()?;
                Ok(Some(number))
            }
            _ => {
                let text = format!("invalid {keyword} clause, expected unsigned integer");
                Err(self.expected(text))
            }
        }
    }

    /// Parses one or more elements separated by commas.
    fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut elements = vec![element(self)?];
        while self.take_symbol(",")? {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Runs a parser one nesting level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            let text = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(self.expected(text));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }
}
