//! Buckets: live databases. Permissions are those of the endpoints of InfluxDB 3.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::try_join_all;
use http::StatusCode;
use neap_bucket::StoreTime;
use neap_catalog::{CatalogError, DatabaseAction, DatabaseEntry, InfluxDb2Id, RootCatalog};
use neap_http::{ApiError, Caller, Kind, parse_query};
use neap_schema::DatabaseId;
use neap_write::WriteService;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    page::Page,
    requests::{
        ItemCall, ListCall, ServiceCall, cached_root, given, invalid, json_body, not_found,
        parse_id, rfc3339, root,
    },
    retention_rules::{self, RetentionChange, RetentionRule},
};

const PATH: &str = "/api/v2/buckets";

pub(crate) fn routes() -> Router<Arc<WriteService>> {
    let bucket = get(show).patch(update).delete(delete);
    Router::new()
        .route(PATH, get(list).post(create))
        .route("/api/v2/buckets/{id}", bucket)
}

/// A live database.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) database: DatabaseId,
    pub(crate) name: String,
    created: Option<StoreTime>,
}

impl Bucket {
    fn new(database: DatabaseId, entry: &DatabaseEntry) -> Self {
        Self { database, name: entry.name.clone(), created: entry.created }
    }

    /// Returns a bucket of a root catalog, if it exists.
    pub(crate) fn find(root: &RootCatalog, database: DatabaseId) -> Option<Self> {
        let entry = root.databases().get(&database);
        let live = entry.filter(|entry| entry.deletion.is_none())?;
        Some(Self::new(database, live))
    }

    pub(crate) fn id(&self) -> InfluxDb2Id {
        self.database.into()
    }

    pub(crate) fn answer(&self, retention: Option<Duration>) -> Value {
        let (id, org) = (self.id(), InfluxDb2Id::ORGANIZATION);
        let created = self.created.and_then(rfc3339);
        json!({
            "id": id,
            "orgID": org,
            "type": "user",
            "name": self.name,
            "retentionRules": retention_rules::shown(retention),
            "createdAt": created,
            "updatedAt": created,
            "labels": [],
            "links": {
                "self": format!("{PATH}/{id}"),
                "org": format!("/api/v2/orgs/{org}"),
                "write": format!("/api/v2/write?org={org}&bucket={id}"),
            },
        })
    }

    /// Answers with the retention as of a moment ago.
    pub(crate) async fn current_answer(&self, service: &WriteService) -> Result<Value, ApiError> {
        let catalogs = service.catalog();
        let catalog = catalogs.database(self.database, catalogs.max_age()).await?.value;
        Ok(self.answer(catalog.retention()))
    }
}

pub(crate) fn no_bucket() -> ApiError {
    not_found("bucket not found")
}

/// Returns the buckets that a caller may see, by id.
pub(crate) async fn visible(
    service: &WriteService,
    caller: &Caller,
) -> Result<Vec<Bucket>, ApiError> {
    let root = root(service).await?;
    let live = root.live_databases().filter(|(id, _)| caller.can_see(*id));
    Ok(live.map(|(id, entry)| Bucket::new(id, entry)).collect())
}

/// Returns the bucket of an id. A bucket that the caller may not see does not exist for it.
pub(crate) async fn find(
    service: &WriteService,
    caller: &Caller,
    id: &str,
) -> Result<Bucket, ApiError> {
    let database = parse_id(id)?.database().filter(|database| caller.can_see(*database));
    let root = root(service).await?;
    let found = database.and_then(|database| Bucket::find(&root, database));
    found.ok_or_else(no_bucket)
}

/// Creates a database.
///
/// # Errors
/// `Conflict`: a database has the name.
pub(crate) async fn create_database(
    service: &WriteService,
    name: &str,
    retention: Option<Duration>,
) -> Result<Bucket, ApiError> {
    let catalog = service.catalog();
    let id = catalog.create_database(name, retention).await.map_err(|error| match error {
        CatalogError::AlreadyExists { name } => {
            let text = format!("bucket with name {name} already exists");
            ApiError::v2(Kind::Conflict, text)
        }
        error => error.into(),
    })?;
    // The commit has left it in the cached catalog.
    let root = cached_root(service).await?;
    Bucket::find(&root, id).ok_or_else(no_bucket)
}

#[derive(Debug, Deserialize)]
struct BucketParams {
    id: Option<String>,
    name: Option<String>,
    org: Option<String>,
    #[serde(rename = "orgID")]
    org_id: Option<String>,
}

