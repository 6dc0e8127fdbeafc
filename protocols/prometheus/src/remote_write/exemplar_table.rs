//! The table of exemplars.

use std::time::Duration;

use neap_catalog::CatalogError;
use neap_http::Caller;
use neap_schema::{ColumnType, DatabaseId};
use neap_write::WriteService;

use crate::{EXEMPLARS_FIELDS, EXEMPLARS_TABLE, EXEMPLARS_TAGS};

/// How long exemplars are kept in a database without a retention.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// Creates the table of a database unless it exists, and the database, as a write does. `only` is the only database that the
/// sender may write to, if it may not write to any one of the name.
///
/// # Errors
/// The sender may not create tables, there are too many, or the catalog can't be read or changed.
pub(crate) async fn create_exemplar_table(
    service: &WriteService,
    caller: &Caller,
    database: &str,
    only: Option<DatabaseId>,
) -> Result<(), CatalogError> {
    let catalog = service.catalog();
    let max_age = catalog.max_age();
    let id = match only {
        Some(id) => id,
        None => catalog.get_or_create_database(database, max_age).await?,
    };
    let known = catalog.database(id, max_age).await?.value;
    if known.table(EXEMPLARS_TABLE).is_some() {
        return Ok(());
    }
    let retention = known.retention().is_none().then_some(RETENTION);
    let tags = EXEMPLARS_TAGS.map(str::to_owned);
    let fields = EXEMPLARS_FIELDS.map(|field| (field.to_owned(), ColumnType::String));
    let created = catalog.create_permitted_table(
        id,
        caller.table_permission(id),
        EXEMPLARS_TABLE,
        &tags,
        &fields,
        retention,
    );
    match created.await {
        Ok(_) | Err(CatalogError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
