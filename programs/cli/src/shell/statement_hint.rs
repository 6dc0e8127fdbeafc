//! Hints about statements that the server refuses: the place of a syntax error, and the table that was probably meant.

use super::request::StatementRequest;
use crate::{
    client::{Client, ClientError, refusal_message},
    nearest_name::nearest_name,
    table_names::{TABLES, TableRow},
};

/// Maximum number of characters of a line that are shown before and after the place of an error.
const MAX_SHOWN_CHARS: usize = 60;

/// A place in a statement: the numbers of the line and of the character, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StatementPlace {
    line: usize,
    column: usize,
}

/// Returns the lines to print below the error of a statement, if more is known than the error says.
pub(crate) async fn statement_hint(
    client: &Client,
    request: &StatementRequest<'_>,
    error: &ClientError,
) -> Option<String> {
    let ClientError::Refused { body, .. } = error else {
        return None;
    };
    let message = refusal_message(body);
    if let Some(place) = place_in(&message, request.text) {
        return marked_line(request.text, place);
    }
    let missing = missing_table(&message)?;
    let tables: Vec<TableRow> = client.query_rows(request.database?, TABLES).await.ok()?;
    let names = tables.iter().map(|table| table.table_name.as_str());
    let nearest = nearest_name(missing, names)?;
    Some(format!("There is a table '{nearest}'"))
}

/// Returns the place that a message names: `at Line: 1, Column: 10` in SQL, `at pos 9` in InfluxQL.
fn place_in(message: &str, statement: &str) -> Option<StatementPlace> {
    if let Some((_, place)) = message.rsplit_once(" at Line: ") {
        let (line, column) = place.split_once(", Column: ")?;
        return Some(StatementPlace { line: line.parse().ok()?, column: leading_number(column)? });
    }
    let (_, offset) = message.rsplit_once(" at pos ")?;
    let before = statement.get(..leading_number(offset)?)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Some(StatementPlace {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..)?.chars().count() + 1,
    })
}

fn leading_number(text: &str) -> Option<usize> {
    let end = text.find(|next: char| !next.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// Returns the part of a line around a place, with a caret below it.
fn marked_line(statement: &str, place: StatementPlace) -> Option<String> {
    let line = statement.lines().nth(place.line.checked_sub(1)?)?;
    let before = place.column.checked_sub(1)?;
    let skipped = before.saturating_sub(MAX_SHOWN_CHARS);
    let shown: String = line
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .skip(skipped)
        .take(2 * MAX_SHOWN_CHARS)
        .collect();
    let width = before - skipped;
    Some(format!("  {shown}\n  {:width$}^", ""))
}

/// Returns the name of the table that a message says is missing.
fn missing_table(message: &str) -> Option<&str> {
    let (_, name) = message.rsplit_once("table 'public.iox.")?;
    name.strip_suffix("' not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(message: &str, statement: &str) -> Option<String> {
        marked_line(statement, place_in(message, statement)?)
    }

    #[test]
    fn the_place_of_a_syntax_error_has_a_caret() {
        let sql = r#"SQL error: ParserError("Expected: end of statement, found: x at Line: 2, Column: 19")"#;
        assert_eq!(
            marked(sql, "SELECT\n * FROM home WHER x\nLIMIT 1").unwrap(),
            "   * FROM home WHER x\n                    ^"
        );
        let influxql = "parsing error: invalid SELECT statement, expected FROM at pos 9";
        assert_eq!(
            marked(influxql, "SELECT *\tFORM home").unwrap(),
            "  SELECT * FORM home\n           ^"
        );
        assert_eq!(marked("Expected: ), found: EOF", "SELECT (1"), None);
        assert_eq!(marked("x at Line: 9, Column: 1", "SELECT 1"), None);
        assert_eq!(marked("x at pos 99", "SELECT 1"), None);
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let statement = format!("SELECT {} FORM t", "a, ".repeat(100));
        let marked = marked("x at Line: 1, Column: 309", &statement).unwrap();
        let (line, caret) = marked.split_once('\n').unwrap();
        assert!(line.ends_with("a,  FORM t"), "{line}");
        assert_eq!(line.chars().nth(caret.chars().count() - 1), Some('F'));
    }

    #[test]
    fn a_missing_table_is_recognized() {
        let message = "Error during planning: table 'public.iox.hom' not found";
        assert_eq!(missing_table(message), Some("hom"));
        assert_eq!(missing_table("table 'public.system.x' not found"), None);
    }
}
