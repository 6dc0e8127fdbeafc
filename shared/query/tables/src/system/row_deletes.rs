//! `system.row_deletes`: the requests to delete rows, with the names of InfluxDB 3's endpoint. A database shows its own
//! requests, `_internal` shows all.

use std::{sync::Arc, time::Duration};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::Catalog;
use neap_manifest::{RowDeleteLog, RowDeleteRequest};
use neap_scan::external;
use neap_schema::DatabaseId;

use super::{
    columns::{counts, seconds_or_null, table, views},
    source::SystemTableSource,
};

/// The requests to delete rows of a database; `None`: of all databases.
#[derive(Debug)]
pub(super) struct RowDeletesSource {
    pub(super) catalog: Arc<Catalog>,
    pub(super) database: Option<DatabaseId>,
}

fn rows(requests: &[&RowDeleteRequest]) -> Result<RecordBatch> {
    let all = || requests.iter();
    let times = |time: fn(&RowDeleteRequest) -> Option<i64>| -> ArrayRef {
        let times = requests.iter().map(|request| time(request));
        Arc::new(Int64Array::from_iter(times))
    };
    let state = |request: &&RowDeleteRequest| match request.completed {
        None => "pending",
        Some(_) => "completed",
    };
    table(vec![
        (
            "sequence",
            false,
            counts(all().map(|request| request.sequence)),
        ),
        (
            "db_id",
            false,
            counts(all().map(|request| u64::from(request.delete.database.get()))),
        ),
        (
            "table_id",
            false,
            counts(all().map(|request| u64::from(request.delete.table.get()))),
        ),
        (
            "db_name",
            false,
            views(all().map(|request| &request.delete.database_name)),
        ),
        (
            "table_name",
            false,
            views(all().map(|request| &request.delete.table_name)),
        ),
        ("min_time", true, times(|request| request.delete.min_time)),
        ("max_time", true, times(|request| request.delete.max_time)),
        (
            "delete_predicate",
            false,
            views(all().map(|request| &request.delete.predicate)),
        ),
        (
            "created_at",
            true,
            seconds_or_null(all().map(|request| Some(request.created))),
        ),
        ("disposition", false, views(all().map(state))),
        (
            "completed_at",
            true,
            seconds_or_null(all().map(|request| request.completed)),
        ),
    ])
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
