//! Creates, deletes and refreshes views.

use std::{sync::Arc, time::Duration};

use neap_catalog::{
    CatalogError, DatabaseAction, INTERNAL_DATABASE_ID, MaterializedView, NewView, ViewLanguage,
};
use neap_http::{ApiError, Caller, Kind};
use neap_rollup::{RefreshError, RefreshReport, ViewRefresher, ViewSource};
use neap_schema::DatabaseId;

use super::{ViewStatement, data::EngineViewData, planners::DefinitionPlanner};
use crate::{ClientQueryError, QueryEngine, QueryError, QueryRequest};

/// Maximum age of the catalog that shows whether a database has views (10 minutes). Views that this process created are
/// seen at once, others also when it validates a write.
const VIEW_LIST_AGE: Duration = Duration::from_secs(600);

/// Returns an error if this process keeps no views.
pub(crate) fn check_views_are_kept(engine: &QueryEngine) -> Result<(), ApiError> {
    if engine.keeps_views() {
        Ok(())
    } else {
        Err(ApiError::text(
            Kind::NotAllowed,
            "this server does not refresh materialized views",
        ))
    }
}

impl QueryEngine {
    /// Executes a statement that changes views, for a caller who may read the database.
    pub(crate) async fn change_view(
        &self,
        caller: &Caller,
        database: DatabaseId,
        statement: ViewStatement,
    ) -> Result<(), ClientQueryError> {
        match statement {
            ViewStatement::Create { name, query, if_not_exists } => {
                let created = self.create_sql_view(caller, database, &name, &query);
                match created.await? {
                    Err(CatalogError::AlreadyExists { .. }) if if_not_exists => Ok(()),
                    created => Ok(created.map(|_| ()).map_err(ApiError::from)?),
                }
            }
            ViewStatement::Drop { name, if_exists } => {
                let dropped = self.delete_sql_view(caller, database, &name);
                match dropped.await? {
                    Err(CatalogError::NotFound { .. }) if if_exists => Ok(()),
                    dropped => Ok(dropped.map_err(ApiError::from)?),
                }
            }
        }
    }

    /// Creates a view in SQL. Its table has the name of the view. The inner error is that of the catalog.
    pub(crate) async fn create_sql_view(
        &self,
        caller: &Caller,
        database: DatabaseId,
        name: &str,
        query: &str,
    ) -> Result<Result<Arc<MaterializedView>, CatalogError>, ClientQueryError> {
        check_views_are_kept(self)?;
        caller.require(DatabaseAction::Read, Some(database))?;
        caller.require(DatabaseAction::Write, Some(database))?;
        check_database(database)?;
        let planner = Arc::new(DefinitionPlanner::default());
        let request = QueryRequest {
            text: query.to_owned(),
            without_caches: true,
            ..QueryRequest::default()
        };
        self.run(database, request, Arc::clone(&planner) as _).await?;
        let Some(definition) = planner.definition() else {
            return Err(QueryError::Stopped.into());
        };
        let (source, windows) = (&definition.source, definition.windows);
        let new = NewView {
            created_by: caller.actor(),
            tags: Some(definition.tags),
            needs_new_table: true,
            columns: definition.columns,
            ..NewView::new(name, ViewLanguage::Sql, query, source, name, windows)
        };
        Ok(self.catalog().create_view(database, &new).await)
    }

    /// Deletes a view in SQL. Its table keeps its rows. The inner error is that of the catalog.
    pub(crate) async fn delete_sql_view(
        &self,
        caller: &Caller,
        database: DatabaseId,
        name: &str,
    ) -> Result<Result<(), CatalogError>, ClientQueryError> {
        caller.require(DatabaseAction::Write, Some(database))?;
        let deleted = self.catalog().delete_view(database, name, ViewLanguage::Sql);
        Ok(deleted.await.map(|_| ()))
    }

    /// Refreshes the views of a database. Begins no further windows after `limit`.
    ///
    /// # Errors
    /// The catalog, the manifest or the progress of the views can't be read.
    pub async fn refresh_views(
        &self,
        database: DatabaseId,
        limit: Duration,
    ) -> Result<RefreshReport, RefreshViewsError> {
        let known = self.catalog().database(database, VIEW_LIST_AGE).await?;
        if known.value.views().next().is_none() {
            return Ok(RefreshReport::default());
        }
        // A refresh needs the present retention, because it never changes windows whose rows have expired.
        let catalog = self.catalog().database(database, Duration::ZERO).await?;
        let refresher = ViewRefresher::new(self.bucket().clone(), self.manifests().clone());
        let source = ViewSource { database, catalog: &catalog.value };
        let data = EngineViewData { engine: self, database };
        Ok(refresher.refresh(source, &data, limit).await?)
    }
}

/// The views of a database were not refreshed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RefreshViewsError {
    /// The catalog can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The manifest or the progress can't be read.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

/// Refuses the internal database, which has no tables of its own.
fn check_database(database: DatabaseId) -> Result<(), ApiError> {
    match database {
        INTERNAL_DATABASE_ID => {
            Err(ApiError::text(Kind::Invalid, "the internal database has no materialized views"))
        }
        _ => Ok(()),
    }
}
