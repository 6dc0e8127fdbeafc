//! Saved queries and dashboards: `/api/v3/console/documents`.
//!
//! | call | permission | answer |
//! |---|---|---|
//! | `GET …?db=NAME[&kind=dashboard\|query]` | `db:NAME:read` | `{"documents": […]}`, without contents |
//! | `GET …/{id}?db=NAME` | `db:NAME:read` | the document |
//! | `POST …?db=NAME` `{"kind","name","content"}` | `db:NAME:write` | 201 and the document |
//! | `PUT …/{id}?db=NAME` `{"name","content","version"}` | `db:NAME:write` | the document; 409 if it has another version |
//! | `DELETE …/{id}?db=NAME&version=N` | `db:NAME:write` | 204; 409 if it has another version |
//!
//! The content is any JSON value. The server stores its text and does not interpret it.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, SecondsFormat};
use http::{StatusCode, Uri};
use neap_bucket::StoreTime;
use neap_catalog::{
    Catalog, DatabaseAction, Document, DocumentError, DocumentKind, DocumentStore,
    MAX_DOCUMENT_BYTES, NewDocument,
};
use neap_http::{ApiError, BodyLimits, Call, Caller, Kind, ResourceCall, parse_query, read_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ulid::Ulid;

use crate::database_param::permitted_database;

/// Maximum bytes of the body of a request: the content, which may have spaces and escapes, and the name.
const MAX_BODY_BYTES: usize = 4 * MAX_DOCUMENT_BYTES;

type CatalogCall = Call<Arc<Catalog>>;
type DocumentCall = ResourceCall<Arc<Catalog>, String>;

/// Returns the routes of documents.
pub fn document_routes(catalog: Arc<Catalog>) -> Router {
    let one = get(read).put(replace).delete(delete);
    Router::new()
        .route("/api/v3/console/documents", get(list).post(create))
        .route("/api/v3/console/documents/{id}", one)
        .with_state(catalog)
}

/// A document in an answer.
#[derive(Debug, Serialize)]
struct DocumentBody {
    id: String,
    kind: DocumentKind,
    name: String,
    version: u64,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_by: Option<String>,
    /// Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Value>,
}

impl DocumentBody {
    fn head(id: Ulid, document: &Document) -> Self {
        Self {
            id: id.to_string(),
            kind: document.kind,
            name: document.name.clone(),
            version: document.version,
            updated_at: rfc3339(document.updated),
            updated_by: document.updated_by.clone(),
            content: None,
        }
    }

    fn whole(id: Ulid, document: &Document) -> Result<Self, ApiError> {
        let content = serde_json::from_str(&document.content)
            .map_err(|error| ApiError::json(Kind::Corrupt, error.to_string()))?;
        Ok(Self { content: Some(content), ..Self::head(id, document) })
    }
}

fn rfc3339(time: StoreTime) -> String {
    let time = DateTime::from_timestamp_micros(time.micros()).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[derive(Debug, Deserialize)]
struct ListParams {
    kind: Option<DocumentKind>,
}

#[derive(Debug, Serialize)]
struct DocumentList {
    documents: Vec<DocumentBody>,
}

async fn list(
    (State(catalog), caller, request): CatalogCall,
) -> Result<Json<DocumentList>, ApiError> {
    let ListParams { kind } = parse_query(request.uri())?;
    let store = open(&catalog, &caller, request.uri(), DatabaseAction::Read).await?;
    let all = store.read().await.map_err(api_error)?.value;
    let wanted = all.iter().filter(|(_, document)| kind.is_none_or(|kind| kind == document.kind));
    let mut documents: Vec<DocumentBody> =
        wanted.map(|(id, document)| DocumentBody::head(id, document)).collect();
    documents.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(DocumentList { documents }))
}

async fn read(
    (State(catalog), caller, Path(id)): DocumentCall,
    request: Request,
) -> Result<Json<DocumentBody>, ApiError> {
    let store = open(&catalog, &caller, request.uri(), DatabaseAction::Read).await?;
    let id = parse_id(&id)?;
    let all = store.read().await.map_err(api_error)?.value;
    let document = all.get(id).map_err(api_error)?;
    Ok(Json(DocumentBody::whole(id, document)?))
}

#[derive(Debug, Deserialize)]
struct CreateBody {
    kind: DocumentKind,
    name: String,
    content: Value,
}

async fn create(
    (State(catalog), caller, request): CatalogCall,
) -> Result<(StatusCode, Json<DocumentBody>), ApiError> {
    let store = open(&catalog, &caller, request.uri(), DatabaseAction::Write).await?;
    let CreateBody { kind, name, content } = body(&catalog, request).await?;
    let new = new_document(name, &content, &caller);
    let (id, document) = store.create(kind, new).await.map_err(api_error)?;
    Ok((StatusCode::CREATED, Json(DocumentBody::whole(id, &document)?)))
}

#[derive(Debug, Deserialize)]
struct ReplaceBody {
    name: String,
    content: Value,
    version: u64,
}

async fn replace(
    (State(catalog), caller, Path(id)): DocumentCall,
    request: Request,
) -> Result<Json<DocumentBody>, ApiError> {
    let store = open(&catalog, &caller, request.uri(), DatabaseAction::Write).await?;
    let id = parse_id(&id)?;
    let ReplaceBody { name, content, version } = body(&catalog, request).await?;
    let new = new_document(name, &content, &caller);
    let document = store.replace(id, version, new).await.map_err(api_error)?;
    Ok(Json(DocumentBody::whole(id, &document)?))
}

#[derive(Debug, Deserialize)]
struct DeleteParams {
    version: u64,
}

async fn delete(
    (State(catalog), caller, Path(id)): DocumentCall,
    request: Request,
) -> Result<Response, ApiError> {
    let DeleteParams { version } = parse_query(request.uri())?;
    let store = open(&catalog, &caller, request.uri(), DatabaseAction::Write).await?;
    let deleted = store.delete(parse_id(&id)?, version).await;
    deleted.map_err(api_error)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Returns the documents of the database that a request names, if the caller may perform the action on it.
///
/// # Errors
/// Those of [`permitted_database`].
async fn open<'a>(
    catalog: &'a Catalog,
    caller: &Caller,
    uri: &Uri,
    action: DatabaseAction,
) -> Result<DocumentStore<'a>, ApiError> {
    let database = permitted_database(catalog, caller, uri, action).await?;
    Ok(DocumentStore::new(catalog, database))
}

