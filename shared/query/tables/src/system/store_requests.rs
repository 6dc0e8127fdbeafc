//! `system.store_requests` of `_internal`: the requests of this process to the store since its start, by database,
//! operation and class of object.
//!
//! Multiplied by the list price of the store, they are what the process costs. The query that reads the table sends at
//! most 1 GET, for the names of the databases.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_bucket::{OperationCount, OperationCounts};
use neap_catalog::{INTERNAL_DATABASE, INTERNAL_DATABASE_ID, RootCatalog};
use neap_scan::external;
use neap_schema::DatabaseId;

use super::{
    catalogs::DATABASE_NAME, source::SystemTableSource, system_sources::SystemSources,
    table_builder::SystemTableBuilder,
};

/// The rows of the table.
#[derive(Debug)]
pub(super) struct StoreRequestsSource(pub(super) Arc<SystemSources>);

/// The key of a row: database name, operation and class of the objects.
type RowKey = (Option<String>, &'static str, &'static str);

/// Names the databases. Counts of databases that have no name any more are added to those of no database.
fn named(
    counted: BTreeMap<Option<DatabaseId>, OperationCounts>,
    root: &RootCatalog,
) -> BTreeMap<RowKey, OperationCount> {
    let name = |database: DatabaseId| match database {
        INTERNAL_DATABASE_ID => Some(INTERNAL_DATABASE.to_owned()),
        other => root.databases().get(&other).map(|entry| entry.name.clone()),
    };
    let mut rows: BTreeMap<RowKey, OperationCount> = BTreeMap::new();
    for (database, counts) in counted {
        let database = database.and_then(name);
        for (operation, class, count) in counts.iter() {
            let key = (database.clone(), operation.as_str(), class.as_str());
            let row = rows.entry(key).or_default();
            row.requests = row.requests.saturating_add(count.requests);
            row.bytes = row.bytes.saturating_add(count.bytes);
        }
    }
    rows
}

fn rows(counted: &BTreeMap<RowKey, OperationCount>, since: i64) -> Result<RecordBatch> {
    let rows: Vec<(&RowKey, &OperationCount)> = counted.iter().collect();
    SystemTableBuilder::new(&rows)
        .utf8_or_null(DATABASE_NAME, |((database, ..), _)| database.as_deref())
        .utf8("operation", |((_, operation, _), _)| operation)
        .utf8("class", |((.., class), _)| class)
        .counts("requests", |(_, count)| count.requests)
        .counts("bytes", |(_, count)| count.bytes)
        .times("since", |_| since)
        .finish()
}

#[async_trait]
impl SystemTableSource for StoreRequestsSource {
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        let Some(requests) = self.0.store_requests.get() else {
            return self.empty();
        };
        let catalog = &self.0.catalog;
        let answer = catalog.root(catalog.max_age()).await;
        let root = answer.map_err(external)?.value;
        rows(&named(requests.by_database(), &root), requests.since)
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&BTreeMap::new(), 0)
    }
}
