//! Handles the requests that a plugin sends while it runs, and answers them.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::{
    DatabaseAccessError,
    worker::{
        PluginRun,
        cache::{CacheStore, CachedValue},
        columns::row_frames,
        frames::{self, FrameError, kind},
    },
};

/// The message of the exception when the trigger is disabled or the server stops.
const STOPPING: &str = "influxdb3 is shutting down; aborting plugin execution";

#[derive(Debug, Deserialize)]
struct QueryHeader {
    database: String,
    sql: String,
    parameters: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
struct WriteHeader {
    database: String,
    no_sync: bool,
}

#[derive(Debug, Deserialize)]
struct CachePutHeader {
    key: String,
    global: bool,
    /// Seconds.
    ttl: Option<f64>,
    #[serde(default)]
    held: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct CacheKeyHeader {
    key: String,
    global: bool,
}

#[derive(Debug, Serialize)]
struct CacheValueHeader {
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
}

/// A failure, with the kind of exception that the host raises.
#[derive(Debug, Serialize)]
struct ExceptionHeader {
    kind: &'static str,
    text: String,
}

/// An error of answering a request.
#[derive(Debug)]
pub(super) enum HostRequestError {
    /// The request is malformed.
    Frame(FrameError),
    /// The process closed its input. Its output may still hold frames.
    Closed,
}

impl From<FrameError> for HostRequestError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<std::io::Error> for HostRequestError {
    fn from(_: std::io::Error) -> Self {
        Self::Closed
    }
}

/// Answers the requests of one run.
#[derive(Debug)]
pub(super) struct HostRequestHandler<'a, W> {
    pub(super) run: &'a PluginRun,
    pub(super) cache: &'a CacheStore,
    /// The number of the process.
    pub(super) process: u64,
    pub(super) stop: &'a CancellationToken,
    pub(super) to: &'a mut W,
}

impl<W: AsyncWriteExt + Unpin> HostRequestHandler<'_, W> {
    /// Answers a frame. Returns false if the frame is not a request.
    pub(super) async fn answer(
        &mut self,
        kind: u8,
        payload: Bytes,
    ) -> Result<bool, HostRequestError> {
        match kind {
            kind::QUERY => self.query(frames::split(payload)?.0).await?,
            kind::WRITE => {
                let (write, lines) = frames::split(payload)?;
                self.write(write, lines).await?;
            }
            kind::CACHE_PUT => {
                let (put, pickled) = frames::split(payload)?;
                self.put(put, pickled).await?;
            }
            kind::CACHE_GET => self.get(&frames::split(payload)?.0).await?,
            kind::CACHE_DELETE => self.delete(&frames::split(payload)?.0).await?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn query(&mut self, query: QueryHeader) -> Result<(), HostRequestError> {
        if self.stop.is_cancelled() {
            return self.fail("stopping", STOPPING.to_owned()).await;
        }
        let QueryHeader { database, sql, .. } = &query;
        let failed = |error: DatabaseAccessError| {
            format!("error: {error} executing query on {database}: {sql}")
        };
        let context = &self.run.context;
        let rows = match context.query(database, sql, &query.parameters).await {
            Ok(rows) => rows,
            Err(error) => return self.fail("query", failed(error)).await,
        };
        let mut batches = rows.batches;
        while let Some(batch) = batches.next().await {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return self.fail("query", failed(error)).await,
            };
            for frame in row_frames(&batch) {
                match frame {
                    Ok(frame) => self.to.write_all(&frame).await?,
                    Err(error) => return self.fail("value", error.to_string()).await,
                }
            }
        }
        self.nothing().await
    }

    async fn write(&mut self, write: WriteHeader, lines: Bytes) -> Result<(), HostRequestError> {
        if self.stop.is_cancelled() {
            return self.fail("stopping", STOPPING.to_owned()).await;
        }
        let WriteHeader { database, no_sync } = write;
        match self.run.context.write_now(&database, lines, no_sync).await {
            Ok(()) => self.nothing().await,
            Err(error) => {
                let text = format!("error writing line protocol to {database}: {error}");
                self.fail("other", text).await
            }
        }
    }

    async fn put(&mut self, put: CachePutHeader, pickled: Bytes) -> Result<(), HostRequestError> {
        // The cache of a disabled trigger was dropped, and stays empty.
        if self.stop.is_cancelled() && !put.global {
            return self.nothing().await;
        }
        let value = match put.held {
            // Copied, so that the value does not keep the whole read buffer alive.
            None => CachedValue::Pickled(Bytes::copy_from_slice(&pickled)),
            Some(number) => CachedValue::InProcess { process: self.process, number },
        };
        // The host has validated it; a TTL too long for a `Duration` never expires.
        let ttl = put.ttl.and_then(|ttl| Duration::try_from_secs_f64(ttl).ok());
        match self.cache.put(&self.run.trigger, put.global, put.key, value, ttl) {
            Ok(()) => self.nothing().await,
            Err(error) => self.fail("other", error.to_string()).await,
        }
    }

    async fn get(&mut self, wanted: &CacheKeyHeader) -> Result<(), HostRequestError> {
        let value = self.cache.get(&self.run.trigger, wanted.global, &wanted.key);
        let (held, pickled) = match value {
            Some(CachedValue::Pickled(pickled)) => (None, pickled),
            Some(CachedValue::InProcess { process, number }) if process == self.process => {
                (Some(number), Bytes::new())
            }
            // The value belongs to another process, which may have ended.
            Some(CachedValue::InProcess { .. }) | None => return self.nothing().await,
        };
        let mut out = Vec::with_capacity(64 + pickled.len());
        frames::push_header(&mut out, kind::VALUE, &CacheValueHeader { held }, &pickled);
        Ok(self.to.write_all(&out).await?)
    }

    async fn delete(&mut self, wanted: &CacheKeyHeader) -> Result<(), HostRequestError> {
        if !self.cache.delete(&self.run.trigger, wanted.global, &wanted.key) {
            return self.nothing().await;
        }
        let mut out = Vec::new();
        frames::push_header(&mut out, kind::VALUE, &CacheValueHeader { held: None }, b"");
        Ok(self.to.write_all(&out).await?)
    }

    async fn nothing(&mut self) -> Result<(), HostRequestError> {
        let mut out = Vec::new();
        frames::push(&mut out, kind::NOTHING, b"");
        Ok(self.to.write_all(&out).await?)
    }

    async fn fail(&mut self, kind: &'static str, text: String) -> Result<(), HostRequestError> {
        let mut out = Vec::new();
        frames::push_header(&mut out, kind::FAILURE, &ExceptionHeader { kind, text }, b"");
        Ok(self.to.write_all(&out).await?)
    }
}
