//! The task that ships databases of this process to another cluster.

use std::{num::NonZeroU64, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use futures::future::join_all;
use neap_assembly::options::{parse_bytes, parse_nonzero_duration};
use neap_bucket::World;
use neap_catalog::{Catalog, CatalogError};
use neap_manifest::ManifestStore;
use neap_sync::{
    DEFAULT_TAG, HttpTarget, HttpTargetError, HttpTargetSettings, ShipError, ShippedCounts,
    Shipper, ShipperSettings, SiteIdentity, SiteSource,
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{error::ServeError, server_context::ServerContext, this_machine::is_this_machine};

/// The pause before a database is looked for again, and after an error that does not pass by itself.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// The options of the synchronization with another cluster.
#[derive(Args, Clone, Debug)]
pub(super) struct SyncArgs {
    /// The address of a server to which rows of databases are shipped as those of a site.
    #[arg(long, value_name = "URL")]
    sync_to: Option<Url>,

    /// The databases that are shipped, separated by commas. NAME=OTHER ships to the database OTHER there.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    sync_databases: Vec<ShippedDatabase>,

    /// The name of this site: letters, digits, '-', '_' and '.'.
    #[arg(long, value_name = "NAME")]
    sync_site: Option<String>,

    /// The tag that has the name of the site in all rows there.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TAG)]
    sync_tag: String,

    /// The file with the access token for the server.
    #[arg(long, value_name = "FILE")]
    sync_token_file: Option<PathBuf>,

    /// A PEM file of certificate authorities of the server, to trust beside those of the system.
    #[arg(long, value_name = "FILE")]
    sync_tls_ca: Option<PathBuf>,

    /// How often to look for new rows.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "10s")]
    sync_interval: Duration,

    /// The most bytes of each database that are sent in a second, such as 64KiB.
    #[arg(long, value_name = "BYTES", value_parser = parse_rate)]
    sync_max_rate: Option<NonZeroU64>,

    /// Leave out the rows that were flushed before the first start.
    #[arg(long)]
    sync_skip_history: bool,
}

/// A database, and the one that it is shipped to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ShippedDatabase {
    name: String,
    target: String,
}

impl FromStr for ShippedDatabase {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, target) = text.split_once('=').unwrap_or((text, text));
        Ok(Self {
            name: name.to_owned(),
            target: target.to_owned(),
        })
    }
}

fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let bytes = parse_bytes(text).map_err(|error| error.to_string())?;
    let rate = u64::try_from(bytes).ok().and_then(NonZeroU64::new);
    rate.ok_or_else(|| "it is zero".to_owned())
}

impl SyncArgs {
    /// Checks that the options that belong together are set. An option may come from the environment, which the command-line
    /// parser does not see.
    ///
    /// # Errors
    /// One is missing, or the token or the certificates can't be read.
    pub(super) fn check(&self) -> Result<(), ServeError> {
        self.target().map(drop)
    }

    /// Returns the target, and what is shipped to it; `None` if nothing is.
    fn target(&self) -> Result<Option<(HttpTarget, Vec<(String, ShipperSettings)>)>, ServeError> {
        let Some(url) = &self.sync_to else {
            return Ok(None);
        };
        let site = self.sync_site.as_ref().ok_or(ServeError::IncompleteSync("--sync-site"))?;
        if self.sync_databases.is_empty() {
            return Err(ServeError::IncompleteSync("--sync-databases"));
        }
        let token = match &self.sync_token_file {
            None => None,
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                ServeError::Sync(format!("--sync-token-file {}: {error}", path.display()))
            })?),
        };
        let connection = HttpTargetSettings {
            url,
            tls_ca: self.sync_tls_ca.as_deref(),
            tls_no_verify: false,
            bypasses_proxy: is_this_machine(url),
        };
        let target = HttpTarget::new(connection, token.as_deref().map(str::trim))?;
        let databases = self.sync_databases.iter().map(|database| {
            let settings = ShipperSettings {
                identity: SiteIdentity {
                    database: database.target.clone(),
                    site: site.clone(),
                    tag: self.sync_tag.clone(),
                },
                target: url.to_string(),
                skips_history: self.sync_skip_history,
                part_bytes: ShipperSettings::PART_BYTES,
                bytes_per_second: self.sync_max_rate.map(NonZeroU64::get),
                interval: self.sync_interval,
            };
            (database.name.clone(), settings)
        });
        Ok(Some((target, databases.collect())))
    }
}

