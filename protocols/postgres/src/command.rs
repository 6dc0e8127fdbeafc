//! Recognizes the statements that the engine does not execute: those about the session, the transaction, cursors, and
//! rows that a client writes or copies.

use datafusion::sql::sqlparser::tokenizer::Token;
use neap_query::quoted_name;
use neap_sql_changes::{Change, SqlError, StatementText, TokenCursor, WriteTarget};

use crate::{copy_options::CopyOptions, tool_catalog::is_of_tools};

/// Words after `SHOW` that the engine understands.
const ENGINE_SHOWS: [&str; 5] = ["TABLES", "COLUMNS", "FUNCTIONS", "DATABASES", "CREATE"];

/// A statement.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// A query.
    Query {
        /// Whether it needs `pg_catalog` or its functions.
        of_tools: bool,
    },
    /// A statement that changes rows, tables or databases, or a `COPY` into a file.
    Change(Change),
    Set {
        name: String,
        /// `None`: the default.
        value: Option<String>,
    },
    Reset,
    Show(String),
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// A statement without an effect, with its tag.
    Nothing(&'static str),
    Declare {
        name: String,
        query: String,
    },
    Fetch {
        name: String,
        /// Maximum number of rows; `None`: all.
        count: Option<u64>,
    },
    /// `None`: all cursors.
    CloseCursor(Option<String>),
    /// `None`: all prepared statements.
    Deallocate(Option<String>),
    Discard,
    CopyOut {
        query: String,
        options: CopyOptions,
    },
    CopyIn {
        target: WriteTarget,
        options: CopyOptions,
    },
}

impl Command {
    /// Recognizes a statement by its first words.
    ///
    /// # Errors
    /// The statement is malformed, or not supported.
    pub(crate) fn parse(statement: &StatementText) -> Result<Self, SqlError> {
        let mut after = statement.cursor();
        let first = after.word().unwrap_or_default();
        after.take_token();
        match first.as_str() {
            "SET" => set(after),
            "RESET" if after.eat("ALL") => Ok(Self::Reset),
            "RESET" => Ok(Self::Set { name: variable_name(&mut after)?, value: None }),
            "SHOW" if after.word().is_some_and(|word| is_shown_by_engine(&word)) => {
                Ok(Self::Query { of_tools: false })
            }
            "SHOW" => Ok(Self::Show(variable_name(&mut after)?)),
            "BEGIN" => Ok(Self::Begin),
            "START" if after.eat("TRANSACTION") => Ok(Self::Begin),
            "COMMIT" | "END" => Ok(Self::Commit),
            "ROLLBACK" | "ABORT" => rollback(after),
            "SAVEPOINT" => savepoint_name(&mut after).map(Self::Savepoint),
            "RELEASE" => {
                after.eat("SAVEPOINT");
                savepoint_name(&mut after).map(Self::Release)
            }
            "DECLARE" => declare(after),
            "FETCH" => fetch(after),
            "CLOSE" => all_or_name(after).map(Self::CloseCursor),
            "DEALLOCATE" => {
                after.eat("PREPARE");
                all_or_name(after).map(Self::Deallocate)
            }
            "DISCARD" => Ok(Self::Discard),
            "LISTEN" => Ok(Self::Nothing("LISTEN")),
            "UNLISTEN" => Ok(Self::Nothing("UNLISTEN")),
            "COPY" => copy(after),
            "MOVE" => Err(SqlError::unsupported("MOVE is not supported: cursors read forward")),
            "PREPARE" | "EXECUTE" => Err(SqlError::unsupported(
                "PREPARE and EXECUTE are not supported as statements: drivers prepare by the protocol",
            )),
            _ => Ok(match Change::parse(statement)? {
                Some(change) => Self::Change(change),
                // The engine refuses other statements with the way to do it.
                None => Self::Query { of_tools: is_of_tools(statement) },
            }),
        }
    }

    /// Whether the statement may be executed in a transaction that has failed.
    pub(crate) fn ends_failure(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback | Self::RollbackTo(_))
    }
}

