//! `neap completions` and `neap man`: generate shell completions and manual pages.

use std::{fs, io::Write, path::PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use neap_server::console::Console;

use super::{CommandError, CommandResult};

/// The options of `neap completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell that is to complete commands.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// The options of `neap man`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The folder to write a page for each command into. Without it, the page of `neap` itself is printed.
    #[arg(short = 'o', long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// Prints a completion script for a shell.
pub(super) fn complete(
    args: &CompletionsArgs,
    mut command: Command,
    console: &mut Console,
) -> CommandResult {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    console.out.write_all(&script).map_err(CommandError::Output)
}

/// Prints or writes the manual pages.
pub(super) fn man(args: &ManArgs, command: Command, console: &mut Console) -> CommandResult {
    let Some(folder) = &args.output else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.map_err(CommandError::Output)?;
        return console.out.write_all(&page).map_err(CommandError::Output);
    };
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| CommandError::of_file(folder, error))
}