/// Ships databases to another cluster.
#[derive(Debug)]
pub(super) struct SyncTask {
    target: HttpTarget,
    databases: Vec<(String, ShipperSettings)>,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    world: World,
}

/// The reason why a database is not shipped.
#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Ship(#[from] ShipError),
}

impl SyncTask {
    /// Creates the task; `None` if the options ship nothing.
    pub(super) fn new(args: &SyncArgs, base: &ServerContext) -> Result<Option<Self>, ServeError> {
        let Some((target, databases)) = args.target()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            target,
            databases,
            catalog: Arc::clone(&base.catalog),
            manifests: base.manifests.clone(),
            world: base.world.clone(),
        }))
    }

    /// Ships until `stop`, which may interrupt a part: the next start asks where it was.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let databases = self.databases.iter();
        let all = join_all(databases.map(|(name, settings)| self.ship(name, settings)));
        tokio::select! {
            _ = all => {}
            () = stop.cancelled() => {}
        }
    }

    async fn ship(&self, name: &str, settings: &ShipperSettings) {
        loop {
            if let Err(error) = self.try_ship(name, settings).await {
                tracing::error!(database = name, %error, "a database is not shipped");
            }
            self.world.clock.sleep(RETRY_PAUSE).await;
        }
    }

    /// Ships a database, if it exists, until an error that does not pass by itself.
    async fn try_ship(&self, name: &str, settings: &ShipperSettings) -> Result<(), SyncError> {
        let max_age = self.catalog.max_age();
        let Some(database) = self.catalog.database_by_name(name, max_age).await? else {
            tracing::debug!(
                database = name,
                "a database that is to be shipped does not exist"
            );
            return Ok(());
        };
        let (catalog, manifests) = (Arc::clone(&self.catalog), self.manifests.clone());
        let source = SiteSource::open(catalog, manifests, database).await?;
        let mut counts = ShippedCounts::default();
        let shipper = Shipper::new(&source, &self.target, settings);
        Ok(shipper.follow(&mut counts).await?)
    }
}

impl From<HttpTargetError> for ServeError {
    fn from(error: HttpTargetError) -> Self {
        Self::Sync(format!("--sync-to: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        sync: SyncArgs,
    }

    fn check(arguments: &[&str]) -> Result<(), String> {
        let all = ["neap"].iter().chain(arguments);
        let parsed = CommandLine::try_parse_from(all).unwrap();
        parsed.sync.check().map_err(|error| error.to_string())
    }

    #[test]
    fn a_target_needs_a_site_and_databases() {
        let to = ["--sync-to", "http://127.0.0.1:1"];
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(
            check(&to),
            Err("--sync-to is set, but --sync-site is not".to_owned())
        );
        let with_site = [&to[..], &["--sync-site", "plant-1"]].concat();
        assert_eq!(
            check(&with_site),
            Err("--sync-to is set, but --sync-databases is not".to_owned())
        );
        let complete = [&with_site[..], &["--sync-databases", "line,power=plants"]].concat();
        assert_eq!(check(&complete), Ok(()));
        let missing = [&complete[..], &["--sync-token-file", "/missing"]].concat();
        assert!(check(&missing).is_err());
    }

    #[test]
    fn a_database_is_shipped_to_one_of_the_same_name_unless_another_is_named() {
        let parse = |text: &str| text.parse::<ShippedDatabase>().unwrap();
        assert_eq!(parse("line").target, "line");
        let other = parse("power=plants");
        assert_eq!(
            (other.name.as_str(), other.target.as_str()),
            ("power", "plants")
        );
    }
}
