//! The database that a request names.

use http::Uri;
use neap_catalog::{Catalog, CatalogError, DatabaseAction, validate_database_name};
use neap_http::{ApiError, Caller, Kind, parse_query};
use neap_schema::DatabaseId;
use serde::Deserialize;

/// The database of a request.
#[derive(Debug, Deserialize)]
struct DatabaseParam {
    db: String,
}

/// Returns the database that a request names, if the caller may perform the action on it.
///
/// # Errors
/// `Invalid` without a database or with an invalid name, `Forbidden`, `NotFound`, and errors of the catalog.
pub(crate) async fn permitted_database(
    catalog: &Catalog,
    caller: &Caller,
    uri: &Uri,
    action: DatabaseAction,
) -> Result<DatabaseId, ApiError> {
    let DatabaseParam { db } = parse_query(uri)?;
    validate_database_name(&db).map_err(CatalogError::from)?;
    let database = catalog.database_by_name(&db, catalog.max_age()).await?;
    // A caller without the permission does not learn which databases exist.
    caller.require(action, database)?;
    database.ok_or_else(|| ApiError::json(Kind::NotFound, format!("database not found: {db}")))
}
