//! Row deletes, without HTTP.
//!
//! A delete revalidates the catalogs and the low-water mark with requests that begin after it arrived, because it must
//! know every table and tag of the writes acknowledged before. Its order is strict: it lists the tail, and its stamp is
//! above all stamps found.

use std::time::Duration;

use async_trait::async_trait;
use neap_bucket::{ClockReading, Stamp, TRACE_TARGET};
use neap_catalog::{ANY_AGE, CatalogError, DatabaseCatalog, validate_database_name};
use neap_http::Kind;
use neap_row_delete::{DeleteRowsError, DeleteRowsErrorKind, RowDelete, RowDeleter};
use neap_schema::DatabaseId;
use neap_wal::{DeleteRequest, ImportProgress, WriteError};
use tracing::{Instrument, trace_span};

use crate::{
    DeleteFailure, NamedDelete, RowSelection, WriteFailure, WriteService,
    freshness::{FreshCatalog, revalidate},
    routes::delete_answer,
    selection::{check_deletes, resolve_named, resolve_selection},
    service::MAX_ROUNDS,
};

/// How long a client waits before a retry if the failure does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Further options of a row delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// The delete is ordered after this stamp.
    pub after: Option<Stamp>,
    /// The only database that rows may be deleted from, even if its name now means another one; `None`: any database of
    /// the name.
    pub only: Option<DatabaseId>,
}

/// What a row delete is ordered after, and recorded with.
#[derive(Clone, Copy, Debug)]
pub struct DeleteContext {
    /// When the request arrived: rule W1 measures from then.
    pub arrived: ClockReading,
    /// The delete is ordered after this stamp.
    pub after: Option<Stamp>,
    /// The progress of the site that the deletes belong to.
    pub progress: Option<ImportProgress>,
}

/// An acknowledged row delete. Every later snapshot includes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcknowledgedDelete {
    /// The number of tables that may have lost rows.
    pub tables: usize,
    /// Its position in the order of all writes; `None` if it could not remove any rows.
    pub stamp: Option<Stamp>,
}

/// A database given by name or by id. A name may come with the only id that it may stand for.
#[derive(Clone, Copy, Debug)]
enum DatabaseSelector<'a> {
    Name(&'a str, Option<DatabaseId>),
    Id(DatabaseId),
}

impl WriteService {
    /// Deletes rows of a database that were written with a smaller stamp. These are all writes that any instance
    /// acknowledged before, and all others whose stamp is not above [`DeleteOptions::after`].
    ///
    /// # Errors
    /// See [`DeleteFailure`]. The delete may exist even so if the outcome of a put is unknown
    /// ([`WriteError::NotAcknowledged`]).
    pub async fn delete_rows(
        &self,
        database: &str,
        selection: &RowSelection,
        options: DeleteOptions,
    ) -> Result<AcknowledgedDelete, DeleteFailure> {
        // Take the time before the first wait, because rule W1 measures from the arrival.
        let arrived = self.world.clock_reading();
        validate_database_name(database).map_err(CatalogError::from)?;
        let find = |catalog: &DatabaseCatalog| resolve_selection(catalog, selection);
        let database = DatabaseSelector::Name(database, options.only);
        let context = DeleteContext { arrived, after: options.after, progress: None };
        self.delete_in_rounds(database, context, find).await
    }

    /// Deletes rows of tables that are given by name, as one request.
    ///
    /// # Errors
    /// As [`delete_rows`](Self::delete_rows).
    pub async fn delete_named(
        &self,
        database: DatabaseId,
        deletes: &[NamedDelete],
        context: DeleteContext,
    ) -> Result<AcknowledgedDelete, DeleteFailure> {
        let find = |catalog: &DatabaseCatalog| resolve_named(catalog, deletes);
        self.delete_in_rounds(DatabaseSelector::Id(database), context, find).await
    }

