//! `CREATE TABLE`: the tags and fields of a new table.

use datafusion::sql::sqlparser::tokenizer::Token;
use neap_schema::{ColumnType, TIME_COLUMN};

use crate::{sql_error::SqlError, statement::TokenCursor};

/// A new table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTable {
    /// The name.
    pub name: String,
    /// Whether a table of the name is no error.
    pub if_missing: bool,
    /// The tags, in the order of the series key.
    pub tags: Vec<String>,
    /// The fields with their types.
    pub fields: Vec<(String, ColumnType)>,
}

impl NewTable {
    /// Reads the statement after `CREATE TABLE`. Tags have the type `TAG` or, as in QuestDB, `SYMBOL`.
    pub(crate) fn parse(mut cursor: TokenCursor<'_>) -> Result<Self, SqlError> {
        let if_missing = cursor.eat_all(&["IF", "NOT", "EXISTS"]);
        let mut table = Self {
            name: table_name(&mut cursor)?,
            if_missing,
            tags: Vec::new(),
            fields: Vec::new(),
        };
        let malformed = |cursor: &TokenCursor<'_>| {
            cursor.malformed("CREATE TABLE needs a list of columns with types")
        };
        if !cursor.eat_token(&Token::LParen) {
            return Err(malformed(&cursor));
        }
        loop {
            let column = cursor.name().ok_or_else(|| malformed(&cursor))?;
            let column_type = column_type(&mut cursor).ok_or_else(|| {
                let hint = "Types: TIMESTAMP for time; TAG or SYMBOL for tags; DOUBLE PRECISION, BIGINT, BIGINT \
                            UNSIGNED, TEXT and BOOLEAN for fields.";
                SqlError::unsupported(format!("the type of column {column} is not supported"))
                    .with_hint(hint)
            })?;
            cursor.eat_all(&["NOT", "NULL"]);
            match column_type {
                ColumnType::Time if column == TIME_COLUMN => {}
                ColumnType::Time => {
                    let message = format!("only the column {TIME_COLUMN} has the type TIMESTAMP");
                    return Err(SqlError::unsupported(message));
                }
                ColumnType::Tag => table.tags.push(column),
                field => table.fields.push((column, field)),
            }
            if cursor.eat_token(&Token::RParen) {
                break;
            }
            if !cursor.eat_token(&Token::Comma) {
                return Err(malformed(&cursor));
            }
        }
        if cursor.is_at_end() {
            Ok(table)
        } else {
            Err(SqlError::unsupported(format!(
                "CREATE TABLE does not support: {}",
                cursor.rest()
            )))
        }
    }
}

/// Takes the name of a table, with or without its schema.
pub(crate) fn table_name(cursor: &mut TokenCursor<'_>) -> Result<String, SqlError> {
    let mut name = cursor
        .name()
        .ok_or_else(|| cursor.malformed("the name of a table is missing"))?;
    if cursor.eat_token(&Token::Period) {
        if name != "iox" {
            let message = format!("tables are in the schema iox, not in {name}");
            return Err(SqlError::unsupported(message));
        }
        name = cursor
            .name()
            .ok_or_else(|| cursor.malformed("the name of a table is missing"))?;
    }
    Ok(name)
}

/// Takes the name of a type.
fn column_type(cursor: &mut TokenCursor<'_>) -> Option<ColumnType> {
    let name = cursor.name()?;
    let column_type = match name.as_str() {
        "timestamp" | "timestamptz" => {
            if cursor.eat("WITH") || cursor.eat("WITHOUT") {
                cursor.eat_all(&["TIME", "ZONE"]);
            }
            ColumnType::Time
        }
        "tag" | "symbol" => ColumnType::Tag,
        "double" => {
            cursor.eat("PRECISION");
            ColumnType::Float
        }
        "float8" | "float" | "real" | "float4" => ColumnType::Float,
        "bigint" | "int8" | "integer" | "int" | "int4" | "long" => {
            if cursor.eat("UNSIGNED") {
                ColumnType::UInteger
            } else {
                ColumnType::Integer
            }
        }
        "text" | "varchar" | "string" => ColumnType::String,
        "boolean" | "bool" => ColumnType::Boolean,
        _ => return None,
    };
    Some(column_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::StatementText;

    fn parse(text: &str) -> Result<NewTable, SqlError> {
        let statement = &StatementText::split(text).unwrap()[0];
        let mut cursor = statement.cursor();
        assert!(cursor.eat_all(&["CREATE", "TABLE"]));
        NewTable::parse(cursor)
    }

    #[test]
    fn tags_and_fields_have_types_of_postgresql_and_questdb() {
        let table = parse(
            "CREATE TABLE IF NOT EXISTS cpu (time TIMESTAMP WITHOUT TIME ZONE NOT NULL, host SYMBOL, region TAG, \
             usage DOUBLE PRECISION, n BIGINT, u BIGINT UNSIGNED, note TEXT, up BOOLEAN)",
        )
        .unwrap();
        assert!(table.if_missing);
        assert_eq!(table.tags, ["host", "region"]);
        let types: Vec<ColumnType> = table.fields.iter().map(|(_, field)| *field).collect();
        let expected = [
            ColumnType::Float,
            ColumnType::Integer,
            ColumnType::UInteger,
            ColumnType::String,
            ColumnType::Boolean,
        ];
        assert_eq!(types, expected);
    }

    #[test]
    fn other_types_and_clauses_are_refused() {
        for text in [
            "CREATE TABLE t (time TIMESTAMP, v JSON)",
            "CREATE TABLE t (at TIMESTAMP)",
            "CREATE TABLE t",
            "CREATE TABLE t (v DOUBLE) PARTITION BY DAY",
            "CREATE TABLE other.t (v DOUBLE)",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
