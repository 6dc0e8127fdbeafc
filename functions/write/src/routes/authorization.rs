//! The permission to store rows in a database.

use neap_catalog::{CatalogError, DatabaseAction};
use neap_http::{ApiError, Caller};
use neap_schema::DatabaseId;

use super::configure;
use crate::WriteService;

/// Returns the value of [`WriteOptions::only`](crate::WriteOptions::only) for a write by this caller to a database of
/// this name.
///
/// # Errors
/// `Forbidden`, even if the database does not exist: without the permission to write, and in a database whose rows replace
/// earlier ones also with that to append. The catalog can't be read.
pub async fn authorize_write(
    service: &WriteService,
    caller: &Caller,
    database: &str,
) -> Result<Option<DatabaseId>, ApiError> {
    if caller.may(DatabaseAction::Write, None) {
        return Ok(None);
    }
    // To append does not suffice to create a database.
    let id = configure::find(service, database).await?.ok_or(CatalogError::Forbidden)?;
    let may = |action| caller.may(action, Some(id));
    service.catalog.check_row_permission(id, may).await?;
    Ok(Some(id))
}
