//! `neap sync`: ships the rows of a database to a database of another cluster.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use indicatif::HumanBytes;
use neap_assembly::options::parse_nonzero_duration;
use neap_bucket::{Secret, StoreConfig, World};
use neap_server::console::Console;
use neap_sync::{
    HttpTarget, HttpTargetSettings, ShippedCounts, Shipper, ShipperSettings, SiteIdentity,
    SiteSource,
};
use reqwest::Url;

use super::{
    CommandError, CommandResult,
    open_cluster::OpenCluster,
    options::{DatabaseArgs, parse_url},
};

/// The options of `neap sync`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("work").required(true))]
pub(super) struct SyncArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// The address of the server that receives the rows.
    #[arg(long, value_name = "URL", value_parser = parse_url, group = "work")]
    to: Option<Url>,

    /// The database there; by default, it has the same name. It must exist.
    #[arg(long, value_name = "NAME")]
    to_database: Option<String>,

    /// The name of this site: letters, digits, '-', '_' and '.'. It is the tag `site` of all rows there.
    #[arg(long, value_name = "NAME", required_unless_present = "stop")]
    site: Option<String>,

    /// Keep new rows for a later start, and ship nothing.
    #[arg(long, group = "work")]
    hold: bool,

    /// Go on with new rows until the command is interrupted.
    #[arg(long, requires = "to")]
    follow: bool,

    /// How often to look for new rows.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_nonzero_duration, requires = "follow")]
    interval: Duration,

    /// Leave out the rows that were flushed before the first start. Export and import them.
    #[arg(long)]
    skip_history: bool,

    /// End the synchronization of the database for ever: its new rows are no longer kept for it.
    #[arg(long, group = "work")]
    stop: bool,

    /// The access token for the server.
    #[arg(long, value_name = "TOKEN")]
    token: Option<Secret>,

    /// A PEM file of certificate authorities to trust beside those of the system.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    #[command(flatten)]
    store: StoreConfig,
}

/// Ships the rows of a database, which may be in use.
///
/// # Errors
///
/// The store can't be used, or the server refuses the rows.
pub(super) async fn run(args: &SyncArgs, console: &mut Console, world: World) -> CommandResult {
    let cluster = OpenCluster::open(&args.store, &world).await?;
    let database = cluster.database(&args.database.database).await?;
    let source = SiteSource::open(cluster.catalog, cluster.manifests, database).await?;
    let Some(site) = args.site.as_ref().filter(|_| !args.stop) else {
        return Ok(source.release().await?);
    };
    let settings = settings(args, site);
    let shipper = Shipper::new(&source, &settings);
    let Some(to) = &args.to else {
        return Ok(shipper.hold().await?);
    };
    let mut counts = ShippedCounts::default();
    let shipped = ship(args, to, &shipper, &mut counts).await;
    console.print(shown(&counts)).map_err(CommandError::Output)?;
    shipped
}

async fn ship(
    args: &SyncArgs,
    to: &Url,
    shipper: &Shipper<'_>,
    counts: &mut ShippedCounts,
) -> CommandResult {
    let connection = HttpTargetSettings { url: to, tls_ca: args.tls_ca.as_deref() };
    let target = HttpTarget::new(connection, args.token.as_ref().map(Secret::reveal))?;
    if args.follow {
        shipper.follow(&target, counts).await?;
    } else {
        shipper.ship_all(&target, counts).await?;
    }
    Ok(())
}

/// Returns a line about what was shipped.
fn shown(counts: &ShippedCounts) -> String {
    let ShippedCounts { parts, rows, deletes, bytes } = counts;
    let size = HumanBytes(u64::try_from(*bytes).unwrap_or(u64::MAX));
    format!("{rows} rows and {deletes} deletes shipped in {parts} parts with {size}")
}

fn settings(args: &SyncArgs, site: &str) -> ShipperSettings {
    let database = args.to_database.as_ref().unwrap_or(&args.database.database);
    ShipperSettings {
        identity: SiteIdentity { database: database.clone(), site: site.to_owned() },
        skips_history: args.skip_history,
        part_bytes: ShipperSettings::PART_BYTES,
        interval: args.interval,
    }
}
