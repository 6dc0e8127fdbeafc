//! The endpoints of InfluxDB 3 Enterprise that delete rows and show the requests to delete rows.
//!
//! There, a request waits until the compactor applies it, and can be aborted until then. Here, the rows are deleted
//! when the request is answered. A request is `pending` while some object in the bucket still has the rows, which no
//! query sees, and `completed` afterwards. It can't be aborted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::HeaderValue;
use neap_bucket::{Stamp, StoreTime};
use neap_catalog::{ANY_AGE, CatalogError, DatabaseAction, RootCatalog};
use neap_http::{ApiError, Caller, ErrorBody, Kind, STAMP_HEADER, parse_query};
use neap_manifest::{
    LoggedRowDelete, MAX_PENDING_ROW_DELETES, ManifestError, RowDeleteLog, RowDeleteRequest,
    RowDeleteRequests,
};
use neap_row_delete::Predicate;
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    configure::{ServiceCall, ServiceState, find_for, no_table},
    configure_params::json,
    delete::{DELETE_ACTIONS, nanoseconds},
    error_response,
};
use crate::{DeleteOptions, RowSelection, WriteService};

/// The permissions that allow seeing requests, whose predicates contain values of tags.
const SHOW_ACTIONS: [DatabaseAction; 3] =
    [DatabaseAction::Read, DatabaseAction::Write, DatabaseAction::Delete];

/// Maximum bytes of the reason of an abort.
const MAX_REASON_BYTES: usize = 4 << 10;

/// Returns the routes of row delete requests.
pub fn row_delete_router(service: Arc<WriteService>) -> Router {
    Router::new()
        .route("/api/v3/row_delete_requests", get(list).post(create))
        .route("/api/v3/row_delete_requests/{seq}/abort", post(abort))
        .with_state(service)
}

/// A time: nanoseconds since the Unix epoch, or a text such as `2026-01-31T12:00:00Z`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum TimeBound {
    Nanoseconds(i64),
    Text(String),
}

impl TimeBound {
    fn nanoseconds(&self, name: &str) -> Result<i64, ApiError> {
        match self {
            Self::Nanoseconds(time) => Ok(*time),
            Self::Text(text) => nanoseconds(name, text),
        }
    }
}

// An unknown field may be a misspelt condition, without which all rows would be deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateRequestBody {
    #[serde(alias = "database", alias = "db_name")]
    db: String,
    #[serde(alias = "table_name")]
    table: String,
    /// Inclusive.
    min_time: Option<TimeBound>,
    /// Exclusive.
    max_time: Option<TimeBound>,
    #[serde(default)]
    all_time: bool,
    #[serde(alias = "delete_predicate")]
    predicate: Option<String>,
}

/// The times of the rows to delete, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeletedTimes {
    /// Inclusive.
    min: Option<i64>,
    /// Exclusive.
    max: Option<i64>,
}

impl CreateRequestBody {
    /// Returns the times, which must be given, so that a forgotten option does not delete a whole table.
    fn times(&self) -> Result<DeletedTimes, ApiError> {
        let bound = |name, bound: &Option<TimeBound>| {
            let bound = bound.as_ref();
            bound.map(|bound| bound.nanoseconds(name)).transpose()
        };
        let min = bound("min_time", &self.min_time)?;
        let max = bound("max_time", &self.max_time)?;
        match (min, max) {
            (None, None) if !self.all_time => {
                Err(refused("one of min_time, max_time and all_time is required"))
            }
            (Some(_), _) | (_, Some(_)) if self.all_time => {
                Err(refused("all_time excludes min_time and max_time"))
            }
            (Some(min), Some(max)) if max <= min => Err(refused("max_time is not after min_time")),
            _ => Ok(DeletedTimes { min, max }),
        }
    }
}

impl DeletedTimes {
    /// Returns the first and the last time; `None` if there is no time before the end.
    fn range(self) -> Option<(i64, i64)> {
        let max = match self.max {
            Some(max) => max.checked_sub(1)?,
            None => i64::MAX,
        };
        Some((self.min.unwrap_or(i64::MIN), max))
    }
}

/// `POST /api/v3/row_delete_requests`: answers when the rows are deleted.
async fn create((State(service), caller, request): ServiceCall) -> Response {
    match create_request(&service, &caller, request).await {
        Ok(created) => {
            let stamp = created.stamp;
            let mut response = Json(created.answer).into_response();
            let stamp = stamp.map(|stamp| (STAMP_HEADER, HeaderValue::from(stamp.as_u64())));
            response.headers_mut().extend(stamp);
            response
        }
        Err(error) => error.with_body(ErrorBody::Json).into_response(),
    }
}

/// The answer to a request, and the stamp of the delete.
struct CreatedRequest {
    answer: RequestAnswer,
    stamp: Option<Stamp>,
}

