//! The meta-commands of the shell, such as `\d`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{printer::TerminalFormat, tokens::QueryLanguage};
use crate::times::as_of_for_server;

/// Output of `\?`.
pub(super) const HELP: &str = r"Statements of SQL end with a semicolon, those of InfluxQL with their line.

  \?  \h           this help
  \q  exit  quit   leave, as Ctrl-D does
  \l               list the databases
  \c NAME          go to a database; so does `use NAME`
  \d               list the tables
  \d TABLE         list the columns of a table
  \dc              list the caches
  \f FORM          show results as pretty, json, jsonl or csv
  \x               switch the vertical format on or off: a line for each value
  \t  \timing      switch the timing of statements on or off
  \i FILE          run the statements of a file
  \o [FILE]        put results into a file; without a file, show them again
  \lang LANGUAGE   sql or influxql
  \asof [TIME]     query as of a time or a stamp; without one, as of now

Tab completes names, Ctrl-R searches what was typed before, Ctrl-C gives up a line or a query.";

/// Names of the commands, for completion.
pub(super) const NAMES: [&str; 15] = [
    "\\?", "\\asof", "\\c", "\\d", "\\dc", "\\f", "\\h", "\\i", "\\l", "\\lang", "\\o", "\\q",
    "\\t", "\\timing", "\\x",
];

/// A command of the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MetaCommand {
    Help,
    Leave,
    Databases,
    Use(String),
    Tables,
    Columns { table: String },
    Caches,
    Form(TerminalFormat),
    Vertical,
    Timing,
    Include(PathBuf),
    Output(Option<PathBuf>),
    Language(QueryLanguage),
    AsOf(Option<String>),
}

/// Error of parsing a command.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MetaCommandError {
    #[error("unknown command {0}: \\? lists the commands")]
    Unknown(String),
    #[error("{command} needs {needed}")]
    Needs {
        command: String,
        needed: &'static str,
    },
    #[error("{0} takes no argument")]
    TakesNone(String),
}

impl MetaCommand {
    /// Parses the command in a line.
    pub(super) fn parse(line: &str) -> Result<Self, MetaCommandError> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, argument) = match line.split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim()),
            None => (line, ""),
        };
        let needs = |needed| MetaCommandError::Needs { command: name.to_owned(), needed };
        let given = |needed| {
            if argument.is_empty() {
                Err(needs(needed))
            } else {
                Ok(unquoted(argument))
            }
        };
        let optional = (!argument.is_empty()).then(|| unquoted(argument));
        let command = match name.to_ascii_lowercase().as_str() {
            "\\c" | "use" => return given("the name of a database").map(Self::Use),
            "\\i" => return Ok(Self::Include(given("a file")?.into())),
            "\\o" => return Ok(Self::Output(optional.map(PathBuf::from))),
            "\\asof" => {
                let as_of = optional.map(|text| as_of_for_server(&text)).transpose();
                return as_of.map(Self::AsOf).map_err(|_| needs("a date, a time or a stamp"));
            }
            "\\f" => {
                let form = TerminalFormat::from_str(argument, true);
                return form
                    .map(Self::Form)
                    .map_err(|_| needs("one of pretty, json, jsonl and csv"));
            }
            "\\lang" => {
                let language = QueryLanguage::from_str(argument, true);
                return language.map(Self::Language).map_err(|_| needs("one of sql and influxql"));
            }
            "\\d" => {
                return Ok(optional.map_or(Self::Tables, |table| Self::Columns { table }));
            }
            "\\?" | "\\h" | "help" => Self::Help,
            "\\q" | "exit" | "quit" => Self::Leave,
            "\\l" => Self::Databases,
            "\\dc" => Self::Caches,
            "\\x" => Self::Vertical,
            "\\t" | "\\timing" => Self::Timing,
            _ => return Err(MetaCommandError::Unknown(name.to_owned())),
        };
        match optional {
            None => Ok(command),
            Some(_) => Err(MetaCommandError::TakesNone(name.to_owned())),
        }
    }
}

/// Removes optional quotes from a name or path.
fn unquoted(argument: &str) -> String {
    for quote in ['"', '\''] {
        let inner = argument.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner.replace(&String::from_iter([quote, quote]), &quote.to_string());
        }
    }
    argument.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_parsed() {
        let table = |table: &str| MetaCommand::Columns { table: table.to_owned() };
        for (line, expected) in [
            ("\\?", MetaCommand::Help),
            ("help;", MetaCommand::Help),
            ("\\q", MetaCommand::Leave),
            ("EXIT;", MetaCommand::Leave),
            ("\\l\n", MetaCommand::Databases),
            ("\\c home", MetaCommand::Use("home".to_owned())),
            ("use \"my db\";", MetaCommand::Use("my db".to_owned())),
            ("\\d", MetaCommand::Tables),
            ("\\d  cpu ;", table("cpu")),
            ("\\d \"a \"\"b\"", table("a \"b")),
            ("\\dc", MetaCommand::Caches),
            ("\\f JSONL", MetaCommand::Form(TerminalFormat::Jsonl)),
            ("\\x", MetaCommand::Vertical),
            ("\\timing", MetaCommand::Timing),
            ("\\i 'my file.sql'", MetaCommand::Include("my file.sql".into())),
            ("\\o out", MetaCommand::Output(Some("out".into()))),
            ("\\o", MetaCommand::Output(None)),
            ("\\lang influxql", MetaCommand::Language(QueryLanguage::Influxql)),
            (
                "\\asof 2026-01-31T12:00:00Z",
                MetaCommand::AsOf(Some("2026-01-31T12:00:00Z".to_owned())),
            ),
            ("\\asof 2026-01-31", MetaCommand::AsOf(Some("2026-01-31T00:00:00Z".to_owned()))),
            ("\\asof", MetaCommand::AsOf(None)),
        ] {
            assert_eq!(MetaCommand::parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn invalid_commands_return_errors() {
        let error = |line| MetaCommand::parse(line).unwrap_err().to_string();
        insta::assert_snapshot!(error("\\frobnicate x"), @r"unknown command \frobnicate: \? lists the commands");
        insta::assert_snapshot!(error("\\asof yesterday"), @r"\asof needs a date, a time or a stamp");
        insta::assert_snapshot!(error("\\c"), @r"\c needs the name of a database");
        insta::assert_snapshot!(error("\\f parquet"), @r"\f needs one of pretty, json, jsonl and csv");
        insta::assert_snapshot!(error("\\lang"), @r"\lang needs one of sql and influxql");
        insta::assert_snapshot!(error("\\l x"), @r"\l takes no argument");
    }

    #[test]
    fn the_help_and_the_completion_name_every_command() {
        for name in NAMES {
            assert!(HELP.contains(&format!("  {name} ")), "{name}");
            let parsed = MetaCommand::parse(name);
            assert!(!matches!(parsed, Err(MetaCommandError::Unknown(_))), "{name}");
        }
    }
}
