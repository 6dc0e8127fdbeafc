//! `CREATE` and `DROP` of databases and tables.

use crate::{
    create_table::{NewTable, table_name},
    sql_error::SqlError,
    statement::TokenCursor,
};

/// A statement that creates or drops a database or a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDefinition {
    /// `CREATE DATABASE name`
    CreateDatabase(String),
    /// `CREATE TABLE name (columns)`
    CreateTable(NewTable),
    /// `DROP DATABASE name`
    DropDatabase(DropTarget),
    /// `DROP TABLE name`
    DropTable(DropTarget),
}

/// The database or table that a statement drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropTarget {
    /// The name.
    pub name: String,
    /// Whether a missing one is no error.
    pub if_exists: bool,
}

impl DataDefinition {
    /// Reads the statement after `CREATE DATABASE`.
    pub(crate) fn create_database(mut cursor: TokenCursor<'_>) -> Result<Self, SqlError> {
        let name = database_name(&mut cursor)?;
        check_end(&cursor, "CREATE DATABASE")?;
        Ok(Self::CreateDatabase(name))
    }

    /// Reads the statement after `CREATE TABLE`.
    pub(crate) fn create_table(cursor: TokenCursor<'_>) -> Result<Self, SqlError> {
        NewTable::parse(cursor).map(Self::CreateTable)
    }

    /// Reads the statement after `DROP DATABASE`.
    pub(crate) fn drop_database(mut cursor: TokenCursor<'_>) -> Result<Self, SqlError> {
        let if_exists = cursor.eat_all(&["IF", "EXISTS"]);
        let name = database_name(&mut cursor)?;
        check_end(&cursor, "DROP DATABASE")?;
        Ok(Self::DropDatabase(DropTarget { name, if_exists }))
    }

    /// Reads the statement after `DROP TABLE`.
    pub(crate) fn drop_table(mut cursor: TokenCursor<'_>) -> Result<Self, SqlError> {
        let if_exists = cursor.eat_all(&["IF", "EXISTS"]);
        let name = table_name(&mut cursor)?;
        cursor.eat("RESTRICT");
        check_end(&cursor, "DROP TABLE")?;
        Ok(Self::DropTable(DropTarget { name, if_exists }))
    }

    /// Returns the tag of the statement.
    pub fn tag(&self) -> &'static str {
        match self {
            Self::CreateDatabase(_) => "CREATE DATABASE",
            Self::CreateTable(_) => "CREATE TABLE",
            Self::DropDatabase(_) => "DROP DATABASE",
            Self::DropTable(_) => "DROP TABLE",
        }
    }
}

fn database_name(cursor: &mut TokenCursor<'_>) -> Result<String, SqlError> {
    cursor
        .name()
        .ok_or_else(|| cursor.malformed("the name of a database is missing"))
}

/// Refuses the options of a statement.
fn check_end(cursor: &TokenCursor<'_>, statement: &str) -> Result<(), SqlError> {
    if cursor.is_at_end() {
        return Ok(());
    }
    let message = format!("{statement} does not support: {}", cursor.rest());
    Err(SqlError::unsupported(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, statement::StatementText};

    fn parse(text: &str) -> Result<DataDefinition, SqlError> {
        let statement = &StatementText::split(text).unwrap()[0];
        match Change::parse(statement)? {
            Some(Change::Define(definition)) => Ok(definition),
            other => panic!("{other:?}"),
        }
    }

    fn target(name: &str, if_exists: bool) -> DropTarget {
        let name = name.to_owned();
        DropTarget { name, if_exists }
    }

    #[test]
    fn databases_and_tables_are_created_and_dropped_by_name() {
        for (text, definition) in [
            ("CREATE DATABASE Home", DataDefinition::CreateDatabase("home".to_owned())),
            (
                "drop database if exists \"Home\"",
                DataDefinition::DropDatabase(target("Home", true)),
            ),
            ("DROP TABLE iox.cpu RESTRICT", DataDefinition::DropTable(target("cpu", false))),
        ] {
            assert_eq!(parse(text), Ok(definition), "{text}");
        }
    }

    #[test]
    fn options_and_lists_are_refused() {
        for text in [
            "CREATE DATABASE",
            "CREATE DATABASE a OWNER ann",
            "DROP DATABASE a WITH (FORCE)",
            "DROP TABLE a, b",
            "DROP TABLE a CASCADE",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
