//! Options: authentication.

use std::{sync::Arc, time::Duration};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use neap_assembly::options::parse_duration;
use neap_catalog::Catalog;
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

    /// Returns the service that signs users in; `None` if the options let no users sign in.
    #[cfg(feature = "write")]
    pub(crate) fn identity(
        &self,
        catalog: &Arc<Catalog>,
    ) -> Result<Option<Arc<IdentityService>>, OptionsError> {
        let unusable = |reason| OptionsError::Unusable {
            option: "user-auth-type",
            reason,
        };
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
