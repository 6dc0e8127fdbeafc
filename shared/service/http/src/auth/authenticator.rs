//! Authenticates requests: identifies the token that a request presents.
//!
//! The access token of a session is a signed token. It is verified with the keys in the root catalog, and
//! is valid as long as its session is there.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, Method, Uri};
use neap_bucket::StoreTime;
use neap_catalog::{Actor, Catalog, CatalogError, RootCatalog, SecretToken, TokenHash};
use neap_identity::{TokenRejection, is_access_token, verify_access_token};
use subtle::ConstantTimeEq;

use super::{
    Caller,
    attempt_limit::AttemptLimit,
    caller::TokenHolder,
    credential::{MalformedHeader, request_token},
    error_answers,
    policy::{self, ExemptEndpoint},
    refuse_web_pages,
};
use crate::{ApiError, CounterFamily, Kind, Metrics};

/// Maximum time for reading the tokens from the store, because the time limit of the request does not apply yet.
const STORE_LIMIT: Duration = Duration::from_secs(10);

/// Whether requests need a token.
#[derive(Clone, Debug)]
pub enum AccessControl {
    /// Every request has all permissions: the server was started without authentication.
    Open,
    /// Requests need a token.
    Tokens(Arc<Authenticator>),
}

/// The settings of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// Maximum time for which a token or session that another instance ended is still accepted here.
    pub max_age: Duration,
    /// Endpoints that need no token.
    pub unguarded: Vec<ExemptEndpoint>,
    /// Maximum number of different wrong tokens that an address may present at once.
    pub failures: u32,
    /// The time after which such an address may present another token.
    pub failure_interval: Duration,
    /// The issuer of the tokens of sessions; `None`: users can't sign in.
    pub session_issuer: Option<String>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(5),
            unguarded: Vec::new(),
            failures: 20,
            failure_interval: Duration::from_secs(1),
            session_issuer: None,
        }
    }
}

/// Authenticates requests by the tokens of a catalog.
#[derive(Debug)]
pub struct Authenticator {
    catalog: Arc<Catalog>,
    settings: AuthSettings,
    attempts: AttemptLimit,
    failures: CounterFamily,
    index: Mutex<Option<Arc<TokenIndex>>>,
}

impl Authenticator {
    /// Creates an authenticator for the tokens of a catalog. Counts refusals in `metrics`.
    pub fn new(catalog: Arc<Catalog>, metrics: &Metrics, settings: AuthSettings) -> Self {
        Self {
            failures: metrics.counter(
                "neap_auth_failures_total",
                "Requests refused by authentication or authorization, by reason.",
                &["reason"],
            ),
            attempts: AttemptLimit::new(settings.failures, settings.failure_interval),
            catalog,
            settings,
            index: Mutex::default(),
        }
    }

