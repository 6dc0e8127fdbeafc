//! `system.databases` of `_internal`: all databases including dropped ones, with the columns of InfluxDB 3, and settings of
//! Neap.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::{Catalog, ColdStorage, Deletion, INTERNAL_DATABASE, INTERNAL_RETENTION};
use neap_scan::external;
use neap_schema::{AutoCreate, OnDuplicate};

use super::{
    catalogs::{DATABASE_NAME, databases, is_gone},
    source::{NameFilter, SystemTableSource},
    table_builder::SystemTableBuilder,
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
    /// `None`: as `auto_create`.
    on_duplicate: Option<OnDuplicate>,
    cold: Option<ColdStorage>,
}

fn rows(databases: &[DatabaseRow]) -> Result<RecordBatch> {
    let nanos = |retention: Duration| u64::try_from(retention.as_nanos()).ok();
    SystemTableBuilder::new(databases)
        .views(DATABASE_NAME, |row| &row.name)
        .counts_or_null("retention_period_ns", |row| row.retention.and_then(nanos))
        .booleans("deleted", |row| row.deletion.is_some())
        .seconds_or_null("hard_deletion_time", |row| row.deletion?.hard_delete_at)
        .views_or_null("auto_create", |row| row.auto_create.map(AutoCreate::as_str))
        .views_or_null("on_duplicate", |row| row.on_duplicate.map(OnDuplicate::as_str))
        .counts_or_null("cold_after_ns", |row| nanos(row.cold?.after()))
        .views_or_null("cold_class", |row| row.cold.map(|cold| cold.class().as_str()))
        .finish()
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
                on_duplicate: Some(database.catalog.on_duplicate()),
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
            on_duplicate: None,
            cold: None,
        });
        databases.sort_by(|one, other| one.name.cmp(&other.name));
        rows(&databases)
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&[])
    }
}
