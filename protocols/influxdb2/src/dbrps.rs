//! Mappings of databases and retention policies of InfluxDB 1 to buckets.
//!
//! They follow from the names of databases, as in `/write` and `/query`: `db` is the policy `autogen` of the database `db`,
//! and `db/policy` another one. Therefore a mapping can be neither added nor removed. Statements of InfluxQL set the
//! default policy.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use neap_catalog::{AUTOGEN, InfluxDb2Id, RootCatalog};
use neap_http::{ApiError, parse_query};
use neap_write::WriteService;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    buckets::{find, visible},
    requests::{ItemCall, ListCall, ServiceCall, cached_root, given, invalid, json_body, parse_id},
};

pub(crate) fn routes() -> Router<Arc<WriteService>> {
    Router::new()
        .route("/api/v2/dbrps", get(list).post(create))
        .route("/api/v2/dbrps/{id}", get(show).delete(delete))
}

/// The mapping of a bucket, whose id is that of the bucket.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Mapping<'a> {
    id: InfluxDb2Id,
    #[serde(rename = "bucketID")]
    bucket_id: InfluxDb2Id,
    #[serde(rename = "orgID")]
    org_id: InfluxDb2Id,
    database: &'a str,
    retention_policy: &'a str,
    default: bool,
    /// Whether the mapping follows from the name.
    r#virtual: bool,
}

impl<'a> Mapping<'a> {
    /// Returns the mapping of a bucket. `root` has the default policies.
    fn new(id: InfluxDb2Id, bucket: &'a str, root: &RootCatalog) -> Self {
        let (database, retention_policy) = bucket.split_once('/').unwrap_or((bucket, AUTOGEN));
        Self {
            id,
            bucket_id: id,
            org_id: InfluxDb2Id::ORGANIZATION,
            database,
            retention_policy,
            default: root.default_policy(database).unwrap_or(AUTOGEN) == retention_policy,
            r#virtual: true,
        }
    }

    /// Returns whether the mapping has a policy of this name, of which the default policy has several.
    fn has_policy(&self, name: &str) -> bool {
        self.retention_policy == name || (self.default && ["default", ""].contains(&name))
    }
}

#[derive(Debug, Deserialize)]
struct MappingParams {
    id: Option<String>,
    #[serde(rename = "bucketID")]
    bucket_id: Option<String>,
    db: Option<String>,
    rp: Option<String>,
    default: Option<bool>,
}

/// `GET /api/v2/dbrps`
async fn list((State(service), caller, uri): ListCall) -> Result<Json<Value>, ApiError> {
    let params: MappingParams = parse_query(&uri)?;
    let id_text = given(params.id).or(given(params.bucket_id));
    let id = id_text.map(|text| parse_id(&text)).transpose()?;
    let (database, policy) = (given(params.db), given(params.rp));
    let buckets = visible(&service, &caller).await?;
    let root = cached_root(&service).await?;
    let mappings = buckets.iter().map(|bucket| Mapping::new(bucket.id(), &bucket.name, &root));
    let matching = mappings.filter(|mapping| {
        id.is_none_or(|id| mapping.id == id)
            && database.as_ref().is_none_or(|name| mapping.database == name)
            && policy.as_ref().is_none_or(|name| mapping.has_policy(name))
            && params.default.is_none_or(|default| mapping.default == default)
    });
    Ok(Json(json!({ "content": matching.collect::<Vec<_>>() })))
}

/// `GET /api/v2/dbrps/{id}`
async fn show((State(service), caller, Path(id)): ItemCall) -> Result<Json<Value>, ApiError> {
    let bucket = find(&service, &caller, &id).await?;
    let root = cached_root(&service).await?;
    let mapping = Mapping::new(bucket.id(), &bucket.name, &root);
    Ok(Json(json!({ "content": mapping })))
}

#[derive(Debug, Deserialize)]
struct CreateMappingBody {
    #[serde(rename = "bucketID")]
    bucket_id: String,
    database: String,
    retention_policy: String,
    default: Option<bool>,
}

/// `POST /api/v2/dbrps`: accepts a mapping that exists.
async fn create((State(service), caller, request): ServiceCall) -> Result<Response, ApiError> {
    let body: CreateMappingBody = json_body(&service, request).await?;
    let bucket = find(&service, &caller, &body.bucket_id).await?;
    let root = cached_root(&service).await?;
    let mapping = Mapping::new(bucket.id(), &bucket.name, &root);
    let is_wanted = mapping.database == body.database
        && mapping.has_policy(&body.retention_policy)
        && (mapping.default || body.default != Some(true));
    if !is_wanted {
        return Err(invalid(format!(
            "the bucket {} is the retention policy {} of the database {}: mappings follow from names",
            bucket.name, mapping.retention_policy, mapping.database
        )));
    }
    Ok((StatusCode::CREATED, Json(mapping)).into_response())
}

/// `DELETE /api/v2/dbrps/{id}`: accepts that a mapping does not exist, as InfluxDB 2 does.
async fn delete((State(service), caller, Path(id)): ItemCall) -> Result<StatusCode, ApiError> {
    let id = parse_id(&id)?;
    let buckets = visible(&service, &caller).await?;
    if buckets.iter().any(|bucket| bucket.id() == id) {
        return Err(invalid("a mapping exists as long as its bucket"));
    }
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_bucket_gives_its_mapping() {
        for (name, database, policy, other) in [
            ("db", "db", "autogen", "week"),
            ("db", "db", "default", "db"),
            ("db/week", "db", "week", "autogen"),
            ("db/week", "db", "week", ""),
        ] {
            let mapping = Mapping::new(InfluxDb2Id::ORGANIZATION, name, &RootCatalog::default());
            assert_eq!(mapping.database, database, "{name}");
            assert!(mapping.has_policy(policy) && !mapping.has_policy(other));
        }
    }
}
