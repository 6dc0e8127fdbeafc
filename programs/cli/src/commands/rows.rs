//! Renders small results that a command produces itself, in the formats of query results.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use neap_server::console::Console;
use serde_json::Value;

use super::{
    CommandError, CommandResult,
    options::{ConnectionArgs, DatabaseArgs, OutputFormat},
};

/// The options of commands that list objects of a database.
#[derive(Debug, Args)]
pub(super) struct DatabaseListArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,

    /// The form of the list.
    #[arg(long, value_enum, default_value = "pretty")]
    pub(super) format: RowFormat,

    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// The options of commands that list objects of a server.
#[derive(Debug, Args)]
pub(super) struct ServerListArgs {
    /// The form of the list.
    #[arg(long, value_enum, default_value = "pretty")]
    pub(super) format: RowFormat,

    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// Output formats of a small result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RowFormat {
    /// A text table.
    Pretty,
    /// A JSON array of objects.
    Json,
    /// One JSON object in each line.
    #[value(alias = "json_lines")]
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
}

impl From<RowFormat> for OutputFormat {
    fn from(format: RowFormat) -> Self {
        match format {
            RowFormat::Pretty => Self::Pretty,
            RowFormat::Json => Self::Json,
            RowFormat::Jsonl => Self::Jsonl,
            RowFormat::Csv => Self::Csv,
        }
    }
}

/// Rows with the same columns.
#[derive(Debug)]
pub(super) struct Rows {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Rows {
    pub(super) fn new(
        columns: &'static [&'static str],
        rows: impl IntoIterator<Item = Vec<Value>>,
    ) -> Self {
        Self { columns, rows: rows.into_iter().collect() }
    }

    /// Prints the rows as the result of a command.
    pub(super) fn print(&self, format: RowFormat, console: &mut Console) -> CommandResult {
        console.print_text(&self.render(format)).map_err(CommandError::Output)
    }

    /// Renders the rows, without a final line break.
    pub(super) fn render(&self, format: RowFormat) -> String {
        match format {
            RowFormat::Pretty => self.pretty(),
            RowFormat::Json => format!("[{}]", self.objects().collect::<Vec<_>>().join(",")),
            RowFormat::Jsonl => self.objects().collect::<Vec<_>>().join("\n"),
            RowFormat::Csv => {
                let header = self.columns.join(",");
                let rows = self.rows.iter().map(|row| {
                    let values: Vec<_> = row.iter().map(|value| quoted(&text(value))).collect();
                    values.join(",")
                });
                [header].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// Returns a JSON object for each row, with the columns in order and without null values.
    fn objects(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|row| {
            let named = self.columns.iter().zip(row);
            let present = named.filter(|(_, value)| !value.is_null());
            let members: Vec<_> =
                present.map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
            format!("{{{}}}", members.join(","))
        })
    }

    fn pretty(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|&name| name.to_owned()).collect();
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(text).collect()).collect();
        let all = || [&header].into_iter().chain(&rows);
        let widths: Vec<usize> = (0..header.len())
            .map(|column| {
                let cells = all().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let rule = widths.iter().fold("+".to_owned(), |mut rule, width| {
            rule.push_str(&"-".repeat(width + 2));
            rule.push('+');
            rule
        });
        let mut lines = vec![rule.clone()];
        for (place, row) in all().enumerate() {
            let line = row.iter().zip(&widths).fold("|".to_owned(), |mut line, cell| {
                write!(line, " {:width$} |", cell.0, width = *cell.1).ok();
                line
            });
            lines.push(line);
            if place == 0 {
                lines.push(rule.clone());
            }
        }
        if !rows.is_empty() {
            lines.push(rule);
        }
        lines.join("\n")
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Quotes a CSV field if necessary.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows() -> Rows {
        Rows {
            columns: &["name", "n"],
            rows: vec![vec![json!("a, \"b\""), json!(10)], vec![json!("é"), Value::Null]],
        }
    }

    #[test]
    fn the_pretty_format_is_a_table() {
        insta::assert_snapshot!(rows().render(RowFormat::Pretty), @r#"
        +--------+----+
        | name   | n  |
        +--------+----+
        | a, "b" | 10 |
        | é      |    |
        +--------+----+
        "#);
        let none = Rows { columns: &["name"], rows: Vec::new() };
        insta::assert_snapshot!(none.render(RowFormat::Pretty), @"
        +------+
        | name |
        +------+
        ");
    }

    #[test]
    fn the_machine_formats_are_json_json_lines_and_csv() {
        insta::assert_snapshot!(rows().render(RowFormat::Json), @r#"[{"name":"a, \"b\"","n":10},{"name":"é"}]"#);
        insta::assert_snapshot!(rows().render(RowFormat::Jsonl), @r#"
        {"name":"a, \"b\"","n":10}
        {"name":"é"}
        "#);
        insta::assert_snapshot!(rows().render(RowFormat::Csv), @r#"
        name,n
        "a, ""b""",10
        é,
        "#);
    }
}
