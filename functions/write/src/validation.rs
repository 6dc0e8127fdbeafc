//! Validates a request against revalidated catalogs: determines the accepted lines, and the tables and columns that they
//! need. These are created once the rows are admitted, so that a request that is refused leaves none of them.

use std::time::Duration;

use neap_bucket::VersionedValue;
use neap_catalog::{ANY_AGE, CatalogError, DatabaseCatalog, LimitError};
use neap_rows::{
    SchemaLimits, TableLimit,
    line_protocol::{Options, ParseError, ParsedBody},
};
use neap_schema::DatabaseId;

use crate::{
    WriteFailure, WriteService, duplicate_rows,
    freshness::{FreshCatalog, revalidate},
    schema::{CatalogView, MissingTables},
    service::{PendingWrite, RoundOutcome, ValidatedWrite, partial},
};

impl WriteService {
    /// Parses the body. Creates the database if it is missing.
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
        let fresh_catalog = revalidate(&self.catalog, &self.marks, database, max_age);
        let (fresh_catalog, parsed) = match self.catalog.known_database(database) {
            Some(known) => {
                // The revalidation requests are sent first, and answered while the body is parsed.
                let parse = async { self.parse(request, &known.value, None) };
                let (fresh_catalog, parsed) = futures::join!(fresh_catalog, parse);
                let (parsed, fresh_catalog) = (parsed?, fresh_catalog?);
                let is_current = known.version == fresh_catalog.catalog.version;
                (fresh_catalog, is_current.then_some(parsed))
            }
            None => (fresh_catalog.await?, None),
        };
        if fresh_catalog.root.value.database(request.database) != Some(database) {
            return Ok(RoundOutcome::Retry(Duration::ZERO, WriteFailure::Contended));
        }
        let parsed = match parsed {
            Some(parsed) => parsed,
            None => self.parse(request, &fresh_catalog.catalog.value, None)?,
        };
        let parsed = self.within_table_limit(request, database, &fresh_catalog, parsed).await?;
        let parsed = self.check(request, parsed)?;
        let check = request.options.duplicates;
        let duplicates = duplicate_rows::check(check, &parsed, &fresh_catalog.catalog.value)?;
        // Check before anything is changed, and before a `no_sync` request is answered.
        self.writer.check_tail(database, &fresh_catalog.proof(&fresh_catalog.catalog))?;
        Ok(RoundOutcome::Done(ValidatedWrite {
            database,
            fresh_catalog,
            parsed,
            duplicates,
        }))
    }

    /// Validates a body for a database that seems to be missing, and creates the database if rows will be stored.
    async fn validate_for_new_database(
        &self,
        request: &PendingWrite<'_>,
    ) -> Result<RoundOutcome<ValidatedWrite>, WriteFailure> {
        let empty = DatabaseCatalog::default();
        let parsed = self.parse(request, &empty, None)?;
        let name = request.database;
        let checked = self.check(request, parsed).and_then(|parsed| {
            let check = request.options.duplicates;
            duplicate_rows::check(check, &parsed, &empty).map_err(WriteFailure::from)
        });
        if let Err(refused) = checked {
            // Lines may be refused against an empty catalog only if the database is really missing.
            if self.catalog.database_by_name(name, self.max_age).await?.is_some() {
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
                auto_create: catalog.auto_create(),
            },
            tables,
            max_cells: Some(self.settings.max_cells),
            max_errors: Some(Self::MAX_ERRORS),
        };
        request.source.validate(&CatalogView(catalog), &options)
    }

    /// Returns the rows unchanged, or without the tables that exceed a table limit.
    async fn within_table_limit(
        &self,
        request: &PendingWrite<'_>,
        database: DatabaseId,
        fresh_catalog: &FreshCatalog,
        parsed: ParsedBody,
    ) -> Result<ParsedBody, WriteFailure> {
        let new_tables = parsed.tables.iter().filter(|table| table.is_new).count();
        let limits = self.catalog.limits();
        if new_tables == 0 {
            return Ok(parsed);
        }
        let own = TableLimit {
            count: fresh_catalog.catalog.value.tables().count(),
            limit: limits.tables_per_database.unwrap_or(usize::MAX),
        };
        let mut all = TableLimit { limit: limits.tables.unwrap_or(usize::MAX), ..own };
        if limits.tables.is_some() {
            for (other, _) in fresh_catalog.root.value.live_databases() {
                if other != database {
                    let other = self.catalog.database(other, ANY_AGE).await?;
                    all.count += other.value.tables().count();
                }
            }
        }
        let room = |tables: &TableLimit| tables.limit.saturating_sub(tables.count);
        let tightest = if room(&own) < room(&all) { own } else { all };
        if new_tables <= room(&tightest) {
            return Ok(parsed);
        }
        Ok(self.parse(request, &fresh_catalog.catalog.value, Some(tightest))?)
    }

    /// Commits the missing tables and columns. Returns the catalog that has all of them.
    pub(crate) async fn commit_additions(
        &self,
        database: DatabaseId,
        known: VersionedValue<DatabaseCatalog>,
        missing: &MissingTables,
    ) -> Result<RoundOutcome<VersionedValue<DatabaseCatalog>>, WriteFailure> {
        let _lock = self.locks.take(database).await?;
        // The previous holder of the lock may have added the same tables or columns.
        let known = self.catalog.known_database(database).unwrap_or(known);
        let added = self.catalog.add(database, known, &missing.additions);
        let catalog = match added.await {
            Ok(catalog) => catalog,
            // Another instance was faster. The next round reports the lines refused because of that.
            Err(
                error @ (CatalogError::TypeConflict { .. }
                | CatalogError::CreationRefused(_)
                | CatalogError::Limit(
                    LimitError::Tables { .. }
                    | LimitError::Columns { .. }
                    | LimitError::Tags { .. },
                )),
            ) => return Ok(RoundOutcome::Retry(Duration::ZERO, error.into())),
            Err(error) => return Err(error.into()),
        };
        // A table that was dropped meanwhile has been recreated with only the columns added now.
        if missing.exist_in(&catalog.value) {
            Ok(RoundOutcome::Done(catalog))
        } else {
            Ok(RoundOutcome::Retry(Duration::ZERO, WriteFailure::Contended))
        }
    }

    /// Returns the parsed body if any of its rows will be stored.
    fn check(
        &self,
        request: &PendingWrite<'_>,
        mut parsed: ParsedBody,
    ) -> Result<ParsedBody, WriteFailure> {
        if parsed.lines == 0 {
            return Err(WriteFailure::Empty);
        }
        if !parsed.errors.is_empty() && !request.options.accept_partial {
            return Err(WriteFailure::Rejected(parsed.errors.swap_remove(0)));
        }
        if parsed.rows == 0 {
            return Err(partial(parsed, None, None));
        }
        let tables = parsed.tables.iter();
        let new_tables = tables.clone().filter(|table| table.is_new).count();
        let new_columns = tables.map(|table| table.new_columns.len()).sum();
        let settings = &self.settings;
        for (what, count, limit) in [
            ("tables", new_tables, settings.max_new_tables),
            ("columns", new_columns, settings.max_new_columns),
        ] {
            if count > limit {
                return Err(WriteFailure::TooManyAdditions { what, count, limit });
            }
        }
        Ok(parsed)
    }
}
