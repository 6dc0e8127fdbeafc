//! `system.databases` of `_internal`: all databases including dropped ones, with the columns of InfluxDB 3, and settings of
//! Neap.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::{Catalog, ColdStorage, Deletion, INTERNAL_DATABASE, INTERNAL_RETENTION};
use neap_scan::external;
use neap_schema::AutoCreate;

use super::{
    catalogs::{DATABASE_NAME, databases, is_gone},
    columns::{booleans, counts_or_null, seconds_or_null, table, views, views_or_null},
    source::{NameFilter, SystemTableSource},
};

/// The databases of a cluster.
#[derive(Debug)]
pub(super) struct DatabasesSource(pub(super) Arc<Catalog>);

struct DatabaseRow {
    name: String,
    retention: Option<Duration>,
    deletion: Option<Deletion>,
    /// `None`: the database accepts no writes.
    auto_create: Option<AutoCreate>,
    cold: Option<ColdStorage>,
}

fn rows(databases: &[DatabaseRow]) -> Result<RecordBatch> {
    let rows = || databases.iter();
    let nanos = |retention: Duration| u64::try_from(retention.as_nanos()).ok();
    table(vec![
        (DATABASE_NAME, false, views(rows().map(|row| &row.name))),
        (
            "retention_period_ns",
            true,
            counts_or_null(rows().map(|row| row.retention.and_then(nanos))),
        ),
        (
            "deleted",
            false,
            booleans(rows().map(|row| row.deletion.is_some())),
        ),
        (
            "hard_deletion_time",
            true,
            seconds_or_null(rows().map(|row| row.deletion?.hard_delete_at)),
        ),
        (
            "auto_create",
            true,
            views_or_null(rows().map(|row| row.auto_create.map(AutoCreate::as_str))),
        ),
        (
            "cold_after_ns",
            true,
            counts_or_null(rows().map(|row| nanos(row.cold?.after()))),
        ),
        (
            "cold_class",
            true,
            views_or_null(rows().map(|row| row.cold.map(|cold| cold.class().as_str()))),
        ),
    ])
}

#[async_trait]
impl SystemTableSource for DatabasesSource {
    /// Costs 1 GET of the root catalog, and 1 GET of the catalog of each database, for its retention.
    async fn rows(&self, filters: &[Expr]) -> Result<RecordBatch> {
        let wanted = NameFilter::new(DATABASE_NAME, filters);
        let root = self.0.root(Duration::ZERO).await.map_err(external)?;
        let found = databases(&self.0, &root.value, &wanted).await?;
        let there = found.into_iter().filter(|database| !is_gone(database.entry.deletion)).map(
            |database| DatabaseRow {
                retention: database.catalog.retention(),
                deletion: database.entry.deletion,
                auto_create: Some(database.catalog.auto_create()),
                cold: database.catalog.cold_storage(),
                name: database.entry.name,
            },
        );
        let mut databases: Vec<DatabaseRow> = there.collect();
        databases.push(DatabaseRow {
            name: INTERNAL_DATABASE.to_owned(),
            retention: Some(INTERNAL_RETENTION),
            deletion: None,
            auto_create: None,
            cold: None,
        });
        databases.sort_by(|one, other| one.name.cmp(&other.name));
        rows(&databases)
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&[])
    }
}
