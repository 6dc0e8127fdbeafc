//! Uploads line protocol of any length, or rows of files as line protocol, with concurrent requests and retries.
//!
//! ```text
//! lines ── reader thread splits ─────────────┐
//! rows ─── reader thread writes as lines ────┴─ channel (2 batches) ── up to n concurrent requests ── responses
//! ```
//!
//! Memory is bounded by the number of concurrent requests times the size of a request.

use std::{
    io::{Read, Write},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use neap_bucket::World;
use neap_http::STAMP_HEADER;
use neap_write::{COUNT_REPLACED_HEADER, REPLACED_ROWS_HEADER};
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderName},
};
use tokio::{sync::mpsc, task::JoinError};

use super::{
    Backoff, Client, ClientError, FileRows, FileRowsError, LineBatch, LinePositions, LineSplitter,
    RefusedLines, RowPosition, SplitError,
    file_rows::RowBatch,
    line_splitter::count_rows,
    upload_progress::{BatchSource, PendingBatches},
};

/// Number of batches to read ahead.
const READ_AHEAD: usize = 2;

/// A source of line protocol.
#[derive(derive_more::Debug)]
#[debug("InputSource({name:?})")]
pub(crate) struct InputSource {
    /// Display name; empty if there is only one source.
    pub(crate) name: String,
    /// Reader of its text.
    pub(crate) reader: Box<dyn Read + Send>,
}

#[derive(Debug)]
pub(crate) enum UploadSource {
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

#[derive(Clone, Debug)]
pub(crate) struct UploadSettings {
    /// Query parameters of each request.
    pub(crate) query: Vec<(&'static str, String)>,
    /// Compress the requests.
    pub(crate) gzip: bool,
    /// Ask the server how many rows of each request replace each other.
    pub(crate) count_replaced: bool,
    /// Maximum size of a request in bytes, before compression.
    pub(crate) max_request_bytes: usize,
    /// Maximum number of concurrent requests.
    pub(crate) max_concurrent_requests: usize,
}

/// Error of an incomplete upload.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// Everything was sent; the server refused these lines.
    #[error("{0}")]
    Lines(RefusedLines),
    /// A request failed, and the batches after it were not sent.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The upload ended early, after other requests were answered.
    #[error("{error}{}", stop_text(position.as_ref(), refused.as_ref()))]
    Stopped {
        error: Box<Self>,
        /// The first row that may not be written; `None` if it is unknown or that of the first batch.
        position: Option<RowPosition>,
        refused: Option<RefusedLines>,
    },
    #[error("reading the input failed: {0}")]
    Reader(JoinError),
    #[error("cannot read {name}: {error}")]
    Source { name: String, error: SplitError },
    /// A file of rows can't be read to its end.
    #[error("cannot read {name}: {error}")]
    File { name: String, error: FileRowsError },
}

/// Returns where to continue, and what was refused before, each on further lines.
fn stop_text(position: Option<&RowPosition>, refused: Option<&RefusedLines>) -> String {
    let hint = position.map(|position| format!("\n  {}", position.resume_hint()));
    let refused = refused.map(|refused| format!("\n  refused earlier: {refused}"));
    hint.into_iter().chain(refused).collect()
}

/// Counts of an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UploadStats {
    /// Number of answered requests.
    pub(crate) requests: u64,
    /// Number of rows.
    pub(crate) rows: u64,
    /// Number of rows that another row of their request has replaced. Zero if the server did not count them.
    pub(crate) replaced: u64,
    /// Bytes of line protocol, before compression.
    pub(crate) bytes: u64,
}

/// Writes sources to a server.
#[derive(Debug)]
pub(crate) struct Uploader {
    client: Client,
    settings: UploadSettings,
    world: World,
    progress: ProgressBar,
    /// The server has answered before, so a connection failure is retryable.
    was_answered: AtomicBool,
    /// The newest stamp of an answer; 0: none yet. Later requests are ordered after it.
    latest_stamp: AtomicU64,
    pending: PendingBatches,
}

struct UploadBatch {
    source: BatchSource,
    content: BatchContent,
}

/// A source that can't be read to its end.
struct ReadFailure {
    error: Box<UploadError>,
    /// The first row that was not read; `None` for line protocol.
    position: Option<RowPosition>,
}

enum BatchContent {
    Lines(LineBatch),
    Rows(RowBatch),
}

/// The name of the query parameter with the unit of timestamps.
const PRECISION: &str = "precision";

