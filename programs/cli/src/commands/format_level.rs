//! `neap format-level`: shows or raises the format level of a cluster, directly on the store.

use std::time::Duration;

use clap::Args;
use neap_bucket::{FormatLevel, FormatLevels, StoreConfig, World};
use neap_server::console::Console;

use super::{CommandError, CommandResult, confirm, open_cluster::OpenCluster};

/// The options of `neap format-level`.
#[derive(Debug, Args)]
pub(super) struct FormatLevelArgs {
    /// The level to raise it to. First replace all servers and functions by a release that knows this level: others then
    /// refuse all requests. It can't be lowered again.
    #[arg(value_name = "LEVEL")]
    level: Option<FormatLevel>,

    /// Don't ask.
    #[arg(short = 'y', long, requires = "level")]
    yes: bool,

    #[command(flatten)]
    store: StoreConfig,
}

/// Prints the level of a cluster and those that this program knows, or raises it.
///
/// # Errors
///
/// The store can't be used or holds no cluster, the level can't be raised to the given one, or the answer is not yes.
pub(super) async fn run(
    args: &FormatLevelArgs,
    console: &mut Console,
    world: World,
) -> CommandResult {
    let OpenCluster { catalog, .. } = OpenCluster::open(&args.store, &world).await?;
    let present = catalog.root(Duration::ZERO).await?.value.format_level();
    let text = match args.level {
        None => format!(
            "The cluster has format level {present}. This program reads and writes {}.",
            FormatLevels::SUPPORTED
        ),
        Some(level) => {
            if level > present && !args.yes {
                confirm::raised_format_level(level, console)?;
            }
            catalog.raise_format_level(level).await?;
            format!("The cluster has format level {level}.")
        }
    };
    console.print(text).map_err(CommandError::Output)
}
