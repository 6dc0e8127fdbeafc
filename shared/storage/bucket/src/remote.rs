//! Stores behind a network, through `object_store`: S3 and compatible stores, Google Cloud Storage, Azure Blob Storage.
//!
//! `object_store` does not expose the headers of an answer. Therefore each call runs with its own task-local
//! [`HttpExchange`](exchange::HttpExchange), in which the HTTP client that `object_store` uses records the `Date` and the
//! status of the newest answer. If the client retries a call, the exchange holds the last answer.

mod backend;
mod clients;
mod connection_health;
mod exchange;
mod failure;
mod observing_connector;
mod options;
#[cfg(feature = "other-clouds")]
mod other_clouds;

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use futures::{StreamExt, stream};
use object_store::{
    Attribute, GetRange, ObjectMeta, ObjectStore, PutPayload, UpdateVersion, aws::AmazonS3Builder,
    list::PaginatedListOptions, path::Path,
};
use tokio::sync::Semaphore;

pub use self::options::RemoteOptions;
pub(crate) use self::{backend::ObjectStoreBackend, failure::error_without_exchange};
use self::{
    clients::{ClientPair, ClientSource, is_denied},
    exchange::with_exchange,
    failure::{CallFailure, OperationContext},
    observing_connector::ObservingConnector,
};
use crate::{
    Clock, ETag, Get, GetOptions, ListEntry, ListPage, ListRequest, Object, Operation,
    PresignedObjects, Put, PutMode, StorageClass, Store, StoreError, StoreResponse, StoreTime,
};

/// Puts of more bytes than this get the longer time limit, as do reads of whole data objects.
const LARGE_BYTES: usize = 8 << 20;

/// The parts of an object's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VersionScheme {
    /// The `ETag`.
    ETags,
    /// The generation, on which Google's puts are conditional, and the `ETag`, on which reads are.
    #[cfg_attr(
        not(feature = "other-clouds"),
        expect(dead_code, reason = "only Google's stores have generations")
    )]
    Generations,
}

/// A store behind a network.
#[derive(derive_more::Debug)]
#[debug("ObjectStoreAdapter({clients:?})")]
pub struct ObjectStoreAdapter {
    clients: ClientSource,
    versions: VersionScheme,
    /// Whether listings are sorted and can start after a key. Directory buckets of S3 Express support neither.
    is_sorted: bool,
    /// The storage classes of cold objects.
    classes: &'static [StorageClass],
    requests: Semaphore,
}

impl ObjectStoreAdapter {
    /// Opens a bucket of S3 or a compatible store. The builder supplies the bucket, the region and the credentials.
    pub fn s3(
        builder: AmazonS3Builder,
        options: &RemoteOptions,
    ) -> Result<Self, object_store::Error> {
        Self::s3_with_connector(builder, options, &options.connector())
    }

    fn s3_with_connector(
        builder: AmazonS3Builder,
        options: &RemoteOptions,
        connector: &ObservingConnector,
    ) -> Result<Self, object_store::Error> {
        let clients = ClientSource::Permanent(s3_clients(&builder, options, connector)?);
        let classes = StorageClass::S3;
        Ok(Self::new(clients, VersionScheme::ETags, classes, options))
    }

