//! Splits the text of a client into statements, and reads the tokens of a statement one by one.

use datafusion::sql::sqlparser::{
    dialect::PostgreSqlDialect,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use crate::sql_error::{SqlError, SqlState};

/// Maximum bytes of the statements of a message, as over HTTP. Their tokens need many times as much memory.
const MAX_TEXT_BYTES: usize = 4 << 20;

/// Maximum number of a placeholder: a message has a value for each number up to the largest one.
const MAX_PLACEHOLDERS: usize = 65_535;

/// Words with which queries begin.
const QUERY_WORDS: [&str; 7] = ["SELECT", "WITH", "VALUES", "TABLE", "FROM", "SHOW", "EXPLAIN"];

/// A token and its place in the text, in bytes.
#[derive(Clone, Debug)]
struct PlacedToken {
    token: Token,
    start: usize,
}

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct StatementText {
    /// The text, without the semicolon.
    pub text: String,
    /// The number of characters before it in the text of the client.
    pub before: usize,
    /// The tokens, without white space and comments. Their places are those in `text`.
    tokens: Vec<PlacedToken>,
}

impl StatementText {
    /// Splits a text at its semicolons. Statements without tokens are left out.
    ///
    /// # Errors
    /// The text is too long, or has an unterminated string, name or comment.
    pub fn split(sql: &str) -> Result<Vec<Self>, SqlError> {
        if sql.len() > MAX_TEXT_BYTES {
            let message = format!("the text has {} bytes, more than {MAX_TEXT_BYTES}", sql.len());
            let hint = "COPY ... FROM STDIN writes any number of rows.";
            return Err(SqlError::new(SqlState::LIMIT_EXCEEDED, message).with_hint(hint));
        }
        let tokenized = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location();
        let tokens = tokenized.map_err(|error| SqlError::from(error).in_statement(sql, 0))?;
        let mut statements = Vec::new();
        let mut open: Vec<PlacedToken> = Vec::new();
        for placed in place(sql, tokens) {
            if placed.token == Token::SemiColon {
                statements.extend(Self::from_tokens(sql, std::mem::take(&mut open), placed.start));
            } else {
                open.push(placed);
            }
        }
        statements.extend(Self::from_tokens(sql, open, sql.len()));
        Ok(statements)
    }

    fn from_tokens(sql: &str, tokens: Vec<PlacedToken>, end: usize) -> Option<Self> {
        let start = tokens.first()?.start;
        let placed = tokens
            .into_iter()
            .map(|placed| PlacedToken { start: placed.start.saturating_sub(start), ..placed });
        Some(Self {
            text: sql.get(start..end)?.trim_end().to_owned(),
            before: sql.get(..start)?.chars().count(),
            tokens: placed.collect(),
        })
    }

    /// Returns the statement with what is before it in the text of the client, whose lines and columns its tokens then have.
    #[must_use]
    pub fn with_text_before(self, sql: &str) -> Self {
        let start = sql.char_indices().nth(self.before).map_or(0, |(start, _)| start);
        let placed = self
            .tokens
            .into_iter()
            .map(|placed| PlacedToken { start: placed.start + start, ..placed });
        Self {
            text: sql.get(..start).unwrap_or_default().to_owned() + &self.text,
            before: 0,
            tokens: placed.collect(),
        }
    }

    /// Reads the tokens from the first one.
    pub fn cursor(&self) -> TokenCursor<'_> {
        TokenCursor { text: &self.text, tokens: &self.tokens }
    }

    /// Returns whether a token meets a condition.
    pub fn any_word(&self, mut condition: impl FnMut(&str) -> bool) -> bool {
        self.tokens
            .iter()
            .any(|placed| matches!(&placed.token, Token::Word(word) if condition(&word.value)))
    }

    /// Returns the largest number of a placeholder such as `$2`; 0 without placeholders.
    ///
    /// # Errors
    /// No message could have that many values.
    pub fn placeholders(&self) -> Result<usize, SqlError> {
        let mut largest = 0_usize;
        for placed in &self.tokens {
            let Token::Placeholder(name) = &placed.token else {
                continue;
            };
            let number = name.strip_prefix('$').and_then(|digits| digits.parse().ok());
            largest = largest.max(number.unwrap_or(0));
            if largest > MAX_PLACEHOLDERS {
                let message =
                    format!("there is no parameter {name}: the last one is ${MAX_PLACEHOLDERS}");
                return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, message));
            }
        }
        Ok(largest)
    }

    /// Returns the statement without its tokens, which need many times the memory of the text.
    pub fn without_tokens(&self) -> Self {
        Self {
            text: self.text.clone(),
            before: self.before,
            tokens: Vec::new(),
        }
    }
}

