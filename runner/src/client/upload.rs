//! Uploads line protocol of any length, or rows of files as line protocol, with concurrent requests and retries.
//!
//! ```text
//! lines ── reader thread splits ─────────────┐
//! rows ─── reader thread writes as lines ────┴─ channel (2 batches) ── up to n concurrent requests ── responses
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

use super::{
    Backoff, Client, ClientError, FileRows, FileRowsError, LineBatch, LinePositions, LineSplitter,
    RefusedLines, RowPosition, SplitError, file_rows::RowBatch, upload_progress::PendingBatches,
};

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

/// A source of an upload.
#[derive(Debug)]
pub enum UploadSource {
    /// Line protocol.
    Lines(InputSource),
    /// A file of rows.
    Rows(FileRows),
}

impl From<InputSource> for UploadSource {
    fn from(source: InputSource) -> Self {
        Self::Lines(source)
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
    /// A request failed, and the rows after it were not sent.
    #[error("{error}\n  everything before row {}{} is written: continue with --start-at {}", position.row, source_text(position), position.row)]
    Stopped {
        /// The cause.
        error: ClientError,
        /// The first row that may not be written.
        position: RowPosition,
    },
    /// A source can't be read to its end.
    #[error("cannot read {name}: {error}")]
    Source {
        /// The source.
        name: String,
        /// The cause.
        error: SplitError,
    },
    /// A file of rows can't be read to its end.
    #[error("cannot read {name}: {error}")]
    File {
        /// The file.
        name: String,
        /// The cause.
        error: FileRowsError,
    },
}

fn source_text(position: &RowPosition) -> String {
    let source = position.source.as_ref();
    source.map_or_else(String::new, |source| format!(" of {source}"))
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
    pending: PendingBatches,
}

struct UploadBatch {
    source_index: usize,
    source: Option<Arc<str>>,
    content: BatchContent,
}

enum BatchContent {
    Lines(LineBatch),
    Rows(RowBatch),
}

/// The name of the query parameter with the unit of timestamps.
const PRECISION: &str = "precision";

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
            pending: PendingBatches::default(),
        }
    }

    /// Uploads all sources. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// Lines were refused, or a request or source failed. A failed request ends the upload.
    pub async fn upload(&self, sources: Vec<UploadSource>) -> Result<UploadStats, UploadError> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let limit = self.settings.max_request_bytes;
        tokio::task::spawn_blocking(move || read_pieces(sources, limit, &sender));
        let pieces = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let requests = pieces.map(|piece| {
            let position = piece.as_ref().ok().and_then(UploadBatch::position);
            let number = self.pending.add(position);
            async move {
                let answer = self.write(piece?).await;
                if matches!(answer, Ok(_) | Err(UploadError::Lines(_))) {
                    self.pending.remove(number);
                }
                answer
            }
        });
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
                Err(UploadError::Client(error)) => {
                    let has_answers = uploaded.requests > 0 || refused.is_some();
                    return Err(match self.pending.first().filter(|_| has_answers) {
                        Some(position) => UploadError::Stopped { error, position },
                        None => UploadError::Client(error),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(uploaded), |refused| Err(UploadError::Lines(refused)))
    }

    async fn write(&self, piece: UploadBatch) -> Result<u64, UploadError> {
        let bytes = piece.body().len() as u64;
        let unsent = piece.unsent_rows();
        if bytes == 0 || (unsent.is_some() && self.is_all_or_nothing()) {
            self.progress.inc(piece.progress_bytes());
            return unsent.map_or(Ok(0), |rows| Err(UploadError::Lines(rows)));
        }
        let body = self.encode(piece.body().clone()).await;
        let query = self.query(&piece);
        let mut backoff = Backoff::new(self.world.clone());
        loop {
            let mut request = self.client.request(Method::POST, "/api/v3/write_lp");
            request = request.query(&query).body(body.clone());
            if self.settings.gzip {
                request = request.header(header::CONTENT_ENCODING, "gzip");
            }
            let refused = match self.client.send(request).await {
                Ok(_) => None,
                Err(ClientError::Refused {
                    status, ref body, ..
                }) if let Some(lines) = piece.parse_refusal(status, body) => Some(lines),
                Err(error) => {
                    backoff.wait_after(self.classify_error(error)).await?;
                    continue;
                }
            };
            self.was_answered.store(true, Ordering::Relaxed);
            self.progress.inc(piece.progress_bytes());
            let refused = match (refused, unsent) {
                (Some(mut refused), Some(unsent)) => {
                    refused.merge(unsent);
                    Some(refused)
                }
                (refused, unsent) => refused.or(unsent),
            };
            return refused.map_or(Ok(bytes), |lines| Err(UploadError::Lines(lines)));
        }
    }

    /// Returns whether a request with an invalid line stores nothing.
    fn is_all_or_nothing(&self) -> bool {
        let query = self.settings.query.iter();
        query
            .filter(|(name, _)| *name == "accept_partial")
            .any(|(_, value)| value == "false")
    }

    /// Returns the query parameters of a batch. Rows are written with timestamps in nanoseconds.
    fn query(&self, piece: &UploadBatch) -> Vec<(&'static str, String)> {
        let mut query = self.settings.query.clone();
        if let BatchContent::Rows(_) = piece.content {
            for (_, value) in query.iter_mut().filter(|(name, _)| *name == PRECISION) {
                "ns".clone_into(value);
            }
        }
        query
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
    fn body(&self) -> &Bytes {
        match &self.content {
            BatchContent::Lines(batch) => &batch.body,
            BatchContent::Rows(batch) => &batch.body,
        }
    }

    /// Returns the bytes of the source that are sent with the batch.
    fn progress_bytes(&self) -> u64 {
        match &self.content {
            BatchContent::Lines(batch) => batch.body.len() as u64,
            BatchContent::Rows(batch) => batch.file_bytes,
        }
    }

    fn position(&self) -> Option<RowPosition> {
        match &self.content {
            BatchContent::Lines(_) => None,
            BatchContent::Rows(batch) => Some(RowPosition {
                source: self.source.clone(),
                row: batch.first_row,
            }),
        }
    }

    /// Returns the rows that can't be sent.
    fn unsent_rows(&self) -> Option<RefusedLines> {
        match &self.content {
            BatchContent::Lines(_) => None,
            BatchContent::Rows(batch) => {
                RefusedLines::of_rows(self.source_index, self.source.as_deref(), &batch.refused)
            }
        }
    }

    fn parse_refusal(&self, status: reqwest::StatusCode, body: &str) -> Option<RefusedLines> {
        let positions = match &self.content {
            BatchContent::Lines(batch) => LinePositions::After(batch.lines_before),
            BatchContent::Rows(batch) => LinePositions::Rows(&batch.rows),
        };
        let source = self.source.as_deref();
        RefusedLines::parse(status, body, self.source_index, source, positions)
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
    sources: Vec<UploadSource>,
    limit: usize,
    sender: &mpsc::Sender<Result<UploadBatch, UploadError>>,
) {
    let mut is_open = true;
    for (source_index, source) in sources.into_iter().enumerate() {
        let send = |name: &Arc<str>, content: BatchContent| {
            let batch = UploadBatch {
                source_index,
                source: (!name.is_empty()).then(|| Arc::clone(name)),
                content,
            };
            is_open = sender.blocking_send(Ok(batch)).is_ok();
            is_open
        };
        let read = match source {
            UploadSource::Lines(source) => read_lines(source, limit, send),
            UploadSource::Rows(rows) => read_rows(rows, limit, send),
        };
        if let Err(error) = read {
            // A receiver that is gone has failed already.
            sender.blocking_send(Err(error)).ok();
            return;
        }
        if !is_open {
            return;
        }
    }
}

/// Reads line protocol, until `send` returns false.
fn read_lines(
    source: InputSource,
    limit: usize,
    mut send: impl FnMut(&Arc<str>, BatchContent) -> bool,
) -> Result<(), UploadError> {
    let name: Arc<str> = source.name.into();
    let mut splitter = LineSplitter::new(source.reader, limit);
    loop {
        let batch = splitter.next_batch().map_err(|error| UploadError::Source {
            name: name.to_string(),
            error,
        })?;
        let Some(batch) = batch else {
            return Ok(());
        };
        if !send(&name, BatchContent::Lines(batch)) {
            return Ok(());
        }
    }
}

/// Reads the rows of a file, until `send` returns false.
fn read_rows(
    rows: FileRows,
    limit: usize,
    mut send: impl FnMut(&Arc<str>, BatchContent) -> bool,
) -> Result<(), UploadError> {
    let name: Arc<str> = rows.name.as_str().into();
    rows.encode(limit, |batch| send(&name, BatchContent::Rows(batch)))
        .map_err(|error| UploadError::File {
            name: name.to_string(),
            error,
        })
}
