//! `/api/v3/enterprise/backup` and `/api/v3/enterprise/restore`, for administrators; auditors may read.
//!
//! | call | answer |
//! |---|---|
//! | `POST backup` `{"type":"full","name","force","database","to"}` | 202; `"type":"incremental"` needs `"parent"` |
//! | `GET backup`, `GET backup/{name}` | all backups, or one |
//! | `DELETE backup` `{"name"}` | 200, and the backup is cancelled |
//! | `DELETE backup/{name}[?incremental=true]` | 200; 409 if it has incremental backups, without the parameter |
//! | `POST restore` `{"backup_name","from","database","to","keep_retention"}` | 202; `"as_of"` and `"database"` in place of a backup |
//! | `GET restore`, `GET restore/{id}` | all restores, newest first, or one |
//! | `DELETE restore/{id}` | 204, and the restore is cancelled |
//!
//! The fields are those of InfluxDB 3 Enterprise, and additional ones.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    routing::{any, get},
};
use chrono::DateTime;
use http::StatusCode;
use neap_bucket::{Stamp, StoreTime};
use neap_http::{ApiError, BodyLimits, Call, Caller, Kind, ResourceCall, parse_query, read_json};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{
    Backup, BackupEngine, BackupError, BackupKind, BackupRequest, JobState, Restore,
    RestoreRequest, engine::time_text,
};

const BACKUPS: &str = "/api/v3/enterprise/backup";
const BACKUP: &str = "/api/v3/enterprise/backup/{name}";
const RESTORES: &str = "/api/v3/enterprise/restore";
const RESTORE: &str = "/api/v3/enterprise/restore/{id}";

/// Maximum bytes of the body of a request (64 KiB).
const MAX_BODY_BYTES: usize = 64 << 10;

type EngineState = State<Arc<BackupEngine>>;
type EngineCall = Call<Arc<BackupEngine>>;
type ItemCall = ResourceCall<Arc<BackupEngine>, String>;

/// Returns the routes of backups and restores.
pub fn backup_routes(engine: Arc<BackupEngine>) -> Router {
    Router::new()
        .route(BACKUPS, get(list_backups).post(create_backup).delete(cancel_backup))
        .route(BACKUP, get(read_backup).delete(delete_backup))
        .route(RESTORES, get(list_restores).post(create_restore))
        .route(RESTORE, get(read_restore).delete(cancel_restore))
        .with_state(engine)
}

/// Returns the routes of a process that does not run backups: 503.
pub fn backup_refusals() -> Router {
    async fn refuse() -> ApiError {
        let text = "this process does not run backups: ask one with --mode compact or all";
        ApiError::json(Kind::Unavailable, text.to_owned())
    }
    let paths = [BACKUPS, BACKUP, RESTORES, RESTORE];
    paths.iter().fold(Router::new(), |router, path| router.route(path, any(refuse)))
}

#[derive(Debug, Deserialize)]
struct CreateBackup {
    #[serde(rename = "type")]
    kind: BackupKind,
    name: Option<String>,
    #[serde(default)]
    force: bool,
    parent: Option<String>,
    database: Option<String>,
    to: Option<String>,
}

#[derive(Debug, Serialize)]
struct BackupStarted {
    backup_name: String,
    status: &'static str,
}

