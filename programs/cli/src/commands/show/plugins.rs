//! `neap show plugins`: lists the plugins of triggers, or those of a repository.

use clap::{Args, ValueEnum, error::ErrorKind};
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::listing::{ListArgs, list};
use crate::commands::{
    CommandError, CommandResult,
    rows::{RowFormat, Rows},
};

const AVAILABLE: &str = "/api/v3/plugins/available";

/// The options of `neap show plugins`.
#[derive(Debug, Args)]
pub(in crate::commands) struct ShowPluginsArgs {
    /// List those that `neap install plugin` can install.
    #[arg(long)]
    available: bool,

    /// The repository: an address, or a folder of the server. That of the server by default.
    #[arg(long, value_name = "URL|FOLDER", requires = "available")]
    plugin_repo: Option<String>,

    #[command(flatten)]
    list: ListArgs,
}

/// A plugin of a repository.
#[derive(Deserialize)]
struct AvailablePlugin {
    plugin: String,
    version: String,
    triggers: Vec<String>,
    python: Vec<String>,
    plugins: Vec<String>,
    description: String,
}

/// Lists plugins.
pub(super) async fn run(args: &ShowPluginsArgs, console: &mut Console) -> CommandResult {
    if !args.available {
        return list("plugin_files", &args.list, console).await;
    }
    let output = &args.list.output;
    let format = RowFormat::from_str(output.format.as_str(), false).map_err(|_| {
        let text = "the plugins of a repository can't be listed as Parquet\n";
        CommandError::Usage(clap::Error::raw(ErrorKind::InvalidValue, text))
    })?;
    let client = args.list.connection.client(None)?;
    let query: Vec<_> =
        args.plugin_repo.iter().map(|place| ("repository", place.as_str())).collect();
    let plugins: Vec<AvailablePlugin> = client.fetch_json(Method::GET, AVAILABLE, &query).await?;
    let rows = plugins.into_iter().map(|plugin| {
        let needed = plugin.python.into_iter().chain(plugin.plugins);
        let cells = [
            plugin.plugin,
            plugin.version,
            plugin.triggers.join(", "),
            needed.collect::<Vec<_>>().join(", "),
            plugin.description,
        ];
        Vec::from(cells.map(Value::from))
    });
    let rows = Rows::new(&["plugin", "version", "triggers", "needs", "description"], rows);
    output.deliver_text(&rows.render(format), console)
}