/// Returns the tokens with their places, without white space and comments.
fn place(sql: &str, tokens: Vec<TokenWithSpan>) -> Vec<PlacedToken> {
    let mut placed = Vec::with_capacity(tokens.len());
    let mut characters = sql.char_indices();
    let (mut line, mut column) = (1, 1);
    let mut offset = 0;
    for token in tokens {
        let start = token.span.start;
        while (line, column) != (start.line, start.column) {
            let Some((at, character)) = characters.next() else {
                break;
            };
            offset = at + character.len_utf8();
            if character == '\n' {
                (line, column) = (line + 1, 1);
            } else {
                column += 1;
            }
        }
        if !matches!(token.token, Token::Whitespace(_) | Token::EOF) {
            placed.push(PlacedToken { token: token.token, start: offset });
        }
    }
    placed
}

/// Reads tokens one by one.
#[derive(Clone, Copy, Debug)]
pub struct TokenCursor<'a> {
    text: &'a str,
    tokens: &'a [PlacedToken],
}

impl<'a> TokenCursor<'a> {
    /// Returns whether there are no more tokens.
    pub fn is_at_end(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The place of the next token in the text, in bytes.
    fn start(&self) -> usize {
        self.tokens.first().map_or(self.text.len(), |placed| placed.start)
    }

    fn text_before(&self) -> &'a str {
        self.text.get(..self.start()).unwrap_or_default()
    }

