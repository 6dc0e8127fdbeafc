//! `neap test` and `neap install`: test plugins, install them and their packages.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use neap_server::console::Console;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    CommandError, CommandResult,
    input_text::InputText,
    options::{ConnectionArgs, DatabaseArgs, PluginArguments},
};

const TEST_WAL: &str = "/api/v3/plugin_test/wal";
const TEST_SCHEDULE: &str = "/api/v3/plugin_test/schedule";
const INSTALL_PLUGIN: &str = "/api/v3/plugins/install";
const INSTALL_PACKAGES: &str = "/api/v3/configure/plugin_environment/install_packages";
const INSTALL_REQUIREMENTS: &str = "/api/v3/configure/plugin_environment/install_requirements";

/// The subcommands of `neap test`.
#[derive(Debug, Subcommand)]
pub(super) enum TestCommand {
    /// Run a plugin for writes on some line protocol. Nothing is written.
    #[command(name = "wal_plugin")]
    Wal(TestWalArgs),
    /// Run a plugin for schedules as if its time had come. Nothing is written.
    #[command(name = "schedule_plugin")]
    Schedule(TestScheduleArgs),
}

/// The subcommands of `neap install`.
#[derive(Debug, Subcommand)]
pub(super) enum InstallCommand {
    /// Install Python packages for the plugins of a server.
    Package(InstallPackageArgs),
    /// Install a plugin of a repository on a server, with the plugins and the Python packages that it needs.
    Plugin(InstallPluginArgs),
}

/// Options of a plugin test.
#[derive(Debug, Args)]
struct PluginArgs {
    /// The plugin's path below the server's plugin folder.
    #[arg(value_name = "FILE")]
    filename: String,

    #[command(flatten)]
    database: DatabaseArgs,

    /// Arguments of the plugin: `key=value,…`.
    #[arg(long, value_name = "PAIRS")]
    input_arguments: Vec<PluginArguments>,

    /// The name of the cache that the plugin has in its memory.
    #[arg(long, value_name = "NAME")]
    cache_name: Option<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap test wal_plugin`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("input").args(["lp", "file"]).required(true))]
pub(super) struct TestWalArgs {
    #[command(flatten)]
    plugin: PluginArgs,

    /// The line protocol.
    #[arg(long, value_name = "LINE_PROTOCOL")]
    lp: Option<String>,

    /// A file with the line protocol, which may be compressed with gzip or zstd; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// The options of `neap test schedule_plugin`.
#[derive(Debug, Args)]
pub(super) struct TestScheduleArgs {
    #[command(flatten)]
    plugin: PluginArgs,

    /// The schedule, in the six fields of cron with seconds first. Every second by default.
    #[arg(long, value_name = "CRON")]
    schedule: Option<String>,
}

/// The options of `neap install package`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").args(["packages", "requirements"]).required(true))]
pub(super) struct InstallPackageArgs {
    /// The packages, as pip calls them.
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,

    /// A requirements file, by its path on the server.
    #[arg(short = 'r', long, value_name = "FILE")]
    requirements: Option<String>,

    #[command(flatten)]
    environment: ServerEnvironmentArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap install plugin`.
#[derive(Debug, Args)]
pub(super) struct InstallPluginArgs {
    /// The plugin: its path in the repository, or its name there.
    #[arg(value_name = "gh:PLUGIN")]
    plugin: String,

    /// The repository: an address, or a folder of the server. That of the server by default.
    #[arg(long, value_name = "URL|FOLDER")]
    plugin_repo: Option<String>,

