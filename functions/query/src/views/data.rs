//! Computes, reads and writes the rows of views with the query engine.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use neap_bucket::{ClockReading, Stamp};
use neap_catalog::{
    Actor, CatalogError, DatabaseAction, MaterializedView, RootCatalog, ViewLanguage, ViewReference,
};
use neap_manifest::TimeRange;
use neap_rollup::{StoredViewRows, ViewData, ViewDataError, ViewRows};
use neap_row_delete::{Condition, DeleteRowsErrorKind, RowDelete};
use neap_rows::columnar::{ColumnMapping, ColumnarRows, TagColumns, TimeColumn};
use neap_schema::{DatabaseId, TableId};

use super::{
    planners::TimeRangePlanner,
    rows::{collect, grouped_rows, read_error, stored_rows, view_rows},
};
use crate::{
    QueryEngine, QueryError, QueryRequest, RollupUse,
    influxql::{self, InfluxqlError},
    quoted_name,
};

/// Maximum age of the catalog in which a table is looked up after a write to it (10 minutes).
const TABLE_LIST_AGE: std::time::Duration = std::time::Duration::from_secs(600);

/// The rows of the views of a database.
#[derive(Debug)]
pub(crate) struct EngineViewData<'a> {
    pub(crate) engine: &'a QueryEngine,
    pub(crate) database: DatabaseId,
}

/// The table of a view.
struct TargetTable {
    database_name: String,
    database: DatabaseId,
}

impl EngineViewData<'_> {
    /// Returns the id of the table of a view, which this process has just written to. Its cached catalog has it.
    async fn target_table(&self, view: &MaterializedView, database: DatabaseId) -> Option<TableId> {
        let catalog = self.engine.catalog().database(database, TABLE_LIST_AGE).await.ok()?;
        catalog.value.table(&view.target.table).map(|table| table.id())
    }

    /// Selects columns of the rows in the table of a view. There are none if the table does not exist.
    async fn query_target(
        &self,
        view: &MaterializedView,
        columns: &str,
        times: TimeRange,
    ) -> Result<Vec<RecordBatch>, ViewDataError> {
        let database = self.target(view).await?.database;
        let table = &view.target.table;
        let text = format!("SELECT {columns} FROM {}", quoted_name(table));
        let planner = TimeRangePlanner { times, table: Some(table.clone()) };
        let rows = self.engine.run(database, request(text, None), Arc::new(planner));
        collect(rows.await.map_err(|error| read_error(&error))?.batches).await
    }

    /// Resolves the database of the table of a view. If it is not that of the view, checks that the view still has the
    /// table, and that its creator still has the permissions.
    async fn target(&self, view: &MaterializedView) -> Result<TargetTable, ViewDataError> {
        let catalog = self.engine.catalog();
        let known = catalog.root(catalog.max_age()).await;
        let root = known.map_err(|error| catalog_error(&error))?.value;
        let database = match &view.target.database {
            None => Some(self.database),
            Some(target) => root.target_database(target),
        };
        let entry = database.and_then(|id| Some((id, root.databases().get(&id)?)));
        let Some((database, entry)) = entry else {
            let target = view.target.database.as_ref();
            let name = target.map(|database| database.name.clone());
            let error = QueryError::DatabaseNotFound(name.unwrap_or_default());
            return Err(read_error(&error));
        };
        if view.target.database.is_some() {
            self.check_creator(view, &root, database)?;
            let reference = ViewReference { database: self.database, view: view.name.clone() };
            let (table, max_age) = (&view.target.table, catalog.max_age());
            let reserved = catalog.reserve_view_target(database, table, &reference, max_age);
            reserved.await.map_err(|error| catalog_error(&error))?;
        }
        Ok(TargetTable { database_name: entry.name.clone(), database })
    }

    /// Refuses a view whose creator may no longer read its database or write to that of its table. A view that was
    /// created without authentication has no creator.
    fn check_creator(
        &self,
        view: &MaterializedView,
        root: &RootCatalog,
        target: DatabaseId,
    ) -> Result<(), ViewDataError> {
        let Some(creator) = view.created_by else {
            return Ok(());
        };
        let clock = self.engine.bucket().clock();
        let now = clock.now().ok_or_else(|| catalog_error(&CatalogError::NoStoreTime))?;
        if root.may(creator, DatabaseAction::Read, self.database, now)
            && root.may(creator, DatabaseAction::Write, target, now)
        {
            return Ok(());
        }
        let kind = match creator {
            Actor::Token(_) => "token",
            Actor::User(_) => "user",
        };
        Err(ViewDataError::Failed(format!(
            "the {kind} that created the continuous query may no longer read its database or write to that of its \
             table; create it again with one that may"
        )))
    }
}

fn catalog_error(error: &CatalogError) -> ViewDataError {
    ViewDataError::Failed(error.to_string())
}

