//! Signs users in and out.

use std::{sync::Arc, time::Duration};

use neap_bucket::StoreTime;
use neap_catalog::{
    Catalog, CatalogError, NewSigningKey, PasswordHash, RenewedSession, RootCatalog, SessionId,
    SigningKeyRequest, SigningSecret, StartedSession, UserEntry, UserId, VerificationKey,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    AuthorizationCode, IdentityError, IdentitySettings, ProviderDescription,
    jws::SigningKey,
    key_file::thumbprint,
    oidc::OidcProvider,
    passwords::PasswordHasher,
    session_token::{self, TokenRejection, verify_refresh_token},
    settings::{PASSWORD_SESSION, PROVIDER_SESSION},
    sign_in_limit::{SignInAttempt, SignInLimit},
};

/// The names under which attempts with a token are limited. No user can have them.
const PROVIDER_ATTEMPTS: &str = "\u{0}provider";
const REFRESH_ATTEMPTS: &str = "\u{0}refresh";

/// The tokens of a session. `Debug` hides them.
#[derive(Clone, Serialize, derive_more::Debug)]
#[debug("TokenPair of user {user_id}")]
#[serde(rename_all = "camelCase")]
pub struct TokenPair {
    /// The token that requests present.
    pub access_token: String,
    /// The token that renews the session, once.
    pub refresh_token: String,
    /// `Bearer`.
    pub token_type: &'static str,
    /// The lifetime of the access token, in seconds.
    pub expires_in: u64,
    /// The lifetime of the refresh token, in seconds.
    pub refresh_expires_in: u64,
    /// The id of the user.
    pub user_id: UserId,
    /// The name of the user.
    pub username: String,
}

/// Signs users in and out. Each process that answers requests for it has one.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use neap_bucket::{Bucket, ProtocolMargins, World};
/// use neap_catalog::{Catalog, NewUser, RoleId};
/// use neap_identity::{IdentityService, IdentitySettings, PasswordCost};
///
/// # let bucket = Bucket::in_memory(World::system());
/// let catalog = Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None));
/// let settings = IdentitySettings {
///     password_cost: PasswordCost { memory_kib: 64, passes: 1 },
///     ..IdentitySettings::default()
/// };
/// let identity = IdentityService::new(Arc::clone(&catalog), settings)?;
/// let user = NewUser {
///     name: "ann".to_owned(),
///     password: Some(identity.hash_password("correct horse").await?),
///     roles: [RoleId::ADMIN].into(),
///     ..NewUser::default()
/// };
/// catalog.create_user(&user, None).await?;
/// let tokens = identity.sign_in("ann", "correct horse", "192.0.2.1").await?;
/// assert_eq!(tokens.username, "ann");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct IdentityService {
    catalog: Arc<Catalog>,
    settings: IdentitySettings,
    passwords: PasswordHasher,
    limit: SignInLimit,
    provider: Option<OidcProvider>,
}

impl IdentityService {
    /// Creates the service. It sends no request.
    ///
    /// # Errors
    /// `Provider` when the HTTP client can't be set up.
    pub fn new(catalog: Arc<Catalog>, settings: IdentitySettings) -> Result<Self, IdentityError> {
        let world = catalog.bucket().world().clone();
        let provider = settings
            .provider
            .clone()
            .map(|provider| OidcProvider::new(provider, world.clone()));
        Ok(Self {
            passwords: PasswordHasher::new(world, settings.password_cost),
            limit: SignInLimit::default(),
            provider: provider.transpose()?,
            catalog,
            settings,
        })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// `PasswordLength`, `Busy`, or `Cryptography`.
    pub async fn hash_password(&self, password: &str) -> Result<PasswordHash, IdentityError> {
        self.passwords.hash(password).await
    }

    /// Begins a session with a name and a password. `client` is the network of the client, which bounds its attempts.
    /// A wrong name takes the same time and has the same answer as a wrong password.
    ///
    /// # Errors
    /// `WrongCredentials`, `ResetRequired`, `Throttled`, `Busy`, `NotEnabled`, or an error of the commit.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        client: &str,
    ) -> Result<TokenPair, IdentityError> {
        let (id, user, hash) = self.authenticate(name, password, client).await?;
        if user.requires_reset {
            return Err(IdentityError::ResetRequired);
        }
        let key = self.signing_key()?;
        let started = self.catalog.begin_session(id, &hash, PASSWORD_SESSION, &key);
        self.tokens(started.await.map_err(refused)?)
    }

