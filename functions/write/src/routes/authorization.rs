//! The permission to store rows in a database.

use neap_catalog::DatabaseAction;
use neap_http::{ApiError, Caller};
use neap_schema::DatabaseId;

use super::configure;
use crate::WriteService;

/// Returns the value of [`WriteOptions::only`](crate::WriteOptions::only) for a write by this caller to a database of
/// this name.
///
/// # Errors
/// `Forbidden`, even if the database does not exist. The catalog can't be read.
pub async fn authorize_write(
    service: &WriteService,
    caller: &Caller,
    database: &str,
) -> Result<Option<DatabaseId>, ApiError> {
    configure::allowed_database(service, caller, database, &[DatabaseAction::Append]).await
}
