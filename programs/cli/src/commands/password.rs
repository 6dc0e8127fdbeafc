//! Reads passwords from a file, from the standard input, or from a terminal without showing them.

use std::{io, path::PathBuf};

use clap::Args;
use neap_server::{console::Console, private_file};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{CommandError, CommandResult};

/// Where a password comes from.
#[derive(Clone, Debug, Args)]
pub(super) struct PasswordArgs {
    /// A file with the password. By default it is read from the standard input; a terminal does not show it.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Turns off the echo of the terminal until it is dropped.
struct HiddenInput(Option<Termios>);

impl HiddenInput {
    fn begin(console: &Console) -> Self {
        if !console.input_is_terminal {
            return Self(None);
        }
        let Ok(before) = tcgetattr(io::stdin()) else {
            return Self(None);
        };
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).ok();
        Self(Some(before))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            tcsetattr(io::stdin(), OptionalActions::Flush, before).ok();
        }
    }
}

impl PasswordArgs {
    /// Reads the password.
    ///
    /// # Errors
    ///
    /// The file or the input can't be read.
    pub(super) fn read(&self, question: &str, console: &mut Console) -> CommandResult<String> {
        match &self.password_file {
            Some(path) => {
                let text = private_file::read_secret(path)
                    .map_err(|error| CommandError::of_file(path, error))?;
                Ok(without_line_break(text.reveal().to_owned()))
            }
            None => ask(question, console),
        }
    }

    /// Reads a new password. On a terminal it is entered twice.
    ///
    /// # Errors
    ///
    /// The file or the input can't be read, or the two passwords differ.
    pub(super) fn read_new(&self, console: &mut Console) -> CommandResult<String> {
        let first = self.read("New password:", console)?;
        if self.password_file.is_none() && console.input_is_terminal {
            let second = ask("New password again:", console)?;
            if first != second {
                let text = "the two passwords differ".to_owned();
                return Err(CommandError::Account(text));
            }
        }
        Ok(first)
    }
}

/// Asks for a password.
///
/// # Errors
///
/// The input can't be read.
pub(super) fn ask(question: &str, console: &mut Console) -> CommandResult<String> {
    let _hidden = HiddenInput::begin(console);
    let answer = console.ask(question).map_err(CommandError::Input)?;
    Ok(without_line_break(answer))
}

fn without_line_break(mut text: String) -> String {
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use neap_server::console::testing::console;

    use super::*;

    #[test]
    fn a_password_is_a_line_of_the_input_or_a_file() {
        let (mut console, _, asked) = console(" pass word \r\nmore");
        let args = PasswordArgs { password_file: None };
        assert_eq!(args.read("Password:", &mut console).unwrap(), " pass word ");
        assert_eq!(asked.text(), "Password:\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "from a file\n").unwrap();
        let args = PasswordArgs { password_file: Some(path.clone()) };
        assert_eq!(args.read_new(&mut console).unwrap(), "from a file");
        fs::write(&path, " ".repeat(1 << 20)).unwrap();
        let refused = args.read_new(&mut console).unwrap_err().to_string();
        assert!(refused.contains("the file has more than 16384 bytes"), "{refused}");
    }
}
