//! `GET` and `POST /api/v3/enterprise/import`

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, header::CONTENT_ENCODING};
use neap_bucket::StoreTime;
use neap_catalog::{CatalogError, DatabaseAction, Table, TablePermission, validate_database_name};
use neap_file_formats::{PARQUET_TAIL_BYTES, ParquetSummary, ReadError, parquet_footer_bytes};
use neap_http::{ApiError, Caller, ErrorBody, Kind};
use neap_schema::{COLUMN_TYPE_METADATA_KEY, ColumnType, DatabaseId, validate_table_name};
use neap_write::{DuplicateCheck, WriteService, authorize_write};
use serde::Serialize;
use ulid::Ulid;
use uuid::Uuid;

use super::{
    columns::ColumnTypes,
    job::{ImportJob, ImportStatus, ImportedFile},
    store::ImportStoreError,
    worker::ImportWorker,
};
use crate::multipart::{Multipart, MultipartError};

/// Maximum size of a file, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// Maximum size of the footer of a file, in bytes.
const MAX_FOOTER_BYTES: usize = 32 << 20;

/// Maximum bytes of the names in a request, and of its column metadata.
const MAX_NAME_BYTES: usize = 4 << 10;
const MAX_METADATA_BYTES: usize = 1 << 20;

type WorkerState = State<Arc<ImportWorker>>;

/// Returns the routes of import jobs.
pub fn import_router(worker: Arc<ImportWorker>) -> Router {
    Router::new()
        .route("/api/v3/enterprise/import", get(list).post(upload))
        .with_state(worker)
}

/// `GET`: the jobs of databases that the caller may write to, oldest first. Callers who may write to all databases also
/// see jobs that can't be read.
async fn list(
    State(worker): WorkerState,
    caller: Caller,
) -> Result<Json<Vec<ImportInfo>>, ApiError> {
    let jobs = worker.store.jobs(|_| false).await.map_err(unavailable)?;
    let shown = jobs.iter().filter_map(|(id, job)| {
        let (database, info) = match job {
            Ok(job) => (Some(job.file.database), ImportInfo::new(*id, job)),
            // It is unknown whose job it is.
            Err(error) => {
                let job = ImportJob::unreadable(*id, error);
                (None, ImportInfo::new(*id, &job))
            }
        };
        caller.may(DatabaseAction::Append, database).then_some(info)
    });
    Ok(Json(shown.collect()))
}

/// `POST`: stores a file, and answers with its job.
async fn upload(State(worker): WorkerState, caller: Caller, request: Request) -> Response {
    match accept(&worker, &caller, request).await {
        Ok(info) => Json(info).into_response(),
        Err(error) => error.with_body(ErrorBody::Json).into_response(),
    }
}

/// The parts of a request.
#[derive(Debug, Default)]
struct UploadRequest {
    database: Option<String>,
    table: Option<String>,
    columns: ColumnTypes,
    duplicates: DuplicateCheck,
    file: Option<StoredFile>,
}

/// A stored file whose job does not exist yet.
#[derive(Debug)]
struct StoredFile {
    id: Ulid,
    size_bytes: u64,
    filename: String,
}

async fn accept(
    worker: &ImportWorker,
    caller: &Caller,
    request: Request,
) -> Result<ImportInfo, ApiError> {
    let (head, body) = request.into_parts();
    refuse_encoding(&head.headers)?;
    let Ok(_permit) = worker.uploads.try_acquire() else {
        let text = "too many files are being uploaded";
        return Err(ApiError::json(Kind::Unavailable, text));
    };
    let mut body = Multipart::new(&head.headers, body, worker.service.world())?;
    let mut upload = UploadRequest {
        duplicates: DuplicateCheck::requested(&head.headers)?,
        ..UploadRequest::default()
    };
    let received = receive(worker, caller, &mut body, &mut upload).await;
    let created = match received {
        Ok(()) => create_job(worker, caller, &upload).await,
        Err(error) => Err(error),
    };
    if created.is_err()
        && let Some(file) = &upload.file
    {
        worker.store.delete_file(file.id).await;
    }
    let (id, job) = created?;
    worker.wake();
    Ok(ImportInfo::new(id, &job))
}

fn refuse_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(()),
        Some(_) => Err(refused("the body of an import can't have a content encoding")),
    }
}

/// Reads all parts, and stores the file.
async fn receive(
    worker: &ImportWorker,
    caller: &Caller,
    body: &mut Multipart,
    upload: &mut UploadRequest,
) -> Result<(), ApiError> {
    while let Some(part) = body.next_part().await? {
        let name = part.name.as_str();
        match name {
            "database" => {
                let database = body.text(name, MAX_NAME_BYTES).await?;
                // Before the file is stored, if the client sends the name first.
                validate_database_name(&database).map_err(CatalogError::from)?;
                authorize_write(&worker.service, caller, &database).await?;
                upload.database = Some(database);
            }
            "table" => {
                let table = body.text(name, MAX_NAME_BYTES).await?;
                validate_table_name(&table).map_err(refused)?;
                upload.table = Some(table);
            }
            "column_metadata" => {
                let text = body.text(name, MAX_METADATA_BYTES).await?;
                upload.columns = text.parse().map_err(refused)?;
            }
            "file_bytes" if upload.file.is_some() => {
                return Err(refused("a request has one file"));
            }
            "file_bytes" => {
                let filename = part.filename.unwrap_or_default();
                upload.file = Some(store_file(worker, body, filename).await?);
            }
            _ => return Err(refused(format!("unknown part '{name}'"))),
        }
    }
    Ok(())
}

