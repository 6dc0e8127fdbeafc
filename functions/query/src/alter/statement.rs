//! Parses `ALTER DATABASE` and `ALTER TABLE`.

use datafusion::{
    common::Result,
    error::DataFusionError,
    sql::sqlparser::{
        dialect::GenericDialect,
        keywords::Keyword,
        parser::{Parser, ParserError},
        tokenizer::Token,
    },
};
use neap_schema::ColumnType;

/// A statement that changes a database or a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AlterStatement {
    /// `ALTER DATABASE name ...`
    Database {
        /// The name, or an alias.
        name: String,
        change: DatabaseChange,
    },
    /// `ALTER TABLE name ...`
    Table {
        /// The name, or an alias.
        name: String,
        change: TableChange,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseChange {
    /// `RENAME TO name`
    Rename(String),
    /// `DROP ALIAS name`
    DropAlias(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TableChange {
    /// `RENAME TO name`
    Rename(String),
    /// `DROP ALIAS name`
    DropAlias(String),
    /// `ADD COLUMN [IF NOT EXISTS] name type`
    AddColumn {
        name: String,
        column_type: ColumnType,
        /// Whether an existing column of the type is no error.
        if_not_exists: bool,
    },
    /// `RENAME COLUMN name TO name`
    RenameColumn {
        /// The name, or an alias.
        name: String,
        new_name: String,
    },
    /// `ALTER COLUMN name [SET DATA] TYPE type`
    ChangeType {
        /// The name, or an alias.
        name: String,
        column_type: ColumnType,
    },
    /// `DROP COLUMN [IF EXISTS] name`
    DropColumn {
        name: String,
        /// Whether a missing column is no error.
        if_exists: bool,
    },
    /// `DROP COLUMN ALIAS name`
    DropColumnAlias(String),
}

/// Parses a statement that changes a database or a table; `None` if it begins like another one.
pub(crate) fn parse_alter_statement(sql: &str) -> Option<Result<AlterStatement>> {
    let first = sql.split_ascii_whitespace().next()?;
    let is_alter = first.eq_ignore_ascii_case("ALTER");
    is_alter.then(|| parse(sql).map_err(|error| DataFusionError::SQL(Box::new(error), None)))
}

fn parse(sql: &str) -> Result<AlterStatement, ParserError> {
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).try_with_sql(sql)?;
    parser.expect_keyword_is(Keyword::ALTER)?;
    let statement = match parser.parse_one_of_keywords(&[Keyword::DATABASE, Keyword::TABLE]) {
        Some(Keyword::DATABASE) => AlterStatement::Database {
            name: name(&mut parser)?,
            change: database_change(&mut parser)?,
        },
        Some(_) => {
            AlterStatement::Table { name: name(&mut parser)?, change: table_change(&mut parser)? }
        }
        None => return unexpected(&parser, "DATABASE or TABLE"),
    };
    let _has_semicolon = parser.consume_token(&Token::SemiColon);
    parser.expect_token(&Token::EOF)?;
    Ok(statement)
}

fn database_change(parser: &mut Parser<'_>) -> Result<DatabaseChange, ParserError> {
    if parser.parse_keywords(&[Keyword::RENAME, Keyword::TO]) {
        Ok(DatabaseChange::Rename(name(parser)?))
    } else if parser.parse_keywords(&[Keyword::DROP, Keyword::ALIAS]) {
        Ok(DatabaseChange::DropAlias(name(parser)?))
    } else {
        unexpected(parser, "RENAME TO or DROP ALIAS")
    }
}

fn table_change(parser: &mut Parser<'_>) -> Result<TableChange, ParserError> {
    if parser.parse_keywords(&[Keyword::RENAME, Keyword::TO]) {
        Ok(TableChange::Rename(name(parser)?))
    } else if parser.parse_keywords(&[Keyword::RENAME, Keyword::COLUMN]) {
        let column = name(parser)?;
        parser.expect_keyword_is(Keyword::TO)?;
        Ok(TableChange::RenameColumn { name: column, new_name: name(parser)? })
    } else if parser.parse_keywords(&[Keyword::ALTER, Keyword::COLUMN]) {
        let column = name(parser)?;
        let _in_full = parser.parse_keywords(&[Keyword::SET, Keyword::DATA]);
        parser.expect_keyword_is(Keyword::TYPE)?;
        Ok(TableChange::ChangeType { name: column, column_type: column_type(parser)? })
    } else if parser.parse_keywords(&[Keyword::DROP, Keyword::COLUMN]) {
        drop_column(parser)
    } else if parser.parse_keywords(&[Keyword::DROP, Keyword::ALIAS]) {
        Ok(TableChange::DropAlias(name(parser)?))
    } else if parser.parse_keywords(&[Keyword::ADD, Keyword::COLUMN]) {
        let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        Ok(TableChange::AddColumn {
            name: name(parser)?,
            column_type: column_type(parser)?,
            if_not_exists,
        })
    } else {
        unexpected(
            parser,
            "RENAME TO, RENAME COLUMN, ALTER COLUMN, DROP ALIAS, DROP COLUMN or ADD COLUMN",
        )
    }
}

/// Parses what follows `DROP COLUMN`. A column may have the name `alias`.
fn drop_column(parser: &mut Parser<'_>) -> Result<TableChange, ParserError> {
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let first = parser.peek_token();
    let column = name(parser)?;
    let is_alias = matches!(&first.token, Token::Word(word) if word.keyword == Keyword::ALIAS);
    if is_alias && !if_exists && matches!(parser.peek_token().token, Token::Word(_)) {
        return Ok(TableChange::DropColumnAlias(name(parser)?));
    }
    Ok(TableChange::DropColumn { name: column, if_exists })
}

/// Parses a name. Without quotes, it is in lower case.
fn name(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let ident = parser.parse_identifier()?;
    Ok(match ident.quote_style {
        Some(_) => ident.value,
        None => ident.value.to_ascii_lowercase(),
    })
}

/// Parses the type of a column: a name of InfluxDB 3's API, or the common one of SQL.
fn column_type(parser: &mut Parser<'_>) -> Result<ColumnType, ParserError> {
    let token = parser.peek_token();
    let word = parser.parse_identifier()?.value.to_ascii_lowercase();
    Ok(match word.as_str() {
        "tag" => ColumnType::Tag,
        "float64" | "double" => ColumnType::Float,
        "int64" | "bigint" => ColumnType::Integer,
        "uint64" => ColumnType::UInteger,
        "utf8" | "varchar" | "text" | "string" => ColumnType::String,
        "bool" | "boolean" => ColumnType::Boolean,
        _ => {
            return parser.expected("tag, float64, int64, uint64, utf8 or bool", token);
        }
    })
}

fn unexpected<T>(parser: &Parser<'_>, expected: &str) -> Result<T, ParserError> {
    parser.expected(expected, parser.peek_token())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(name: &str, change: DatabaseChange) -> AlterStatement {
        AlterStatement::Database { name: name.to_owned(), change }
    }

    fn table(name: &str, change: TableChange) -> AlterStatement {
        AlterStatement::Table { name: name.to_owned(), change }
    }

    fn parsed(sql: &str) -> AlterStatement {
        parse_alter_statement(sql).unwrap().unwrap()
    }

    #[test]
    fn changes_of_databases_and_tables_are_recognized() {
        let rename = || DatabaseChange::Rename("New-1".to_owned());
        assert_eq!(parsed("alter  database Old\nrename to \"New-1\";"), database("old", rename()));
        assert_eq!(
            parsed("ALTER DATABASE \"a/b\" DROP ALIAS c"),
            database("a/b", DatabaseChange::DropAlias("c".to_owned()))
        );
        assert_eq!(
            parsed("ALTER TABLE \"Cpu\" RENAME TO Processor"),
            table("Cpu", TableChange::Rename("processor".to_owned()))
        );
        assert_eq!(
            parsed("ALTER TABLE cpu DROP ALIAS \"old name\""),
            table("cpu", TableChange::DropAlias("old name".to_owned()))
        );
    }

    #[test]
    fn added_columns_have_types_of_the_api_or_of_sql() {
        for (text, column_type) in [
            ("TAG", ColumnType::Tag),
            ("double", ColumnType::Float),
            ("float64", ColumnType::Float),
            ("BIGINT", ColumnType::Integer),
            ("uint64", ColumnType::UInteger),
            ("varchar", ColumnType::String),
            ("boolean", ColumnType::Boolean),
        ] {
            for if_not_exists in [false, true] {
                let condition = if if_not_exists { "IF NOT EXISTS " } else { "" };
                let sql = format!("ALTER TABLE cpu ADD COLUMN {condition}load {text}");
                let change =
                    TableChange::AddColumn { name: "load".to_owned(), column_type, if_not_exists };
                assert_eq!(parsed(&sql), table("cpu", change), "{sql}");
            }
        }
    }

    #[test]
    fn columns_are_renamed_changed_and_dropped() {
        let text = str::to_owned;
        let renamed = TableChange::RenameColumn { name: text("load"), new_name: text("Usage") };
        assert_eq!(
            parsed("ALTER TABLE cpu RENAME COLUMN Load TO \"Usage\""),
            table("cpu", renamed)
        );
        let widened =
            || TableChange::ChangeType { name: text("load"), column_type: ColumnType::Float };
        for (sql, change) in [
            ("ALTER TABLE cpu ALTER COLUMN load TYPE double", widened()),
            ("ALTER TABLE cpu ALTER COLUMN load SET DATA TYPE float64", widened()),
            (
                "ALTER TABLE cpu DROP COLUMN alias",
                TableChange::DropColumn { name: text("alias"), if_exists: false },
            ),
            (
                "alter table cpu drop column if exists \"Load\";",
                TableChange::DropColumn { name: text("Load"), if_exists: true },
            ),
            (
                "ALTER TABLE cpu DROP COLUMN ALIAS load",
                TableChange::DropColumnAlias(text("load")),
            ),
        ] {
            assert_eq!(parsed(sql), table("cpu", change), "{sql}");
        }
    }

    #[test]
    fn other_statements_are_left_to_others_and_other_changes_are_refused() {
        assert!(parse_alter_statement("SELECT 1").is_none());
        assert!(parse_alter_statement("").is_none());
        let pairs = "
            ALTER VIEW v RENAME TO w ==> DATABASE or TABLE
            ALTER DATABASE a ADD COLUMN b tag ==> RENAME TO or DROP ALIAS
            ALTER TABLE a OWNER TO b ==> RENAME TO, RENAME COLUMN, ALTER COLUMN, DROP ALIAS, DROP COLUMN or ADD COLUMN
            ALTER TABLE a ALTER COLUMN b DROP NOT NULL ==> TYPE
            ALTER TABLE a RENAME COLUMN b ==> TO
            ALTER TABLE a ADD COLUMN b decimal ==> tag, float64
            ALTER TABLE a RENAME TO b; ALTER TABLE b RENAME TO c ==> EOF
            ALTER TABLE a RENAME TO b.c ==> EOF
        ";
        for (sql, expected) in neap_test_inputs::text_pairs(pairs) {
            let error = parse_alter_statement(sql).unwrap().unwrap_err().to_string();
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }
}
