//! The command line: its commands and options.
//!
//! The value of an option comes from its flag, else from the [`Environment`], else from its default. Each command has
//! its own module. Most commands send requests to a server over HTTP; `serve` and the commands that maintain a bucket
//! open the store themselves.

mod auth;
mod backup;
mod backup_restore;
mod caches;
mod cancel;
mod catalog;
mod check_store;
mod client_flags;
mod cold_storage;
mod columns;
mod compact;
mod config;
mod confirm;
mod copy;
mod create;
mod create_bucket;
mod delete;
mod directory_clock;
mod environment;
mod error;
mod examples;
mod export;
mod file_index;
mod format_level;
mod fsck;
mod import;
mod input_text;
mod jobs;
mod manual;
mod materialized_view;
mod mcp;
mod name_argument;
mod node;
mod open_cluster;
mod options;
mod output;
mod password;
mod plugin_files;
mod plugins;
mod promql;
mod query;
mod query_group;
mod rename;
mod restore;
mod roles;
mod row_deletes;
mod rows;
mod rules;
mod show;
mod status;
mod sync;
mod token;
mod token_file;
mod trigger;
mod undelete;
mod update;
mod users;
mod write;

use std::{ffi::OsString, io, path::PathBuf};

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use neap_bucket::World;
use neap_catalog::{ChangeOrigin, origin};
use neap_query::THREAD_STACK_BYTES;
use neap_server::{ServeArgs, Variables, console::Console, legacy_flags};
use tokio::runtime::Runtime;

pub use self::environment::Environment;
pub(crate) use self::error::{CommandError, CommandResult};

/// Exit status of a failed command.
const FAILED: u8 = 1;
/// Exit status of an invalid command line.
const USAGE: u8 = 2;

const AFTER_HELP: &str = "\
Without a command, the server is started: `neap` is `neap serve`.
Options can be set by environment variables, by a .env file in the working directory, and by a
configuration file: --config, NEAP_CONFIG, or neap.toml here, in ~/.config/neap or in /etc/neap.";

/// A time series database on object storage.
#[derive(Debug, Parser)]
#[command(name = "neap", version, after_help = AFTER_HELP, disable_help_subcommand = true, arg_required_else_help = false)]
struct CommandLine {
    #[command(flatten)]
    runtime: legacy_flags::RuntimeFlags,

    /// Print all help.
    #[arg(long, global = true, action = ArgAction::HelpLong, hide_short_help = true)]
    help_all: Option<bool>,