async fn body<T: serde::de::DeserializeOwned>(
    catalog: &Catalog,
    request: Request,
) -> Result<T, ApiError> {
    let limits = BodyLimits::with_max_bytes(MAX_BODY_BYTES);
    let (head, body) = request.into_parts();
    read_json(&head.headers, body, &limits, catalog.bucket().world()).await
}

fn new_document(name: String, content: &Value, caller: &Caller) -> NewDocument {
    NewDocument {
        name,
        content: content.to_string(),
        updated_by: caller.token_name().map(str::to_owned),
    }
}

fn parse_id(text: &str) -> Result<Ulid, ApiError> {
    let id = Ulid::from_string(text).ok();
    // Ids have one form, so that each document has one path.
    id.filter(|id| id.to_string() == text)
        .ok_or_else(|| api_error(DocumentError::NotFound { id: text.to_owned() }))
}

fn api_error(error: DocumentError) -> ApiError {
    let kind = match error {
        DocumentError::NotFound { .. } => Kind::NotFound,
        DocumentError::Conflict { .. } => Kind::Conflict,
        DocumentError::Name => Kind::Invalid,
        DocumentError::TooLarge { .. } => Kind::TooLarge,
        DocumentError::TooMany | DocumentError::TooMuch => Kind::Limit,
        DocumentError::Register(error) => return error.into(),
        DocumentError::Catalog(error) => return error.into(),
        DocumentError::Unknown { .. } => Kind::Unknown,
        DocumentError::NoStoreTime => Kind::Unavailable,
    };
    let wait = std::time::Duration::from_secs(1);
    let is_temporary = matches!(kind, Kind::Unknown | Kind::Unavailable);
    ApiError::json(kind, error.to_string()).retry_after(is_temporary.then_some(wait))
}

#[cfg(test)]
mod tests;
