//! `neap create|update|delete|enable|disable trigger`: manage triggers, which run plugins.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use neap_server::console::Console;
use serde::Serialize;
use serde_json::json;

use super::{
    CommandError, CommandResult,
    confirm::DeletionArgs,
    name_argument::{NameArgument, TriggerName},
    options::{ConnectionArgs, DatabaseArgs, PluginArguments},
    plugin_files::LocalPlugin,
};
use crate::client::{ApiPath, Client};

const TRIGGER: &str = "/api/v3/configure/processing_engine_trigger";
const PLUGIN_FILES: &str = "/api/v3/plugins/files";
const PLUGIN_DIRECTORY: &str = "/api/v3/plugins/directory";

/// The prefixes of `--trigger-spec` (InfluxDB 3 `TriggerSpecificationDefinition::from_string_rep`).
const SPECIFICATIONS: [&str; 4] = ["table:", "cron:", "every:", "request:"];
/// The specification without a parameter.
const ALL_TABLES: &str = "all_tables";

/// The options of `neap create trigger`.
#[derive(Debug, Args)]
pub(super) struct CreateTriggerArgs {
    /// The name of the trigger.
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    /// The plugin: a Python file or a package, by its path below the server's plugin folder, or after `gh:` by
    /// that in the public repository of plugins. With --upload, a file or folder here.
    #[arg(
        short = 'p',
        long,
        visible_alias = "plugin-filename",
        alias = "plugin",
        value_name = "PATH"
    )]
    path: String,

    /// When it runs: on writes with `table:NAME` or `all_tables`, at times with `every:DURATION` or
    /// `cron:EXPRESSION` (six fields, seconds first; in UTC, or in the time zone of `cron:TZ=ZONE EXPRESSION`), on
    /// requests to /api/v3/engine/PATH with `request:PATH`.
    #[arg(long = "trigger-spec", value_name = "SPECIFICATION", value_parser = parse_specification)]
    specification: String,

    /// Arguments of the plugin: `key=value,…`.
    #[arg(long = "trigger-arguments", value_name = "PAIRS")]
    arguments: Vec<PluginArguments>,

    /// Don't let it run before `neap enable trigger`.
    #[arg(long)]
    disabled: bool,

    /// Allow concurrent runs.
    #[arg(long)]
    run_asynchronous: bool,

    /// What to do when the plugin fails.
    #[arg(long, value_enum, default_value = "log")]
    error_behavior: ErrorBehavior,

    /// End the run for a request when the client of the request disconnects.
    #[arg(long)]
    cancel_on_disconnect: bool,

    /// Copy the plugin from here to the server first.
    #[arg(long)]
    upload: bool,

    /// The nodes that run it: `all`, or `nodes:NAME,…`. All of them by default.
    #[arg(long, value_name = "NODES")]
    node_spec: Option<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap update trigger`.
#[derive(Debug, Args)]
pub(super) struct UpdateTriggerArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    trigger_name: NameArgument<TriggerName>,

    /// The new Python file or package, which is here. A package replaces the old one as a whole.
    #[arg(short = 'p', long, value_name = "PATH")]
    path: PathBuf,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete trigger`.
#[derive(Debug, Args)]
pub(super) struct DeleteTriggerArgs {
    /// The name of the trigger.
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    /// Delete it even if it is enabled.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    deletion: DeletionArgs,
}

/// The subcommands of `neap enable`.
#[derive(Debug, Subcommand)]
pub(super) enum EnableCommand {
    /// Enable a trigger.
    Trigger(SwitchTriggerArgs),
}

/// The subcommands of `neap disable`.
#[derive(Debug, Subcommand)]
pub(super) enum DisableCommand {
    /// Disable a trigger.
    Trigger(SwitchTriggerArgs),
}