impl Uploader {
    /// Creates an uploader that advances a progress bar by bytes of line protocol.
    pub(crate) fn new(
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
            latest_stamp: AtomicU64::new(0),
            pending: PendingBatches::default(),
        }
    }

    /// Uploads all sources. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// Lines were refused, or a request or source failed. A failed request ends the upload. After a failed source,
    /// requests for what was read are still answered.
    pub(crate) async fn upload(
        &self,
        sources: Vec<UploadSource>,
    ) -> Result<UploadStats, UploadError> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let limit = self.settings.max_request_bytes;
        let reader = tokio::task::spawn_blocking(move || read_batches(sources, limit, &sender));
        let batches = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|batch| (batch, receiver))
        });
        let requests = batches.map(|batch| {
            let number = self.pending.add(match &batch {
                Ok(batch) => batch.position(),
                Err(failure) => failure.position.clone(),
            });
            self.write_pending(number, batch)
        });
        let mut answers =
            std::pin::pin!(requests.buffer_unordered(self.settings.max_concurrent_requests.max(1)));
        let mut uploaded = UploadStats::default();
        let mut refused: Option<RefusedLines> = None;
        let mut failure = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(batch) => {
                    uploaded.requests += batch.requests;
                    uploaded.rows += batch.rows;
                    uploaded.replaced += batch.replaced;
                    uploaded.bytes += batch.bytes;
                }
                Err(UploadError::Lines(lines)) => match &mut refused {
                    Some(refused) => refused.merge(lines),
                    None => refused = Some(lines),
                },
                Err(error @ UploadError::Client(_)) => return Err(self.stop(error, refused)),
                // Nothing was read after a failed source, but other requests may be in flight.
                Err(error) => failure = Some(error),
            }
        }
        // A panic closes the channel as the end of the sources does.
        let read = reader.await.map_err(UploadError::Reader);
        match failure.or(read.err()) {
            Some(error) => Err(self.stop(error, refused)),
            None => refused.map_or(Ok(uploaded), |refused| Err(UploadError::Lines(refused))),
        }
    }

    /// Writes a pending batch. A refused batch of which nothing is stored stays pending.
    async fn write_pending(
        &self,
        number: u64,
        batch: Result<UploadBatch, ReadFailure>,
    ) -> Result<UploadStats, UploadError> {
        let answer = match batch {
            Ok(batch) => self.write(batch).await,
            Err(failure) => Err(*failure.error),
        };
        let is_settled = match &answer {
            Ok(_) => true,
            Err(UploadError::Lines(_)) => !self.is_all_or_nothing(),
            Err(_) => false,
        };
        if is_settled {
            self.pending.remove(number);
        }
        answer
    }

    /// Adds to an error where to continue and what was refused before.
    fn stop(&self, error: UploadError, refused: Option<RefusedLines>) -> UploadError {
        let position = self.pending.first();
        if position.is_none() && refused.is_none() {
            error
        } else {
            UploadError::Stopped { error: Box::new(error), position, refused }
        }
    }

    async fn write(&self, batch: UploadBatch) -> Result<UploadStats, UploadError> {
        let bytes = batch.body().len() as u64;
        let mut stats = UploadStats { requests: 1, rows: batch.rows(), replaced: 0, bytes };
        let unsent = batch.unsent_rows();
        if bytes == 0 || (unsent.is_some() && self.is_all_or_nothing()) {
            self.progress.inc(batch.progress_bytes());
            return unsent.map_or(Ok(stats), |rows| Err(UploadError::Lines(rows)));
        }
        let body = self.encode(batch.body().clone()).await;
        let query = self.query(&batch);
        let mut backoff = Backoff::new(self.world.clone());
        loop {
            let mut request = self.client.request(Method::POST, "/api/v3/write_lp");
            request = request.query(&query).body(body.clone());
            if self.settings.gzip {
                request = request.header(header::CONTENT_ENCODING, "gzip");
            }
            if self.settings.count_replaced {
                request = request.header(COUNT_REPLACED_HEADER, "true");
            }
            // Repeated points overwrite each other in the order of the source, whichever instance takes a request.
            let stamp = self.latest_stamp.load(Ordering::Relaxed);
            if stamp > 0 {
                request = request.header(STAMP_HEADER, stamp);
            }
            let refused = match self.client.send(request).await {
                Ok(answer) => {
                    let stamp = number(answer.headers(), STAMP_HEADER);
                    self.latest_stamp.fetch_max(stamp, Ordering::Relaxed);
                    stats.replaced = number(answer.headers(), REPLACED_ROWS_HEADER);
                    None
                }
                Err(ClientError::Refused { status, ref body, .. })
                    if let Some(lines) = batch.parse_refusal(status, body) =>
                {
                    Some(lines)
                }
                Err(error) => {
                    backoff
                        .wait_after(error.retryable_if(self.was_answered.load(Ordering::Relaxed)))
                        .await?;
                    continue;
                }
            };
            self.was_answered.store(true, Ordering::Relaxed);
            self.progress.inc(batch.progress_bytes());
            let refused = match (refused, unsent) {
                (Some(mut refused), Some(unsent)) => {
                    refused.merge(unsent);
                    Some(refused)
                }
                (refused, unsent) => refused.or(unsent),
            };
            return refused.map_or(Ok(stats), |lines| Err(UploadError::Lines(lines)));
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
    fn query(&self, batch: &UploadBatch) -> Vec<(&'static str, String)> {
        let mut query = self.settings.query.clone();
        if let BatchContent::Rows(_) = batch.content {
            for (_, value) in query.iter_mut().filter(|(name, _)| *name == PRECISION) {
                "ns".clone_into(value);
            }
        }
        query
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

    fn rows(&self) -> u64 {
        match &self.content {
            BatchContent::Lines(batch) => count_rows(&batch.body),
            BatchContent::Rows(batch) => batch.rows.len() as u64,
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
            BatchContent::Rows(batch) => Some(self.source.position(batch.first_row)),
        }
    }

    /// Returns the rows that can't be sent.
    fn unsent_rows(&self) -> Option<RefusedLines> {
        match &self.content {
            BatchContent::Lines(_) => None,
            BatchContent::Rows(batch) => {
                let BatchSource { index, name, .. } = &self.source;
                RefusedLines::of_rows(*index, name.as_deref(), &batch.refused)
            }
        }
    }

    fn parse_refusal(&self, status: reqwest::StatusCode, body: &str) -> Option<RefusedLines> {
        let positions = match &self.content {
            BatchContent::Lines(batch) => LinePositions::After(batch.lines_before),
            BatchContent::Rows(batch) => LinePositions::Rows(&batch.rows),
        };
        let BatchSource { index, name, .. } = &self.source;
        RefusedLines::parse(status, body, *index, name.as_deref(), positions)
    }
}

/// Returns the number in a header of an answer; zero without it.
fn number(headers: &HeaderMap, name: HeaderName) -> u64 {
    let number = headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
    number.unwrap_or(0)
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writes to memory don't fail.
    encoder.write_all(plain).ok();
    encoder.finish().unwrap_or_default().into()
}

/// Reads all sources into the channel, until the receiver is dropped.
fn read_batches(
    sources: Vec<UploadSource>,
    limit: usize,
    sender: &mpsc::Sender<Result<UploadBatch, ReadFailure>>,
) {
    let count = sources.len();
    let mut is_open = true;
    for (index, source) in sources.into_iter().enumerate() {
        let name = match &source {
            UploadSource::Lines(source) => &source.name,
            UploadSource::Rows(rows) => &rows.name,
        };
        let batch_source = BatchSource {
            index,
            name: (!name.is_empty()).then(|| name.as_str().into()),
            is_last: index + 1 == count,
        };
        let send = |content: BatchContent| {
            let source = batch_source.clone();
            is_open = sender.blocking_send(Ok(UploadBatch { source, content })).is_ok();
            is_open
        };
        let read = match source {
            UploadSource::Lines(source) => read_lines(source, limit, send),
            UploadSource::Rows(rows) => read_rows(rows, limit, &batch_source, send),
        };
        if let Err(failure) = read {
            // A receiver that is gone has failed already.
            sender.blocking_send(Err(failure)).ok();
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
    mut send: impl FnMut(BatchContent) -> bool,
) -> Result<(), ReadFailure> {
    let InputSource { name, reader } = source;
    let mut splitter = LineSplitter::new(reader, limit);
    loop {
        match splitter.next_batch() {
            Ok(Some(batch)) => {
                if !send(BatchContent::Lines(batch)) {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                return Err(ReadFailure {
                    error: Box::new(UploadError::Source { name, error }),
                    position: None,
                });
            }
        }
    }
}

/// Reads the rows of a file, until `send` returns false.
fn read_rows(
    rows: FileRows,
    limit: usize,
    source: &BatchSource,
    mut send: impl FnMut(BatchContent) -> bool,
) -> Result<(), ReadFailure> {
    let name = rows.name.clone();
    let mut next_row = 1;
    let read = rows.encode(limit, |batch| {
        next_row = batch.last_row().saturating_add(1);
        send(BatchContent::Rows(batch))
    });
    read.map_err(|error| ReadFailure {
        error: Box::new(UploadError::File { name, error }),
        position: Some(source.position(next_row)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientSettings;

    struct PanickingReader;

    impl Read for PanickingReader {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("the decoder is wrong")
        }
    }

    #[tokio::test]
    async fn a_panic_of_the_reader_is_an_error() {
        let client = Client::new(&ClientSettings {
            url: "http://127.0.0.1:1".parse().unwrap(),
            token: None,
            credentials: None,
            tls_ca: None,
            tls_no_verify: false,
        });
        let settings = UploadSettings {
            query: Vec::new(),
            gzip: false,
            count_replaced: false,
            max_request_bytes: 100,
            max_concurrent_requests: 1,
        };
        let progress = ProgressBar::hidden();
        let uploader = Uploader::new(client.unwrap(), settings, World::system(), progress);
        let source = InputSource { name: String::new(), reader: Box::new(PanickingReader) };
        let error = uploader.upload(vec![source.into()]).await.unwrap_err();
        assert!(matches!(error, UploadError::Reader(_)), "{error}");
    }
}
