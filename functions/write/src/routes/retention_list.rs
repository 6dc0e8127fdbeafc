//! `GET /api/v3/configure/retention`: the retention of each table.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use neap_catalog::DatabaseAction;
use neap_http::{ApiError, parse_query};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use super::configure::{ServiceCall, find_for};
use crate::WriteService;

/// Returns the route of this module, which is specific to Neap.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    Router::new().route("/api/v3/configure/retention", get(list))
}

#[derive(Debug, Deserialize)]
struct ListRetentionParams {
    db: Option<String>,
}

/// Permissions that allow listing the tables of a database. A caller who may only write sees no names in lists.
const LIST_TABLES_ACTIONS: [DatabaseAction; 2] = [DatabaseAction::Read, DatabaseAction::Describe];

#[derive(Debug, Serialize)]
struct TableRetention {
    database: String,
    table: String,
    /// The retention in nanoseconds; `null`: unlimited.
    retention_period_ns: Option<u128>,
    /// The level of the setting: `database` or `table`; `null` if nothing is set.
    source: Option<&'static str>,
}

/// `GET /api/v3/configure/retention[?db=…]`: lists the retention of each table.
async fn list(
    (State(service), caller, request): ServiceCall,
) -> Result<Json<Vec<TableRetention>>, ApiError> {
    let params: ListRetentionParams = parse_query(request.uri())?;
    let root = service.catalog.root(Duration::ZERO).await?;
    let databases: Vec<(DatabaseId, String)> = match params.db {
        Some(db) => {
            let id = find_for(&service, &caller, &db, &LIST_TABLES_ACTIONS).await?;
            vec![(id, db)]
        }
        None => {
            let live = root.value.live_databases();
            let seen = live.filter(|(id, _)| caller.may_any(&LIST_TABLES_ACTIONS, Some(*id)));
            seen.map(|(id, entry)| (id, entry.name.clone())).collect()
        }
    };
    let mut kept = Vec::new();
    for (id, database) in databases {
        let catalog = service.catalog.database(id, Duration::ZERO).await?.value;
        kept.extend(catalog.tables().map(|table| {
            let period = catalog.retention_of(table.id());
            let source = match table.retention() {
                Some(_) => "table",
                None => "database",
            };
            TableRetention {
                database: database.clone(),
                table: table.name().to_owned(),
                retention_period_ns: period.map(|period| period.as_nanos()),
                source: period.map(|_| source),
            }
        }));
    }
    kept.sort_by(|one, other| (&one.database, &one.table).cmp(&(&other.database, &other.table)));
    Ok(Json(kept))
}
