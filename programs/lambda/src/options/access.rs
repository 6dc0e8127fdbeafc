//! Options: authentication.

use std::{sync::Arc, time::Duration};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use neap_assembly::options::parse_duration;
use neap_bucket::Secret;
use neap_catalog::Catalog;
#[cfg(feature = "write")]
use neap_catalog::{TokenHash, TokenHashError};
use neap_http::{AccessControl, AuthSettings, Authenticator, ExemptEndpoint, Metrics};
use neap_identity::IdentityOptions;
#[cfg(feature = "write")]
use neap_identity::IdentityService;

#[cfg(feature = "write")]
use super::OptionsError;

/// Options of authentication, as with `neap serve`.
#[derive(Args, Clone, Debug)]
pub struct AccessOptions {
    /// Disable authentication: accept requests without tokens
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub without_auth: bool,

    /// The SHA-512 of the operator token in hexadecimal, which the cluster gets if it has no administrator token
    #[arg(long, value_name = "HASH", hide_env_values = true)]
    pub admin_token_hash: Option<Secret>,

    /// Give the operator token to the first client that asks for it, or let it create the first user
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub allow_first_token: bool,

    /// Endpoints that require no token
    #[arg(long, value_enum, value_name = "ENDPOINT", value_delimiter = ',')]
    pub disable_authz: Vec<UnguardedEndpoint>,

    /// How long a token or session may remain valid in this instance after it was ended in another
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5s")]
    pub catalog_sync_interval: Duration,

    /// How users sign in
    #[command(flatten)]
    pub users: IdentityOptions,
}

/// An endpoint that can be served without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnguardedEndpoint {
    /// `/health` and `/api/v1/health`
    Health,
    /// `/ping`
    Ping,
    /// `/metrics`
    Metrics,
}

impl From<UnguardedEndpoint> for ExemptEndpoint {
    fn from(endpoint: UnguardedEndpoint) -> Self {
        match endpoint {
            UnguardedEndpoint::Health => Self::Health,
            UnguardedEndpoint::Ping => Self::Ping,
            UnguardedEndpoint::Metrics => Self::Metrics,
        }
    }
}

impl AccessOptions {
    /// Returns the configured access control.
    pub fn access(&self, catalog: &Arc<Catalog>, metrics: &Metrics) -> AccessControl {
        if self.without_auth {
            return AccessControl::Open;
        }
        let settings = AuthSettings {
            max_age: self.catalog_sync_interval,
            unguarded: self.disable_authz.iter().copied().map(Into::into).collect(),
            session_issuer: self.users.session_issuer(),
            ..AuthSettings::default()
        };
        let authenticator = Authenticator::new(Arc::clone(catalog), metrics, settings);
        AccessControl::Tokens(Arc::new(authenticator))
    }
}

#[cfg(feature = "write")]
impl AccessOptions {
    /// Returns the hash of the operator token of a cluster without one. With `--without-auth` it has no effect.
    pub(crate) fn operator_hash(&self) -> Result<Option<TokenHash>, OptionsError> {
        let text = self.admin_token_hash.as_ref().map(|hash| hash.reveal().trim());
        let hash = text.filter(|text| !text.is_empty() && !self.without_auth);
        // The error does not quote the value, which may be a token by mistake.
        hash.map(str::parse::<TokenHash>).transpose().map_err(|error: TokenHashError| {
            OptionsError::Unusable { option: "admin-token-hash", reason: error.to_string() }
        })
    }

    /// Returns whether a client without credentials may create the first ones.
    pub(crate) fn creates_first_credentials(&self) -> bool {
        self.allow_first_token || self.without_auth
    }

    /// Returns the service that signs users in; `None` if the options let no users sign in.
    pub(crate) fn identity(
        &self,
        catalog: &Arc<Catalog>,
    ) -> Result<Option<Arc<IdentityService>>, OptionsError> {
        let unusable = |reason| OptionsError::Unusable { option: "user-auth-type", reason };
        let settings = self
            .users
            .settings()
            .map_err(|error| unusable(error.to_string()))?
            .filter(|_| !self.without_auth);
        let service = settings
            .map(|settings| IdentityService::new(Arc::clone(catalog), settings))
            .transpose()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(service.map(Arc::new))
    }
}