/// `GET /api/v2/buckets`
async fn list((State(service), caller, uri): ListCall) -> Result<Json<Value>, ApiError> {
    let params: BucketParams = parse_query(&uri)?;
    let page = Page::from_uri(&uri)?;
    let names_org = given(params.org).or(given(params.org_id)).is_some();
    let name = given(params.name);
    let mut buckets = match given(params.id) {
        Some(id) => vec![find(&service, &caller, &id).await?],
        None => visible(&service, &caller).await?,
    };
    if let Some(name) = &name {
        let named = cached_root(&service).await?.database(name);
        buckets.retain(|bucket| Some(bucket.database) == named);
        // As in InfluxDB 2, which looks the name up only if it knows the organization.
        if buckets.is_empty() && names_org {
            return Err(not_found(format!("bucket \"{name}\" not found")));
        }
    }
    let (shown, has_next) = page.select(buckets, Bucket::id);
    let pending = shown.iter().map(|bucket| bucket.current_answer(&service));
    let answers: Vec<Value> = try_join_all(pending).await?;
    let filters: Vec<_> = name.iter().map(|name| ("name", name.as_str())).collect();
    Ok(Json(json!({
        "buckets": answers,
        "links": page.links(PATH, &filters, has_next),
    })))
}

/// A new bucket, or a change of one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BucketBody {
    name: Option<String>,
    description: Option<String>,
    retention_rules: Option<Vec<RetentionRule>>,
    schema_type: Option<String>,
}

/// `POST /api/v2/buckets`: the description has no effect, because databases have none.
async fn create((State(service), caller, request): ServiceCall) -> Result<Response, ApiError> {
    caller.require(DatabaseAction::Create, None)?;
    let body: BucketBody = json_body(&service, request).await?;
    if body.schema_type.is_some_and(|kind| kind != "implicit") {
        return Err(invalid(
            "a bucket has an implicit schema: create its tables with /api/v3/configure/table",
        ));
    }
    let rules = body.retention_rules.unwrap_or_default();
    let retention = match retention_rules::requested(&rules)? {
        RetentionChange::Set(retention) => retention,
        RetentionChange::Keep => None,
    };
    let name = body.name.unwrap_or_default();
    let bucket = create_database(&service, &name, retention).await?;
    Ok((StatusCode::CREATED, Json(bucket.answer(retention))).into_response())
}

/// `GET /api/v2/buckets/{id}`
async fn show((State(service), caller, Path(id)): ItemCall) -> Result<Json<Value>, ApiError> {
    let bucket = find(&service, &caller, &id).await?;
    Ok(Json(bucket.current_answer(&service).await?))
}

/// `PATCH /api/v2/buckets/{id}`
async fn update(
    (State(service), caller, Path(id)): ItemCall,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    caller.require_admin()?;
    let body: BucketBody = json_body(&service, request).await?;
    let bucket = find(&service, &caller, &id).await?;
    if given(body.description).is_some() {
        return Err(invalid("a bucket has no description"));
    }
    let rules = body.retention_rules.unwrap_or_default();
    if let RetentionChange::Set(retention) = retention_rules::requested(&rules)? {
        service.catalog().set_retention(bucket.database, retention).await?;
    }
    if let Some(name) = body.name.filter(|name| *name != bucket.name) {
        rename(&service, &bucket, &name).await?;
    }
    // The commits have left their changes in the cached catalogs.
    let root = cached_root(&service).await?;
    let changed = Bucket::find(&root, bucket.database).ok_or_else(no_bucket)?;
    Ok(Json(changed.current_answer(&service).await?))
}

/// Renames the database of a bucket. Its former name becomes an alias.
///
/// # Errors
/// `Conflict`: a database has the name.
async fn rename(service: &WriteService, bucket: &Bucket, name: &str) -> Result<(), ApiError> {
    let is_bucket = |_: DatabaseAction, database: Option<DatabaseId>| {
        database.is_none_or(|database| database == bucket.database)
    };
    let renamed = service.catalog().rename_database_if(&bucket.name, name, is_bucket);
    renamed.await.map_err(|error| match error {
        CatalogError::AlreadyExists { .. } => {
            let text = format!("bucket with name {name} already exists");
            ApiError::v2(Kind::Conflict, text)
        }
        error => error.into(),
    })
}

/// `DELETE /api/v2/buckets/{id}`
async fn delete((State(service), caller, Path(id)): ItemCall) -> Result<StatusCode, ApiError> {
    let bucket = find(&service, &caller, &id).await?;
    let may = |database: Option<DatabaseId>| {
        database == Some(bucket.database) && caller.may(DatabaseAction::Delete, database)
    };
    let hard_delete = service.settings().hard_delete;
    service.catalog().delete_database_if(&bucket.name, hard_delete, may).await?;
    Ok(StatusCode::NO_CONTENT)
}
