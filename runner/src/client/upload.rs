//! Uploads line protocol of any length with concurrent requests and retries.
//!
//! ```text
//! sources ── reader thread splits ── channel (2 batches) ── up to n concurrent requests ── responses
//! ```
//!
//! Memory is bounded by the number of concurrent requests times the size of a request.

use std::{
    fmt,
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use neap_bucket::World;
use reqwest::{Method, header};
use tokio::sync::mpsc;

use super::{Backoff, Client, ClientError, LineBatch, LineSplitter, RefusedLines, SplitError};

/// Number of batches to read ahead.
const READ_AHEAD: usize = 2;

/// A source of line protocol.
pub struct InputSource {
    /// Display name; empty if there is only one source.
    pub name: String,
    /// Reader of its text.
    pub reader: Box<dyn Read + Send>,
}

impl fmt::Debug for InputSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

/// Upload settings.
#[derive(Clone, Debug)]
pub struct UploadSettings {
    /// Query parameters of each request.
    pub query: Vec<(&'static str, String)>,
    /// Compress the requests.
    pub gzip: bool,
    /// Maximum size of a request in bytes, before compression.
    pub max_request_bytes: usize,
    /// Maximum number of concurrent requests.
    pub max_concurrent_requests: usize,
}

/// Error of an incomplete upload.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Everything was sent; the server refused these lines.
    #[error("{0}")]
    Lines(RefusedLines),
    /// A request failed, and the batches after it were not sent.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A source can't be read to its end.
    #[error("cannot read {name}: {error}")]
    Source {
        /// The source.
        name: String,
        /// The cause.
        error: SplitError,
    },
}

/// Counts of an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadStats {
    /// Number of answered requests.
    pub requests: u64,
    /// Bytes of line protocol, before compression.
    pub bytes: u64,
}

/// Writes sources to a server.
#[derive(Debug)]
pub struct Uploader {
    client: Client,
    settings: UploadSettings,
    world: World,
    progress: ProgressBar,
    /// The server has answered before, so a connection failure is retryable.
    was_answered: AtomicBool,
}

struct UploadBatch {
    source_index: usize,
    source: Option<Arc<str>>,
    batch: LineBatch,
}

impl Uploader {
    /// Creates an uploader that advances a progress bar by bytes of line protocol.
    pub fn new(
        client: Client,
        settings: UploadSettings,
        world: World,
        progress: ProgressBar,
    ) -> Self {
        Self {
            client,
            settings,
            world,
            progress,
            was_answered: AtomicBool::new(false),
        }
    }

    /// Uploads all sources. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// Lines were refused, or a request or source failed. A failed request ends the upload.
    pub async fn upload(&self, sources: Vec<InputSource>) -> Result<UploadStats, UploadError> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let limit = self.settings.max_request_bytes;
        tokio::task::spawn_blocking(move || read_pieces(sources, limit, &sender));
        let pieces = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let requests = pieces.map(|piece| async { self.write(piece?).await });
        let mut answers =
            std::pin::pin!(requests.buffer_unordered(self.settings.max_concurrent_requests.max(1)));
        let mut uploaded = UploadStats::default();
        let mut refused: Option<RefusedLines> = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(bytes) => {
                    uploaded.requests += 1;
                    uploaded.bytes += bytes;
                }
                Err(UploadError::Lines(lines)) => match &mut refused {
                    Some(refused) => refused.merge(lines),
                    None => refused = Some(lines),
                },
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(uploaded), |refused| Err(UploadError::Lines(refused)))
    }

    async fn write(&self, piece: UploadBatch) -> Result<u64, UploadError> {
        let bytes = piece.batch.body.len() as u64;
        let body = self.encode(piece.batch.body.clone()).await;
        let mut backoff = Backoff::new(self.world.clone());
        loop {
            let mut request = self.client.request(Method::POST, "/api/v3/write_lp");
            request = request.query(&self.settings.query).body(body.clone());
            if self.settings.gzip {
                request = request.header(header::CONTENT_ENCODING, "gzip");
            }
            match self.client.send(request).await {
                Ok(_) => {
                    self.was_answered.store(true, Ordering::Relaxed);
                    self.progress.inc(bytes);
                    return Ok(bytes);
                }
                Err(ClientError::Refused {
                    status, ref body, ..
                }) if let Some(lines) = piece.parse_refusal(status, body) => {
                    self.was_answered.store(true, Ordering::Relaxed);
                    self.progress.inc(bytes);
                    return Err(UploadError::Lines(lines));
                }
                Err(error) => backoff.wait_after(self.classify_error(error)).await?,
            }
        }
    }

    /// Makes a connection failure retryable if the server has answered before, because it may be restarting.
    fn classify_error(&self, error: ClientError) -> ClientError {
        match error {
            ClientError::Unreachable { url, reason }
                if self.was_answered.load(Ordering::Relaxed) =>
            {
                ClientError::Interrupted { url, reason }
            }
            error => error,
        }
    }

    async fn encode(&self, body: Bytes) -> Bytes {
        if !self.settings.gzip {
            return body;
        }
        let plain = body.clone();
        let encoded = tokio::task::spawn_blocking(move || gzip(&plain)).await;
        encoded.unwrap_or_else(|_| gzip(&body))
    }
}

impl UploadBatch {
    fn parse_refusal(&self, status: reqwest::StatusCode, body: &str) -> Option<RefusedLines> {
        let source = self.source.as_deref();
        RefusedLines::parse(
            status,
            body,
            self.source_index,
            source,
            self.batch.lines_before,
        )
    }
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writes to memory don't fail.
    encoder.write_all(plain).ok();
    encoder.finish().unwrap_or_default().into()
}

/// Reads all sources into the channel, until the receiver is dropped.
fn read_pieces(
    sources: Vec<InputSource>,
    limit: usize,
    sender: &mpsc::Sender<Result<UploadBatch, UploadError>>,
) {
    for (source_index, source) in sources.into_iter().enumerate() {
        let name: Arc<str> = source.name.into();
        let mut splitter = LineSplitter::new(source.reader, limit);
        loop {
            let piece = match splitter.next_batch() {
                Ok(None) => break,
                Ok(Some(batch)) => Ok(UploadBatch {
                    source_index,
                    source: (!name.is_empty()).then(|| Arc::clone(&name)),
                    batch,
                }),
                Err(error) => Err(UploadError::Source {
                    name: name.to_string(),
                    error,
                }),
            };
            let failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    }
}