    /// Don't install the Python packages that it needs.
    #[arg(long)]
    no_dependencies: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A plugin that the server has installed.
#[derive(Deserialize)]
struct InstalledPlugin {
    name: String,
    version: String,
    place: String,
    python: Vec<String>,
}

/// Options that `influxdb3 install package` accepts; here they have no effect, because the installing server has these
/// settings.
#[derive(Debug, Args)]
struct ServerEnvironmentArgs {
    #[arg(long, hide = true)]
    plugin_dir: Option<String>,
    #[arg(long, hide = true)]
    virtual_env_location: Option<String>,
    #[arg(long, hide = true)]
    package_manager: Option<String>,
    #[arg(long, hide = true)]
    plugin_repo: Option<String>,
}

impl ServerEnvironmentArgs {
    /// Returns one line that names the given options; `None` if there are none.
    fn warning(&self) -> Option<String> {
        let given = [
            (&self.plugin_dir, "--plugin-dir"),
            (&self.virtual_env_location, "--virtual-env-location"),
            (&self.package_manager, "--package-manager"),
            (&self.plugin_repo, "--plugin-repo"),
        ];
        let names: Vec<_> = given
            .iter()
            .filter(|(value, _)| value.is_some())
            .map(|(_, name)| *name)
            .collect();
        (!names.is_empty()).then(|| {
            let names = names.join(", ");
            format!("these options have no effect here, set them on `neap serve`: {names}")
        })
    }
}

/// The actions of a plugin, in print order.
#[derive(Deserialize, Serialize)]
struct PluginTestReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger_time: Option<String>,
    log_lines: Vec<String>,
    database_writes: BTreeMap<String, Vec<String>>,
    errors: Vec<String>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// Runs a plugin on the server and prints its actions, including an error of the plugin.
pub(super) async fn test(command: &TestCommand, console: &mut Console) -> CommandResult {
    let (path, plugin, parameter, input) = match command {
        TestCommand::Wal(args) => {
            let lines = match &args.file {
                Some(path) => {
                    let text = InputText {
                        what: "line protocol",
                        command: "neap test wal_plugin",
                        arguments: &[],
                        files: std::slice::from_ref(path),
                    };
                    text.read(console)?
                }
                None => args.lp.clone().unwrap_or_default(),
            };
            (TEST_WAL, &args.plugin, "input_lp", Some(lines))
        }
        TestCommand::Schedule(args) => {
            (TEST_SCHEDULE, &args.plugin, "schedule", args.schedule.clone())
        }
    };
    let body = json!({
        "filename": plugin.filename,
        "database": plugin.database.database,
        "cache_name": plugin.cache_name,
        "input_arguments": PluginArguments::by_key(&plugin.input_arguments),
        (parameter): input,
    });
    let client = plugin.connection.client(None)?;
    let tested: PluginTestReport = client.ask_json(path, &body).await?;
    let text = serde_json::to_string_pretty(&tested)
        .map_err(|error| CommandError::Output(error.into()))?;
    console.print(text).map_err(CommandError::Output)
}

/// Installs packages or a plugin on the server.
pub(super) async fn install(command: &InstallCommand, console: &mut Console) -> CommandResult {
    match command {
        InstallCommand::Package(args) => install_packages(args, console).await,
        InstallCommand::Plugin(args) => install_plugin(args, console).await,
    }
}

async fn install_packages(args: &InstallPackageArgs, console: &mut Console) -> CommandResult {
    if let Some(warning) = args.environment.warning() {
        console.report(warning);
    }
    let client = args.connection.client(None)?;
    let (path, body) = match &args.requirements {
        Some(location) => (INSTALL_REQUIREMENTS, json!({ "requirements_location": location })),
        None => (INSTALL_PACKAGES, json!({ "packages": args.packages })),
    };
    Ok(client.post_json(path, &body).await?)
}

async fn install_plugin(args: &InstallPluginArgs, console: &mut Console) -> CommandResult {
    let client = args.connection.client(None)?;
    let body = json!({ "plugin": args.plugin, "repository": args.plugin_repo });
    let installed: Vec<InstalledPlugin> = client.ask_json(INSTALL_PLUGIN, &body).await?;
    for plugin in &installed {
        let text =
            format!("Plugin {} {} installed in the {}", plugin.name, plugin.version, plugin.place);
        console.print_text(&text).map_err(CommandError::Output)?;
    }
    let packages: BTreeSet<&str> = installed
        .iter()
        .flat_map(|plugin| plugin.python.iter().map(String::as_str))
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.iter().copied().collect::<Vec<_>>().join(", ");
    if args.no_dependencies {
        let text = format!("Python packages needed, but not installed: {names}");
        return console.print_text(&text).map_err(CommandError::Output);
    }
    let text = format!("Installing Python packages: {names}");
    console.print_text(&text).map_err(CommandError::Output)?;
    let body = json!({ "packages": packages });
    client.post_json(INSTALL_PACKAGES, &body).await?;
    console.print("Python packages installed").map_err(CommandError::Output)
}
