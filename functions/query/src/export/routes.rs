//! The routes of exports.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{StreamExt, stream};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE, request::Parts};
use neap_catalog::{CatalogError, DatabaseAction, DatabaseCatalog, INTERNAL_DATABASE_ID};
use neap_http::{ApiError, Caller, Kind, parse_query};
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};

use super::{
    archive::WindowExport,
    windows::{TableWindows, Window},
};
use crate::{QueryEngine, QueryRequest, http_request::EngineCall, query_request};

/// The content type of an archive.
const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");

type EngineState = State<Arc<QueryEngine>>;

/// Returns the routes that export tables by days.
pub fn export_router(engine: Arc<QueryEngine>) -> Router {
    Router::new()
        .route("/api/v3/export/databases", get(list_databases))
        .route("/api/v3/export/tables", get(list_tables))
        .route("/api/v3/export/windows", get(list_windows))
        .route("/api/v3/export/window_data", get(export_windows))
        .with_state(engine)
}

#[derive(Debug, Serialize)]
struct DatabaseList {
    databases: Vec<String>,
}

/// `GET /api/v3/export/databases`: the databases that the caller may read.
async fn list_databases(
    State(engine): EngineState,
    caller: Caller,
) -> Result<Json<DatabaseList>, ApiError> {
    let root = engine.catalog().root(Duration::ZERO).await?;
    let live = root.value.live_databases();
    let shown = live.filter(|(id, _)| caller.may(DatabaseAction::Read, Some(*id)));
    let mut databases: Vec<_> = shown.map(|(_, entry)| entry.name.clone()).collect();
    databases.sort_unstable();
    Ok(Json(DatabaseList { databases }))
}

#[derive(Debug, Deserialize)]
struct TableListParams {
    db: String,
}

#[derive(Debug, Serialize)]
struct TableList {
    tables: Vec<String>,
}

/// `GET /api/v3/export/tables`
async fn list_tables(
    (State(engine), caller, request): EngineCall,
) -> Result<Json<TableList>, ApiError> {
    let params: TableListParams = parse_query(request.uri())?;
    let database = engine.resolve_for_read(&caller, &params.db).await?;
    let catalog = read_catalog(&engine, database).await?;
    let mut tables: Vec<_> = catalog.tables().map(|table| table.name().to_owned()).collect();
    tables.sort_unstable();
    Ok(Json(TableList { tables }))
}

async fn read_catalog(
    engine: &QueryEngine,
    database: DatabaseId,
) -> Result<Arc<DatabaseCatalog>, CatalogError> {
    if database == INTERNAL_DATABASE_ID {
        return Ok(Arc::default());
    }
    let catalog = engine.catalog();
    Ok(catalog.database(database, Duration::ZERO).await?.value)
}

#[derive(Debug, Deserialize)]
struct WindowListParams {
    db: String,
    table: String,
}

#[derive(Debug, Serialize)]
struct WindowList {
    windows: Vec<String>,
}

/// `GET /api/v3/export/windows`
async fn list_windows(
    (State(engine), caller, request): EngineCall,
) -> Result<Json<WindowList>, ApiError> {
    let (head, _) = request.into_parts();
    let WindowListParams { db, table } = parse_query(&head.uri)?;
    let exported = ExportedTable::find(&engine, &caller, &head, &db, &table).await?;
    let found = exported.windows(&engine).await?;
    let windows = found.windows.into_iter().map(Window::date).collect();
    Ok(Json(WindowList { windows }))
}

#[derive(Debug, Deserialize)]
struct WindowDataParams {
    db: String,
    table: String,
    windows: Option<String>,
}

/// `GET /api/v3/export/window_data`: an archive with the rows of the windows.
async fn export_windows(
    (State(engine), caller, request): EngineCall,
) -> Result<Response, ApiError> {
    let (head, _) = request.into_parts();
    let WindowDataParams { db, table, windows } = parse_query(&head.uri)?;
    let wanted = windows.as_deref().map(parse_windows).transpose()?;
    let exported = ExportedTable::find(&engine, &caller, &head, &db, &table).await?;
    let TableWindows { windows, memory } = exported.windows(&engine).await?;
    let windows = match wanted {
        None => windows,
        Some(wanted) => match wanted.difference(&windows).next() {
            None => wanted,
            Some(missing) => {
                let text = format!("window not found: {}", missing.date());
                return Err(ApiError::json(Kind::NotFound, text));
            }
        },
    };
    let export = WindowExport {
        engine,
        database: exported.database,
        table,
        windows: windows.into_iter().collect(),
        memory,
        request: exported.request,
    };
    // An error before the first file gets its own status; a later error aborts the body.
    let mut archive = Box::pin(export.stream());
    let first = archive.next().await.transpose()?;
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(archive));
    let mut response = (StatusCode::OK, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, TAR);
    Ok(response)
}

fn parse_windows(text: &str) -> Result<BTreeSet<Window>, ApiError> {
    let dates = text.split(',').map(str::trim).map(|date| {
        Window::parse(date).ok_or_else(|| {
            let text = format!("invalid window '{date}', expected a date such as 2026-01-15");
            ApiError::json(Kind::Invalid, text)
        })
    });
    dates.collect()
}

/// A table that the caller may read, and the options of the queries that read it.
#[derive(Debug)]
struct ExportedTable {
    database: DatabaseId,
    table: TableId,
    name: String,
    request: QueryRequest,
}

impl ExportedTable {
    async fn find(
        engine: &QueryEngine,
        caller: &Caller,
        head: &Parts,
        db: &str,
        table: &str,
    ) -> Result<Self, ApiError> {
        let database = engine.resolve_for_read(caller, db).await?;
        let catalog = read_catalog(engine, database).await?;
        let found = catalog.table(table).ok_or_else(|| {
            ApiError::json(Kind::NotFound, format!("Table {table} not in DB schema for {db}"))
        })?;
        Ok(Self {
            database,
            table: found.id(),
            name: table.to_owned(),
            request: query_request(&head.headers, &head.extensions)?,
        })
    }

    async fn windows(&self, engine: &QueryEngine) -> Result<TableWindows, ApiError> {
        let windows = engine.windows(self.database, self.table, &self.name, &self.request);
        Ok(windows.await?)
    }
}
