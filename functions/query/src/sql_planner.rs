//! Planners of SQL.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::Result;
use neap_tables::QueryContext;

use crate::{
    QueryRequest,
    plan_cache::PlanCache,
    request::Planner,
    statement::{self, PlannedStatement},
};

/// Plans the text of the request as SQL.
#[derive(Debug)]
pub(crate) struct SqlPlanner;

#[async_trait]
impl Planner for SqlPlanner {
    async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> Result<PlannedStatement> {
        let parameters = request.parameters.clone();
        match &request.extension {
            Some(extension) => {
                let extension = extension.as_ref();
                statement::plan_extended(context, extension, &request.text, parameters).await
            }
            None => statement::plan(context, &request.text, parameters).await,
        }
    }
}

/// Plans the text of the request as SQL, with the kept plans of other statements.
#[derive(Debug)]
pub(crate) struct CachedSqlPlanner(pub(crate) Arc<PlanCache>);

#[async_trait]
impl Planner for CachedSqlPlanner {
    async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> Result<PlannedStatement> {
        if request.extension.is_some() {
            return SqlPlanner.plan(context, request).await;
        }
        self.0.plan(context, request).await
    }
}
