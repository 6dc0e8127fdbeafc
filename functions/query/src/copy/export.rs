//! Writes the rows of a `COPY` statement into the bucket.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, UInt64Array},
    datatypes::{DataType, Field, Schema},
};
use bytes::Bytes;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;
use neap_bucket::{
    Key, ObjectHeaders, ObjectUploads, PendingUpload, StoreError, UploadMode, UploadOutcome,
};
use neap_schema::DatabaseId;

use super::{
    CopyError, StartedCopy,
    encoder::{FileEncoder, FileTotals},
};
use crate::{QueryEngine, QueryError, Rows};

/// How long the URL in the answer gives access to the file. The credentials that signed it may expire earlier.
const URL_LIFETIME: Duration = Duration::from_secs(3600);

/// Returns the columns of the answer to a `COPY` statement.
pub(crate) fn copied_schema() -> Schema {
    let field = |name, data_type, is_nullable| Field::new(name, data_type, is_nullable);
    Schema::new(vec![
        field("path", DataType::Utf8, false),
        field("rows", DataType::UInt64, false),
        field("bytes", DataType::UInt64, false),
        field("sha256", DataType::Utf8, false),
        field("url", DataType::Utf8, true),
    ])
}

impl QueryEngine {
    /// Writes rows into the file of a `COPY` statement, and returns the answer to the statement. If it fails or is
    /// dropped, nothing remains of the file.
    /// Fails if the query fails, the file exists, a value can't be encoded, or the store does not answer.
    pub(crate) async fn write_export(
        &self,
        database: DatabaseId,
        copy: StartedCopy,
        rows: Rows,
    ) -> Result<Rows, QueryError> {
        let (as_of, logged) = (rows.as_of, rows.logged.clone());
        let written = self.write_file(database, copy, rows).await;
        let (location, totals, url) = written.inspect_err(|_| {
            logged.iter().for_each(|query| query.fail());
        })?;
        let answer =
            answer(location, &totals, url).map_err(|error| QueryError::Execution(error.into()))?;
        Ok(Rows { as_of, ..Rows::from_batch(answer) })
    }

    async fn write_file(
        &self,
        database: DatabaseId,
        copy: StartedCopy,
        mut rows: Rows,
    ) -> Result<(String, FileTotals, Option<String>), QueryError> {
        let uploads = self.exports().ok_or(CopyError::NoStore)?;
        let StartedCopy { schema, target, memory } = copy;
        let key = Key::Export(database, target.name.clone());
        let location = uploads.location(&key);
        let exists = || CopyError::Exists { location: location.clone() };
        // Before the query computes. The upload checks it once more.
        if target.mode == UploadMode::Create
            && uploads.exists(&key).await.map_err(CopyError::Store)?
        {
            return Err(exists().into());
        }
        let headers = ObjectHeaders {
            kind: target.format.content_type().to_owned(),
            ..ObjectHeaders::default()
        };
        let mut upload =
            uploads.begin(&key, headers, target.mode).await.map_err(|error| match error {
                StoreError::Rejected { reason, .. } => {
                    CopyError::Name { location: location.clone(), reason }
                }
                error => CopyError::Store(error),
            })?;
        let encoder = FileEncoder::new(target.format, schema)?;
        let memory = Arc::new(memory);
        let totals = match self.send(encoder, &memory, &mut rows, &mut upload).await {
            Ok(totals) => totals,
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        };
        match upload.finish().await.map_err(CopyError::Store)? {
            UploadOutcome::Stored => {}
            UploadOutcome::Exists => return Err(exists().into()),
        }
        let url = signed_url(uploads, &key).await;
        Ok((location, totals, url))
    }

    /// Encodes all rows on the query threads and appends them to the upload. The memory of the encoder and of the parts
    /// that are not stored yet is reserved, that of a batch before it is encoded.
    async fn send(
        &self,
        mut encoder: FileEncoder,
        memory: &Arc<MemoryReservation>,
        rows: &mut Rows,
        upload: &mut PendingUpload,
    ) -> Result<FileTotals, QueryError> {
        while let Some(batch) = rows.batches.try_next().await? {
            let (reserved, held) = (Arc::clone(memory), upload.memory_bytes());
            let encoded = self.executor().run(async move {
                let needed = encoder.encoding_bytes(&batch);
                reserved.try_resize(sum([held, encoder.memory_bytes(), needed]))?;
                let bytes = encoder.write(&batch)?;
                reserved.try_resize(sum([held, encoder.memory_bytes(), bytes.len()]))?;
                Ok::<_, QueryError>((encoder, bytes))
            });
            let (returned, bytes) = encoded.await?;
            encoder = returned;
            put(upload, bytes).await?;
            memory.try_resize(sum([upload.memory_bytes(), encoder.memory_bytes(), 0]))?;
        }
        // The rest of the rows is there twice while it is encoded.
        let rest = encoder.memory_bytes();
        memory.try_resize(sum([upload.memory_bytes(), rest, rest]))?;
        let finished = self.executor().run(async move { encoder.finish() });
        let (bytes, totals) = finished.await?;
        put(upload, bytes).await?;
        memory.try_resize(upload.memory_bytes())?;
        Ok(totals)
    }
}

fn sum(bytes: [usize; 3]) -> usize {
    bytes.into_iter().fold(0, usize::saturating_add)
}

async fn put(upload: &mut PendingUpload, bytes: Vec<u8>) -> Result<(), CopyError> {
    if bytes.is_empty() {
        Ok(())
    } else {
        Ok(upload.put(Bytes::from(bytes)).await?)
    }
}

/// Returns a URL of the file. The file is stored, so an answer without URL is better than an error.
async fn signed_url(uploads: &ObjectUploads, key: &Key) -> Option<String> {
    let url = uploads.url(key, URL_LIFETIME).await;
    url.unwrap_or_else(|error| {
        tracing::warn!(%key, %error, "the URL of an export could not be signed");
        None
    })
}

fn answer(
    location: String,
    totals: &FileTotals,
    url: Option<String>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![location])),
        Arc::new(UInt64Array::from(vec![totals.rows])),
        Arc::new(UInt64Array::from(vec![totals.bytes])),
        Arc::new(StringArray::from(vec![totals.sha256.as_str()])),
        Arc::new(StringArray::from(vec![url])),
    ];
    RecordBatch::try_new(Arc::new(copied_schema()), columns)
}
