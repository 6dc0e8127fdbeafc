//! The cached documents of an identity provider: its description and its keys.

use std::{sync::Arc, time::Duration};

use neap_bucket::World;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::provider_http::{ProviderHttp, unusable};
use crate::{
    IdentityError,
    jws::{Jwk, JwsHeader, PublicKey},
};

/// The age from which a document is read again.
const REFRESH_AGE: Duration = Duration::from_secs(10 * 60);

/// The age from which a document is not used any more, even if the provider does not answer.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// Minimum time between two reads of the keys, so that tokens with unknown keys can't flood the provider.
const MIN_INTERVAL: Duration = Duration::from_secs(30);

/// Minimum time between two reads of a document after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum number of keys of a provider.
const MAX_KEYS: usize = 100;

/// The description of a provider.
#[derive(Debug, Deserialize)]
pub(super) struct DiscoveryDocument {
    pub(super) issuer: String,
    jwks_uri: String,
    pub(super) device_authorization_endpoint: Option<String>,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
}

#[derive(Debug, Deserialize)]
struct KeySetDocument {
    keys: Vec<Value>,
}

/// A key for signatures.
#[derive(Debug)]
struct ProviderKey {
    id: Option<String>,
    key: PublicKey,
}

/// A document, when it was read, and when the last attempt to read it began.
#[derive(Debug)]
struct CachedDocument<T> {
    read: Option<(Arc<T>, Duration)>,
    attempted: Option<Duration>,
}

impl<T> Default for CachedDocument<T> {
    fn default() -> Self {
        Self { read: None, attempted: None }
    }
}

impl<T> CachedDocument<T> {
    /// Returns the document if it is younger than `age`.
    fn younger_than(&self, age: Duration, now: Duration) -> Option<Arc<T>> {
        let (document, read) = self.read.as_ref()?;
        (now.saturating_sub(*read) < age).then(|| Arc::clone(document))
    }

    /// Returns whether the last attempt began less than `interval` ago.
    fn was_attempted_within(&self, interval: Duration, now: Duration) -> bool {
        let age = self.attempted.map(|started_at| now.saturating_sub(started_at));
        age.is_some_and(|age| age < interval)
    }

    /// Stores the outcome of a read, and returns the document: the old one if the read failed and it is not too old.
    fn update(
        &mut self,
        outcome: Result<T, IdentityError>,
        now: Duration,
    ) -> Result<Arc<T>, IdentityError> {
        match outcome {
            Ok(document) => {
                let document = Arc::new(document);
                self.read = Some((Arc::clone(&document), now));
                Ok(document)
            }
            Err(error) => self.younger_than(MAX_AGE, now).ok_or(error),
        }
    }
}

/// Reads and caches the documents of a provider. Concurrent callers share a request.
#[derive(Debug)]
pub(super) struct ProviderDocuments {
    http: ProviderHttp,
    issuer: Url,
    world: World,
    discovery: Mutex<CachedDocument<DiscoveryDocument>>,
    keys: Mutex<CachedDocument<Vec<ProviderKey>>>,
}

impl ProviderDocuments {
    pub(super) fn new(issuer: &Url, world: World) -> Result<Self, IdentityError> {
        Ok(Self {
            http: ProviderHttp::new(issuer)?,
            issuer: issuer.clone(),
            world,
            discovery: Mutex::default(),
            keys: Mutex::default(),
        })
    }

    fn now(&self) -> Duration {
        self.world.clock.monotonic()
    }

    /// Returns the description of the provider.
    /// Fails with `Provider`.
    pub(super) async fn discovery(&self) -> Result<Arc<DiscoveryDocument>, IdentityError> {
        let mut cached = self.discovery.lock().await;
        let now = self.now();
        if let Some(document) = cached.younger_than(REFRESH_AGE, now) {
            return Ok(document);
        }
        if cached.was_attempted_within(RETRY_INTERVAL, now) {
            let known = cached.younger_than(MAX_AGE, now);
            return known.ok_or_else(|| unusable("it did not answer a moment ago".to_owned()));
        }
        cached.attempted = Some(now);
        let outcome = self.read_discovery().await;
        cached.update(outcome, now)
    }

    async fn read_discovery(&self) -> Result<DiscoveryDocument, IdentityError> {
        let issuer = self.issuer.as_str().trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let url = Url::parse(&address).map_err(|error| unusable(error.to_string()))?;
        let document: DiscoveryDocument = self.http.read(&url).await?;
        // The document of another issuer must not provide the keys of this one.
        if document.issuer.trim_end_matches('/') != issuer {
            let other = &document.issuer;
            return Err(unusable(format!("it calls itself {other}, not {issuer}")));
        }
        Ok(document)
    }

    /// Sends a form to an address of the discovery document, and reads the JSON answer.
    /// Fails with `WrongCredentials` when the provider rejects the form, or `Provider`.
    pub(super) async fn send_form<T: DeserializeOwned>(
        &self,
        address: &str,
        fields: &[(&str, &str)],
    ) -> Result<T, IdentityError> {
        let url = Url::parse(address).map_err(|error| unusable(error.to_string()))?;
        self.http.send_form(&url, fields).await
    }

    /// Returns the key that a token names. Reads the keys again if the key is unknown, at most once in
    /// [`MIN_INTERVAL`].
    /// Fails with `Provider`.
    pub(super) async fn key(&self, header: &JwsHeader) -> Result<Option<PublicKey>, IdentityError> {
        let mut cached = self.keys.lock().await;
        let now = self.now();
        let known = cached.younger_than(REFRESH_AGE, now);
        let found = known.as_deref().and_then(|keys| find(keys, header));
        if found.is_some() {
            return Ok(found);
        }
        let interval = match known {
            Some(_) => MIN_INTERVAL,
            None => RETRY_INTERVAL,
        };
        if cached.was_attempted_within(interval, now) {
            let known = cached
                .younger_than(MAX_AGE, now)
                .ok_or_else(|| unusable("it did not answer a moment ago".to_owned()))?;
            return Ok(find(&known, header));
        }
        cached.attempted = Some(now);
        let outcome = self.read_keys().await;
        let keys = cached.update(outcome, now)?;
        Ok(find(&keys, header))
    }

    async fn read_keys(&self) -> Result<Vec<ProviderKey>, IdentityError> {
        let discovered = self.discovery().await?;
        let url = Url::parse(&discovered.jwks_uri).map_err(|error| unusable(error.to_string()))?;
        let document: KeySetDocument = self.http.read(&url).await?;
        // A key of an unknown kind does not make the others unusable.
        let keys = document.keys.into_iter().take(MAX_KEYS).filter_map(|key| {
            let jwk: Jwk = serde_json::from_value(key).ok()?;
            let key = PublicKey::of_jwk(&jwk)?;
            Some(ProviderKey { id: jwk.kid, key })
        });
        Ok(keys.collect())
    }
}

/// Returns the key with the id of the header; without an id, the only key for the algorithm.
fn find(keys: &[ProviderKey], header: &JwsHeader) -> Option<PublicKey> {
    let mut candidates = keys.iter().filter(|key| match &header.kid {
        Some(id) => key.id.as_ref() == Some(id),
        None => key.key.algorithm() == header.alg,
    });
    let found = candidates.next()?;
    let is_only = header.kid.is_some() || candidates.next().is_none();
    is_only.then(|| found.key.clone())
}