/// Stores the present part as the file of a new job.
async fn store_file(
    worker: &ImportWorker,
    body: &mut Multipart,
    mut filename: String,
) -> Result<StoredFile, ApiError> {
    filename.truncate(filename.floor_char_boundary(MAX_NAME_BYTES));
    let mut reservation = worker.service.reserve_exactly(0).await?;
    let (id, mut upload) = worker.store.begin_file().await.map_err(unavailable)?;
    let mut size_bytes = 0_u64;
    let received = async {
        while let Some(chunk) = body.next_chunk().await? {
            size_bytes = size_bytes.saturating_add(chunk.len() as u64);
            if size_bytes > MAX_FILE_BYTES {
                return Err(ApiError::from(MultipartError::TooLarge {
                    name: "file_bytes".to_owned(),
                    limit: MAX_FILE_BYTES,
                }));
            }
            let put = upload.put(chunk).await;
            put.map_err(|error| unavailable(error.into()))?;
            let held = upload.memory_bytes();
            worker.service.grow_reservation(&mut reservation, held).await?;
        }
        Ok(())
    }
    .await;
    if let Err(error) = received {
        upload.abort().await;
        return Err(error);
    }
    let finished = upload.finish().await;
    finished.map_err(|error| unavailable(error.into()))?;
    Ok(StoredFile { id, size_bytes, filename })
}

/// Checks the file, and creates its job.
async fn create_job(
    worker: &ImportWorker,
    caller: &Caller,
    upload: &UploadRequest,
) -> Result<(Ulid, ImportJob), ApiError> {
    let missing = |name: &str| refused(format!("missing {name}"));
    let database = upload.database.as_deref().ok_or_else(|| missing("database"))?;
    let table = upload.table.as_deref().ok_or_else(|| missing("table"))?;
    let file = upload.file.as_ref().ok_or_else(|| missing("file_bytes"))?;
    worker.store.check_room().await.map_err(unavailable)?;
    let summary = read_summary(worker, file).await?;
    if summary.rows == 0 {
        return Err(refused("the file has no rows"));
    }
    let columns = &upload.columns;
    columns.check(&summary.schema).map_err(refused)?;
    let service = &worker.service;
    let only = authorize_write(service, caller, database).await?;
    let catalog = service.catalog();
    let found = catalog.database_by_name(database, Duration::ZERO);
    let id = found.await?.ok_or_else(|| {
        let text = format!("Database not found {database}");
        ApiError::json(Kind::NotFound, text)
    })?;
    // Another database may have got the name since.
    if only.is_some_and(|only| only != id) {
        return Err(CatalogError::Forbidden.into());
    }
    let (target, is_new) = find_or_create_table(service, id, table, columns, &summary).await?;
    let duplicates = match upload.duplicates {
        DuplicateCheck::On if is_new => DuplicateCheck::NewTable,
        check => check,
    };
    let times = summary.time_range(columns.time_column());
    let (min_time, max_time) = times.unwrap_or_default();
    let described = ImportedFile {
        database: id,
        table: target.id(),
        database_name: database.to_owned(),
        table_name: table.to_owned(),
        filename: file.filename.clone(),
        columns: columns.clone(),
        size_bytes: file.size_bytes,
        rows: summary.rows,
        min_time,
        max_time,
        is_of_influxdb: is_of_influxdb(&summary),
        duplicates,
    };
    let job = worker.store.create(file.id, &described).await;
    Ok((file.id, job.map_err(unavailable)?))
}

/// Reads the footer of a stored file.
async fn read_summary(
    worker: &ImportWorker,
    file: &StoredFile,
) -> Result<ParquetSummary, ApiError> {
    let invalid = |error: ReadError| refused(format!("the file is not valid Parquet: {error}"));
    let read = async |bytes: usize| {
        let start = file.size_bytes.saturating_sub(bytes as u64);
        let range = start..file.size_bytes;
        let end = worker.store.read_file(file.id, range).await;
        end.map_err(unavailable)
    };
    let tail_bytes = read(PARQUET_TAIL_BYTES).await?;
    let tail = tail_bytes
        .as_ref()
        .try_into()
        .map_err(|_| refused("the file is not valid Parquet: it is too short"))?;
    let footer_bytes = parquet_footer_bytes(tail).map_err(invalid)?;
    if footer_bytes > MAX_FOOTER_BYTES {
        let text = format!("the footer of the file has more than {MAX_FOOTER_BYTES} bytes");
        return Err(refused(text));
    }
    let service = &worker.service;
    // Decoded metadata is several times as large as the footer.
    let _reservation = service.reserve(footer_bytes).await?;
    let end = read(footer_bytes.saturating_add(PARQUET_TAIL_BYTES)).await?;
    let footer = end.get(..footer_bytes).unwrap_or_default();
    ParquetSummary::decode(footer).map_err(invalid)
}