/// The options of `neap enable trigger` and `neap disable trigger`.
#[derive(Debug, Args)]
pub(super) struct SwitchTriggerArgs {
    /// The name of the trigger.
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Reaction to a failed plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum ErrorBehavior {
    /// Log it.
    Log,
    /// Run it again.
    Retry,
    /// Disable the trigger.
    Disable,
}

/// Validates a specification's prefix. The server interprets the rest.
fn parse_specification(text: &str) -> Result<String, String> {
    let mut parameters = SPECIFICATIONS.iter().filter_map(|prefix| text.strip_prefix(prefix));
    if text == ALL_TABLES || parameters.any(|parameter| !parameter.trim().is_empty()) {
        Ok(text.to_owned())
    } else {
        Err(
            "expected table:NAME, all_tables, cron:EXPRESSION, every:DURATION, or request:PATH"
                .to_owned(),
        )
    }
}

/// Creates a trigger. Returns what to print.
pub(super) async fn create(args: &CreateTriggerArgs) -> CommandResult<String> {
    let client = args.connection.client(None)?;
    let uploaded = if args.upload {
        Some(upload(&client, Path::new(&args.path)).await?)
    } else {
        None
    };
    let mut body = json!({
        "db": args.database.database,
        "plugin_filename": uploaded.as_deref().unwrap_or(&args.path),
        "trigger_name": args.name,
        "trigger_settings": {
            "run_async": args.run_asynchronous,
            "error_behavior": args.error_behavior,
        },
        "trigger_specification": args.specification,
        "trigger_arguments": PluginArguments::by_key(&args.arguments),
        "disabled": args.disabled,
    });
    if args.cancel_on_disconnect {
        body["trigger_settings"]["cancel_on_disconnect"] = json!(true);
    }
    if let Some(nodes) = &args.node_spec {
        body["node_spec"] = json!(nodes);
    }
    client.post_json(TRIGGER, &body).await?;
    Ok(format!("Trigger {} created successfully", args.name))
}

/// Copies a plugin to the server and returns its name there.
async fn upload(client: &Client, path: &Path) -> CommandResult<String> {
    let LocalPlugin { name, is_package, files } = LocalPlugin::read(path)?;
    for file in &files {
        let path = if is_package {
            format!("{name}/{}", file.relative_path)
        } else {
            name.clone()
        };
        let body = json!({ "plugin_name": path, "content": file.content });
        client.post_json(PLUGIN_FILES, &body).await?;
    }
    Ok(name)
}

/// Replaces the plugin of a trigger.
pub(super) async fn update(args: &UpdateTriggerArgs) -> CommandResult<String> {
    let (name, db) = (args.trigger_name.as_str(), &args.database.database);
    let plugin = LocalPlugin::read(&args.path)?;
    let client = args.connection.client(None)?;
    // The server identifies a plugin in use by its trigger, whose name is unique only within a database.
    if plugin.is_package {
        let body = json!({ "plugin_name": name, "db": db, "files": plugin.files });
        client.put_json(PLUGIN_DIRECTORY, &body).await?;
        return Ok(format!("Trigger '{name}' updated successfully (atomic directory replacement)"));
    }
    for file in &plugin.files {
        let body = json!({ "plugin_name": name, "db": db, "content": file.content });
        client.put_json(PLUGIN_FILES, &body).await?;
    }
    Ok(format!("Trigger '{name}' updated successfully"))
}

/// Deletes a trigger. Returns what to print.
pub(super) async fn delete(
    args: &DeleteTriggerArgs,
    console: &mut Console,
) -> CommandResult<String> {
    let (database, name) = (&args.database.database, &args.name);
    let client = args.deletion.confirm_on_terminal(&format!("trigger {name:?}"), console)?;
    let force = args.force.to_string();
    let query = [("db", database.as_str()), ("trigger_name", name), ("force", &force)];
    client.delete(TRIGGER, &query).await?;
    Ok(format!("Trigger {name} deleted successfully"))
}

/// Executes `neap enable`.
pub(super) async fn enable(command: &EnableCommand, console: &mut Console) -> CommandResult {
    let EnableCommand::Trigger(args) = command;
    switch(args, "enable", console).await
}

/// Executes `neap disable`.
pub(super) async fn disable(command: &DisableCommand, console: &mut Console) -> CommandResult {
    let DisableCommand::Trigger(args) = command;
    switch(args, "disable", console).await
}

async fn switch(args: &SwitchTriggerArgs, action: &str, console: &mut Console) -> CommandResult {
    let query = [("db", args.database.database.as_str()), ("trigger_name", &args.name)];
    let client = args.connection.client(None)?;
    client.post(ApiPath::below(TRIGGER, &[action])?, &query).await?;
    let text = format!("Trigger {} {action}d successfully", args.name);
    console.print(text).map_err(CommandError::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_are_validated() {
        for good in ["table:cpu", "all_tables", "cron:0 0 6 * * 1-5", "every:5m", "request:hook"] {
            assert_eq!(parse_specification(good).as_deref(), Ok(good));
        }
        for bad in ["", "table:", "every: ", "tables", "path:x", "all_tables "] {
            assert!(parse_specification(bad).is_err(), "{bad}");
        }
    }
}
