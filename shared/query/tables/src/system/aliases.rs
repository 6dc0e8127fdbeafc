//! `system.aliases`: the former names that still stand for databases, tables and columns. A database shows its own, `_internal` shows
//! all.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::Catalog;
use neap_scan::external;
use neap_schema::DatabaseId;

use super::{
    catalogs::{DATABASE_NAME, DatabaseWithCatalog, databases},
    source::{NameFilter, SystemTableSource},
    table_builder::SystemTableBuilder,
};

/// The aliases of a database and its tables; `None`: of all databases.
#[derive(Debug)]
pub(super) struct AliasesSource {
    pub(super) catalog: Arc<Catalog>,
    pub(super) database: Option<DatabaseId>,
}

struct AliasRow<'a> {
    database: &'a str,
    /// `None`: the alias stands for the database.
    table: Option<&'a str>,
    /// `None`: the alias stands for the table or the database.
    column: Option<&'a str>,
    alias: &'a str,
}

impl<'a> AliasRow<'a> {
    /// Returns the aliases of a database, and of its tables with their columns.
    fn of_database(database: &'a DatabaseWithCatalog) -> impl Iterator<Item = Self> {
        let row = |table: Option<&'a str>, column: Option<&'a str>, alias: &'a String| Self {
            database: &database.entry.name,
            table,
            column,
            alias,
        };
        let own = database.entry.aliases.iter().map(move |alias| row(None, None, alias));
        let of_tables = database.catalog.tables().flat_map(move |table| {
            let name = Some(table.name());
            let of_columns = table.columns().iter().flat_map(move |column| {
                let aliases = column.aliases().iter();
                aliases.map(move |alias| row(name, Some(column.name.as_str()), alias))
            });
            let of_table = table.aliases().iter().map(move |alias| row(name, None, alias));
            of_table.chain(of_columns)
        });
        own.chain(of_tables)
    }
}

fn rows(aliases: &[AliasRow<'_>]) -> Result<RecordBatch> {
    SystemTableBuilder::new(aliases)
        .views(DATABASE_NAME, |row| row.database)
        .views_or_null("table_name", |row| row.table)
        .views_or_null("column_name", |row| row.column)
        .views("alias", |row| row.alias)
        .finish()
}

#[async_trait]
impl SystemTableSource for AliasesSource {
    /// Costs 1 GET of the root catalog, and 1 GET of the catalog of each database that passes the filters.
    async fn rows(&self, filters: &[Expr]) -> Result<RecordBatch> {
        let root = self.catalog.root(Duration::ZERO).await.map_err(external)?;
        let mut live_databases = match self.database {
            None => {
                let wanted = NameFilter::new(DATABASE_NAME, filters);
                databases(&self.catalog, &root.value, &wanted).await?
            }
            Some(id) => {
                let catalog = self.catalog.database(id, Duration::ZERO).await.map_err(external)?;
                let entry = root.value.databases().get(&id).cloned();
                let with_catalog =
                    entry.map(|entry| DatabaseWithCatalog { entry, catalog: catalog.value });
                with_catalog.into_iter().collect()
            }
        };
        live_databases.retain(|database| database.entry.deletion.is_none());
        let mut aliases: Vec<AliasRow<'_>> =
            live_databases.iter().flat_map(AliasRow::of_database).collect();
        aliases.sort_by_key(|row| (row.database, row.table, row.column, row.alias));
        rows(&aliases)
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&[])
    }
}