    /// Opens a directory bucket of S3 Express, whose listings are not sorted and start at the beginning. Its sessions are
    /// renewed by both clocks, and once for a request that is denied.
    pub fn s3_express(
        builder: AmazonS3Builder,
        options: &RemoteOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, object_store::Error> {
        let (builder, own_options) = (builder.with_s3_express(true), options.clone());
        let connector = options.connector();
        let create = move || s3_clients(&builder, &own_options, &connector);
        let clients = ClientSource::with_sessions(Box::new(create), clock)?;
        Ok(Self {
            is_sorted: false,
            // Directory buckets have a class of their own.
            ..Self::new(clients, VersionScheme::ETags, &[], options)
        })
    }

    fn new(
        clients: ClientSource,
        versions: VersionScheme,
        classes: &'static [StorageClass],
        options: &RemoteOptions,
    ) -> Self {
        Self {
            clients,
            versions,
            is_sorted: true,
            classes,
            requests: Semaphore::new(options.connection_limit.max(1)),
        }
    }

    /// Returns the objects below `prefix` that clients fetch directly from the store.
    pub fn links(&self, prefix: impl Into<String>) -> PresignedObjects {
        PresignedObjects::new(self.clients.current().patient, prefix.into())
    }

    /// Runs one call with its own exchange, within the connection limit. A call that the store denies because the session
    /// has ended had no effect, and is repeated with another session.
    async fn call<T: Send, F>(
        &self,
        task: OperationContext<'_>,
        call: impl Fn(ClientPair) -> F + Send + Sync,
    ) -> Result<StoreResponse<T>, CallFailure>
    where
        F: Future<Output = object_store::Result<T>> + Send,
    {
        let permit = self.requests.acquire().await;
        let clients = self.clients.current();
        let (first, first_exchange) = with_exchange(call(clients.clone())).await;
        let is_repeatable = !first_exchange.uncertain && first.as_ref().is_err_and(is_denied);
        let renewed = is_repeatable.then(|| self.clients.renewed(&clients)).flatten();
        let (outcome, exchange) = match renewed {
            Some(renewed) => with_exchange(call(renewed)).await,
            None => (first, first_exchange),
        };
        drop(permit);
        match outcome {
            Ok(value) => Ok(StoreResponse { value, date: exchange.date }),
            Err(error) => Err(task.failure(error, &exchange)),
        }
    }

    fn put_options(&self, mode: &PutMode) -> object_store::PutOptions {
        let class = match mode {
            PutMode::OverwriteIn(class) if self.classes.contains(class) => {
                Some((Attribute::StorageClass, class.as_str()))
            }
            _ => None,
        };
        object_store::PutOptions {
            mode: match mode {
                PutMode::Overwrite | PutMode::OverwriteIn(_) => object_store::PutMode::Overwrite,
                PutMode::Create => object_store::PutMode::Create,
                PutMode::Update(etag) => object_store::PutMode::Update(self.parts(etag)),
            },
            attributes: class.into_iter().collect(),
            ..object_store::PutOptions::default()
        }
    }

    fn etag(&self, e_tag: Option<&str>, version: Option<&str>) -> ETag {
        let e_tag = e_tag.unwrap_or_default();
        match self.versions {
            VersionScheme::ETags => ETag::new(e_tag),
            VersionScheme::Generations => {
                ETag::new(format!("{} {e_tag}", version.unwrap_or_default()))
            }
        }
    }

    /// Splits a version into the generation, if the store has generations, and the `ETag`.
    fn parts(&self, etag: &ETag) -> UpdateVersion {
        let (version, e_tag) = match self.versions {
            VersionScheme::ETags => (None, etag.as_str()),
            VersionScheme::Generations => match etag.as_str().split_once(' ') {
                Some((version, e_tag)) => (Some(version.to_owned()), e_tag),
                None => (None, etag.as_str()),
            },
        };
        UpdateVersion { e_tag: Some(e_tag.to_owned()), version }
    }
}

/// Creates the clients of a bucket of S3 or a compatible store.
fn s3_clients(
    builder: &AmazonS3Builder,
    options: &RemoteOptions,
    connector: &ObservingConnector,
) -> Result<ClientPair, object_store::Error> {
    let build = |options: &RemoteOptions| {
        let builder = builder
            .clone()
            .with_client_options(options.client())
            .with_retry(options.retry());
        builder.with_http_connector(connector.clone()).build()
    };
    Ok(ClientPair::new(build(options)?, build(&options.patient())?))
}

async fn get_object(
    clients: ClientPair,
    path: &Path,
    options: object_store::GetOptions,
) -> object_store::Result<(ObjectMeta, Bytes)> {
    let known = options.if_none_match.clone();
    let is_whole = options.range.is_none() && !options.head;
    let is_data = matches!(path.extension(), Some("parquet" | "bundle"));
    let client = if is_whole && is_data {
        &clients.patient
    } else {
        &clients.usual
    };
    let answer = client.get_opts(path, options).await?;
    let meta = answer.meta.clone();
    // A server that ignores the condition sends an object that the caller already has.
    let ignored = known.is_some() && known == meta.e_tag;
    let bytes = if ignored {
        Bytes::new()
    } else {
        answer.bytes().await?
    };
    Ok((meta, bytes))
}

async fn delete_all(clients: &ClientPair, paths: Vec<Path>) -> object_store::Result<()> {
    let locations = stream::iter(paths.into_iter().map(Ok)).boxed();
    let mut deleted = clients.usual.delete_stream(locations);
    let mut outcome = Ok(());
    while let Some(one) = deleted.next().await {
        match one {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

#[async_trait]
impl Store for ObjectStoreAdapter {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let task = OperationContext(Operation::Get, key);
        let path = task.path(key)?;
        let known = options.if_none_match;
        let empty = options.range.as_ref().is_some_and(Range::is_empty);
        let wanted = object_store::GetOptions {
            range: options.range.map(GetRange::Bounded).filter(|_| !empty),
            if_none_match: known.as_ref().and_then(|known| self.parts(known).e_tag),
            head: empty,
            ..object_store::GetOptions::default()
        };
        let head = object_store::GetOptions { range: None, head: true, ..wanted.clone() };
        let get = |options: object_store::GetOptions| {
            let path = &path;
            move |clients| get_object(clients, path, options.clone())
        };
        let mut outcome = self.call(task, get(wanted)).await;
        if let Err(CallFailure::OutOfRange) = outcome {
            outcome = self.call(task, get(head)).await;
        }
        match outcome {
            Ok(StoreResponse { value: (meta, bytes), date }) => {
                let etag = self.etag(meta.e_tag.as_deref(), meta.version.as_deref());
                let value = if known.as_ref() == Some(&etag) {
                    Get::Unchanged
                } else {
                    Get::Found(Object { bytes, etag, last_modified: time(&meta.last_modified) })
                };
                Ok(StoreResponse { value, date })
            }
            Err(CallFailure::Missing { date, .. }) => {
                Ok(StoreResponse { value: Get::Missing, date })
            }
            Err(CallFailure::Unchanged { date }) => {
                Ok(StoreResponse { value: Get::Unchanged, date })
            }
            Err(failure) => Err(failure.into_error(task)),
        }
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let task = OperationContext(Operation::Put, key);
        let path = task.path(key)?;
        let options = self.put_options(&mode);
        let put = |clients: ClientPair| {
            let (path, body, options) = (&path, body.clone(), options.clone());
            async move {
                let client = if body.len() > LARGE_BYTES {
                    &clients.patient
                } else {
                    &clients.usual
                };
                client.put_opts(path, PutPayload::from(body), options).await
            }
        };
        match self.call(task, put).await {
            Ok(StoreResponse { value, date }) => {
                let etag = self.etag(value.e_tag.as_deref(), value.version.as_deref());
                Ok(StoreResponse { value: Put::Done(etag), date })
            }
            Err(CallFailure::Refused { date, .. } | CallFailure::Missing { date, .. })
                if mode.is_conditional() =>
            {
                Ok(StoreResponse { value: Put::Refused, date })
            }
            Err(failure) => Err(failure.into_error(task)),
        }
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let task = OperationContext(Operation::List, request.prefix);
        let start_after = request.start_after.filter(|_| self.is_sorted);
        let options = PaginatedListOptions {
            offset: start_after.map(str::to_owned),
            page_token: request.page_token,
            ..PaginatedListOptions::default()
        };
        let prefix = Some(request.prefix).filter(|prefix| !prefix.is_empty());
        let list = |clients: ClientPair| {
            let options = options.clone();
            async move { clients.usual.list_paginated(prefix, options).await }
        };
        let StoreResponse { value, date } =
            self.call(task, list).await.map_err(|failure| failure.into_error(task))?;
        let entries = value.result.objects.into_iter().map(|object| ListEntry {
            key: object.location.to_string(),
            size_bytes: object.size,
            last_modified: time(&object.last_modified),
        });
        let after =
            |entry: &ListEntry| request.start_after.is_none_or(|after| entry.key.as_str() > after);
        let value = ListPage {
            entries: entries.filter(after).collect(),
            next_page_token: value.page_token,
        };
        Ok(StoreResponse { value, date })
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let task = OperationContext(Operation::Delete, keys.first().map_or("", String::as_str));
        let paths: Vec<_> = keys.iter().map(|key| task.path(key)).collect::<Result<_, _>>()?;
        let delete = |clients: ClientPair| {
            let paths = &paths;
            async move {
                let deleted = delete_all(&clients, paths.clone()).await;
                // `object_store` does not retry deletions, although they can be repeated.
                if deleted.is_err() && exchange::had_short_timeout() {
                    delete_all(&clients, paths.clone()).await
                } else {
                    deleted
                }
            }
        };
        let deleted = self.call(task, delete).await;
        deleted.map_err(|failure| failure.into_error(task))
    }

    fn is_sorted(&self) -> bool {
        self.is_sorted
    }

    fn storage_classes(&self) -> &'static [StorageClass] {
        self.classes
    }
}

fn time(time: &DateTime<chrono::Utc>) -> StoreTime {
    StoreTime::from_micros(time.timestamp_micros())
}

#[cfg(test)]
mod tests;
