//! Recognizes the statements that change rows, tables and databases.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::{
    create_table::table_name,
    data_definition::DataDefinition,
    sql_error::SqlError,
    statement::{StatementText, TokenCursor},
};

/// A statement that changes rows, tables or databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `INSERT INTO table (columns) source`
    Insert {
        /// The table and its columns.
        target: WriteTarget,
        /// The text of the rows, `VALUES` or a query, after a blank for each character before it in the statement.
        source: String,
    },
    /// `DELETE`, which the query function executes.
    Delete,
    /// `CREATE` or `DROP` of a table or a database.
    Define(DataDefinition),
    /// Another statement that the query function executes, by its first words. It has no placeholders.
    Engine(&'static str),
}

/// The table and columns that a client writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteTarget {
    /// The name of the table.
    pub table: String,
    /// Empty: all columns in their order.
    pub columns: Vec<String>,
}

impl WriteTarget {
    /// Takes the name of a table, and a list of columns in parentheses, if there is one.
    ///
    /// # Errors
    /// The name or the list is malformed.
    pub fn parse(cursor: &mut TokenCursor<'_>) -> Result<Self, SqlError> {
        Ok(Self { table: table_name(cursor)?, columns: name_list(cursor)? })
    }
}

impl Change {
    /// Recognizes a change by its first words; `None`: another statement.
    ///
    /// # Errors
    /// The statement is malformed, or not supported.
    pub fn parse(statement: &StatementText) -> Result<Option<Self>, SqlError> {
        let mut after = statement.cursor();
        let first = after.word().unwrap_or_default();
        after.take_token();
        let change = match first.as_str() {
            "INSERT" if after.eat("INTO") => insert(after)?,
            "DELETE" => Self::Delete,
            "CREATE" if after.eat("DATABASE") => {
                Self::Define(DataDefinition::create_database(after)?)
            }
            "CREATE" if after.eat("TABLE") => Self::Define(DataDefinition::create_table(after)?),
            "DROP" if after.eat("DATABASE") => Self::Define(DataDefinition::drop_database(after)?),
            "DROP" if after.eat("TABLE") => Self::Define(DataDefinition::drop_table(after)?),
            "ALTER" if after.eat("DATABASE") => Self::Engine("ALTER DATABASE"),
            "ALTER" if after.eat("TABLE") => Self::Engine("ALTER TABLE"),
            "CREATE" if after.eat_all(&["MATERIALIZED", "VIEW"]) => {
                Self::Engine("CREATE MATERIALIZED VIEW")
            }
            "DROP" if after.eat_all(&["MATERIALIZED", "VIEW"]) => {
                Self::Engine("DROP MATERIALIZED VIEW")
            }
            "UPDATE" => {
                return Err(SqlError::unsupported("UPDATE is not supported").with_hint(
                    "INSERT a row with the same tags and time: its fields replace those of the row.",
                ));
            }
            _ => return Ok(None),
        };
        Ok(Some(change))
    }

    /// Recognizes a change in the text of a client; `None`: a query, several statements, or a text without an end of a string,
    /// which the query function refuses.
    ///
    /// # Errors
    /// The statement is malformed, or not supported.
    pub fn from_text(sql: &str) -> Result<Option<Self>, SqlError> {
        let mut statements = StatementText::split(sql).unwrap_or_default();
        match statements.pop() {
            Some(only) if statements.is_empty() => Self::parse(&only.with_text_before(sql)),
            _ => Ok(None),
        }
    }

    /// Returns the first words of the statement.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Insert { .. } => "INSERT",
            Self::Delete => "DELETE",
            Self::Define(definition) => definition.tag(),
            Self::Engine(name) => name,
        }
    }
}

fn insert(mut cursor: TokenCursor<'_>) -> Result<Change, SqlError> {
    let target = WriteTarget::parse(&mut cursor)?;
    if !cursor.begins_query() {
        return Err(cursor.malformed("malformed INSERT statement"));
    }
    Ok(Change::Insert { target, source: cursor.blanks_before() + cursor.rest() })
}

