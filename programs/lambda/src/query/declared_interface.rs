//! The routes and the store access that the query function declares.

use crate::{
    http_service::MONITORING_ROUTES,
    interface::{PrefixAccess, Route, StoreAction},
};

/// Store access of the query function. It puts segments into the tail because it deletes rows and refreshes views, and
/// exports because of `COPY` statements. Large answers of tasks are results, too.
pub(super) const QUERY_ACCESS: &[PrefixAccess] = &[
    PrefixAccess {
        prefix: "catalog",
        actions: &[StoreAction::Get, StoreAction::Put],
    },
    PrefixAccess {
        prefix: "db/",
        actions: &[StoreAction::Get, StoreAction::Put],
    },
    PrefixAccess {
        prefix: "tail/",
        actions: &[StoreAction::List, StoreAction::Get, StoreAction::Put],
    },
    PrefixAccess {
        prefix: "data/",
        actions: &[StoreAction::Get],
    },
    PrefixAccess {
        prefix: "cache/",
        actions: &[StoreAction::Get],
    },
    PrefixAccess {
        prefix: "engine/",
        actions: &[StoreAction::List, StoreAction::Get],
    },
    PrefixAccess {
        prefix: "exports/",
        actions: &[StoreAction::Get, StoreAction::Put, StoreAction::Abort],
    },
    PrefixAccess {
        prefix: "nodes/",
        actions: &[StoreAction::List, StoreAction::Get],
    },
    PrefixAccess {
        prefix: "results/",
        actions: &[StoreAction::Get, StoreAction::Put, StoreAction::Abort],
    },
];

/// The routes of the query function.
pub(super) const QUERY_ROUTES: &[Route] = &[
    MONITORING_ROUTES[0],
    MONITORING_ROUTES[1],
    MONITORING_ROUTES[2],
    MONITORING_ROUTES[3],
    MONITORING_ROUTES[4],
    Route::new("GET", "/api/v3/query_sql"),
    Route::new("POST", "/api/v3/query_sql"),
    Route::new("GET", "/api/v3/query_influxql"),
    Route::new("POST", "/api/v3/query_influxql"),
    Route::new("GET", "/query"),
    Route::new("POST", "/query"),
    Route::new("POST", "/api/v1/read"),
    Route::new("POST", "/api/v1/prom/read"),
    Route::new("GET", "/api/v1/labels"),
    Route::new("POST", "/api/v1/labels"),
    Route::new("GET", "/api/v1/label/{name}/values"),
    Route::new("GET", "/api/v1/series"),
    Route::new("POST", "/api/v1/series"),
    Route::new("GET", "/api/v1/metadata"),
    Route::new("GET", "/api/v3/configure/database"),
    Route::new("GET", "/api/v3/configure/materialized_view"),
    Route::new("POST", "/api/v3/configure/materialized_view"),
    Route::new("DELETE", "/api/v3/configure/materialized_view"),
    Route::new("GET", "/api/v3/export/databases"),
    Route::new("GET", "/api/v3/export/tables"),
    Route::new("GET", "/api/v3/export/windows"),
    Route::new("GET", "/api/v3/export/window_data"),
    Route::new("ANY", "/api/v3/enterprise/backup"),
    Route::new("ANY", "/api/v3/enterprise/backup/{name}"),
    Route::new("ANY", "/api/v3/enterprise/restore"),
    Route::new("ANY", "/api/v3/enterprise/restore/{id}"),
    Route::new("ANY", "/api/v3/enterprise/import"),
];
