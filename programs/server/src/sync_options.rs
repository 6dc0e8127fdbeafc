//! The options of the synchronization with another cluster.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use neap_assembly::options::parse_nonzero_duration;
use neap_sync::{HttpTarget, HttpTargetError, HttpTargetSettings, ShipperSettings, SiteIdentity};
use url::Url;

use super::{error::ServeError, private_file};

/// The options of the synchronization with another cluster.
#[derive(Args, Clone, Debug)]
pub(super) struct SyncArgs {
    /// The address of a server to which rows of databases are shipped as those of a site.
    #[arg(long, value_name = "URL")]
    sync_to: Option<Url>,

    /// The databases that are shipped, separated by commas. NAME=OTHER ships to the database OTHER there.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    sync_databases: Vec<String>,

    /// The name of this site: letters, digits, '-', '_' and '.'.
    #[arg(long, value_name = "NAME")]
    sync_site: Option<String>,

    /// The file with the access token for the server.
    #[arg(long, value_name = "FILE")]
    pub(super) sync_token_file: Option<PathBuf>,

    /// A PEM file of certificate authorities of the server, to trust beside those of the system.
    #[arg(long, value_name = "FILE")]
    sync_tls_ca: Option<PathBuf>,

    /// How often to look for new rows.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "10s")]
    sync_interval: Duration,

    /// Leave out the rows that were flushed before the first start.
    #[arg(long)]
    sync_skip_history: bool,
}

/// A target, and what is shipped to it.
#[derive(Debug)]
pub(super) struct SyncPlan {
    pub(super) target: HttpTarget,
    /// The names of databases with the settings of their shippers.
    pub(super) databases: Vec<(String, ShipperSettings)>,
}

impl SyncArgs {
    /// Returns the target, and what is shipped to it; `None` if nothing is. An option may come from the environment, which the
    /// command-line parser does not see, so the options that belong together are checked here.
    ///
    /// # Errors
    /// An option is missing, or the token or the certificates can't be read.
    pub(super) fn target(&self) -> Result<Option<SyncPlan>, ServeError> {
        let Some(url) = &self.sync_to else {
            return Ok(None);
        };
        let site = self.sync_site.as_ref().ok_or(ServeError::IncompleteSync("--sync-site"))?;
        if self.sync_databases.is_empty() {
            return Err(ServeError::IncompleteSync("--sync-databases"));
        }
        let token = match &self.sync_token_file {
            None => None,
            Some(path) => Some(private_file::read_secret(path).map_err(|error| {
                ServeError::Sync(format!("--sync-token-file {}: {error}", path.display()))
            })?),
        };
        let connection = HttpTargetSettings { url, tls_ca: self.sync_tls_ca.as_deref() };
        let token_text = token.as_ref().map(|token| token.reveal().trim());
        let target = HttpTarget::new(connection, token_text)?;
        let databases = self.sync_databases.iter().map(String::as_str).map(|text| {
            let (name, database) = text.split_once('=').unwrap_or((text, text));
            let settings = ShipperSettings {
                identity: SiteIdentity { database: database.to_owned(), site: site.clone() },
                skips_history: self.sync_skip_history,
                part_bytes: ShipperSettings::PART_BYTES,
                interval: self.sync_interval,
            };
            (name.to_owned(), settings)
        });
        Ok(Some(SyncPlan { target, databases: databases.collect() }))
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

    fn plan(arguments: &[&str]) -> Result<Option<SyncPlan>, ServeError> {
        let all = ["neap"].iter().chain(arguments);
        CommandLine::try_parse_from(all).unwrap().sync.target()
    }

    fn check(arguments: &[&str]) -> Result<(), String> {
        plan(arguments).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn a_target_needs_a_site_and_databases() {
        let to = ["--sync-to", "http://127.0.0.1:1"];
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&to), Err("--sync-to is set, but --sync-site is not".to_owned()));
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
        let planned = plan(&[
            "--sync-to",
            "http://127.0.0.1:1",
            "--sync-site",
            "plant-1",
            "--sync-databases",
            "line,power=plants",
        ]);
        let databases = planned.unwrap().unwrap().databases.into_iter();
        let names = databases.map(|(name, settings)| (name, settings.identity.database));
        let expected = [("line", "line"), ("power", "plants")];
        let owned = expected.map(|(name, target)| (name.to_owned(), target.to_owned()));
        assert_eq!(names.collect::<Vec<_>>(), owned);
    }
}