    /// Returns the text from the next token on.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.start()..).unwrap_or_default()
    }

    /// Returns a blank for each character before the next token, and the line breaks among them. After them, a part of the statement
    /// has its lines and columns, which an error in this part names.
    pub fn blanks_before(&self) -> String {
        let blank = |character| if character == '\n' { '\n' } else { ' ' };
        self.text_before().chars().map(blank).collect()
    }

    /// Creates the error of a statement that is malformed at the next token, with its place as a parser writes it.
    pub fn malformed(&self, message: &str) -> SqlError {
        let before = self.text_before();
        let line = before.matches('\n').count() + 1;
        let in_line = before.rsplit('\n').next().unwrap_or_default();
        let column = in_line.chars().count() + 1;
        SqlError::syntax(format!("{message} at Line: {line}, Column: {column}"))
    }

    /// Returns the text from the next token up to the next token of another cursor of the statement.
    pub fn text_until(&self, end: &Self) -> &'a str {
        let length = self.rest().len().saturating_sub(end.rest().len());
        self.rest().get(..length).unwrap_or_default().trim_end()
    }

    /// Takes the next token.
    pub fn take_token(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(&first.token)
    }

    fn peek(&self) -> Option<&'a Token> {
        self.tokens.first().map(|placed| &placed.token)
    }

    /// Takes the next token if it is this unquoted word, in any case.
    pub fn eat(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(next))
            if next.quote_style.is_none() && next.value.eq_ignore_ascii_case(word));
        if is {
            self.take_token();
        }
        is
    }

    /// Takes the next token if it is this one.
    pub fn eat_token(&mut self, token: &Token) -> bool {
        let is = self.peek() == Some(token);
        if is {
            self.take_token();
        }
        is
    }

    /// Takes the next words if they are these.
    pub fn eat_all(&mut self, words: &[&str]) -> bool {
        let mut ahead = *self;
        let all = words.iter().all(|word| ahead.eat(word));
        if all {
            *self = ahead;
        }
        all
    }

    /// Returns the next unquoted word in upper case, without taking it.
    pub fn word(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                Some(word.value.to_ascii_uppercase())
            }
            _ => None,
        }
    }

    /// Whether the next tokens are those of a query, and not those of a statement that changes something.
    pub fn begins_query(&self) -> bool {
        match self.word() {
            Some(word) => QUERY_WORDS.contains(&word.as_str()),
            // `(SELECT ...)`
            None => !self.is_at_end(),
        }
    }

    /// Takes a name. Names without quotes are in lower case.
    pub fn name(&mut self) -> Option<String> {
        let Some(Token::Word(word)) = self.peek() else {
            return None;
        };
        self.take_token();
        Some(if word.quote_style.is_none() {
            word.value.to_ascii_lowercase()
        } else {
            word.value.clone()
        })
    }

    /// Takes a string.
    pub fn string(&mut self) -> Option<String> {
        let text = match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => text,
            Some(Token::DollarQuotedString(quoted)) => &quoted.value,
            _ => return None,
        };
        self.take_token();
        Some(text.clone())
    }

    /// Takes a whole number.
    pub fn number(&mut self) -> Option<u64> {
        let Some(Token::Number(digits, _)) = self.peek() else {
            return None;
        };
        let number = digits.parse().ok()?;
        self.take_token();
        Some(number)
    }

    /// Skips tokens up to the parenthesis that closes the one before the cursor, and takes it.
    pub fn skip_parentheses(&mut self) -> bool {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.take_token() {
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) => depth -= 1,
                Some(_) => {}
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<(String, usize)> {
        let statements = StatementText::split(sql).unwrap();
        statements
            .into_iter()
            .map(|statement| (statement.text, statement.before))
            .collect()
    }

    #[test]
    fn statements_are_split_outside_of_strings_names_and_comments() {
        let sql = " SELECT ';', \"a;b\" -- x;\n; ;/* ; */ SELECT $$;$$;\nSELECT 'é';SELECT 2";
        let expected = [
            ("SELECT ';', \"a;b\" -- x;", 1),
            ("SELECT $$;$$", 36),
            ("SELECT 'é'", 50),
            ("SELECT 2", 61),
        ];
        let expected: Vec<_> =
            expected.map(|(text, before)| (text.to_owned(), before)).into_iter().collect();
        assert_eq!(texts(sql), expected);
        assert_eq!(texts(" ; -- nothing"), []);
        let error = StatementText::split("SELECT 'open").unwrap_err();
        assert_eq!(error.position, Some(8), "{error}");
    }

    #[test]
    fn the_text_after_words_is_that_of_the_statement() {
        let statement = &StatementText::split("DECLARE c CURSOR FOR SELECT  'x' ;").unwrap()[0];
        let mut cursor = statement.cursor();
        assert!(cursor.eat("declare"));
        assert_eq!(cursor.name().as_deref(), Some("c"));
        assert!(cursor.eat_all(&["CURSOR", "FOR"]));
        assert_eq!(cursor.rest(), "SELECT  'x'");
        assert_eq!(
            StatementText::split("SELECT $2, $10, '$11'").unwrap()[0].placeholders(),
            Ok(10)
        );
    }

    #[test]
    fn parts_of_a_statement_have_its_lines_and_columns() {
        let sql = "\n -- é\nINSERT INTO t\n(\"ü\") VALUES (1";
        let statement = StatementText::split(sql).unwrap().pop().unwrap();
        let values = |statement: &StatementText| {
            let mut cursor = statement.cursor();
            while cursor.word().as_deref() != Some("VALUES") {
                cursor.take_token();
            }
            (
                cursor.blanks_before() + cursor.rest(),
                cursor.malformed("no").in_statement(&statement.text, statement.before),
            )
        };
        let (alone, error) = values(&statement);
        assert_eq!(alone, format!("{}\n      VALUES (1", " ".repeat(13)));
        assert_eq!(error.message, "no at Line: 2, Column: 7");
        // Characters of the text of the client, from 1.
        assert_eq!(error.position, Some(28));
        let (in_text, located) = values(&statement.with_text_before(sql));
        assert_eq!(in_text, format!("\n     \n{alone}"));
        assert_eq!(located.message, "no at Line: 4, Column: 7");
        assert_eq!(located.position, Some(28));
    }

    #[test]
    fn long_texts_and_large_numbers_of_placeholders_are_refused() {
        let long = format!("SELECT '{}'", "x".repeat(MAX_TEXT_BYTES));
        let error = StatementText::split(&long).unwrap_err();
        assert_eq!(error.state, SqlState::LIMIT_EXCEEDED);
        for number in ["65536", "18446744073709551615"] {
            let sql = format!("SELECT $1, ${number}");
            let error = StatementText::split(&sql).unwrap()[0].placeholders().unwrap_err();
            assert_eq!(error.state, SqlState::UNDEFINED_PARAMETER, "{number}");
        }
    }
}
