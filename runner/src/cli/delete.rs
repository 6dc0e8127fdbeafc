//! `neap delete`: databases and tables.

use clap::{Args, Subcommand};

use super::{
    CommandError,
    options::{ConnectionArgs, DatabaseArgs},
};
use crate::console::Console;

/// What to delete.
#[derive(Debug, Subcommand)]
pub(super) enum DeleteCommand {
    /// Delete a database.
    Database(DeleteDatabaseArgs),
    /// Delete a table.
    Table(DeleteTableArgs),
}

/// How to delete.
#[derive(Debug, Args)]
struct DeletionArgs {
    /// When the data goes for good: `now`, `never`, `default`, or a time such as 2027-01-01T00:00:00Z.
    /// Until then it is hidden.
    #[arg(long, value_name = "WHEN")]
    hard_delete: Option<String>,

    /// Don't ask.
    #[arg(short = 'y', long)]
    yes: bool,
}

/// The options of `neap delete database`.
#[derive(Debug, Args)]
pub(super) struct DeleteDatabaseArgs {
    /// The name of the database.
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    deletion: DeletionArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete table`.
#[derive(Debug, Args)]
pub(super) struct DeleteTableArgs {
    /// The name of the table.
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    deletion: DeletionArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Deletes what was named, if the answer is yes.
///
/// # Errors
///
/// The answer was no, or the request failed or was refused.
pub(super) async fn run(
    command: &DeleteCommand,
    console: &mut Console,
) -> Result<(), CommandError> {
    let (path, mut query, deletion, connection, title, name) = match command {
        DeleteCommand::Database(args) => (
            "/api/v3/configure/database",
            vec![("db", args.name.as_str())],
            &args.deletion,
            &args.connection,
            "Database",
            format!("{:?}", args.name),
        ),
        DeleteCommand::Table(args) => (
            "/api/v3/configure/table",
            vec![
                ("db", args.database.database.as_str()),
                ("table", args.name.as_str()),
            ],
            &args.deletion,
            &args.connection,
            "Table",
            format!("{:?}.{:?}", args.database.database, args.name),
        ),
    };
    if !deletion.yes {
        confirm(&name, console)?;
    }
    if let Some(when) = &deletion.hard_delete {
        query.push(("hard_delete_at", when));
    }
    connection.client(None)?.delete(path, &query).await?;
    let text = format!("{title} {name} deleted successfully");
    console.print(text).map_err(CommandError::Output)
}

fn confirm(name: &str, console: &mut Console) -> Result<(), CommandError> {
    let question = format!("Are you sure you want to delete {name}? Enter 'yes' or 'y' to confirm");
    let answer = console.ask(question).map_err(CommandError::Input)?;
    match answer.trim().to_lowercase().as_str() {
        "yes" | "y" => Ok(()),
        _ => Err(CommandError::NotConfirmed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::testing::console;

    #[test]
    fn only_yes_is_yes() {
        for (answer, expected) in [
            ("yes\n", true),
            ("Y\r\n", true),
            ("no\n", false),
            ("", false),
        ] {
            let (mut console, _, err) = console(answer);
            assert_eq!(
                confirm("\"db\"", &mut console).is_ok(),
                expected,
                "{answer:?}"
            );
            insta::allow_duplicates! {
                insta::assert_snapshot!(err.text(), @r#"Are you sure you want to delete "db"? Enter 'yes' or 'y' to confirm"#);
            }
        }
    }
}