    /// Returns the sender of a request.
    /// Fails with `Unauthenticated`, `Invalid` if the header is malformed, `TooManyRequests`, `Forbidden` if a web page
    /// asks for the first token or user, and `Unavailable` if the store does not answer.
    pub(crate) async fn caller(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<Caller, ApiError> {
        if policy::is_first_credential(method, uri.path()) {
            refuse_web_pages(headers)?;
            let now = self.monotonic();
            self.check_attempts(address, now)?;
            self.attempts.record_attempt(address, now);
            return Ok(Caller::anonymous());
        }
        if policy::is_open(method, uri.path(), &self.settings.unguarded) {
            return Ok(Caller::anonymous());
        }
        let token = match request_token(uri, headers) {
            Ok(Some(token)) => token,
            Ok(None) => return Err(self.refuse("missing", error_answers::unauthenticated())),
            Err(MalformedHeader) => {
                return Err(self.refuse("malformed", error_answers::malformed()));
            }
        };
        self.token_caller(&token, address).await
    }

    /// Returns the holder of a token or the user of a session, for a client of another protocol than HTTP.
    ///
    /// # Errors
    /// `Unauthenticated`, `TooManyRequests`, and `Unavailable` if the store does not answer.
    pub async fn token_caller(
        &self,
        token: &SecretToken,
        address: Option<IpAddr>,
    ) -> Result<Caller, ApiError> {
        let holder = match &self.settings.session_issuer {
            Some(issuer) if is_access_token(token.reveal()) => {
                self.session_holder(issuer, token, address).await
            }
            _ => self.holder(token, address).await,
        };
        holder.map(Caller::holder)
    }

    /// Returns whether a secret of a client is a token, and not the password of a user: it has the form of those that this
    /// server makes, or it is a known token of another form, which a person chose.
    ///
    /// # Errors
    /// `Unavailable` if the store does not answer.
    pub async fn is_token(&self, secret: &SecretToken) -> Result<bool, ApiError> {
        if secret.is_generated() || is_access_token(secret.reveal()) {
            return Ok(true);
        }
        let index = self.index(self.settings.max_age).await?;
        Ok(index.find(&secret.hash()).is_some())
    }

    /// Returns the user of an access token.
    async fn session_holder(
        &self,
        issuer: &str,
        token: &SecretToken,
        address: Option<IpAddr>,
    ) -> Result<Arc<TokenHolder>, ApiError> {
        let root = self.root(self.settings.max_age).await?;
        let mut verified = self.session_user(&root, issuer, token)?;
        if let Ok(holder) = verified {
            return Ok(holder);
        }
        let hash = token.hash();
        self.check_attempts(address, self.monotonic())?;
        let is_unknown = matches!(verified, Err(TokenRejection::Unknown));
        if is_unknown && !self.attempts.is_repeated(address, &hash) {
            // Another instance may have just begun the session.
            let may = self.attempts.take_lookup_permit(self.monotonic());
            may.map_err(|wait| self.throttled(wait))?;
            let root = self.root(Duration::ZERO).await?;
            verified = self.session_user(&root, issuer, token)?;
        }
        let reason = match verified {
            Ok(holder) => return Ok(holder),
            Err(TokenRejection::Expired) => "expired",
            Err(TokenRejection::Unknown | TokenRejection::Invalid) => "unknown",
        };
        self.attempts.record_wrong_token(address, &hash, self.monotonic());
        Err(self.refuse(reason, error_answers::unauthenticated()))
    }

    /// Returns the user of an access token, as of this value of the catalog.
    fn session_user(
        &self,
        root: &RootCatalog,
        issuer: &str,
        token: &SecretToken,
    ) -> Result<Result<Arc<TokenHolder>, TokenRejection>, CatalogError> {
        let verified = verify_access_token(root, issuer, token.reveal(), self.now()?);
        Ok(verified.and_then(|verified| {
            let user = root.users().get(&verified.user).ok_or(TokenRejection::Unknown)?;
            Ok(Arc::new(TokenHolder {
                actor: Actor::User(verified.user),
                authority: Actor::User(verified.user),
                name: user.name.clone(),
                permissions: root.user_permissions(user),
                session: Some(verified.session),
            }))
        }))
    }

    async fn holder(
        &self,
        token: &SecretToken,
        address: Option<IpAddr>,
    ) -> Result<Arc<TokenHolder>, ApiError> {
        let hash = token.hash();
        let mut known = self.index(self.settings.max_age).await?.find(&hash);
        if let Some(known) = &known
            && known.is_active(self.now()?)
        {
            return Ok(Arc::clone(&known.holder));
        }
        self.check_attempts(address, self.monotonic())?;
        if known.is_none() && !self.attempts.is_repeated(address, &hash) {
            // Another instance may have just created it.
            let may = self.attempts.take_lookup_permit(self.monotonic());
            may.map_err(|wait| self.throttled(wait))?;
            known = self.index(Duration::ZERO).await?.find(&hash);
        }
        let reason = match known {
            Some(known) if known.is_active(self.now()?) => return Ok(known.holder),
            Some(_) => "expired",
            None => "unknown",
        };
        self.attempts.record_wrong_token(address, &hash, self.monotonic());
        Err(self.refuse(reason, error_answers::unauthenticated()))
    }

    /// Refuses an address that has no attempt left.
    fn check_attempts(&self, address: Option<IpAddr>, now: Duration) -> Result<(), ApiError> {
        match self.attempts.wait(address, now) {
            Some(wait) => Err(self.throttled(wait)),
            None => Ok(()),
        }
    }

    fn throttled(&self, wait: Duration) -> ApiError {
        let error =
            ApiError::json(Kind::TooManyRequests, "too many requests without a valid token");
        self.refuse("throttled", error.retry_after(Some(wait)))
    }

    /// Counts a request that its handler refused because its sender lacks a permission.
    pub(crate) fn count_forbidden(&self) {
        self.failures.add(&["forbidden"], 1);
    }

    fn refuse(&self, reason: &'static str, error: ApiError) -> ApiError {
        self.failures.add(&[reason], 1);
        error
    }

    fn now(&self) -> Result<StoreTime, CatalogError> {
        let now = self.catalog.bucket().clock().now();
        now.ok_or(CatalogError::NoStoreTime)
    }

    fn monotonic(&self) -> Duration {
        self.catalog.bucket().world().clock.monotonic()
    }

    /// Returns the root catalog as of at most `max_age` ago.
    async fn root(&self, max_age: Duration) -> Result<Arc<RootCatalog>, ApiError> {
        let world = self.catalog.bucket().world();
        let root = world.timeout(STORE_LIMIT, self.catalog.root(max_age)).await;
        Ok(root.ok_or_else(error_answers::store_timeout)??.value)
    }

    /// Returns the tokens as of at most `max_age` ago.
    async fn index(&self, max_age: Duration) -> Result<Arc<TokenIndex>, ApiError> {
        let root = self.root(max_age).await?;
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        match index.as_ref() {
            Some(index) if Arc::ptr_eq(&index.root, &root) => Ok(Arc::clone(index)),
            _ => Ok(Arc::clone(index.insert(Arc::new(TokenIndex::from_root(root))))),
        }
    }
}

/// A token and the properties that are checked for each request.
#[derive(Clone, Debug)]
struct IndexedToken {
    hash: TokenHash,
    expiry: Option<StoreTime>,
    holder: Arc<TokenHolder>,
}

impl IndexedToken {
    fn is_active(&self, now: StoreTime) -> bool {
        self.expiry.is_none_or(|expiry| expiry > now)
    }
}

/// The tokens of a root catalog.
#[derive(Debug)]
struct TokenIndex {
    root: Arc<RootCatalog>,
    tokens: Vec<IndexedToken>,
}

impl TokenIndex {
    fn from_root(root: Arc<RootCatalog>) -> Self {
        let policies = root.policies();
        let tokens = root.tokens().iter().map(|(id, entry)| IndexedToken {
            hash: entry.hash.clone(),
            expiry: entry.expiry,
            holder: Arc::new(TokenHolder {
                actor: Actor::Token(*id),
                authority: root.authority(*id),
                name: entry.name.clone(),
                permissions: entry.permissions.with_policies(&policies),
                session: None,
            }),
        });
        Self { tokens: tokens.collect(), root }
    }

    /// Returns the token with a hash. Compares all tokens, each in constant time, so that the duration does not reveal
    /// which tokens exist.
    fn find(&self, hash: &TokenHash) -> Option<IndexedToken> {
        let mut found = None;
        for known in &self.tokens {
            if bool::from(known.hash.ct_eq(hash)) {
                found = Some(known);
            }
        }
        found.cloned()
    }
}