async fn create_backup(
    (State(engine), caller, request): EngineCall,
) -> Result<(StatusCode, Json<BackupStarted>), ApiError> {
    caller.require_admin()?;
    let body: CreateBackup = body(&engine, request).await?;
    let refused = match (body.kind, &body.parent) {
        (BackupKind::Incremental, None) => Some("an incremental backup needs a parent"),
        (BackupKind::Full, Some(_)) => Some("a full backup has no parent"),
        _ => None,
    };
    if let Some(text) = refused {
        return Err(ApiError::json(Kind::Invalid, text.to_owned()));
    }
    let request = BackupRequest {
        name: body.name,
        force: body.force,
        parent: body.parent,
        database: body.database,
        place: body.to,
    };
    let started = engine.start_backup(&request).await.map_err(api_error)?;
    let answer = BackupStarted { backup_name: started.name, status: "in_progress" };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// A backup in an answer.
#[derive(Debug, Serialize)]
struct BackupBody {
    name: String,
    #[serde(rename = "type")]
    kind: BackupKind,
    status: &'static str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    total_files: u64,
    total_size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    databases: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Returns the status in answers. InfluxDB 3 has none for cancelled jobs and for incomplete backups; their `error` says
/// so.
fn status(state: JobState) -> &'static str {
    match state {
        JobState::InProgress => "in_progress",
        JobState::Completed => "completed",
        JobState::Incomplete | JobState::Failed | JobState::Cancelled => "failed",
    }
}

impl BackupBody {
    fn new(backup: &Backup, parent: Option<&Backup>, now: StoreTime) -> Self {
        let state = backup.job.state_at(now);
        let databases = backup.databases.iter().map(|one| one.name.clone());
        Self {
            name: backup.name.clone(),
            kind: backup.kind,
            status: status(state),
            created_at: time_text(backup.job.created),
            completed_at: backup.job.completed.map(time_text),
            total_files: backup.job.objects,
            total_size_bytes: backup.job.bytes,
            parent: parent.map(|parent| parent.name.clone()),
            databases: databases.collect(),
            to: backup.place.clone(),
            stamp: backup.stamp.map(|stamp| stamp.to_string()),
            error: backup.job.error_at(now),
        }
    }
}

#[derive(Debug, Serialize)]
struct BackupList {
    backups: Vec<BackupBody>,
}

async fn list_backups(
    State(engine): EngineState,
    caller: Caller,
) -> Result<Json<BackupList>, ApiError> {
    caller.require_audit()?;
    let (register, now) = engine.read().await.map_err(api_error)?;
    let parent = |backup: &Backup| backup.parent.and_then(|id| register.backup(id));
    let backups = register
        .backups()
        .iter()
        .map(|backup| BackupBody::new(backup, parent(backup), now));
    Ok(Json(BackupList { backups: backups.collect() }))
}

async fn read_backup(
    (State(engine), caller, Path(name)): ItemCall,
) -> Result<Json<BackupBody>, ApiError> {
    caller.require_audit()?;
    let (register, now) = engine.read().await.map_err(api_error)?;
    let not_found = || ApiError::json(Kind::NotFound, format!("there is no backup {name:?}"));
    let backup = register.find(&name).ok_or_else(not_found)?;
    let parent = backup.parent.and_then(|id| register.backup(id));
    Ok(Json(BackupBody::new(backup, parent, now)))
}

#[derive(Debug, Deserialize, Serialize)]
struct CancelBackup {
    name: String,
}

#[derive(Debug, Serialize)]
struct BackupName {
    backup_name: String,
}

async fn cancel_backup(
    (State(engine), caller, request): EngineCall,
) -> Result<Json<BackupName>, ApiError> {
    caller.require_admin()?;
    let CancelBackup { name } = body(&engine, request).await?;
    engine.cancel_backup(&name).await.map_err(api_error)?;
    Ok(Json(BackupName { backup_name: name }))
}

#[derive(Debug, Deserialize)]
struct DeleteParams {
    #[serde(default)]
    incremental: bool,
}

#[derive(Debug, Serialize)]
struct BackupDeleted {
    backup_name: String,
    #[serde(rename = "type")]
    kind: BackupKind,
}

async fn delete_backup(
    (State(engine), caller, Path(name)): ItemCall,
    request: Request,
) -> Result<Json<BackupDeleted>, ApiError> {
    caller.require_admin()?;
    let DeleteParams { incremental } = parse_query(request.uri())?;
    let deleted = engine.delete_backup(&name, incremental).await.map_err(api_error)?;
    Ok(Json(BackupDeleted { backup_name: deleted.name, kind: deleted.kind }))
}

#[derive(Debug, Deserialize)]
struct CreateRestore {
    backup_name: Option<String>,
    from: Option<String>,
    as_of: Option<String>,
    database: Option<String>,
    to: Option<String>,
    #[serde(default)]
    keep_retention: bool,
}

#[derive(Debug, Serialize)]
struct RestoreStarted {
    restore_id: String,
    status: &'static str,
    retention: &'static str,
}

/// Returns what becomes of the retention of restored databases and their tables, as answers tell it.
fn retention(restore: &Restore) -> &'static str {
    if restore.keep_retention {
        "kept"
    } else {
        "off"
    }
}