    /// Begins a session with a token of the identity provider.
    ///
    /// # Errors
    /// `WrongCredentials`, `Throttled`, `NotEnabled`, `Provider`, or an error of the commit.
    pub async fn sign_in_at_provider(
        &self,
        token: &str,
        client: &str,
    ) -> Result<TokenPair, IdentityError> {
        let provider = self.provider()?;
        let attempt = self.attempt(&format!("{PROVIDER_ATTEMPTS}{client}"), client)?;
        self.begin_external_session(provider, token, attempt).await
    }

    /// Begins a session with a code of the identity provider.
    ///
    /// # Errors
    /// Same as [`sign_in_at_provider`](Self::sign_in_at_provider).
    pub async fn sign_in_with_code(
        &self,
        code: &AuthorizationCode,
        client: &str,
    ) -> Result<TokenPair, IdentityError> {
        let provider = self.provider()?;
        let attempt = self.attempt(&format!("{PROVIDER_ATTEMPTS}{client}"), client)?;
        let token = provider.redeem(code).await?;
        self.begin_external_session(provider, &token, attempt).await
    }

    async fn begin_external_session(
        &self,
        provider: &OidcProvider,
        token: &str,
        attempt: SignInAttempt<'_>,
    ) -> Result<TokenPair, IdentityError> {
        // The time of the store is known after the first request to it.
        self.root().await?;
        let now = Duration::from_micros(self.now()?.micros().unsigned_abs());
        let external = provider.verify(token, now.as_secs_f64()).await?;
        let key = self.signing_key()?;
        let catalog = &self.catalog;
        let started = catalog
            .begin_external_session(&external, PROVIDER_SESSION, &key)
            .await
            .map_err(refused)?;
        attempt.succeed(self.monotonic());
        self.tokens(started)
    }

    /// Renews a session with its refresh token, which is valid once.
    ///
    /// # Errors
    /// `WrongCredentials`, `Replayed`, `Throttled`, or an error of the commit.
    pub async fn refresh(&self, token: &str, client: &str) -> Result<TokenPair, IdentityError> {
        let attempt = self.attempt(&format!("{REFRESH_ATTEMPTS}{client}"), client)?;
        let root = self.root().await?;
        let verified = verify_refresh_token(&root, &self.settings.issuer, token, self.now()?);
        let wrong = |_: TokenRejection| IdentityError::WrongCredentials;
        let (session, generation) = verified.map_err(wrong)?;
        attempt.succeed(self.monotonic());
        let key = self.signing_key()?;
        let idle = PASSWORD_SESSION.idle;
        let renewed = self.catalog.renew_session(session, generation, idle, &key);
        match renewed.await? {
            RenewedSession::Renewed(session) => self.tokens(*session),
            RenewedSession::Replayed => Err(IdentityError::Replayed),
            RenewedSession::Ended => Err(IdentityError::WrongCredentials),
        }
    }

