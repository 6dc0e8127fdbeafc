//! `system.row_deletes`: the requests to delete rows, with the names of InfluxDB 3's endpoint. A database shows its own
//! requests, `_internal` shows all.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::Catalog;
use neap_manifest::{RowDeleteLog, RowDeleteRequest};
use neap_scan::external;
use neap_schema::DatabaseId;

use super::{source::SystemTableSource, table_builder::SystemTableBuilder};

/// The requests to delete rows of a database; `None`: of all databases.
#[derive(Debug)]
pub(super) struct RowDeletesSource {
    pub(super) catalog: Arc<Catalog>,
    pub(super) database: Option<DatabaseId>,
}

fn rows(requests: &[&RowDeleteRequest]) -> Result<RecordBatch> {
    SystemTableBuilder::new(requests)
        .counts("sequence", |request| request.sequence)
        .counts("db_id", |request| request.delete.database.get().into())
        .counts("table_id", |request| request.delete.table.get().into())
        .views("db_name", |request| &request.delete.database_name)
        .views("table_name", |request| &request.delete.table_name)
        .integers_or_null("min_time", |request| request.delete.min_time)
        .integers_or_null("max_time", |request| request.delete.max_time)
        .views("delete_predicate", |request| &request.delete.predicate)
        .seconds_or_null("created_at", |request| Some(request.created))
        .views("disposition", |request| match request.completed {
            None => "pending",
            Some(_) => "completed",
        })
        .seconds_or_null("completed_at", |request| request.completed)
        .finish()
}

#[async_trait]
impl SystemTableSource for RowDeletesSource {
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        let root = self.catalog.root(Duration::ZERO).await.map_err(external)?;
        let exists = |database| root.value.databases().contains_key(&database);
        let is_shown = |database| self.database.is_none_or(|own| own == database);
        let log = RowDeleteLog::new(&self.catalog);
        let requests = log.read_progress(exists, is_shown).await.map_err(external)?;
        let shown: Vec<_> =
            requests.iter().filter(|request| is_shown(request.delete.database)).collect();
        rows(&shown)
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&[])
    }
}