fn is_shown_by_engine(word: &str) -> bool {
    ENGINE_SHOWS.contains(&word)
}

fn malformed(cursor: &TokenCursor<'_>, statement: &str) -> SqlError {
    cursor.malformed(&format!("malformed {statement} statement"))
}

/// Takes the name of a variable, which may have parts.
fn variable_name(cursor: &mut TokenCursor<'_>) -> Result<String, SqlError> {
    if cursor.eat_all(&["TIME", "ZONE"]) {
        return Ok("timezone".to_owned());
    }
    if cursor.eat_all(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok("transaction_isolation".to_owned());
    }
    let mut name = cursor.name().ok_or_else(|| malformed(cursor, "SET or SHOW"))?;
    while cursor.eat_token(&Token::Period) {
        let part = cursor.name().ok_or_else(|| malformed(cursor, "SET or SHOW"))?;
        name = format!("{name}.{part}");
    }
    Ok(name)
}

fn set(mut cursor: TokenCursor<'_>) -> Result<Command, SqlError> {
    let is_local = cursor.eat("LOCAL");
    if cursor.eat_all(&["SESSION", "CHARACTERISTICS"]) || cursor.eat("TRANSACTION") {
        return Ok(Command::Nothing("SET"));
    }
    cursor.eat("SESSION");
    if cursor.eat("NAMES") {
        return Ok(Command::Set { name: "client_encoding".to_owned(), value: cursor.string() });
    }
    if is_local {
        return Err(SqlError::unsupported(
            "SET LOCAL is not supported: SET lasts until the end of the connection",
        ));
    }
    let name = variable_name(&mut cursor)?;
    if name != "timezone" && !cursor.eat_token(&Token::Eq) && !cursor.eat("TO") {
        return Err(malformed(&cursor, "SET"));
    }
    if name == "timezone" && !cursor.eat_token(&Token::Eq) {
        cursor.eat("TO");
    }
    if cursor.eat("DEFAULT") {
        return Ok(Command::Set { name, value: None });
    }
    // A string, or a word, a number or a list of names.
    let value = match cursor.string() {
        Some(text) => format!("{text}{}", cursor.rest()),
        None if cursor.is_at_end() => return Err(malformed(&cursor, "SET")),
        None => cursor.rest().to_owned(),
    };
    Ok(Command::Set { name, value: Some(value) })
}

fn rollback(mut cursor: TokenCursor<'_>) -> Result<Command, SqlError> {
    if !cursor.eat("WORK") {
        cursor.eat("TRANSACTION");
    }
    if !cursor.eat("TO") {
        return Ok(Command::Rollback);
    }
    cursor.eat("SAVEPOINT");
    savepoint_name(&mut cursor).map(Command::RollbackTo)
}

fn savepoint_name(cursor: &mut TokenCursor<'_>) -> Result<String, SqlError> {
    let name = cursor.name().filter(|_| cursor.is_at_end());
    name.ok_or_else(|| malformed(cursor, "SAVEPOINT, RELEASE or ROLLBACK"))
}

fn declare(mut cursor: TokenCursor<'_>) -> Result<Command, SqlError> {
    let name = cursor.name().ok_or_else(|| malformed(&cursor, "DECLARE"))?;
    if cursor.eat("BINARY") {
        return Err(SqlError::unsupported("binary cursors are not supported"));
    }
    cursor.eat("ASENSITIVE");
    cursor.eat("INSENSITIVE");
    if cursor.eat("SCROLL") {
        return Err(SqlError::unsupported("SCROLL is not supported: cursors read forward"));
    }
    cursor.eat_all(&["NO", "SCROLL"]);
    if !cursor.eat("CURSOR") {
        return Err(malformed(&cursor, "DECLARE"));
    }
    if cursor.eat_all(&["WITH", "HOLD"]) {
        return Err(SqlError::unsupported(
            "WITH HOLD is not supported: a cursor ends with its transaction",
        ));
    }
    cursor.eat_all(&["WITHOUT", "HOLD"]);
    if !cursor.eat("FOR") || !cursor.begins_query() {
        return Err(malformed(&cursor, "DECLARE"));
    }
    Ok(Command::Declare { name, query: cursor.blanks_before() + cursor.rest() })
}

