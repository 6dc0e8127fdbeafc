//! `GET /api/v3/sync/position`, `POST /api/v3/sync/rows` and `POST /api/v3/sync/deletes`

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, Uri};
use neap_bucket::Stamp;
use neap_catalog::{CatalogError, DatabaseAction, validate_database_name};
use neap_http::{
    ApiError, Call, Caller, Kind, STAMP_HEADER, expected_bytes, parse_query, read_body, read_json,
    requested_stamp,
};
use neap_row_delete::Condition;
use neap_wal::SitePart;
use neap_write::{NamedDelete, WriteService};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{
    receiver::{PartContent, SiteDatabase, SiteReceiver},
    rows_body::{RowsBodyError, SITE_TAG, read_rows},
};

/// The decoded size that the rows of a part may have, as a multiple of the largest body.
const MAX_DECODED_FACTOR: usize = 8;

/// The share of the memory of all requests that the decoded rows of a part may have.
const MAX_DECODED_SHARE: usize = 4;

type ReceiverCall = Call<Arc<SiteReceiver>>;

/// Returns the routes that receive the parts of sites.
pub fn router(service: Arc<WriteService>) -> Router {
    Router::new()
        .route("/api/v3/sync/position", get(position))
        .route("/api/v3/sync/rows", post(rows))
        .route("/api/v3/sync/deletes", post(deletes))
        .with_state(Arc::new(SiteReceiver { service }))
}

#[derive(Debug, Deserialize)]
pub(crate) struct SiteParams {
    db: String,
    site: String,
    source: Ulid,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    /// The memory of the decoded rows, in bytes.
    #[serde(default)]
    decoded_bytes: usize,
}

impl SiteParams {
    fn part(&self, after: Option<Stamp>) -> SitePart<'_> {
        SitePart {
            site: &self.site,
            source: self.source,
            from: &self.from,
            to: &self.to,
            after,
        }
    }
}

/// The position of a site; empty before the first part.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct PositionAnswer {
    pub(crate) position: String,
}

/// The deletes of a part.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct DeletesBody {
    pub(crate) deletes: Vec<DeleteOfTable>,
}

// An unknown field may be a condition, without which all rows would be deleted.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteOfTable {
    pub(crate) table: String,
    pub(crate) condition: Condition,
}

async fn position((State(receiver), caller, request): ReceiverCall) -> Response {
    answer(find_position(&receiver, &caller, request.uri()).await.map(Json))
}

async fn find_position(
    receiver: &SiteReceiver,
    caller: &Caller,
    uri: &Uri,
) -> Result<PositionAnswer, ApiError> {
    let params: SiteParams = parse_query(uri)?;
    let database = authorize(receiver, caller, &params).await?;
    let position = receiver.position(&database, &params.part(None)).await?;
    Ok(PositionAnswer { position })
}

async fn rows((State(receiver), caller, request): ReceiverCall) -> Response {
    answer(store_rows(&receiver, &caller, request).await)
}

async fn store_rows(
    receiver: &SiteReceiver,
    caller: &Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let params: SiteParams = parse_query(&head.uri)?;
    // The permission is checked before the body is read.
    let database = authorize(receiver, caller, &params).await?;
    let part = params.part(requested_stamp(&head.headers)?);
    let service = &receiver.service;
    let limits = service.settings().body_limits();
    let share = service.settings().max_bytes_in_flight / MAX_DECODED_SHARE;
    let max_decoded = limits.max_bytes.saturating_mul(MAX_DECODED_FACTOR).min(share);
    if params.decoded_bytes > max_decoded {
        let text = format!("the rows of a part take at most {max_decoded} bytes");
        return Err(ApiError::json(Kind::TooLarge, text));
    }
    let expected = expected_bytes(&head.headers, &limits);
    let mut memory = service.reserve_exactly(expected).await?;
    let body = read_body(&head.headers, body, &limits, service.world()).await?;
    // Columns and encoded rows take as much again.
    let held = params.decoded_bytes.saturating_mul(2).saturating_add(body.len());
    service.grow_reservation(&mut memory, held).await?;
    let max_bytes = u64::try_from(params.decoded_bytes).unwrap_or(u64::MAX);
    let site = params.site.clone();
    let decoded = tokio::task::spawn_blocking(move || read_rows(body, &site, max_bytes));
    let unreadable = |text: String| ApiError::json(Kind::Invalid, text);
    let rows = decoded
        .await
        .map_err(|_| unreadable("the rows cannot be decoded".to_owned()))?
        .map_err(|error: RowsBodyError| unreadable(error.to_string()))?;
    let stored = receiver.store(&database, &part, PartContent::Rows(rows, memory));
    Ok(stored_answer(stored.await?))
}

async fn deletes((State(receiver), caller, request): ReceiverCall) -> Response {
    answer(store_deletes(&receiver, &caller, request).await)
}

async fn store_deletes(
    receiver: &SiteReceiver,
    caller: &Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let params: SiteParams = parse_query(&head.uri)?;
    let database = authorize(receiver, caller, &params).await?;
    let part = params.part(requested_stamp(&head.headers)?);
    let service = &receiver.service;
    let limits = service.settings().body_limits();
    let expected = expected_bytes(&head.headers, &limits);
    let _memory = service.reserve_exactly(expected).await?;
    let body: DeletesBody = read_json(&head.headers, body, &limits, service.world()).await?;
    let of_site = || Condition::Tag { name: SITE_TAG.to_owned(), value: Some(params.site.clone()) };
    let deletes = body.deletes.into_iter().map(|delete| NamedDelete {
        table: delete.table,
        condition: delete.condition.and(of_site()),
    });
    let content = PartContent::Deletes(deletes.collect());
    let stored = receiver.store(&database, &part, content);
    Ok(stored_answer(stored.await?))
}

/// Finds the database, and checks that the caller may ship rows of the site to it.
async fn authorize(
    receiver: &SiteReceiver,
    caller: &Caller,
    params: &SiteParams,
) -> Result<SiteDatabase, ApiError> {
    validate_database_name(&params.db).map_err(CatalogError::from)?;
    let catalog = receiver.service.catalog();
    let known = catalog.database_by_name(&params.db, catalog.max_age()).await?;
    let found = match known {
        Some(id) => Some(id),
        // It may be new.
        None => catalog.database_by_name(&params.db, Duration::ZERO).await?,
    };
    let Some(id) = found else {
        caller.require(DatabaseAction::Write, None)?;
        let text = format!("database not found: {}", params.db);
        return Err(ApiError::json(Kind::NotFound, text));
    };
    caller.require_site(id, &params.site)?;
    Ok(SiteDatabase { name: params.db.clone(), id })
}

/// Returns 204 with the stamp, if there is one.
fn stored_answer(stamp: Option<Stamp>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let stamp = stamp.map(|stamp| (STAMP_HEADER, HeaderValue::from(stamp.as_u64())));
    response.headers_mut().extend(stamp);
    response
}

fn answer(result: Result<impl IntoResponse, ApiError>) -> Response {
    match result {
        Ok(response) => response.into_response(),
        Err(error) => error.text_into_json().into_response(),
    }
}