/// Returns the table of an import, and whether it is new. A missing one is created, with the tags of the file.
async fn find_or_create_table(
    service: &WriteService,
    database: DatabaseId,
    name: &str,
    columns: &ColumnTypes,
    summary: &ParquetSummary,
) -> Result<(Arc<Table>, bool), ApiError> {
    let tags = columns.tags(&summary.schema);
    let catalog = service.catalog();
    let current = catalog.database(database, Duration::ZERO).await?;
    let existing = current.value.table(name).map(Arc::clone);
    let is_new = existing.is_none();
    let table = match existing {
        Some(existing) => existing,
        None => {
            let permission = TablePermission::Write;
            let created =
                catalog.create_permitted_table(database, permission, name, &tags, &[], None);
            let database_catalog = match created.await {
                // Another upload has just created it.
                Err(CatalogError::AlreadyExists { .. }) => {
                    catalog.database(database, Duration::ZERO).await?
                }
                created => created?,
            };
            database_catalog.value.table(name).map(Arc::clone).ok_or_else(|| {
                ApiError::json(Kind::Unavailable, format!("table '{name}' was dropped"))
            })?
        }
    };
    for field in summary.schema.fields() {
        let Some(column) = table.column(field.name()) else {
            continue;
        };
        let is_tag = tags.contains(field.name());
        let is_tag_there = column.column_type == ColumnType::Tag;
        if columns.names(field.name()) && is_tag != is_tag_there {
            let kind = |is_tag| if is_tag { "a tag" } else { "a field" };
            return Err(refused(format!(
                "column '{}' is {} of table '{name}', but {} of the file",
                field.name(),
                kind(is_tag_there),
                kind(is_tag),
            )));
        }
    }
    Ok((table, is_new))
}

/// Returns whether InfluxDB marked the types of the columns.
fn is_of_influxdb(summary: &ParquetSummary) -> bool {
    let mut fields = summary.schema.fields().iter();
    fields.any(|field| field.metadata().contains_key(COLUMN_TYPE_METADATA_KEY))
}

/// A job in the form of InfluxDB 3.
#[derive(Debug, Serialize)]
struct ImportInfo {
    upload_uuid: String,
    db_id: u32,
    table_id: u32,
    filename: String,
    status: ImportStatus,
    last_message: Option<String>,
    created_at: i64,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    last_updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column_metadata: Option<ColumnMetadata>,
    iox_parquet: bool,
    size_bytes: u64,
    row_count: u64,
    min_timestamp_ns: i64,
    max_timestamp_ns: i64,
    /// Specific to Neap.
    db_name: String,
    /// Specific to Neap.
    table_name: String,
    /// The number of rows that queries see. Specific to Neap.
    imported_rows: u64,
}

#[derive(Debug, Serialize)]
struct ColumnMetadata {
    column_mapping: ColumnTypes,
}

impl ImportInfo {
    fn new(id: Ulid, job: &ImportJob) -> Self {
        let file = &job.file;
        let nanoseconds = |time: StoreTime| time.micros().saturating_mul(1_000);
        let column_mapping = file.columns.clone();
        Self {
            upload_uuid: Uuid::from_u128(id.0).to_string(),
            db_id: file.database.get(),
            table_id: file.table.get(),
            filename: file.filename.clone(),
            status: job.status,
            last_message: job.message.clone(),
            created_at: job.created.map(nanoseconds).unwrap_or_default(),
            started_at: job.started.map(nanoseconds),
            completed_at: job.ended.map(nanoseconds),
            last_updated_at: job.updated.map(nanoseconds),
            column_metadata: (!column_mapping.is_empty())
                .then_some(ColumnMetadata { column_mapping }),
            iox_parquet: file.is_of_influxdb,
            size_bytes: file.size_bytes,
            row_count: file.rows,
            min_timestamp_ns: file.min_time,
            max_timestamp_ns: file.max_time,
            db_name: file.database_name.clone(),
            table_name: file.table_name.clone(),
            imported_rows: job.stored_rows,
        }
    }
}

fn refused(message: impl ToString) -> ApiError {
    ApiError::json(Kind::Invalid, message.to_string())
}

fn unavailable(error: ImportStoreError) -> ApiError {
    let kind = match &error {
        ImportStoreError::Register(_) => Kind::Internal,
        _ => Kind::Unavailable,
    };
    ApiError::json(kind, format!("the import can't be stored: {error}"))
}
