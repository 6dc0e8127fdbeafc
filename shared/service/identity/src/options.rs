//! The options of the programs.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use neap_bucket::{MAX_PEM_BYTES, read_limited_text};
use url::Url;

use crate::{
    IdentitySettings, OidcSettings, PasswordCost, SettingsError,
    key_file::{ConfiguredKey, KeyFileError},
    oidc::is_secure,
};

/// A way to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UserAuthType {
    /// Users can't sign in: requests need a token
    None,
    /// A name and a password
    Basic,
    /// An identity provider with OpenID Connect
    Oauth,
}

/// The options of sign-ins.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Users")]
pub struct IdentityOptions {
    /// Ways in which users sign in, separated by commas
    #[arg(
        long,
        value_enum,
        value_name = "TYPE",
        value_delimiter = ',',
        default_value = "none"
    )]
    pub user_auth_type: Vec<UserAuthType>,

    /// The old form of `--user-auth-type`: `false` means `basic`
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", hide = true)]
    pub without_user_auth: Option<bool>,

    /// The id of the key that signs the tokens of sessions. By default, the thumbprint of the key
    #[arg(long, value_name = "ID")]
    pub jwt_key_id: Option<String>,

    /// A PEM file with the private key that signs the tokens of sessions: RSA in PKCS#1 or PKCS#8, or Ed25519 in
    /// PKCS#8. By default, Neap generates a key and keeps it in the catalog
    #[arg(long, value_name = "FILE")]
    pub jwt_private_key: Option<PathBuf>,

    /// The issuer in the tokens of sessions. The same for all processes of a cluster
    #[arg(long, value_name = "ISSUER", default_value = IdentitySettings::DEFAULT_ISSUER)]
    pub jwt_issuer: String,

    /// The lifetime of an access token, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = IdentitySettings::DEFAULT_ACCESS_LIFETIME.as_secs())]
    pub jwt_default_ttl_seconds: u64,

    /// The issuer of the identity provider: a URL with `/.well-known/openid-configuration` below it
    #[arg(long, value_name = "URL")]
    pub oauth_issuer: Option<Url>,

    /// The audience that tokens of the provider must have. By default, the client id
    #[arg(long, value_name = "AUDIENCE")]
    pub oauth_audience: Option<String>,

    /// The client id with which the console and `neap auth login` sign in at the provider
    #[arg(long, value_name = "ID")]
    pub oauth_client_id: Option<String>,

    /// Scopes that the console and `neap auth login` request, separated by commas or spaces
    #[arg(
        long,
        value_name = "SCOPES",
        value_delimiter = ',',
        default_value = "openid,profile,email"
    )]
    pub oauth_scopes: Vec<String>,

    /// Groups at the provider that grant a role, separated by commas: `ops=Admin,audit=Auditor`
    #[arg(long, value_name = "GROUP=ROLE", value_delimiter = ',', value_parser = parse_group_role)]
    pub oauth_group_roles: Vec<(String, String)>,
}

fn parse_group_role(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((group, role)) if !group.is_empty() && !role.is_empty() => {
            Ok((group.to_owned(), role.to_owned()))
        }
        _ => Err("it is written as group=role".to_owned()),
    }
}

impl IdentityOptions {
    fn has(&self, kind: UserAuthType) -> bool {
        let is_default = self.user_auth_type == [UserAuthType::None];
        let is_old_form = is_default && self.without_user_auth == Some(false);
        self.user_auth_type.contains(&kind) || kind == UserAuthType::Basic && is_old_form
    }

    /// Returns whether users can sign in with a password.
    pub fn allows_passwords(&self) -> bool {
        self.has(UserAuthType::Basic)
    }

    /// Returns the issuer of the tokens of sessions; `None` if users can't sign in.
    pub fn session_issuer(&self) -> Option<String> {
        let is_enabled = self.allows_passwords() || self.has(UserAuthType::Oauth);
        is_enabled.then(|| self.jwt_issuer.clone())
    }

    /// Returns the settings; `None` if users can't sign in.
    ///
    /// # Errors
    /// The options are unusable, or the key file can't be read.
    pub fn settings(&self) -> Result<Option<IdentitySettings>, SettingsError> {
        let allows_passwords = self.allows_passwords();
        let provider = if self.has(UserAuthType::Oauth) {
            Some(self.provider()?)
        } else {
            None
        };
        if !allows_passwords && provider.is_none() {
            return Ok(None);
        }
        if !(10..=86_400).contains(&self.jwt_default_ttl_seconds) {
            return Err(SettingsError::Lifetime);
        }
        Ok(Some(IdentitySettings {
            allows_passwords,
            provider,
            issuer: self.jwt_issuer.clone(),
            access_lifetime: Duration::from_secs(self.jwt_default_ttl_seconds),
            key: self.key()?,
            password_cost: PasswordCost::default(),
        }))
    }

    fn provider(&self) -> Result<OidcSettings, SettingsError> {
        let missing = |option| SettingsError::Missing { option };
        let issuer = self.oauth_issuer.clone().ok_or_else(|| missing("--oauth-issuer"))?;
        if !is_secure(&issuer) {
            return Err(SettingsError::Issuer);
        }
        let client_id = self.oauth_client_id.clone().ok_or_else(|| missing("--oauth-client-id"))?;
        let scopes = self.oauth_scopes.iter().flat_map(|scopes| scopes.split_whitespace());
        let group_roles: BTreeMap<String, String> =
            self.oauth_group_roles.iter().cloned().collect();
        Ok(OidcSettings {
            issuer,
            audience: self.oauth_audience.clone().unwrap_or(client_id.clone()),
            client_id,
            scopes: scopes.map(str::to_owned).collect(),
            group_roles,
        })
    }

    fn key(&self) -> Result<Option<ConfiguredKey>, SettingsError> {
        let Some(path) = &self.jwt_private_key else {
            return Ok(None);
        };
        let failed = |error| SettingsError::KeyFile { path: path.display().to_string(), error };
        let pem = read_limited_text(path, MAX_PEM_BYTES).map_err(|error| {
            let reason = error.to_string();
            failed(KeyFileError::Unreadable { reason })
        })?;
        let key = ConfiguredKey::from_pem(&pem, self.jwt_key_id.as_deref());
        key.map(Some).map_err(failed)
    }
}