async fn create_restore(
    (State(engine), caller, request): EngineCall,
) -> Result<(StatusCode, Json<RestoreStarted>), ApiError> {
    caller.require_admin()?;
    let body: CreateRestore = body(&engine, request).await?;
    let moment = body.as_of.as_deref().map(parse_moment).transpose()?;
    let request = RestoreRequest {
        backup: body.backup_name.filter(|name| !name.is_empty()),
        place: body.from,
        moment,
        database: body.database,
        to: body.to,
        keep_retention: body.keep_retention,
    };
    let started = engine.start_restore(&request).await.map_err(api_error)?;
    let answer = RestoreStarted {
        restore_id: started.id.to_string(),
        status: "in_progress",
        retention: retention(&started),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Parses a stamp, or a time (RFC 3339), which means the last stamp of its microsecond.
fn parse_moment(text: &str) -> Result<Stamp, ApiError> {
    if let Ok(stamp) = text.parse() {
        return Ok(stamp);
    }
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| {
        let text = "as_of is a time such as 2026-01-31T12:00:00Z, or a stamp";
        ApiError::json(Kind::Invalid, text.to_owned())
    })?;
    let time = StoreTime::from_micros(time.timestamp_micros());
    Ok(Stamp::end_of(time))
}

/// A restore in an answer.
#[derive(Debug, Serialize)]
struct RestoreBody {
    restore_id: String,
    backup_name: String,
    status: &'static str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    total_files: u64,
    total_size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    retention: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl RestoreBody {
    fn new(restore: &Restore, now: StoreTime) -> Self {
        let state = restore.job.state_at(now);
        Self {
            restore_id: restore.id.to_string(),
            backup_name: restore.backup.clone(),
            status: status(state),
            created_at: time_text(restore.job.created),
            completed_at: restore.job.completed.map(time_text),
            total_files: restore.job.objects,
            total_size_bytes: restore.job.bytes,
            database: restore.database.clone(),
            to: restore.to.clone(),
            retention: retention(restore),
            error: restore.job.error_at(now),
        }
    }
}

#[derive(Debug, Serialize)]
struct RestoreList {
    restores: Vec<RestoreBody>,
}

async fn list_restores(
    State(engine): EngineState,
    caller: Caller,
) -> Result<Json<RestoreList>, ApiError> {
    caller.require_audit()?;
    let (register, now) = engine.read().await.map_err(api_error)?;
    let restores = register.restores().map(|restore| RestoreBody::new(restore, now));
    Ok(Json(RestoreList { restores: restores.collect() }))
}

async fn read_restore(
    (State(engine), caller, Path(id)): ItemCall,
) -> Result<Json<RestoreBody>, ApiError> {
    caller.require_audit()?;
    let (register, now) = engine.read().await.map_err(api_error)?;
    let restore = register.restore(parse_id(&id)?).ok_or_else(|| no_restore(&id))?;
    Ok(Json(RestoreBody::new(restore, now)))
}

async fn cancel_restore(
    (State(engine), caller, Path(id)): ItemCall,
) -> Result<StatusCode, ApiError> {
    caller.require_admin()?;
    let cancelled = engine.cancel_restore(parse_id(&id)?).await;
    cancelled.map_err(api_error)?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_id(text: &str) -> Result<Ulid, ApiError> {
    Ulid::from_string(text).map_err(|_| no_restore(text))
}

fn no_restore(id: &str) -> ApiError {
    ApiError::json(Kind::NotFound, format!("there is no restore {id:?}"))
}

async fn body<T: serde::de::DeserializeOwned>(
    engine: &BackupEngine,
    request: Request,
) -> Result<T, ApiError> {
    let limits = BodyLimits::with_max_bytes(MAX_BODY_BYTES);
    let (head, body) = request.into_parts();
    read_json(&head.headers, body, &limits, engine.parts.bucket.world()).await
}

fn api_error(error: BackupError) -> ApiError {
    let kind = match &error {
        BackupError::Invalid(_) | BackupError::Place { .. } => Kind::Invalid,
        BackupError::NotFound(_) => Kind::NotFound,
        BackupError::Conflict(_) => Kind::Conflict,
        BackupError::Limit(_) => Kind::Limit,
        BackupError::Damaged { .. } | BackupError::Format(_) | BackupError::Missing(_) => {
            Kind::Corrupt
        }
        BackupError::Unknown(_) => Kind::Unknown,
        _ => Kind::Unavailable,
    };
    let wait = Duration::from_secs(1);
    let is_temporary = matches!(kind, Kind::Unknown | Kind::Unavailable);
    ApiError::json(kind, error.to_string()).retry_after(is_temporary.then_some(wait))
}

#[cfg(test)]
mod tests;