    /// The configuration file, instead of the default locations.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand, strum::IntoStaticStr)]
enum CliCommand {
    /// Start the server: all functions in one process, on one port. The default.
    Serve(Box<ServeArgs>),
    /// Query a database.
    #[command(visible_alias = "q")]
    Query(query::QueryArgs),
    /// Write line protocol or files to a database.
    #[command(visible_alias = "w")]
    Write(write::WriteArgs),
    /// Export tables, a query or a whole database as files.
    Export(Box<export::ExportArgs>),
    /// Import files as jobs of a server, or the data of another database.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Create a bucket, a database, a table, a column, a cache, a token, a user, a role, a trigger, or an index.
    #[command(subcommand)]
    Create(create::CreateCommand),
    /// Delete a database, a table, a column, an alias, rows, a cache, a token, a trigger, or an index.
    #[command(subcommand)]
    Delete(delete::DeleteCommand),
    /// Cancel a request to delete rows, a backup, or a restore.
    #[command(subcommand)]
    Cancel(cancel::CancelCommand),
    /// Revert the deletion of a database or a table.
    #[command(subcommand)]
    Undelete(undelete::UndeleteCommand),
    /// Rename a database, a table or a column.
    #[command(subcommand)]
    Rename(rename::RenameCommand),
    /// Change how long a database or a table keeps rows, the type of a column, or the plugin of a trigger.
    #[command(subcommand)]
    Update(update::UpdateCommand),
    /// Enable a trigger.
    #[command(subcommand)]
    Enable(trigger::EnableCommand),
    /// Disable a trigger.
    #[command(subcommand)]
    Disable(trigger::DisableCommand),
    /// List the contents of a server or a store.
    #[command(subcommand)]
    Show(show::ShowCommand),
    /// Show the state of a backup or a restore.
    #[command(subcommand)]
    Status(status::StatusCommand),
    /// Try a plugin, without writing anything.
    #[command(subcommand)]
    Test(plugins::TestCommand),
    /// Install plugins, and packages for them.
    #[command(subcommand)]
    Install(plugins::InstallCommand),
    /// Record that a process was stopped.
    #[command(subcommand)]
    Stop(node::StopCommand),
    /// Remove a stopped process from the list of nodes.
    #[command(subcommand)]
    Remove(node::RemoveCommand),
    /// Flush, merge and clean up databases now, directly on the store.
    Compact(Box<compact::CompactArgs>),
    /// Check the integrity of a store, directly on the store.
    Fsck(Box<fsck::FsckArgs>),
    /// Show or raise the format level of a cluster, directly on the store: after an upgrade of all programs.
    #[strum(serialize = "Format-level")]
    FormatLevel(Box<format_level::FormatLevelArgs>),
    /// Create a database from an earlier version of one, directly on the store, without copying data.
    Restore(Box<restore::RestoreArgs>),
    /// Copy a cluster to another place as a backup, on the store itself. It may be in use.
    Copy(Box<copy::CopyArgs>),
    /// Ship the rows of a database to a database of another cluster, on the store itself. It may be in use.
    Sync(Box<sync::SyncArgs>),
    /// Test whether a store supports the operations that Neap needs. Takes about 1,500 requests.
    #[strum(serialize = "Check-store")]
    CheckStore(Box<check_store::CheckStoreArgs>),
    /// Sign in or out as a user, or set another password.
    #[command(subcommand)]
    Auth(Box<auth::AuthCommand>),
    /// Create the first administrators.
    #[command(subcommand)]
    Manage(Box<users::ManageCommand>),
    /// Require a user to set another password.
    #[command(subcommand)]
    User(users::UserCommand),
    /// Check the configuration file and the environment.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Let agents use a server: the Model Context Protocol over the standard input and output.
    Mcp(mcp::McpArgs),
    /// Print a script with which a shell completes commands.
    Completions(manual::CompletionsArgs),
    /// Print the manual, or write a page of it for each command.
    Man(manual::ManArgs),
    /// Commands under their names in `influxdb3`.
    #[command(subcommand, hide = true)]
    Debug(DebugCommand),
}

#[derive(Debug, Subcommand)]
enum DebugCommand {
    /// Test whether a store supports the operations that Neap needs.
    ObjectStoreCheck(Box<check_store::CheckStoreArgs>),
    /// Show the catalogs of a cluster, directly on the store.
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
}

impl CliCommand {
    /// Returns the command's name for `<name> command failed`.
    fn name(&self) -> &'static str {
        match self {
            Self::Debug(DebugCommand::Catalog(_)) => "Catalog",
            Self::Debug(DebugCommand::ObjectStoreCheck(_)) => "Check-store",
            command => command.into(),
        }
    }

    async fn run(
        &self,
        environment: &Environment,
        console: &mut Console,
        world: World,
    ) -> CommandResult {
        match self {
            Self::Query(args) => query::run(args, environment, console, world).await,
            Self::Write(args) => write::run(args, console, world).await,
            Self::Export(args) => export::run(args, console, world).await,
            Self::Import(command) => import::run(command, environment, console, world).await,
            Self::Create(command) => create::run(command, console, world).await,
            Self::Delete(command) => delete::run(command, console).await,
            Self::Cancel(command) => cancel::run(command, console).await,
            Self::Undelete(command) => undelete::run(command, console).await,
            Self::Rename(command) => rename::run(command, console).await,
            Self::Update(command) => update::run(command, console).await,
            Self::Enable(command) => trigger::enable(command, console).await,
            Self::Disable(command) => trigger::disable(command, console).await,
            Self::Test(command) => plugins::test(command, console).await,
            Self::Install(command) => plugins::install(command, console).await,
            Self::Stop(command) => node::stop(command, console, &world).await,
            Self::Remove(command) => node::remove(command, console).await,
            Self::Completions(args) => manual::complete(args, definition(), console),
            Self::Man(args) => manual::man(args, definition(), console),
            Self::Mcp(args) => mcp::run(args, world).await,
            Self::Show(command) => show::run(command, console, world).await,
            Self::Status(command) => status::run(command, console).await,
            Self::Serve(args) => Ok(neap_server::run(args, environment, console, world).await?),
            Self::Compact(args) => compact::run(args, console, world).await,
            Self::Fsck(args) => fsck::run(args, console, world).await,
            Self::FormatLevel(args) => format_level::run(args, console, world).await,
            Self::Restore(args) => restore::run(args, console, world).await,
            Self::Copy(args) => copy::run(args, console, world).await,
            Self::Sync(args) => sync::run(args, console, world).await,
            Self::Auth(command) => auth::run(command, console, world).await,
            Self::Manage(command) => users::manage(command, console).await,
            Self::User(command) => users::run(command, console).await,
            Self::Config(command) => {
                let parse = || serve_args(environment);
                config::run(command, environment, console, &definition(), &world, parse)
            }
            Self::Debug(DebugCommand::Catalog(command)) => {
                catalog::run(command, console, world).await
            }
            Self::CheckStore(args) | Self::Debug(DebugCommand::ObjectStoreCheck(args)) => {
                check_store::run(args, console, world).await
            }
        }
    }
}

