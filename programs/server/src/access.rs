//! Authentication options of the server.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use neap_assembly::options::parse_duration;
use neap_bucket::Secret;
use neap_catalog::Catalog;
use neap_http::{AccessControl, AuthSettings, Authenticator, ExemptEndpoint, Metrics};
use neap_identity::{IdentityOptions, IdentityService};

use super::ServeError;

/// Default address of the token recovery.
const RECOVERY_ADDRESS: &str = "127.0.0.1:8182";

/// The options of authentication.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// Disable authentication: accept all requests without tokens.
    #[arg(long)]
    pub(super) without_auth: bool,

    /// Endpoints that require no token.
    #[arg(long, value_enum, value_name = "ENDPOINT", value_delimiter = ',')]
    pub(super) disable_authz: Vec<Endpoint>,

    /// A file with the admin token that the cluster gets if it has none: what `neap create token --admin
    /// --offline` writes.
    #[arg(long, value_name = "FILE")]
    pub(super) admin_token_file: Option<PathBuf>,

    /// The SHA-512 of the admin token in hexadecimal, which the cluster gets if it has none.
    #[arg(
        long,
        value_name = "HASH",
        hide_env_values = true,
        conflicts_with = "admin_token_file"
    )]
    pub(super) admin_token_hash: Option<Secret>,

    /// An address where one request can replace a lost admin token without authentication.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = RECOVERY_ADDRESS)]
    pub(super) admin_token_recovery_http_bind: Option<SocketAddr>,

    /// Maximum time that a token or session remains valid here after another process has ended it.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5s")]
    pub(super) catalog_sync_interval: Duration,

    #[command(flatten)]
    pub(super) users: IdentityOptions,
}

/// Endpoints whose token check can be disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Endpoint {
    /// `/health` and `/api/v1/health`
    Health,
    /// `/ping`
    Ping,
    /// `/metrics`
    Metrics,
    /// `/ready`
    Ready,
    /// `/debug/pprof`
    Pprof,
}

impl Endpoint {
    fn exempt(self) -> ExemptEndpoint {
        match self {
            Self::Health => ExemptEndpoint::Health,
            Self::Ping => ExemptEndpoint::Ping,
            Self::Metrics => ExemptEndpoint::Metrics,
            Self::Ready => ExemptEndpoint::Ready,
            Self::Pprof => ExemptEndpoint::Profiles,
        }
    }
}

impl AccessArgs {
    /// Returns the address where the admin token can be replaced without a token, if authentication is enabled.
    pub(super) fn recovery_address(&self) -> Option<SocketAddr> {
        let address = self.admin_token_recovery_http_bind;
        address.filter(|_| !self.without_auth)
    }

    /// Returns the access control that the options define.
    pub(super) fn access(&self, catalog: &Arc<Catalog>, metrics: &Metrics) -> AccessControl {
        if self.without_auth {
            return AccessControl::Open;
        }
        let unguarded = self.disable_authz.iter();
        let settings = AuthSettings {
            max_age: self.catalog_sync_interval,
            unguarded: unguarded.map(|endpoint| endpoint.exempt()).collect(),
            session_issuer: self.users.session_issuer(),
            ..AuthSettings::default()
        };
        let authenticator = Authenticator::new(Arc::clone(catalog), metrics, settings);
        AccessControl::Tokens(Arc::new(authenticator))
    }

    /// Returns whether users can sign in at the processes that accept writes.
    pub(super) fn has_users(&self) -> bool {
        !self.without_auth && self.users.session_issuer().is_some()
    }

    /// Returns whether users can sign in with a password.
    pub(super) fn has_passwords(&self) -> bool {
        !self.without_auth && self.users.allows_passwords()
    }

    /// Returns the service that signs users in; `None` if the options let no users sign in.
    pub(super) fn identity(
        &self,
        catalog: &Arc<Catalog>,
    ) -> Result<Option<Arc<IdentityService>>, ServeError> {
        let settings = self.users.settings()?.filter(|_| !self.without_auth);
        let service = settings.map(|settings| IdentityService::new(Arc::clone(catalog), settings));
        Ok(service.transpose()?.map(Arc::new))
    }
}