    /// Ends a session. Other processes refuse its tokens when they read the catalog again.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn sign_out(&self, session: SessionId) -> Result<(), IdentityError> {
        Ok(self.catalog.end_session(session).await?)
    }

    /// Replaces a password by its owner, who need not have a session, and ends all sessions of the user.
    ///
    /// # Errors
    /// `WrongCredentials`, `PasswordLength`, `SamePassword`, `Throttled`, `Busy`, `NotEnabled`, or an error of the
    /// commit.
    pub async fn reset_password(
        &self,
        name: &str,
        old: &str,
        new: &str,
        client: &str,
    ) -> Result<(), IdentityError> {
        let (id, _, hash) = self.authenticate(name, old, client).await?;
        if old == new {
            return Err(IdentityError::SamePassword);
        }
        let new = self.passwords.hash(new).await?;
        let replaced = self.catalog.replace_password(id, &hash, &new).await;
        replaced.map_err(refused)
    }

    /// Returns what a client needs to sign in at the identity provider.
    ///
    /// # Errors
    /// `NotEnabled`, or `Provider`.
    pub async fn provider_description(&self) -> Result<ProviderDescription, IdentityError> {
        self.provider()?.description().await
    }

    /// Returns whether users can sign in with a password.
    pub fn allows_passwords(&self) -> bool {
        self.settings.allows_passwords
    }

    /// Returns whether users can sign in at an identity provider.
    pub fn has_provider(&self) -> bool {
        self.provider.is_some()
    }

    /// Returns the public keys of the tokens as a JSON Web Key Set (RFC 7517).
    ///
    /// # Errors
    /// The catalog can't be read.
    pub async fn key_set(&self) -> Result<Value, IdentityError> {
        let max_age = Duration::from_secs(5);
        let root = self.catalog.root(max_age).await?.value;
        let keys = root.signing_keys().iter().map(|key| {
            let (id, purpose) = (&key.id, "sig");
            match &key.public {
                VerificationKey::Ed25519 { x } => {
                    json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "kid": id, "use": purpose})
                }
                VerificationKey::Rsa { n, e } => {
                    json!({"kty": "RSA", "n": n, "e": e, "alg": "RS256", "kid": id, "use": purpose})
                }
            }
        });
        Ok(json!({ "keys": keys.collect::<Vec<_>>() }))
    }

    /// Returns the user with a name and password.
    async fn authenticate(
        &self,
        name: &str,
        password: &str,
        client: &str,
    ) -> Result<(UserId, UserEntry, PasswordHash), IdentityError> {
        if !self.settings.allows_passwords {
            let method = "password";
            return Err(IdentityError::NotEnabled { method });
        }
        let attempt = self.attempt(name, client)?;
        let root = self.root().await?;
        let user = root.user_by_name(name);
        let known = user.and_then(|(_, user)| user.password.as_ref());
        let is_right = self.passwords.verify(password, known).await?;
        let now = self.now()?;
        match (is_right, user, known) {
            (true, Some((id, user)), Some(hash)) if user.is_active(now) => {
                attempt.succeed(self.monotonic());
                Ok((id, user.clone(), hash.clone()))
            }
            _ => Err(IdentityError::WrongCredentials),
        }
    }

    fn attempt(&self, name: &str, client: &str) -> Result<SignInAttempt<'_>, IdentityError> {
        let attempt = self.limit.begin(name, client, self.monotonic());
        attempt.map_err(|wait| IdentityError::Throttled { wait })
    }

    fn provider(&self) -> Result<&OidcProvider, IdentityError> {
        let method = "an identity provider";
        let provider = self.provider.as_ref();
        provider.ok_or(IdentityError::NotEnabled { method })
    }

    async fn root(&self) -> Result<Arc<RootCatalog>, IdentityError> {
        Ok(self.catalog.root(Duration::ZERO).await?.value)
    }

    fn now(&self) -> Result<StoreTime, IdentityError> {
        let now = self.catalog.bucket().clock().now();
        Ok(now.ok_or(CatalogError::NoStoreTime)?)
    }

    fn monotonic(&self) -> Duration {
        self.catalog.bucket().world().clock.monotonic()
    }

    fn signing_key(&self) -> Result<SigningKeyRequest, IdentityError> {
        if let Some(configured) = &self.settings.key {
            return Ok(SigningKeyRequest::Configured(NewSigningKey {
                id: configured.id.clone(),
                public: configured.key.public(),
                secret: None,
            }));
        }
        let mut seed = [0; 32];
        self.catalog.bucket().world().entropy.fill_secret(&mut seed);
        let key = SigningKey::of_seed(&seed)
            .ok_or(IdentityError::Cryptography { operation: "generate a key" })?;
        let public = key.public();
        Ok(SigningKeyRequest::Generated(NewSigningKey {
            id: thumbprint(&public),
            public,
            secret: Some(SigningSecret::new(seed)),
        }))
    }

    fn tokens(&self, session: StartedSession) -> Result<TokenPair, IdentityError> {
        let root = self.catalog.known_root().ok_or(CatalogError::NoStoreTime)?;
        let configured = self.settings.key.as_ref().map(|key| key.key.as_ref());
        let names = (self.settings.issuer.as_str(), root.value.cluster());
        let tokens =
            session_token::sign(&session, configured, names, self.settings.access_lifetime)?;
        Ok(TokenPair {
            access_token: tokens.access,
            refresh_token: tokens.refresh,
            token_type: "Bearer",
            expires_in: tokens.access_lifetime.as_secs(),
            refresh_expires_in: tokens.refresh_lifetime.as_secs(),
            user_id: session.entry.user,
            username: session.user.name,
        })
    }
}

/// A user that the catalog refuses has wrong credentials.
fn refused(error: CatalogError) -> IdentityError {
    match error {
        CatalogError::Revoked => IdentityError::WrongCredentials,
        error => error.into(),
    }
}