async fn create_request(
    service: &WriteService,
    caller: &Caller,
    request: Request,
) -> Result<CreatedRequest, ApiError> {
    let body: CreateRequestBody = json(service, request).await?;
    let times = body.times()?;
    let predicate = body.predicate.unwrap_or_default();
    let parsed =
        Predicate::parse(&predicate).map_err(|error| error_response::of_delete(error.into()))?;
    let database = find_for(service, caller, &body.db, &DELETE_ACTIONS).await?;
    let table = find_table(service, database, &body.db, &body.table).await?;
    let log = RowDeleteLog::new(&service.catalog);
    check_room(service, &log).await?;
    let stamp = match times.range() {
        None => None,
        Some((min_time, max_time)) => {
            let selection = RowSelection {
                table: Some(body.table.clone()),
                predicate: parsed,
                min_time,
                max_time,
            };
            let options = DeleteOptions { after: None, only: Some(database) };
            let deleted = service.delete_rows(&body.db, &selection, options).await;
            deleted.map_err(error_response::of_delete)?.stamp
        }
    };
    let added = log
        .add(LoggedRowDelete {
            database,
            table,
            database_name: body.db,
            table_name: body.table,
            min_time: times.min,
            max_time: times.max,
            predicate,
            stamp,
        })
        .await
        .map_err(|error| {
            let text = format!("the rows are deleted, but the request is not in the log: {error}");
            ApiError::json(Kind::Unavailable, text).with_stamp(stamp)
        })?;
    let root = service.catalog.root(ANY_AGE).await?;
    let names = CurrentNames::read(service, &root.value, std::iter::once(&added)).await?;
    Ok(CreatedRequest { answer: RequestAnswer::new(&added, &names), stamp })
}

async fn find_table(
    service: &WriteService,
    database: DatabaseId,
    db: &str,
    table: &str,
) -> Result<TableId, ApiError> {
    let max_age = service.max_age;
    let catalog = service.catalog.database(database, max_age).await?;
    if let Some(found) = catalog.value.table(table) {
        return Ok(found.id());
    }
    // It may be new.
    let catalog = service.catalog.database(database, Duration::ZERO).await?;
    let found = catalog.value.table(table);
    Ok(found.ok_or_else(|| no_table(db, table))?.id())
}

/// Refuses a request if too many are pending.
async fn check_room(service: &WriteService, log: &RowDeleteLog<'_>) -> Result<(), ApiError> {
    let requests = log.read().await.map_err(|error| unreadable(&error))?;
    if !requests.is_full() || !refreshed(service, log).await?.is_full() {
        return Ok(());
    }
    Err(ApiError::json(
        Kind::Unavailable,
        format!(
            "too many row delete requests are pending, at most {MAX_PENDING_ROW_DELETES}: wait until some are completed"
        ),
    ))
}

/// Stores and returns the progress of all requests.
async fn refreshed(
    service: &WriteService,
    log: &RowDeleteLog<'_>,
) -> Result<RowDeleteRequests, ApiError> {
    let root = service.catalog.root(service.max_age).await?.value;
    let exists = |database| root.databases().contains_key(&database);
    let refreshed = log.refresh(exists).await;
    refreshed.map_err(|error| unreadable(&error))
}

#[derive(Debug, Deserialize)]
struct ListParams {
    db: Option<String>,
    table: Option<String>,
    disposition: Option<RequestDisposition>,
    min_sequence: Option<u64>,
    max_sequence: Option<u64>,
}

impl ListParams {
    fn selects(&self, request: &RowDeleteRequest) -> bool {
        let delete = &request.delete;
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        let disposition = RequestDisposition::from_request(request);
        is(&self.db, &delete.database_name)
            && is(&self.table, &delete.table_name)
            && self.disposition.is_none_or(|wanted| wanted == disposition)
            && self.min_sequence.is_none_or(|min| min <= request.sequence)
            && self.max_sequence.is_none_or(|max| request.sequence <= max)
    }
}

/// `GET /api/v3/row_delete_requests`: the requests of databases that the caller may use, oldest first.
async fn list(
    (State(service), caller, request): ServiceCall,
) -> Result<Json<Vec<RequestAnswer>>, ApiError> {
    let params: ListParams = parse_query(request.uri())?;
    let log = RowDeleteLog::new(&service.catalog);
    let requests = refreshed(&service, &log).await?;
    let root = service.catalog.root(service.max_age).await?.value;
    let shown: Vec<_> = requests
        .iter()
        .filter(|request| caller.may_any(&SHOW_ACTIONS, Some(request.delete.database)))
        .filter(|request| params.selects(request))
        .collect();
    let names = CurrentNames::read(&service, &root, shown.iter().copied()).await?;
    let answers = shown.iter().map(|request| RequestAnswer::new(request, &names));
    Ok(Json(answers.collect()))
}

#[derive(Debug, Deserialize)]
struct AbortBody {
    reason: String,
}

