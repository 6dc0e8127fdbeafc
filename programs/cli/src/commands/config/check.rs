//! `neap config check`: shows where each option is set, and validates the configuration.

use std::path::Path;

use clap::{Args, Command, Subcommand};
use neap_bucket::World;
use neap_server::{ServeArgs, console::Console, legacy_flags};

use super::{ConfigError, ConfigFile, flags_of, value};
use crate::commands::{
    CommandError, CommandResult, Environment, client_flags::CLIENT_FLAGS, environment::OptionSource,
};

/// The subcommands of `neap config`.
#[derive(Debug, Subcommand)]
pub(in crate::commands) enum ConfigCommand {
    /// Tell what the configuration file and the environment set, and what is wrong with it.
    Check(CheckArgs),
}

/// The options of `neap config check`: none besides `--config`.
#[derive(Debug, Args)]
pub(in crate::commands) struct CheckArgs {}

/// Shows the options that a file or the environment sets, and fails if the server could not start with them.
pub(in crate::commands) fn run(
    ConfigCommand::Check(CheckArgs {}): &ConfigCommand,
    environment: &Environment,
    console: &mut Console,
    definition: &Command,
    world: &World,
    parse: impl FnOnce() -> Result<ServeArgs, clap::Error>,
) -> CommandResult {
    let mut mistakes = Vec::new();
    let file = environment.config();
    let name =
        file.map_or("no configuration file".to_owned(), |file| file.path.display().to_string());
    let mut text = name;
    for (command, title) in [("serve", "[serve]"), ("query", "[client]")] {
        let mut lines = String::new();
        for (flag, arg) in flags_of(definition, command) {
            if command == "query" && !CLIENT_FLAGS.contains(&flag.as_str()) {
                continue;
            }
            let Some((values, origin)) = environment.find(&arg, &flag, command) else {
                continue;
            };
            let is_legacy = legacy_flags::is_without_effect(&flag);
            if let OptionSource::Variable(name) = &origin {
                // Skip legacy flags, because the environment may be meant for an InfluxDB server.
                if is_legacy {
                    continue;
                }
                if let Err(reason) = value::check(&arg, &flag, &values) {
                    mistakes.push(format!("{name}: {reason}"));
                }
            }
            let shown = match (value::is_secret(&arg), value::is_switch(&arg)) {
                (true, _) => "***".to_owned(),
                (false, true) => values.concat(),
                (false, false) => {
                    let values: Vec<_> = values.iter().map(|value| value::shown(value)).collect();
                    format!("{:?}", values.join(","))
                }
            };
            let effect = if is_legacy {
                ", without effect here"
            } else {
                ""
            };
            let origin = shown_origin(&origin, file);
            lines.push_str(&format!("\n  {flag} = {shown}  # {origin}{effect}"));
        }
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}{lines}"));
        }
    }
    console.print(&text).map_err(CommandError::Output)?;
    if mistakes.is_empty() {
        match parse() {
            Ok(args) => mistakes.extend(neap_server::mistakes(&args, environment, world)),
            Err(error) => mistakes.push(error.render().to_string().trim_end().to_owned()),
        }
    }
    if mistakes.is_empty() {
        return console.print("configuration is good").map_err(CommandError::Output);
    }
    let mistakes = value::without_passwords(&mistakes.join("\n"));
    Err(ConfigError::Invalid(mistakes).into())
}

fn shown_origin(origin: &OptionSource, file: Option<&ConfigFile>) -> String {
    match origin {
        OptionSource::Variable(name) => format!("variable {name}"),
        OptionSource::File(line) => {
            let path = file.map_or(Path::new(""), |file| file.path.as_path());
            let name = path.file_name().unwrap_or_default();
            format!("{}, line {line}", name.to_string_lossy())
        }
    }
}