/// Returns a request of a refresh.
fn request(text: String, as_of: Option<Stamp>) -> QueryRequest {
    QueryRequest {
        text,
        as_of,
        without_caches: true,
        rollups: RollupUse::Off,
        ..QueryRequest::default()
    }
}

#[async_trait]
impl ViewData for EngineViewData<'_> {
    async fn compute(
        &self,
        view: &MaterializedView,
        windows: TimeRange,
        as_of: Stamp,
    ) -> Result<ViewRows, ViewDataError> {
        let request = request(view.query.clone(), Some(as_of));
        let (rows, key) = match view.language {
            ViewLanguage::Sql => {
                let planner = TimeRangePlanner { times: windows, table: None };
                let rows = self.engine.run(self.database, request, Arc::new(planner));
                (rows.await.map_err(|error| read_error(&error))?, None)
            }
            ViewLanguage::InfluxQl => {
                let rows = influxql::window_rows(self.engine, self.database, request, windows);
                let (rows, key) = rows.await.map_err(|error| match error {
                    InfluxqlError::Query(error) => read_error(&error),
                    error => ViewDataError::Failed(error.to_string()),
                })?;
                (rows, Some(key))
            }
        };
        // The version of the mark is gone if another mark followed soon. An earlier version lacks recorded changes.
        if rows.as_of.is_some_and(|stamp| stamp < as_of) {
            return Err(ViewDataError::Replaced);
        }
        let batches = collect(rows.batches).await?;
        match key {
            None => view_rows(&batches, view.tags.clone().unwrap_or_default()),
            Some(key) => grouped_rows(&batches, &key),
        }
    }

    async fn read(
        &self,
        view: &MaterializedView,
        times: TimeRange,
    ) -> Result<ViewRows, ViewDataError> {
        stored_rows(&self.query_target(view, "*", times).await?)
    }

    async fn target_database(&self, view: &MaterializedView) -> Result<DatabaseId, ViewDataError> {
        Ok(self.target(view).await?.database)
    }

    async fn bounds(&self, view: &MaterializedView) -> Result<Option<TimeRange>, ViewDataError> {
        let columns = "CAST(min(time) AS BIGINT) AS first, CAST(max(time) AS BIGINT) AS last";
        let batches = self.query_target(view, columns, TimeRange::ALL).await?;
        Ok(batches.first().and_then(|batch| {
            use arrow::{array::AsArray, datatypes::Int64Type};
            let value = |name| {
                let values = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
                values.iter().next().flatten()
            };
            Some(TimeRange { first: value("first")?, last: value("last")? })
        }))
    }

    async fn delete(
        &self,
        view: &MaterializedView,
        times: &[TimeRange],
        arrived: ClockReading,
        after: Option<Stamp>,
    ) -> Result<Option<Stamp>, ViewDataError> {
        let Some(deleter) = self.engine.deleter() else {
            return Err(read_error(&QueryError::NoWriter));
        };
        let target = self.target(view).await?;
        let catalog = self
            .engine
            .catalog()
            .database(target.database, std::time::Duration::ZERO)
            .await
            .map_err(|error| catalog_error(&error))?;
        let Some(table) = catalog.value.table(&view.target.table) else {
            return Ok(None);
        };
        let ranges = times.iter().map(|range| Condition::between(range.first, range.last));
        let delete = RowDelete {
            table: table.id(),
            condition: ranges.fold(Condition::NOTHING, Condition::or),
        };
        let deleted = deleter.delete_rows(target.database, vec![delete], arrived, after);
        match deleted.await {
            Ok(stamp) => Ok(Some(stamp)),
            Err(error) => Err(match error.kind {
                DeleteRowsErrorKind::Invalid | DeleteRowsErrorKind::NotFound => {
                    ViewDataError::Failed(error.to_string())
                }
                _ => ViewDataError::Unknown(error.to_string()),
            }),
        }
    }

    async fn store(
        &self,
        view: &MaterializedView,
        rows: &ViewRows,
        arrived: ClockReading,
        after: Option<Stamp>,
    ) -> Result<StoredViewRows, ViewDataError> {
        let Some(writer) = self.engine.row_writer() else {
            return Err(read_error(&QueryError::NoWriter));
        };
        let target = self.target(view).await?;
        let mapping = ColumnMapping {
            table: view.target.table.clone(),
            tags: TagColumns::Named(rows.tags.clone()),
            time: TimeColumn::default(),
        };
        let rows = ColumnarRows::new(mapping, rows.batches.clone())
            .map_err(|error| ViewDataError::Failed(error.to_string()))?;
        let (name, database) = (&target.database_name, target.database);
        let stored = writer.store_arrived_rows(name, database, &rows, after, arrived);
        match stored.await {
            Ok(stored) => Ok(StoredViewRows {
                stamp: stored.stamp,
                table: self.target_table(view, database).await,
            }),
            Err(error) => Err(match error.retry_after {
                None => ViewDataError::Failed(error.to_string()),
                Some(_) => ViewDataError::Unknown(error.to_string()),
            }),
        }
    }
}