fn fetch(mut cursor: TokenCursor<'_>) -> Result<Command, SqlError> {
    for direction in ["BACKWARD", "PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE"] {
        if cursor.eat(direction) {
            return Err(SqlError::unsupported("cursors read forward"));
        }
    }
    cursor.eat("FORWARD");
    let count = if cursor.eat("ALL") {
        None
    } else if cursor.eat("NEXT") {
        Some(1)
    } else {
        Some(cursor.number().unwrap_or(1))
    };
    if !cursor.eat("FROM") {
        cursor.eat("IN");
    }
    let name = cursor.name().ok_or_else(|| malformed(&cursor, "FETCH"))?;
    if cursor.is_at_end() {
        Ok(Command::Fetch { name, count })
    } else {
        Err(malformed(&cursor, "FETCH"))
    }
}

fn all_or_name(mut cursor: TokenCursor<'_>) -> Result<Option<String>, SqlError> {
    if cursor.eat("ALL") {
        return Ok(None);
    }
    cursor.name().map(Some).ok_or_else(|| malformed(&cursor, "CLOSE or DEALLOCATE"))
}

fn copy(mut cursor: TokenCursor<'_>) -> Result<Command, SqlError> {
    let (query, target) = if cursor.eat_token(&Token::LParen) {
        let query = cursor;
        if !query.begins_query() || !cursor.skip_parentheses() {
            return Err(malformed(&cursor, "COPY"));
        }
        let closed = query.text_until(&cursor);
        let text = closed.strip_suffix(')').unwrap_or(closed);
        (query.blanks_before() + text, None)
    } else {
        let target = WriteTarget::parse(&mut cursor)?;
        let columns: Vec<String> = target.columns.iter().map(|name| quoted_name(name)).collect();
        let columns = if columns.is_empty() {
            "*".to_owned()
        } else {
            columns.join(", ")
        };
        let query = format!("SELECT {columns} FROM iox.{}", quoted_name(&target.table));
        (query, Some(target))
    };
    // PostgreSQL takes both words in both directions, and PHP sends `TO STDIN`.
    let mut eat_direction =
        |word| cursor.eat_all(&[word, "STDIN"]) || cursor.eat_all(&[word, "STDOUT"]);
    let (is_out, is_in) = (eat_direction("TO"), eat_direction("FROM"));
    if is_out {
        let options = CopyOptions::parse(&mut cursor)?;
        return Ok(Command::CopyOut { query, options });
    }
    if is_in && let Some(target) = target {
        let options = CopyOptions::parse(&mut cursor)?;
        if options.is_binary() {
            let message = "COPY ... FROM STDIN reads text and csv, not binary";
            return Err(SqlError::unsupported(message));
        }
        return Ok(Command::CopyIn { target, options });
    }
    // `COPY ... TO 'file'` writes into the exports of the database.
    Ok(Command::Change(Change::Engine("COPY")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Command, SqlError> {
        Command::parse(&StatementText::split(text).unwrap()[0])
    }

    fn shown(text: &str) -> String {
        format!("{:?}", parse(text).unwrap())
    }

    #[test]
    fn variables_have_values_of_all_forms() {
        for (text, name, value) in [
            ("SET statement_timeout = '5s'", "statement_timeout", Some("5s")),
            ("SET SESSION neap.max_staleness TO 5", "neap.max_staleness", Some("5")),
            ("set timezone to 'UTC'", "timezone", Some("UTC")),
            ("SET TIME ZONE 'Europe/Berlin'", "timezone", Some("Europe/Berlin")),
            ("SET DateStyle = ISO, MDY", "datestyle", Some("ISO, MDY")),
            ("RESET jit", "jit", None),
            ("SET jit TO DEFAULT", "jit", None),
        ] {
            let Command::Set { name: set, value: to } = parse(text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!((set.as_str(), to.as_deref()), (name, value), "{text}");
        }
        assert_eq!(shown("SHOW TRANSACTION ISOLATION LEVEL"), "Show(\"transaction_isolation\")");
        assert_eq!(shown("SHOW TABLES"), "Query { of_tools: false }");
    }

    #[test]
    fn cursors_and_transactions_are_recognized() {
        let declare = parse("DECLARE \"C1\" NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 1").unwrap();
        let Command::Declare { name, query } = declare else {
            panic!("{declare:?}");
        };
        assert_eq!((name.as_str(), query.trim_start()), ("C1", "SELECT 1"));
        for (text, count) in [
            ("FETCH c", "Some(1)"),
            ("FETCH FORWARD 100 FROM c", "Some(100)"),
            ("FETCH ALL IN c", "None"),
            ("FETCH NEXT FROM c", "Some(1)"),
        ] {
            assert_eq!(shown(text), format!("Fetch {{ name: \"c\", count: {count} }}"));
        }
        assert_eq!(shown("start transaction read only"), "Begin");
        assert_eq!(shown("END"), "Commit");
        assert!(parse("DECLARE c SCROLL CURSOR FOR SELECT 1").is_err());
    }

    #[test]
    fn savepoints_have_names() {
        for (text, command) in [
            ("SAVEPOINT \"_pg3_1\"", "Savepoint(\"_pg3_1\")"),
            ("RELEASE A", "Release(\"a\")"),
            ("RELEASE SAVEPOINT sa_1", "Release(\"sa_1\")"),
            ("ROLLBACK TO \"A\"", "RollbackTo(\"A\")"),
            ("ROLLBACK WORK TO SAVEPOINT a", "RollbackTo(\"a\")"),
            ("ABORT TRANSACTION", "Rollback"),
        ] {
            assert_eq!(shown(text), command, "{text}");
        }
        for text in ["SAVEPOINT", "RELEASE a b", "ROLLBACK TO"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pools_reset_sessions() {
        for (text, command) in [
            ("CLOSE ALL", "CloseCursor(None)"),
            ("UNLISTEN *", "Nothing(\"UNLISTEN\")"),
            ("RESET ALL", "Reset"),
            ("SELECT pg_advisory_unlock_all()", "Query { of_tools: true }"),
        ] {
            assert_eq!(shown(text), command, "{text}");
        }
    }

    #[test]
    fn rows_are_copied() {
        let Command::CopyOut { query, options } =
            parse("COPY (SELECT (1), ')' FROM t) TO STDOUT (FORMAT csv)").unwrap()
        else {
            panic!("a query");
        };
        assert_eq!(query, "      SELECT (1), ')' FROM t");
        assert!(!options.is_binary());
        let Command::CopyOut { query, .. } = parse("COPY \"T\" (time, v) TO STDOUT").unwrap()
        else {
            panic!("a table");
        };
        assert_eq!(query, "SELECT \"time\", \"v\" FROM iox.\"T\"");
        for (sql, expected) in [
            ("COPY t (v) TO STDIN WITH DELIMITER E'\\t' NULL AS E'\\\\N'", "CopyOut"),
            ("COPY t (v) FROM STDOUT", "CopyIn"),
        ] {
            assert!(shown(sql).starts_with(expected), "{sql}");
        }
        assert_eq!(shown("COPY t TO 'm.csv'"), "Change(Engine(\"COPY\"))");
        assert_eq!(shown("DELETE FROM t"), "Change(Delete)");
    }

    #[test]
    fn statements_that_change_something_are_no_sources_of_rows() {
        for text in [
            "COPY (DELETE FROM t) TO STDOUT",
            "INSERT INTO t DELETE FROM u",
            "INSERT INTO t (v) ALTER TABLE t RENAME TO u",
            "DECLARE c CURSOR FOR DROP MATERIALIZED VIEW v",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.state.0, "42601", "{text}");
        }
    }
}
