//! Finds out whose token a request presents.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, Method, Uri};
use neap_bucket::StoreTime;
use neap_catalog::{Catalog, CatalogError, RootCatalog, SecretToken, TokenHash};
use subtle::ConstantTimeEq;

use super::{
    Caller, answers,
    attempts::Attempts,
    caller::Holder,
    credential::{Malformed, presented},
    policy, refuse_web_pages,
};
use crate::{ApiError, CounterFamily, Kind, Metrics};

/// How long the store may take to say which tokens there are: the limit of the request does not count yet.
const STORE_LIMIT: Duration = Duration::from_secs(10);

/// Who is let in.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everybody, for everything: a server that is started without authentication.
    Open,
    /// Who presents a token.
    Tokens(Arc<Authenticator>),
}

/// An endpoint that asks for no token even where others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unguarded {
    /// `/health` and `/api/v1/health`.
    Health,
    /// `/ping`.
    Ping,
    /// `/metrics`.
    Metrics,
    /// `/ready`.
    Ready,
}

/// How strict authentication is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// For how long a token that was revoked by another instance may still count here.
    pub max_age: Duration,
    /// Endpoints that ask for no token.
    pub unguarded: Vec<Unguarded>,
    /// How many different wrong tokens an address may present at once.
    pub failures: u32,
    /// How long it takes until such an address may present another one.
    pub failure_interval: Duration,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(5),
            unguarded: Vec::new(),
            failures: 20,
            failure_interval: Duration::from_secs(1),
        }
    }
}

/// Finds out whose token a request presents.
#[derive(Debug)]
pub struct Authenticator {
    catalog: Arc<Catalog>,
    settings: AuthSettings,
    attempts: Attempts,
    failures: CounterFamily,
    index: Mutex<Option<Arc<Index>>>,
}

impl Authenticator {
    /// By the tokens in a catalog; refusals are counted in `metrics`.
    pub fn new(catalog: Arc<Catalog>, metrics: &Metrics, settings: AuthSettings) -> Self {
        Self {
            failures: metrics.counter(
                "neap_auth_failures_total",
                "Requests that were refused for who sent them, by reason.",
                &["reason"],
            ),
            attempts: Attempts::new(settings.failures, settings.failure_interval),
            catalog,
            settings,
            index: Mutex::default(),
        }
    }

    /// Who sends a request.
    ///
    /// # Errors
    /// `Unauthenticated`, `Invalid` when the header is malformed, `TooMany`, `Forbidden` when a web page asks for the
    /// first token, and `Unavailable` when the store does not answer.
    pub(crate) async fn caller(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<Caller, ApiError> {
        if policy::is_first_token(method, uri.path()) {
            refuse_web_pages(headers)?;
            let now = self.monotonic();
            self.check_attempts(address, now)?;
            self.attempts.note(address, now);
            return Ok(Caller::nobody());
        }
        if policy::is_open(method, uri.path(), &self.settings.unguarded) {
            return Ok(Caller::nobody());
        }
        let token = match presented(uri, headers) {
            Ok(Some(token)) => token,
            Ok(None) => return Err(self.refuse("missing", answers::unauthenticated())),
            Err(Malformed) => return Err(self.refuse("malformed", answers::malformed())),
        };
        self.holder(&token, address).await.map(Caller::holder)
    }

    async fn holder(
        &self,
        token: &SecretToken,
        address: Option<IpAddr>,
    ) -> Result<Arc<Holder>, ApiError> {
        let hash = token.hash();
        let mut known = self.index(self.settings.max_age).await?.find(&hash);
        if let Some(known) = &known
            && known.is_active(self.now()?)
        {
            return Ok(Arc::clone(&known.holder));
        }
        self.check_attempts(address, self.monotonic())?;
        if known.is_none() && !self.attempts.is_known(address, &hash) {
            // Another instance may have created it a moment ago.
            let may = self.attempts.look_up(self.monotonic());
            may.map_err(|wait| self.throttled(wait))?;
            known = self.index(Duration::ZERO).await?.find(&hash);
        }
        let reason = match known {
            Some(known) if known.is_active(self.now()?) => return Ok(known.holder),
            Some(_) => "expired",
            None => "unknown",
        };
        self.attempts.note_wrong(address, &hash, self.monotonic());
        Err(self.refuse(reason, answers::unauthenticated()))
    }

    /// Refuses an address that has no attempt left.
    fn check_attempts(&self, address: Option<IpAddr>, now: Duration) -> Result<(), ApiError> {
        match self.attempts.wait(address, now) {
            Some(wait) => Err(self.throttled(wait)),
            None => Ok(()),
        }
    }

    fn throttled(&self, wait: Duration) -> ApiError {
        let error = ApiError::json(Kind::TooMany, "too many requests without a valid token");
        self.refuse("throttled", error.retry_after(Some(wait)))
    }

    /// Takes note of a request that its handler refused for who sent it.
    pub(crate) fn note_forbidden(&self) {
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

    /// The tokens as they were at most `max_age` ago.
    async fn index(&self, max_age: Duration) -> Result<Arc<Index>, ApiError> {
        let world = self.catalog.bucket().world();
        let root = world.timeout(STORE_LIMIT, self.catalog.root(max_age)).await;
        let root = root.ok_or_else(answers::unanswered)??.value;
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        match index.as_ref() {
            Some(index) if Arc::ptr_eq(&index.root, &root) => Ok(Arc::clone(index)),
            _ => Ok(Arc::clone(index.insert(Arc::new(Index::of(root))))),
        }
    }
}

/// A token with what is asked of it for each request.
#[derive(Clone, Debug)]
struct Known {
    hash: TokenHash,
    expiry: Option<StoreTime>,
    holder: Arc<Holder>,
}

impl Known {
    fn is_active(&self, now: StoreTime) -> bool {
        self.expiry.is_none_or(|expiry| expiry > now)
    }
}

/// The tokens of a root catalog.
#[derive(Debug)]
struct Index {
    root: Arc<RootCatalog>,
    tokens: Vec<Known>,
}

impl Index {
    fn of(root: Arc<RootCatalog>) -> Self {
        let tokens = root.tokens().iter().map(|(id, entry)| Known {
            hash: entry.hash.clone(),
            expiry: entry.expiry,
            holder: Arc::new(Holder {
                id: *id,
                name: entry.name.clone(),
                permissions: entry.permissions.clone(),
            }),
        });
        Self {
            tokens: tokens.collect(),
            root,
        }
    }

    /// The token of a hash. All of them are compared, each in constant time, so that how long it takes tells
    /// nothing about what is there.
    fn find(&self, hash: &TokenHash) -> Option<Known> {
        let mut found = None;
        for known in &self.tokens {
            if bool::from(known.hash.ct_eq(hash)) {
                found = Some(known);
            }
        }
        found.cloned()
    }
}
