//! Confirmation prompts.

use clap::Args;
use neap_bucket::FormatLevel;
use neap_server::console::Console;

use super::{CommandError, CommandResult, options::ConnectionArgs};
use crate::client::Client;

/// The option that confirms a deletion in advance.
#[derive(Debug, Args)]
struct DeletionConfirmation {
    /// Don't ask.
    #[arg(short = 'y', long)]
    yes: bool,
}

impl DeletionConfirmation {
    /// Asks for confirmation of a deletion, unless the option is set.
    fn require(&self, name: &str, console: &mut Console) -> CommandResult {
        if self.yes {
            return Ok(());
        }
        let question =
            format!("Are you sure you want to delete {name}? Enter 'yes' or 'y' to confirm");
        ask(&question, &["yes", "y"], console)
    }

    /// Asks as [`require`](Self::require) does, but on a terminal only: scripts for `influxdb3`, which does not ask before
    /// this deletion, work unchanged.
    fn require_on_terminal(&self, name: &str, console: &mut Console) -> CommandResult {
        if console.input_is_terminal {
            self.require(name, console)
        } else {
            Ok(())
        }
    }
}

/// The options of a deletion by a server.
#[derive(Debug, Args)]
pub(super) struct DeletionArgs {
    #[command(flatten)]
    confirmation: DeletionConfirmation,

    #[command(flatten)]
    connection: ConnectionArgs,
}

impl DeletionArgs {
    /// Asks for confirmation of a deletion, and returns the client of the server.
    pub(super) fn confirm(&self, name: &str, console: &mut Console) -> CommandResult<Client> {
        self.confirmation.require(name, console)?;
        Ok(self.connection.client(None)?)
    }

    /// Asks on a terminal only, as [`DeletionConfirmation::require_on_terminal`] does.
    pub(super) fn confirm_on_terminal(
        &self,
        name: &str,
        console: &mut Console,
    ) -> CommandResult<Client> {
        self.confirmation.require_on_terminal(name, console)?;
        Ok(self.connection.client(None)?)
    }
}

/// Asks for confirmation of a restore that replaces a database, or all databases.
pub(super) fn replacement(database: Option<&str>, console: &mut Console) -> CommandResult {
    let replaced = match database {
        Some(name) => format!("database {name:?}"),
        None => "all databases".to_owned(),
    };
    let question = format!(
        "Are you sure you want to replace {replaced} by the restored state? Enter 'yes' or 'y' to confirm"
    );
    ask(&question, &["yes", "y"], console)
}

/// Asks for confirmation that the format level is raised.
///
/// # Errors
///
/// The answer is not yes.
pub(super) fn raised_format_level(level: FormatLevel, console: &mut Console) -> CommandResult {
    let question = format!(
        "Do all servers and functions run a release that knows format level {level}? Others stop working, and there is no way \
         back. Enter 'yes' or 'y' to confirm"
    );
    ask(&question, &["yes", "y"], console)
}

/// Asks for confirmation of the regeneration of the operator token.
pub(super) fn regeneration(console: &mut Console) -> CommandResult {
    let question = "Are you sure you want to regenerate admin token? Enter 'yes' to confirm";
    ask(question, &["yes"], console)
}

fn ask(question: &str, accepted: &[&str], console: &mut Console) -> CommandResult {
    let answer = console.ask(question).map_err(CommandError::Input)?;
    if accepted.contains(&answer.trim().to_lowercase().as_str()) {
        Ok(())
    } else {
        Err(CommandError::NotConfirmed)
    }
}

#[cfg(test)]
mod tests {
    use neap_server::console::testing::console;

    use super::*;

    #[test]
    fn only_yes_confirms() {
        for (answer, deletes, regenerates) in [
            ("yes\n", true, true),
            ("Y\r\n", true, false),
            ("no\n", false, false),
            ("", false, false),
        ] {
            let (mut console, _, _) = console(&answer.repeat(2));
            let unconfirmed = DeletionConfirmation { yes: false };
            assert_eq!(unconfirmed.require("\"db\"", &mut console).is_ok(), deletes);
            assert_eq!(regeneration(&mut console).is_ok(), regenerates);
        }
    }

    #[test]
    fn definitions_are_deleted_without_a_question_by_scripts() {
        let unconfirmed = DeletionConfirmation { yes: false };
        let confirmed = DeletionConfirmation { yes: true };
        let (mut console, _, _) = console("");
        unconfirmed.require_on_terminal("cache \"c\"", &mut console).unwrap();
        console.input_is_terminal = true;
        unconfirmed.require_on_terminal("cache \"c\"", &mut console).unwrap_err();
        confirmed.require_on_terminal("cache \"c\"", &mut console).unwrap();
        confirmed.require("\"db\"", &mut console).unwrap();
    }
}
