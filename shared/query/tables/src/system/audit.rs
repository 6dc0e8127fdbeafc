//! `system.audit`: the recorded administrative changes, oldest first.
//!
//! A database shows the changes to its tables, caches and retention. `_internal`, which only administrators can read,
//! shows the changes to the cluster and to all databases, with the name of the database and the origin of each change.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::{AuditEntry, Catalog};
use neap_manifest::Snapshot;
use neap_scan::external;

use super::{
    catalogs::{DATABASE_NAME, databases},
    source::{NameFilter, SystemTableSource},
    table_builder::SystemTableBuilder,
};

/// The changes to one database.
#[derive(Debug)]
pub(super) struct DatabaseAuditSource(pub(super) Arc<Snapshot>);

/// All changes.
#[derive(Debug)]
pub(super) struct ClusterAuditSource(pub(super) Arc<Catalog>);

/// Returns the columns of the entries of rows.
fn with_entries<'a, R>(
    rows: &'a [R],
    entry: impl Fn(&'a R) -> &'a AuditEntry,
) -> SystemTableBuilder<'a, R> {
    SystemTableBuilder::new(rows)
        .store_times("time", |row| entry(row).time)
        .utf8_or_null("token_name", |row| entry(row).who.as_deref())
        .counts_or_null("token_id", |row| Some(entry(row).token_id?.get()))
        .utf8("action", |row| &entry(row).action)
        .utf8("target", |row| &entry(row).target)
        .utf8_or_null("detail", |row| entry(row).detail.as_deref())
}

fn database_rows(entries: &[&AuditEntry]) -> Result<RecordBatch> {
    with_entries(entries, |entry| *entry).finish()
}

#[async_trait]
impl SystemTableSource for DatabaseAuditSource {
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        let entries: Vec<&AuditEntry> = self.0.catalog.value.audit().collect();
        database_rows(&entries)
    }

    fn empty(&self) -> Result<RecordBatch> {
        database_rows(&[])
    }
}

/// A change and the name of its database; `None`: a change to the cluster.
type AuditChange = (Option<String>, AuditEntry);

fn cluster_rows(changes: &[AuditChange]) -> Result<RecordBatch> {
    with_entries(changes, |(_, entry)| entry)
        .utf8_or_null("address", |(_, entry)| entry.address.as_deref())
        .utf8_or_null("request_id", |(_, entry)| entry.request_id.as_deref())
        .views_or_null(DATABASE_NAME, |(database, _)| database.as_deref())
        .finish()
}

#[async_trait]
impl SystemTableSource for ClusterAuditSource {
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        let root = self.0.root(Duration::ZERO).await.map_err(external)?;
        let of_cluster = root.value.audit().map(|entry| (None, entry.clone()));
        let mut changes: Vec<AuditChange> = of_cluster.collect();
        for database in databases(&self.0, &root.value, &NameFilter::ANY).await? {
            let name = &database.entry.name;
            let of_database = database.catalog.audit();
            changes.extend(of_database.map(|entry| (Some(name.clone()), entry.clone())));
        }
        changes.sort_by_key(|(_, entry)| entry.time);
        cluster_rows(&changes)
    }

    fn empty(&self) -> Result<RecordBatch> {
        cluster_rows(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_changes_are_shown_only_in_the_internal_database() {
        let names = |batch: RecordBatch| {
            let schema = batch.schema();
            let names = schema.fields().iter().map(|field| field.name().clone());
            names.collect::<Vec<_>>().join(" ")
        };
        let of_one = database_rows(&[]).unwrap();
        assert_eq!(names(of_one), "time token_name token_id action target detail");
        assert_eq!(
            names(cluster_rows(&[]).unwrap()),
            "time token_name token_id action target detail address request_id database_name"
        );
    }
}
