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
    columns::{NamedColumn, counts_or_null, store_times, table, utf8, utf8_or_null, views_or_null},
    source::{NameFilter, SystemTableSource},
};

/// The changes to one database.
#[derive(Debug)]
pub(super) struct DatabaseAuditSource(pub(super) Arc<Snapshot>);

/// All changes.
#[derive(Debug)]
pub(super) struct ClusterAuditSource(pub(super) Arc<Catalog>);

fn columns<'a>(entries: impl Iterator<Item = &'a AuditEntry> + Clone) -> Vec<NamedColumn<'a>> {
    let texts = |text: fn(&AuditEntry) -> Option<&str>| utf8_or_null(entries.clone().map(text));
    vec![
        (
            "time",
            false,
            store_times(entries.clone().map(|entry| entry.time)),
        ),
        ("token_name", true, texts(|entry| entry.who.as_deref())),
        (
            "token_id",
            true,
            counts_or_null(entries.clone().map(|entry| Some(entry.token_id?.get()))),
        ),
        (
            "action",
            false,
            utf8(entries.clone().map(|entry| &entry.action)),
        ),
        (
            "target",
            false,
            utf8(entries.clone().map(|entry| &entry.target)),
        ),
        ("detail", true, texts(|entry| entry.detail.as_deref())),
    ]
}

#[async_trait]
impl SystemTableSource for DatabaseAuditSource {
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        let entries: Vec<&AuditEntry> = self.0.catalog.value.audit().collect();
        table(columns(entries.iter().copied()))
    }

    fn empty(&self) -> Result<RecordBatch> {
        table(columns(std::iter::empty()))
    }
}

/// A change and the name of its database; `None`: a change to the cluster.
type AuditChange = (Option<String>, AuditEntry);

fn cluster_rows(changes: &[AuditChange]) -> Result<RecordBatch> {
    let entries = changes.iter().map(|(_, entry)| entry);
    let addresses = entries.clone().map(|entry| entry.address.as_deref());
    let requests = entries.clone().map(|entry| entry.request_id.as_deref());
    let mut columns = columns(entries);
    columns.push(("address", true, utf8_or_null(addresses)));
    columns.push(("request_id", true, utf8_or_null(requests)));
    let databases = changes.iter().map(|(database, _)| database.as_deref());
    columns.push((DATABASE_NAME, true, views_or_null(databases)));
    table(columns)
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
        let of_one = table(columns(std::iter::empty())).unwrap();
        assert_eq!(
            names(of_one),
            "time token_name token_id action target detail"
        );
        assert_eq!(
            names(cluster_rows(&[]).unwrap()),
            "time token_name token_id action target detail address request_id database_name"
        );
    }
}