/// Takes a list of names in parentheses, if there is one.
fn name_list(cursor: &mut TokenCursor<'_>) -> Result<Vec<String>, SqlError> {
    let mut names = Vec::new();
    let mut ahead = *cursor;
    if !ahead.eat_token(&Token::LParen) {
        return Ok(names);
    }
    // `INSERT INTO t (SELECT ...)` has no list.
    if matches!(ahead.word().as_deref(), Some("SELECT" | "WITH" | "VALUES")) {
        return Ok(names);
    }
    loop {
        names.push(ahead.name().ok_or_else(|| ahead.malformed("the name of a column is missing"))?);
        if ahead.eat_token(&Token::RParen) {
            *cursor = ahead;
            return Ok(names);
        }
        if !ahead.eat_token(&Token::Comma) {
            return Err(ahead.malformed("malformed list of columns"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserts_have_a_table_columns_and_a_source() {
        let text = "INSERT INTO iox.t (time, \"V\") VALUES ($1, $2)";
        let Some(Change::Insert { target, source }) = Change::from_text(text).unwrap() else {
            panic!("values");
        };
        assert_eq!(target.columns, ["time", "V"]);
        assert_eq!(source.trim_start(), "VALUES ($1, $2)");
        assert_eq!(source.find("VALUES"), text.find("VALUES"));
        let text = "INSERT INTO t (SELECT 1);";
        let Some(Change::Insert { target, source }) = Change::from_text(text).unwrap() else {
            panic!("a query");
        };
        assert!(target.columns.is_empty());
        assert_eq!(source.trim_start(), "(SELECT 1)");
    }

    #[test]
    fn changes_have_names_and_other_statements_are_none() {
        for (text, name) in [
            ("-- a comment\ninsert into t values (1)", Some("INSERT")),
            ("DELETE FROM t", Some("DELETE")),
            ("CREATE TABLE t (v DOUBLE)", Some("CREATE TABLE")),
            ("drop table if exists t", Some("DROP TABLE")),
            ("CREATE DATABASE d", Some("CREATE DATABASE")),
            ("DROP DATABASE d", Some("DROP DATABASE")),
            ("ALTER TABLE t RENAME TO u", Some("ALTER TABLE")),
            ("CREATE MATERIALIZED VIEW v AS SELECT 1", Some("CREATE MATERIALIZED VIEW")),
            ("DROP MATERIALIZED VIEW v", Some("DROP MATERIALIZED VIEW")),
            ("SELECT 1", None),
            ("EXPLAIN INSERT INTO t VALUES (1)", None),
            ("DELETE FROM t; DELETE FROM u", None),
            ("SELECT 'open", None),
            ("", None),
        ] {
            let change = Change::from_text(text).unwrap();
            assert_eq!(change.as_ref().map(Change::name), name, "{text}");
        }
    }

    #[test]
    fn malformed_changes_and_updates_are_refused() {
        for (text, place) in [
            ("INSERT INTO (a) VALUES (1)", "Line: 1, Column: 13"),
            ("\nINSERT INTO t\n(a, ) VALUES (1)", "Line: 3, Column: 5"),
            ("INSERT INTO t (a VALUES (1)", "Line: 1, Column: 18"),
            ("CREATE TABLE t (a DOUBLE b)", "Line: 1, Column: 26"),
        ] {
            let error = Change::from_text(text).unwrap_err();
            assert!(error.message.ends_with(place), "{text}: {error}");
        }
        for text in [
            "INSERT INTO t",
            "INSERT INTO t (a, ) VALUES (1)",
            "INSERT INTO t DELETE FROM u",
            "INSERT INTO t (v) ALTER TABLE t RENAME TO u",
            "CREATE TABLE t",
            "UPDATE t SET v = 1",
        ] {
            assert!(Change::from_text(text).is_err(), "{text}");
        }
    }
}
