//! The S3 server, with a key, a policy, and request counters for each function.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use neap_bucket::KeyClass;
use neap_s3_server::{ObservedRequest, Observer, Operation, Options, Policy, S3Server, User};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    Configuration,
    configuration::PolicySource,
    deployment::Deployment,
    events::NewObject,
    runtime::FunctionCredentials,
    trap::{Trap, TrapReport},
};

/// Maximum number of new objects that wait to be reported.
const MAX_QUEUED_OBJECTS: usize = 100_000;
/// Maximum number of denied requests that are recorded.
const MAX_DENIED_REQUESTS: usize = 1_000;
/// Prefix of the functions' access keys.
const KEY_PREFIX: &str = "AKID-";

/// A request that was denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeniedRequest {
    /// The function; empty if the request was not signed.
    pub function: String,
    /// `get`, `put`, `list`, and so on.
    pub operation: &'static str,
    /// The key; for a listing, its prefix.
    pub key: String,
}

/// The requests of the functions to the store.
#[derive(Debug, Default)]
pub struct StoreRequestLog {
    counts: Mutex<BTreeMap<String, BTreeMap<String, u64>>>,
    refusals: Mutex<Vec<DeniedRequest>>,
    traps: Mutex<BTreeMap<String, Trap>>,
    puts: Option<mpsc::Sender<NewObject>>,
}

impl StoreRequestLog {
    /// Returns the number of requests of each function so far, by operation and class of key, such as `get manifest`.
    pub fn counts(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let counts = self.counts.lock();
        counts.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the denied requests.
    pub fn refusals(&self) -> Vec<DeniedRequest> {
        let refusals = self.refusals.lock();
        refusals.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets, replaces, or removes the trap of a function, and returns the counters of the previous trap.
    pub fn set_trap(&self, function: &str, trap: Option<Trap>) -> Option<TrapReport> {
        let mut traps = self.traps.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match trap {
            Some(trap) => traps.insert(function.to_owned(), trap),
            None => traps.remove(function),
        };
        before.map(|trap| trap.report())
    }

    /// Returns the counters of a function's trap.
    pub fn trap(&self, function: &str) -> Option<TrapReport> {
        let traps = self.traps.lock().unwrap_or_else(PoisonError::into_inner);
        traps.get(function).map(Trap::report)
    }

    fn count(&self, function: &str, kind: String) {
        let mut counts_by_function = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts_by_function.entry(function.to_owned()).or_default();
        *counts.entry(kind).or_default() += 1;
    }

    /// Counts a request in the trap of a function, if there is one.
    fn count_in_trap(&self, function: &str) {
        let mut traps = self.traps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trap) = traps.get_mut(function) {
            trap.count();
        }
    }
}

impl Observer for StoreRequestLog {
    fn answered(&self, request: &ObservedRequest<'_>) {
        let user = request.user.unwrap_or_default();
        let role = user.strip_prefix(KEY_PREFIX);
        let function = role.unwrap_or(user);
        let operation = request.operation.name();
        let kind = format!("{operation} {}", class_name(request.key));
        self.count(function, kind);
        // No policy applies to other users. They are refused for other reasons, such as a wrong clock.
        if request.status == 403 && role.is_some() {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            if refusals.len() < MAX_DENIED_REQUESTS {
                refusals.push(DeniedRequest {
                    function: function.to_owned(),
                    operation,
                    key: request.key.to_owned(),
                });
            }
        }
        if request.operation == Operation::Put
            && request.status == 200
            && let Some(puts) = &self.puts
        {
            let put = NewObject {
                bucket: request.bucket.to_owned(),
                key: request.key.to_owned(),
                size: request.size_bytes,
                etag: request.etag.unwrap_or_default().to_owned(),
            };
            // If the channel is full, the notification is lost. S3 gives no guarantee either.
            puts.try_send(put).ok();
        }
        self.count_in_trap(function);
    }
}

/// Returns the class of a key, as in Neap's metrics.
fn class_name(key: &str) -> &'static str {
    KeyClass::from_key(key).as_str()
}

/// The S3 server and the credentials of the functions.
#[derive(Debug)]
pub struct LocalStore {
    /// The server.
    pub server: S3Server,
    /// The requests of the functions.
    pub journal: Arc<StoreRequestLog>,
    /// The credentials of the functions.
    pub identities: BTreeMap<String, FunctionCredentials>,
    /// The policies of the functions; `None` allows everything.
    pub policies: BTreeMap<String, Option<Policy>>,
    /// The receiver of new objects, until it is taken.
    pub puts: Option<mpsc::Receiver<NewObject>>,
}

impl LocalStore {
    /// Starts the server with a user for each function.
    ///
    /// # Errors
    /// The port or directory can't be used, or a policy contains unsupported elements.
    pub async fn start(configuration: &Configuration, deployment: &Deployment) -> io::Result<Self> {
        let bucket = &configuration.store.bucket;
        let mut users = Vec::new();
        let mut identities = BTreeMap::new();
        let mut policies = BTreeMap::new();
        for (name, function) in &configuration.functions {
            let policy = function.policy.as_ref().map(|policy| {
                let document = match policy {
                    PolicySource::Deployed(function) => deployment.policy(function, bucket),
                    PolicySource::Document(document) => document.clone(),
                };
                let parsed = Policy::parse(&document.to_string());
                parsed.map_err(|error| {
                    let reason = std::error::Error::source(&error)
                        .map_or_else(String::new, ToString::to_string);
                    io::Error::other(format!("policy of {name}: {error}: {reason}"))
                })
            });
            let identity = FunctionCredentials {
                access_key: format!("{KEY_PREFIX}{name}"),
                secret_key: format!("secret of {name}"),
            };
            let policy = policy.transpose()?;
            users.push(User {
                access_key: identity.access_key.clone(),
                secret_key: identity.secret_key.clone(),
                policy: policy.clone(),
            });
            policies.insert(name.clone(), policy);
            identities.insert(name.clone(), identity);
        }
        let (sender, puts) = mpsc::channel(MAX_QUEUED_OBJECTS);
        let journal =
            Arc::new(StoreRequestLog { puts: Some(sender), ..StoreRequestLog::default() });
        let observer: Arc<dyn Observer> = Arc::<StoreRequestLog>::clone(&journal);
        let server = S3Server::start(Options {
            directory: Some(configuration.store.directory.clone()),
            port: configuration.store.port,
            bucket: bucket.clone(),
            users,
            observer: Some(observer),
            ..Options::default()
        })
        .await?;
        Ok(Self { server, journal, identities, policies, puts: Some(puts) })
    }
}
