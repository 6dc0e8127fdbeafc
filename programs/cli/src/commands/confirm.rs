//! Confirmation prompts.

use neap_server::console::Console;

use super::CommandError;

/// Asks for confirmation of a deletion.
///
/// # Errors
///
/// The answer is not yes.
pub(super) fn deletion(name: &str, console: &mut Console) -> Result<(), CommandError> {
    let question = format!("Are you sure you want to delete {name}? Enter 'yes' or 'y' to confirm");
    ask(&question, &["yes", "y"], console)
}

/// Asks for confirmation of a restore that replaces a database, or all databases.
///
/// # Errors
///
/// The answer is not yes.
pub(super) fn replacement(
    database: Option<&str>,
    console: &mut Console,
) -> Result<(), CommandError> {
    let replaced = match database {
        Some(name) => format!("database {name:?}"),
        None => "all databases".to_owned(),
    };
    let question = format!(
        "Are you sure you want to replace {replaced} by the restored state? Enter 'yes' or 'y' to confirm"
    );
    ask(&question, &["yes", "y"], console)
}

/// Asks for confirmation of the regeneration of the operator token.
///
/// # Errors
///
/// The answer is not yes.
pub(super) fn regeneration(console: &mut Console) -> Result<(), CommandError> {
    let question = "Are you sure you want to regenerate admin token? Enter 'yes' to confirm";
    ask(question, &["yes"], console)
}

fn ask(question: &str, accepted: &[&str], console: &mut Console) -> Result<(), CommandError> {
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
            assert_eq!(deletion("\"db\"", &mut console).is_ok(), deletes);
            assert_eq!(regeneration(&mut console).is_ok(), regenerates);
        }
    }
}