/// Runs a command line and returns the exit status: 0 for success, 1 for a failure, 2 for an invalid command line.
/// `args` starts with the program's name.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    console: &mut Console,
) -> u8 {
    console.no_color |= environment.get("NO_COLOR").is_some();
    let args: Vec<OsString> = args.into_iter().collect();
    let file = config::find(config::named_in(&args), environment, &definition());
    let (file, refused) = match file {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error)),
    };
    let environment = &environment.clone().with_config(file);
    let command_line = match (parse(args, environment), refused) {
        (Ok(command_line), None) => command_line,
        (Err(error), None) => return explain(&error, console),
        // Show help even if the configuration file is invalid.
        (Err(error), Some(_)) if is_asked_for(&error) => return explain(&error, console),
        (_, Some(error)) => {
            console.report(format_args!("invalid configuration:\n{error}"));
            return FAILED;
        }
    };
    let command = command_line.command;
    let is_check = matches!(command, CliCommand::Config(_));
    for warning in environment.warnings(&definition(), is_check) {
        console.report(format_args!("warning: {warning}"));
    }
    let outcome = runtime().map_err(CommandError::Runtime).and_then(|runtime| {
        let command = command.run(environment, console, World::system());
        // Changes that a command makes directly on the store are attributed to the local origin.
        let outcome = runtime.block_on(origin::scope(ChangeOrigin::local(), command));
        // Don't wait for threads that are blocked reading the standard input.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => 0,
        // The reader closed the pipe early, as `head` does; this is not a failure.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(CommandError::Usage(error)) => explain(&error, console),
        Err(error) => {
            let text = format!("{} command failed: {error}", command.name());
            console.report_text(&text);
            if let Some(hint) = error.hint() {
                console.report(hint);
            }
            FAILED
        }
    }
}

/// Builds the commands and their options, with examples.
fn definition() -> clap::Command {
    examples::add(CommandLine::command())
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(THREAD_STACK_BYTES)
        .enable_all()
        .build()
}

fn parse(
    args: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<CommandLine, clap::Error> {
    let command = environment.apply(definition());
    let matches = command.try_get_matches_from(with_command(args.into_iter().collect()))?;
    CommandLine::from_arg_matches(&matches)
}

/// Returns the options of `neap serve` without any flag.
fn serve_args(environment: &Environment) -> Result<ServeArgs, clap::Error> {
    match parse(["neap".into(), "serve".into()], environment)?.command {
        CliCommand::Serve(args) => Ok(*args),
        _ => Err(clap::Error::new(ErrorKind::InvalidSubcommand)),
    }
}

/// Inserts `serve` into the arguments if they name no command. `neap help COMMAND` becomes `neap COMMAND --help`.
fn with_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let mut at = 1;
    while let Some(flag) = args.get(at).and_then(|arg| arg.to_str())
        && let Some(name) = flag.strip_prefix("--")
    {
        let (name, has_value) = match name.split_once('=') {
            Some((name, _)) => (name, true),
            None => (name, false),
        };
        if !legacy_flags::is_runtime_flag(name) && name != "config" {
            break;
        }
        at += if has_value { 1 } else { 2 };
    }
    if args.get(at).is_some_and(|arg| arg == "help") {
        args.remove(at);
        args.push("--help".into());
        return args;
    }
    let is_for_all = |arg: &str| matches!(arg, "-h" | "--help" | "--help-all" | "-V" | "--version");
    let serves = match args.get(at).map(|arg| arg.to_string_lossy()) {
        None => true,
        Some(arg) => arg.starts_with('-') && !is_for_all(&arg),
    };
    if serves {
        args.insert(at.min(args.len()), "serve".into());
    }
    args
}

fn is_asked_for(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// Prints the parser's output: help, the version, or an error.
fn explain(error: &clap::Error, console: &mut Console) -> u8 {
    let is_asked_for = is_asked_for(error);
    let has_colors = if is_asked_for {
        console.out_has_colors()
    } else {
        console.err_has_colors()
    };
    let rendered = if has_colors {
        error.render().ansi().to_string()
    } else {
        error.render().to_string()
    };
    let text = rendered.trim_end();
    if is_asked_for {
        console.print(text).ok();
        0
    } else {
        console.report(text);
        USAGE
    }
}

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
