//! The rows of windows as Parquet files in a tar stream.
//!
//! ```text
//!   2026-01-15/0001.parquet   the first rows of the window
//!   2026-01-15/0002.parquet   the next rows, if the first file has reached its size
//!   2026-01-16/0001.parquet
//! ```
//!
//! A tar header has the size of its file, so a file is in memory until it is complete. Its memory is reserved in the
//! pool of queries.

use std::{collections::VecDeque, sync::Arc};

use arrow::array::RecordBatch;
use bytes::Bytes;
use datafusion::{
    common::DataFusionError,
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
};
use futures::{Stream, TryStreamExt, stream};
use neap_schema::DatabaseId;
use tar::{EntryType, Header};

use super::windows::{Window, quoted};
use crate::{
    QueryEngine, QueryError, QueryRequest, Rows,
    copy::{CopyFormat, FileEncoder},
};

/// The size at which a file ends and another one begins, in encoded bytes.
const MAX_FILE_BYTES: usize = 32 << 20;

/// The size of a header, and the unit of file sizes in an archive, in bytes.
const BLOCK_BYTES: usize = 512;

/// The end of an archive.
const END: &[u8] = &[0; 2 * BLOCK_BYTES];

/// An export of windows of a table.
#[derive(Debug)]
pub(super) struct WindowExport {
    pub(super) engine: Arc<QueryEngine>,
    pub(super) database: DatabaseId,
    pub(super) table: String,
    pub(super) windows: VecDeque<Window>,
    pub(super) memory: Arc<dyn MemoryPool>,
    /// The options of the queries.
    pub(super) request: QueryRequest,
}

/// A window whose rows are being read.
struct OpenWindow {
    window: Window,
    rows: Rows,
    /// The number of files of the window so far.
    files: usize,
    file: Option<OpenFile>,
    memory: Arc<MemoryReservation>,
}

/// A file that is being encoded.
struct OpenFile {
    encoder: FileEncoder,
    /// A block for the header, and the encoded part of the file.
    bytes: Vec<u8>,
}

impl WindowExport {
    /// Returns the archive as a stream. An error ends it.
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, QueryError>> + Send {
        stream::unfold(Some((self, None)), |state| async move {
            let (mut export, mut open) = state?;
            match export.next(&mut open).await {
                Ok(Some(file)) => Some((Ok(file), Some((export, open)))),
                Ok(None) => Some((Ok(Bytes::from_static(END)), None)),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Returns the next file with its header; `None` after the last one.
    async fn next(&mut self, open: &mut Option<OpenWindow>) -> Result<Option<Bytes>, QueryError> {
        loop {
            let Some(window) = open else {
                let Some(next) = self.windows.pop_front() else {
                    return Ok(None);
                };
                *open = Some(self.open(next).await?);
                continue;
            };
            match window.rows.batches.try_next().await? {
                Some(batch) => {
                    if self.add(window, batch).await? >= MAX_FILE_BYTES {
                        return self.finish(window).await;
                    }
                }
                None => {
                    let last = self.finish(window).await?;
                    *open = None;
                    if last.is_some() {
                        return Ok(last);
                    }
                }
            }
        }
    }

    async fn open(&self, window: Window) -> Result<OpenWindow, QueryError> {
        let request = QueryRequest {
            text: format!("SELECT * FROM {} WHERE {}", quoted(&self.table), window.condition()),
            ..self.request.clone()
        };
        Ok(OpenWindow {
            window,
            rows: self.engine.query(self.database, request).await?,
            files: 0,
            file: None,
            memory: Arc::new(MemoryConsumer::new("export").register(&self.memory)),
        })
    }

    /// Encodes rows on the query threads. Returns the size of the file so far, in bytes.
    async fn add(&self, window: &mut OpenWindow, batch: RecordBatch) -> Result<usize, QueryError> {
        let mut file = match window.file.take() {
            Some(file) => file,
            None => OpenFile {
                encoder: FileEncoder::new(CopyFormat::Parquet, Arc::clone(&window.rows.schema))?,
                bytes: vec![0; BLOCK_BYTES],
            },
        };
        let reserved = Arc::clone(&window.memory);
        let encoded = self.engine.executor().run(async move {
            let needed = file.encoder.encoding_bytes(&batch);
            reserved.try_resize(file.memory_bytes().saturating_add(needed))?;
            let bytes = file.encoder.write(&batch)?;
            file.bytes.extend(bytes);
            reserved.try_resize(file.memory_bytes())?;
            Ok::<_, QueryError>(file)
        });
        let file = window.file.insert(encoded.await?);
        Ok(file.memory_bytes())
    }

    /// Returns the file that was begun, if any, with its header and padding.
    async fn finish(&self, window: &mut OpenWindow) -> Result<Option<Bytes>, QueryError> {
        let Some(file) = window.file.take() else {
            return Ok(None);
        };
        window.files += 1;
        let name = format!("{}/{:04}.parquet", window.window.date(), window.files);
        // The rest of the rows is there twice while it is encoded.
        let needed = file.memory_bytes().saturating_mul(2);
        window.memory.try_resize(needed)?;
        let OpenFile { encoder, mut bytes } = file;
        let finished = self.engine.executor().run(async move {
            let (rest, _) = encoder.finish()?;
            bytes.extend(rest);
            let size = bytes.len() - BLOCK_BYTES;
            if let Some(header) = bytes.first_chunk_mut::<BLOCK_BYTES>() {
                *header = *file_header(&name, size)?.as_bytes();
            }
            bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
            Ok::<_, QueryError>(bytes)
        });
        let bytes = finished.await?;
        window.memory.try_resize(bytes.len())?;
        Ok(Some(Bytes::from(bytes)))
    }
}

impl OpenFile {
    fn memory_bytes(&self) -> usize {
        let encoder = self.encoder.memory_bytes();
        encoder.saturating_add(self.bytes.len())
    }
}

fn file_header(name: &str, size_bytes: usize) -> Result<Header, QueryError> {
    let mut header = Header::new_ustar();
    header.set_path(name).map_err(DataFusionError::from)?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size_bytes as u64);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    Ok(header)
}