/// `POST /api/v3/row_delete_requests/{seq}/abort`: an error that has the request with its state, because the rows are
/// deleted already.
async fn abort(
    State(service): ServiceState,
    caller: Caller,
    Path(sequence): Path<u64>,
    request: Request,
) -> Result<Response, ApiError> {
    let AbortBody { reason } = json(&service, request).await?;
    if reason.len() > MAX_REASON_BYTES {
        let text = format!("the reason has more than {MAX_REASON_BYTES} bytes");
        return Err(refused(text));
    }
    let log = RowDeleteLog::new(&service.catalog);
    let requests = refreshed(&service, &log).await?;
    let found = requests.get(sequence);
    caller.require_any(&DELETE_ACTIONS, found.map(|request| request.delete.database))?;
    let Some(found) = found else {
        let text = format!("row delete request not found: {sequence}");
        return Err(ApiError::json(Kind::NotFound, text));
    };
    let root = service.catalog.root(service.max_age).await?.value;
    let names = CurrentNames::read(&service, &root, std::iter::once(found)).await?;
    let answer = RequestAnswer::new(found, &names);
    let text = format!(
        "row delete request {sequence} is {} and can't be aborted: its rows were deleted before it was answered",
        answer.disposition.as_str()
    );
    Err(ApiError::with_data(Kind::Invalid, text, json!(answer)))
}

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RequestDisposition {
    /// Some object in the bucket still has the rows, which no query sees.
    Pending,
    /// No object has the rows.
    Completed,
    /// Only in InfluxDB 3.
    Aborted,
}

impl RequestDisposition {
    fn from_request(request: &RowDeleteRequest) -> Self {
        match request.completed {
            None => Self::Pending,
            Some(_) => Self::Completed,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Aborted => "aborted",
        }
    }
}

/// A request in the form of InfluxDB 3.
#[derive(Clone, Debug, Serialize)]
struct RequestAnswer {
    sequence: u64,
    db_id: u32,
    table_id: u32,
    db_name: String,
    table_name: String,
    db_name_stale: bool,
    table_name_stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_time: Option<i64>,
    delete_predicate: String,
    created_at: i64,
    disposition: RequestDisposition,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<i64>,
}

impl RequestAnswer {
    fn new(request: &RowDeleteRequest, names: &CurrentNames) -> Self {
        let delete = &request.delete;
        let has_names = names.of(delete);
        let seconds = |time: StoreTime| time.micros().div_euclid(1_000_000);
        Self {
            sequence: request.sequence,
            db_id: delete.database.get(),
            table_id: delete.table.get(),
            db_name: delete.database_name.clone(),
            table_name: delete.table_name.clone(),
            db_name_stale: !has_names.database,
            table_name_stale: !has_names.table,
            min_time: delete.min_time,
            max_time: delete.max_time,
            delete_predicate: delete.predicate.clone(),
            created_at: seconds(request.created),
            disposition: RequestDisposition::from_request(request),
            completed_at: request.completed.map(seconds),
        }
    }
}

/// The names that databases and tables of requests have now.
#[derive(Debug, Default)]
struct CurrentNames {
    databases: BTreeMap<DatabaseId, String>,
    tables: BTreeMap<(DatabaseId, TableId), String>,
}

/// Whether the names in a request are those of the present catalogs.
struct NameAgreement {
    database: bool,
    table: bool,
}

impl CurrentNames {
    /// Reads the catalogs of the databases, as old as they may be.
    async fn read(
        service: &WriteService,
        root: &RootCatalog,
        requests: impl Iterator<Item = &RowDeleteRequest> + Clone,
    ) -> Result<Self, ApiError> {
        let mut names = Self::default();
        for request in requests {
            let database = request.delete.database;
            let Some(entry) = root.databases().get(&database) else {
                continue;
            };
            if names.databases.contains_key(&database) {
                continue;
            }
            names.databases.insert(database, entry.name.clone());
            let catalog = match service.catalog.database(database, ANY_AGE).await {
                Ok(catalog) => catalog.value,
                // The names of its tables are unknown, and the requests of other databases are shown.
                Err(CatalogError::Format(error)) => {
                    tracing::warn!(%database, %error, "the names in row delete requests are unknown");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for table in catalog.tables() {
                let key = (database, table.id());
                names.tables.insert(key, table.name().to_owned());
            }
        }
        Ok(names)
    }

    fn of(&self, delete: &LoggedRowDelete) -> NameAgreement {
        let table = self.tables.get(&(delete.database, delete.table));
        NameAgreement {
            database: self.databases.get(&delete.database) == Some(&delete.database_name),
            table: table == Some(&delete.table_name),
        }
    }
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::json(Kind::Invalid, message)
}

fn unreadable(error: &ManifestError) -> ApiError {
    let kind = match error {
        ManifestError::Store(_) | ManifestError::OutcomeUnknown { .. } => Kind::Unavailable,
        ManifestError::Format(_) | ManifestError::Missing(_) => Kind::Corrupt,
        ManifestError::PageGone { .. } | ManifestError::InvalidCommit { .. } => Kind::Internal,
    };
    let text = format!("the log of row deletes can't be read: {error}");
    ApiError::json(kind, text)
}