    async fn delete_in_rounds(
        &self,
        database: DatabaseSelector<'_>,
        context: DeleteContext,
        deletes: impl Fn(&DatabaseCatalog) -> Result<Vec<RowDelete>, DeleteFailure>,
    ) -> Result<AcknowledgedDelete, DeleteFailure> {
        let mut last = WriteFailure::Contended;
        for _ in 0..MAX_ROUNDS {
            let id = self.find(database).await?;
            let fresh_catalog = revalidate(&self.catalog, &self.marks, id, Duration::ZERO).await?;
            let Some(name) = live_name(&fresh_catalog, id, database)? else {
                continue;
            };
            let deletes = deletes(&fresh_catalog.catalog.value)?;
            let tables = deletes.len();
            if deletes.is_empty() {
                // A lost catalog has no tables, either.
                self.catalog.verified_database(id, ANY_AGE).await?;
                let stamp = None;
                return Ok(AcknowledgedDelete { tables, stamp });
            }
            let request = DeleteRequest {
                arrived: context.arrived,
                deletes,
                proof: fresh_catalog.proof(&fresh_catalog.catalog),
                after: context.after,
                recorded: fresh_catalog.manifest.value.deletes,
                progress: context.progress,
            };
            let delete = self.writer.delete(id, request);
            let step = trace_span!(target: TRACE_TARGET, "wal");
            match delete.instrument(step).await {
                Ok(acknowledged) => {
                    self.metrics.deleted(name, tables);
                    let stamp = Some(acknowledged.stamp);
                    return Ok(AcknowledgedDelete { tables, stamp });
                }
                Err(expired @ WriteError::ProofExpired { .. }) => last = expired.into(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    async fn find(&self, database: DatabaseSelector<'_>) -> Result<DatabaseId, DeleteFailure> {
        let (name, only) = match database {
            DatabaseSelector::Id(id) => return Ok(id),
            DatabaseSelector::Name(name, only) => (name, only),
        };
        let known = self.catalog.root(ANY_AGE).await?.value.database(name);
        let found = match known {
            Some(known) => Some(known),
            None => self.catalog.database_by_name(name, Duration::ZERO).await?,
        };
        if only.is_some_and(|only| found != Some(only)) {
            return Err(CatalogError::Forbidden.into());
        }
        found.ok_or_else(|| DeleteFailure::NoDatabase(name.to_owned()))
    }
}

/// Returns the present name of a database; `None` if the requested name now means another database.
fn live_name<'a>(
    fresh_catalog: &'a FreshCatalog,
    id: DatabaseId,
    database: DatabaseSelector<'_>,
) -> Result<Option<&'a str>, DeleteFailure> {
    let root = &fresh_catalog.root.value;
    let mut live = root.live_databases();
    let entry = live.find(|(live, _)| *live == id).map(|(_, entry)| entry);
    match (entry, database) {
        (Some(_), DatabaseSelector::Name(name, _)) if root.database(name) != Some(id) => Ok(None),
        (Some(entry), _) => Ok(Some(&entry.name)),
        (None, DatabaseSelector::Name(..)) => Ok(None),
        (None, DatabaseSelector::Id(id)) => Err(DeleteFailure::NoDatabase(id.to_string())),
    }
}

#[async_trait]
impl RowDeleter for WriteService {
    async fn delete_rows(
        &self,
        database: DatabaseId,
        deletes: Vec<RowDelete>,
        arrived: ClockReading,
        after: Option<Stamp>,
    ) -> Result<Stamp, DeleteRowsError> {
        let find = |catalog: &DatabaseCatalog| check_deletes(catalog, &deletes);
        let database = DatabaseSelector::Id(database);
        let context = DeleteContext { arrived, after, progress: None };
        let deleted = self.delete_in_rounds(database, context, find);
        let stamp = deleted.await?.stamp;
        let nothing = WriteFailure::Tail(WriteError::Empty);
        Ok(stamp.ok_or_else(|| DeleteFailure::from(nothing))?)
    }
}

impl From<DeleteFailure> for DeleteRowsError {
    fn from(failure: DeleteFailure) -> Self {
        let (message, stamp) = (failure.to_string(), failure.stamp());
        let wait = failure.retry_after().unwrap_or(RETRY_AFTER);
        let kind = match delete_answer(failure).kind() {
            Kind::NotFound => DeleteRowsErrorKind::NotFound,
            Kind::Unavailable => DeleteRowsErrorKind::Unavailable,
            Kind::Unknown => DeleteRowsErrorKind::Unknown,
            Kind::Corrupt | Kind::Internal => DeleteRowsErrorKind::Internal,
            _ => DeleteRowsErrorKind::Invalid,
        };
        let passes =
            matches!(kind, DeleteRowsErrorKind::Unavailable | DeleteRowsErrorKind::Unknown);
        Self { message, kind, retry_after: passes.then_some(wait), stamp }
    }
}
