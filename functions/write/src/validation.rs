//! Validates a request against revalidated catalogs: determines the accepted lines, and creates the tables and columns
//! that they need.

use std::time::Duration;

use neap_bucket::VersionedValue;
use neap_catalog::{ANY_AGE, CatalogError, DatabaseCatalog, LimitError};
use neap_line_protocol::{Options, ParseError, ParsedBody, SchemaLimits, TableLimit};
use neap_schema::DatabaseId;

use crate::{
    WriteFailure, WriteService,
    freshness::{FreshCatalog, revalidate},
    schema::{CatalogView, additions, has_tables_and_columns},
    service::{PendingWrite, RoundOutcome, partial},
};

/// A validated request. Its tables and columns exist.
pub(crate) struct ValidatedWrite {
    pub(crate) database: DatabaseId,
    pub(crate) proven: FreshCatalog,
    pub(crate) catalog: VersionedValue<DatabaseCatalog>,
    pub(crate) parsed: ParsedBody,
}

impl WriteService {
    /// Parses the body, and creates missing tables and columns.
    pub(crate) async fn validate(
        &self,
        request: &PendingWrite<'_>,
        max_age: Duration,
    ) -> Result<RoundOutcome<ValidatedWrite>, WriteFailure> {
        let root = self.catalog.root(ANY_AGE).await?;
        let found = root.value.database(request.database);
        if request.options.only.is_some_and(|only| found != Some(only)) {
            return Err(CatalogError::Forbidden.into());
        }
        let Some(database) = found else {
            return self.validate_for_new_database(request).await;
        };
        let proven = revalidate(&self.catalog, &self.marks, database, max_age);
        let (proven, parsed) = match self.catalog.known_database(database) {
            Some(known) => {
                // The revalidation requests are sent first, and answered while the body is parsed.
                let parse = async { self.parse(request, &known.value, None) };
                let (proven, parsed) = futures::join!(proven, parse);
                let (parsed, proven) = (parsed?, proven?);
                let is_current = known.version == proven.catalog.version;
                (proven, is_current.then_some(parsed))
            }
            None => (proven.await?, None),
        };
        if proven.root.value.database(request.database) != Some(database) {
            return Ok(RoundOutcome::Retry(Duration::ZERO, WriteFailure::Contended));
        }
        let parsed = match parsed {
            Some(parsed) => parsed,
            None => self.parse(request, &proven.catalog.value, None)?,
        };
        let parsed = self
            .within_table_limit(request, database, &proven, parsed)
            .await?;
        let parsed = check(request, parsed)?;
        // Check before anything is changed, and before a `no_sync` request is answered.
        self.writer
            .check_tail(database, &proven.proof(&proven.catalog))?;
        self.commit_additions(database, proven, parsed).await
    }

    /// Validates a body for a database that seems to be missing, and creates the database if rows will be stored.
    async fn validate_for_new_database(
        &self,
        request: &PendingWrite<'_>,
    ) -> Result<RoundOutcome<ValidatedWrite>, WriteFailure> {
        let parsed = self.parse(request, &DatabaseCatalog::default(), None)?;
        let name = request.database;
        if let Err(refused) = check(request, parsed) {
            // Lines may be refused against an empty catalog only if the database is really missing.
            if self
                .catalog
                .database_by_name(name, self.max_age)
                .await?
                .is_some()
            {
                return Ok(RoundOutcome::Retry(self.max_age, refused));
            }
            let root = self.catalog.root(ANY_AGE).await?;
            let deleted = root.value.deleted_database(name).is_some();
            let name = name.to_owned();
            return Err(if deleted {
                CatalogError::SoftDeleted { name }.into()
            } else {
                refused
            });
        }
        let created = self.catalog.get_or_create_database(name, self.max_age);
        created.await?;
        Ok(RoundOutcome::Retry(self.max_age, WriteFailure::Contended))
    }

    fn parse(
        &self,
        request: &PendingWrite<'_>,
        catalog: &DatabaseCatalog,
        tables: Option<TableLimit>,
    ) -> Result<ParsedBody, ParseError> {
        let limits = self.catalog.limits();
        let options = Options {
            dialect: request.options.dialect,
            precision: request.options.precision,
            default_time_ns: request.default_time_ns,
            stop_at_first_error: !request.options.accept_partial,
            limits: SchemaLimits {
                max_columns_per_table: limits.columns_per_table,
                max_tags_per_table: limits.tags_per_table,
            },
            tables,
            max_cells: Some(self.settings.max_cells),
            max_errors: Some(Self::MAX_ERRORS),
        };
        request.source.validate(&CatalogView(catalog), &options)
    }

    /// Returns the rows unchanged, or without the tables that exceed the table limit.
    async fn within_table_limit(
        &self,
        request: &PendingWrite<'_>,
        database: DatabaseId,
        proven: &FreshCatalog,
        parsed: ParsedBody,
    ) -> Result<ParsedBody, WriteFailure> {
        let new_tables = parsed.tables.iter().filter(|table| table.is_new).count();
        let Some(limit) = self.catalog.limits().tables.filter(|_| new_tables > 0) else {
            return Ok(parsed);
        };
        let mut count = proven.catalog.value.tables().count();
        for (other, _) in proven.root.value.live_databases() {
            if other != database {
                let other = self.catalog.database(other, ANY_AGE).await?;
                count += other.value.tables().count();
            }
        }
        if count + new_tables <= limit {
            return Ok(parsed);
        }
        let tables = Some(TableLimit { count, limit });
        Ok(self.parse(request, &proven.catalog.value, tables)?)
    }

    /// Commits the missing tables and columns.
    async fn commit_additions(
        &self,
        database: DatabaseId,
        proven: FreshCatalog,
        parsed: ParsedBody,
    ) -> Result<RoundOutcome<ValidatedWrite>, WriteFailure> {
        let additions = additions(&parsed.tables);
        let mut catalog = proven.catalog.clone();
        if !additions.is_empty() {
            let _turn = self.turns.take(database).await?;
            // The previous holder of the lock may have added the same tables or columns.
            if let Some(newer) = self.catalog.known_database(database) {
                catalog = newer;
            }
            catalog = match self.catalog.add(database, catalog, &additions).await {
                Ok(catalog) => catalog,
                // Another instance was faster. The next round reports the lines refused because of that.
                Err(
                    error @ (CatalogError::TypeConflict { .. }
                    | CatalogError::Limit(
                        LimitError::Tables { .. }
                        | LimitError::Columns { .. }
                        | LimitError::Tags { .. },
                    )),
                ) => return Ok(RoundOutcome::Retry(Duration::ZERO, error.into())),
                Err(error) => return Err(error.into()),
            };
            // A table that was dropped meanwhile has been recreated with only the columns added now.
            if !has_tables_and_columns(&catalog.value, &parsed.tables) {
                return Ok(RoundOutcome::Retry(Duration::ZERO, WriteFailure::Contended));
            }
        }
        Ok(RoundOutcome::Done(ValidatedWrite {
            database,
            proven,
            catalog,
            parsed,
        }))
    }
}

/// Returns the parsed body if any of its rows will be stored.
fn check(request: &PendingWrite<'_>, mut parsed: ParsedBody) -> Result<ParsedBody, WriteFailure> {
    if parsed.lines == 0 {
        return Err(WriteFailure::Empty);
    }
    if parsed.errors.is_empty() {
        return Ok(parsed);
    }
    if !request.options.accept_partial {
        return Err(WriteFailure::Rejected(parsed.errors.swap_remove(0)));
    }
    if parsed.rows == 0 {
        return Err(partial(parsed, None));
    }
    Ok(parsed)
}
