//! An identity provider with OpenID Connect.
//!
//! ```text
//!   token ── kid ── keys of the provider (JWKS, cached) ── signature, iss, aud, exp, nbf ── user, groups
//!                     │ unknown kid: read again, at a bounded rate
//!                     └── discovery document (cached)
//! ```

mod documents;
mod provider_http;

use neap_bucket::World;
use neap_catalog::ExternalUser;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    IdentityError, OidcSettings,
    claims::{Audience, Validity},
    jws::{JwsError, UnverifiedToken},
};
use documents::ProviderDocuments;
pub(crate) use provider_http::is_secure;
use provider_http::unusable;

/// Allowance for the difference between the clocks of the provider and of the store, in seconds.
const CLOCK_SKEW_SECONDS: f64 = 60.0;

/// Maximum bytes of the id of a user at the provider.
const MAX_SUBJECT_BYTES: usize = 255;

/// Maximum number of groups of a user that are considered.
const MAX_GROUPS: usize = 1_000;

/// What a client needs to sign in at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderDescription {
    /// The issuer.
    pub issuer: String,
    /// The id of the client.
    pub client_id: String,
    /// The audience that the token must have.
    pub audience: String,
    /// The scopes to request.
    pub scopes: Vec<String>,
    /// Where a device asks for a code, if the provider supports it.
    pub device_authorization_endpoint: Option<String>,
    /// Where a browser signs in.
    pub authorization_endpoint: Option<String>,
    /// Where a client exchanges a code for tokens.
    pub token_endpoint: Option<String>,
}

/// A code with which the provider has sent a browser back (RFC 6749, section 4.1, and RFC 7636). `Debug` hides it.
#[derive(Clone, derive_more::Debug)]
#[debug("AuthorizationCode for {redirect_uri}")]
pub struct AuthorizationCode {
    /// The code.
    pub code: String,
    /// The secret whose hash was in the request for the code.
    pub code_verifier: String,
    /// The address to which the provider has sent the browser.
    pub redirect_uri: String,
}

/// The answer of the provider's token endpoint.
#[derive(Deserialize)]
struct ProviderTokens {
    access_token: Option<String>,
    id_token: Option<String>,
}

/// The claims of a provider's token.
#[derive(Debug, Deserialize)]
struct ProviderClaims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    preferred_username: Option<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: Value,
    name: Option<String>,
    #[serde(default)]
    groups: Value,
}

/// Verifies tokens of an identity provider.
#[derive(Debug)]
pub(crate) struct OidcProvider {
    settings: OidcSettings,
    documents: ProviderDocuments,
}

impl OidcProvider {
    pub(crate) fn new(settings: OidcSettings, world: World) -> Result<Self, IdentityError> {
        Ok(Self {
            documents: ProviderDocuments::new(&settings.issuer, world)?,
            settings,
        })
    }

    /// Returns what a client needs to sign in.
    /// Fails with `Provider`.
    pub(crate) async fn description(&self) -> Result<ProviderDescription, IdentityError> {
        let discovered = self.documents.discovery().await?;
        Ok(ProviderDescription {
            issuer: discovered.issuer.clone(),
            client_id: self.settings.client_id.clone(),
            audience: self.settings.audience.clone(),
            scopes: self.settings.scopes.clone(),
            device_authorization_endpoint: discovered.device_authorization_endpoint.clone(),
            authorization_endpoint: discovered.authorization_endpoint.clone(),
            token_endpoint: discovered.token_endpoint.clone(),
        })
    }

    /// Exchanges a code for a token of the provider.
    /// Fails with `WrongCredentials`, or `Provider`.
    pub(crate) async fn redeem(&self, code: &AuthorizationCode) -> Result<String, IdentityError> {
        let discovered = self.documents.discovery().await?;
        let endpoint = discovered
            .token_endpoint
            .as_deref()
            .ok_or_else(|| unusable("it has no token endpoint".to_owned()))?;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", self.settings.client_id.as_str()),
            ("code", code.code.as_str()),
            ("code_verifier", code.code_verifier.as_str()),
            ("redirect_uri", code.redirect_uri.as_str()),
        ];
        let tokens: ProviderTokens = self.documents.send_form(endpoint, &form).await?;
        // The audience of an ID token is the client.
        let token = if self.settings.audience == self.settings.client_id {
            tokens.id_token
        } else {
            tokens.access_token
        };
        token.ok_or_else(|| unusable("it has sent no token".to_owned()))
    }

    /// Returns the user of a token. `now` is in seconds since 1970.
    /// Fails with `WrongCredentials`, or `Provider` when the keys can't be read.
    pub(crate) async fn verify(
        &self,
        token: &str,
        now: f64,
    ) -> Result<ExternalUser, IdentityError> {
        let wrong = |_: JwsError| IdentityError::WrongCredentials;
        let token = UnverifiedToken::parse(token).map_err(wrong)?;
        let discovered = self.documents.discovery().await?;
        let key = self
            .documents
            .key(&token.header)
            .await?
            .ok_or(IdentityError::WrongCredentials)?;
        let claims: ProviderClaims = token.verify(&key).map_err(wrong)?;
        let validity = Validity { exp: claims.exp, nbf: claims.nbf };
        let is_valid = claims.iss == discovered.issuer
            && claims.aud.contains(&self.settings.audience)
            && validity.holds_at(now, CLOCK_SKEW_SECONDS)
            && (1..=MAX_SUBJECT_BYTES).contains(&claims.sub.len());
        if is_valid {
            Ok(self.user(claims))
        } else {
            Err(IdentityError::WrongCredentials)
        }
    }

    fn user(&self, claims: ProviderClaims) -> ExternalUser {
        let verified_email = claims.email.filter(|_| {
            claims.email_verified == Value::Bool(true)
                || claims.email_verified.as_str() == Some("true")
        });
        let groups: Vec<&str> = match &claims.groups {
            Value::String(group) => vec![group],
            Value::Array(groups) => {
                let groups = groups.iter().take(MAX_GROUPS);
                groups.filter_map(Value::as_str).collect()
            }
            _ => Vec::new(),
        };
        let roles = groups.iter().filter_map(|group| {
            let role = self.settings.group_roles.get(*group)?;
            Some(role.clone())
        });
        let name = claims.preferred_username.or(verified_email);
        ExternalUser {
            name: name.unwrap_or_else(|| claims.sub.clone()),
            display_name: claims.name,
            group_roles: roles.collect(),
            oauth_id: claims.sub,
        }
    }
}
