//! Translates statements that QuestDB's clients and web tools send.
//!
//! | QuestDB | here |
//! |---|---|
//! | `SHOW TABLES`, `tables()` | the tables of the database, from `information_schema` |
//! | `SHOW COLUMNS FROM t`, `table_columns('t')` | the columns of a table |
//! | `FROM 't'`, a name in single quotes | `FROM "t"` |
//! | `t`, a name alone | `SELECT * FROM t` |
//!
//! Everything else is SQL of DataFusion.

use std::borrow::Cow;

/// The tables, with the columns of QuestDB's function `tables` that have a meaning here.
const TABLES: &str = "(SELECT row_number() OVER (ORDER BY table_name) AS id, table_name, 'time' AS \"designatedTimestamp\", \
     'DAY' AS \"partitionBy\", true AS \"walEnabled\", true AS dedup \
     FROM information_schema.tables WHERE table_schema = 'iox')";

/// A piece of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// A name or number that is not in quotes.
    Word(&'a str),
    /// A text in single quotes, with them.
    Text(&'a str),
    /// A blank, a comment, a name in double quotes, or another character.
    Other(&'a str),
}

impl<'a> Piece<'a> {
    fn as_str(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Text(text) | Self::Other(text) => text,
        }
    }

    fn is_word(self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    fn is_blank(self) -> bool {
        self.as_str().trim().is_empty()
    }
}

/// Splits a statement at the ends of words and quotes.
fn pieces<'a>(mut statement: &'a str) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    while let Some(first) = statement.chars().next() {
        let (length, piece): (_, fn(&'a str) -> Piece<'a>) = match first {
            '\'' => (quoted_length(statement, '\''), Piece::Text),
            '"' => (quoted_length(statement, '"'), Piece::Other),
            '-' if statement.starts_with("--") => {
                (statement.find('\n').unwrap_or(statement.len()), Piece::Other)
            }
            '/' if statement.starts_with("/*") => {
                let end = statement.find("*/").map(|end| end + 2);
                (end.unwrap_or(statement.len()), Piece::Other)
            }
            first if is_word_character(first) => {
                let end = statement.find(|char| !is_word_character(char));
                (end.unwrap_or(statement.len()), Piece::Word)
            }
            first => (first.len_utf8(), Piece::Other),
        };
        let (text, rest) = statement.split_at(length);
        pieces.push(piece(text));
        statement = rest;
    }
    pieces
}

fn is_word_character(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Returns the length of a text in quotes. A doubled quote does not end it: it begins the next piece.
fn quoted_length(text: &str, quote: char) -> usize {
    let content = text.get(1..).unwrap_or_default();
    content.find(quote).map_or(text.len(), |end| end + 2)
}

/// Translates a statement.
pub(crate) fn translate(statement: &str) -> Cow<'_, str> {
    let trimmed = statement.trim().trim_end_matches(';').trim_end();
    let pieces = pieces(trimmed);
    let words: Vec<_> = pieces.iter().copied().filter(|piece| !piece.is_blank()).collect();
    match words[..] {
        [show, tables] if show.is_word("show") && tables.is_word("tables") => {
            return format!("SELECT table_name FROM {TABLES} ORDER BY id").into();
        }
        [show, columns, from, table]
            if show.is_word("show") && columns.is_word("columns") && from.is_word("from") =>
        {
            return columns_of(table.as_str()).into();
        }
        [function, Piece::Other("("), Piece::Text(table), Piece::Other(")")]
            if function.is_word("table_columns") =>
        {
            return columns_of(table).into();
        }
        [function, Piece::Other("("), Piece::Other(")")] if function.is_word("tables") => {
            return format!("SELECT * FROM {TABLES} ORDER BY id").into();
        }
        [Piece::Word(_)] => return format!("SELECT * FROM {trimmed}").into(),
        [Piece::Text(name)] => return format!("SELECT * FROM {}", as_name(name)).into(),
        _ => {}
    }
    translate_names(&pieces)
}

/// Returns the statement that lists the columns of a table, whose name may be in quotes of either kind.
fn columns_of(table: &str) -> String {
    let unquoted = |quote| table.strip_prefix(quote)?.strip_suffix(quote);
    let name = unquoted('\'').or_else(|| unquoted('"')).unwrap_or(table).replace('\'', "''");
    format!(
        "SELECT column_name AS \"column\", data_type AS type, column_name = 'time' AS designated \
         FROM information_schema.columns WHERE table_schema = 'iox' AND table_name = '{name}' ORDER BY ordinal_position"
    )
}

/// Replaces names in single quotes after FROM and JOIN, and calls of `tables()`.
fn translate_names<'a>(pieces: &[Piece<'a>]) -> Cow<'a, str> {
    let mut translated = String::new();
    let mut names_table = false;
    let mut rest = pieces;
    while let [piece, next @ ..] = rest {
        rest = next;
        match (piece, next) {
            (word, [Piece::Other("("), Piece::Other(")"), after @ ..])
                if names_table && word.is_word("tables") =>
            {
                translated.push_str(TABLES);
                rest = after;
            }
            (Piece::Text(name), _) if names_table => translated.push_str(&as_name(name)),
            (piece, _) => translated.push_str(piece.as_str()),
        }
        if !piece.is_blank() {
            names_table = piece.is_word("from") || piece.is_word("join");
        }
    }
    translated.into()
}

/// Returns a text in single quotes as a name in double quotes.
fn as_name(text: &str) -> String {
    let name = text.trim_matches('\'').replace('"', "\"\"");
    format!("\"{name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_is_unchanged() {
        for statement in [
            "SELECT 1",
            "SELECT a, 'from ''x''' FROM t WHERE b = 'from' -- from 'x'",
            "SELECT \"from\" FROM \"a b\" /* join 'x' */ JOIN t USING (c)",
            "SELECT extract(year FROM time) FROM t",
            "SELECT tables() AS x",
            "SELECT 'open",
            "",
            "SELECT 'ä', \"ü\" FROM größe",
        ] {
            assert_eq!(translate(statement), statement);
        }
        assert_eq!(translate(" SELECT 1 ; "), "SELECT 1");
    }

    #[test]
    fn names_of_tables_may_be_in_single_quotes_or_alone() {
        for (statement, translated) in [
            ("trades", "SELECT * FROM trades"),
            ("'a b';", "SELECT * FROM \"a b\""),
            ("select * from 'a b' where c = 'd'", "select * from \"a b\" where c = 'd'"),
            (
                "select * from\n 'a\"b' join 'c' on x",
                "select * from\n \"a\"\"b\" join \"c\" on x",
            ),
        ] {
            assert_eq!(translate(statement), translated);
        }
    }

    #[test]
    fn tables_and_columns_are_listed() {
        assert_eq!(
            translate("show Tables;"),
            format!("SELECT table_name FROM {TABLES} ORDER BY id")
        );
        assert_eq!(translate("tables()"), format!("SELECT * FROM {TABLES} ORDER BY id"));
        assert_eq!(
            translate("select count(*) from tables() where id > 1"),
            format!("select count(*) from {TABLES} where id > 1")
        );
        for statement in [
            "SHOW COLUMNS FROM t",
            "show columns from 't'",
            "table_columns('t')",
            "show columns from \"t\"",
        ] {
            assert!(translate(statement).contains("table_name = 't' ORDER"), "{statement}");
        }
    }
}
