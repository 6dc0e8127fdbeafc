//! Publishes tables as Iceberg tables: metadata objects with which other tools read the sections in place.
//!
//! ```text
//!   publisher                                        store
//!     |-- GET manifest, catalog, pages ------------->  |   selects the settled sections of each table
//!     |-- GET the version hint of each table ------->  |   nothing new: done
//!     |-- LIST the data objects -------------------->  |   leaves out objects without their full length
//!     |-- commit to the manifest: publications ----->  |   from now on, their objects are kept
//!     |-- PUT the list of data files --------------->  |   crash here: the hint is older than the publication,
//!     |-- PUT the list of that list, the metadata -->  |   so that the next run publishes again
//!     |-- PUT the version hint, if it is older ----->  |   from now on, readers find the new state
//! ```
//!
//! The number of a publication is that of the version of the manifest that recorded it, so no two publishers put the
//! same objects. The collector deletes the objects of publications that have ended.

mod avro;
mod ended_publications;
mod manifest_files;
mod metadata;
mod publisher;
mod settled_sections;
mod table_schema;
mod version_hint;

use std::collections::BTreeSet;

use neap_bucket::StoreUrl;
use neap_catalog::{ANY_AGE, Catalog, DatabaseCatalog};
use neap_schema::{DatabaseId, TableId};

pub(crate) use self::{ended_publications::EndedPublications, publisher::IcebergPublisher};
use crate::CompactError;

/// The type of the column `time` in published tables. Files have times in nanoseconds, for which version 2 of the
/// Iceberg format has no type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublishedTimeType {
    /// A timestamp in microseconds. DuckDB, Trino, Athena and PyIceberg convert the nanoseconds of the files. Spark takes
    /// them for microseconds.
    #[default]
    Timestamp,
    /// A number of nanoseconds since the Unix epoch, for Spark.
    Long,
}

/// The tables that are published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedTables {
    /// Names of databases, and of tables as `database/table`. Empty for all tables of all databases.
    pub names: Vec<String>,
}

impl PublishedTables {
    /// Returns whether a table is published.
    fn has(&self, database: &str, table: &str) -> bool {
        let mut names = self.names.iter();
        self.names.is_empty() || names.any(|name| selects(name, database, table))
    }

    /// Returns the names that select none of these tables, which are pairs of a database and a table.
    pub fn without_table(&self, tables: &[(&str, &str)]) -> Vec<&str> {
        let is_selected = |name: &str| {
            let mut tables = tables.iter();
            tables.any(|(database, table)| selects(name, database, table))
        };
        let names = self.names.iter().map(String::as_str);
        names.filter(|name| !is_selected(name)).collect()
    }
}

/// Returns whether a name selects a table.
fn selects(name: &str, database: &str, table: &str) -> bool {
    match name.strip_prefix(database) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('/') == Some(table),
        None => false,
    }
}

/// Settings of publications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishSettings {
    /// The URL of the bucket, as readers name it.
    pub url: StoreUrl,
    /// The tables that are published.
    pub tables: PublishedTables,
    /// The type of the column `time`.
    pub time: PublishedTimeType,
}

impl PublishSettings {
    /// Returns the published tables of a database.
    /// Fails if the root catalog can't be read.
    pub(crate) async fn tables_of(
        &self,
        catalogs: &Catalog,
        database: DatabaseId,
        catalog: &DatabaseCatalog,
    ) -> Result<BTreeSet<TableId>, CompactError> {
        let root = catalogs.root(ANY_AGE).await?;
        let Some(entry) = root.value.databases().get(&database) else {
            return Ok(BTreeSet::new());
        };
        let tables = catalog.tables();
        let published = tables.filter(|table| {
            let mut names = entry.names();
            names.any(|database| table.names().any(|table| self.tables.has(database, table)))
        });
        Ok(published.map(|table| table.id()).collect())
    }
}

/// A table that is published, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedTable {
    /// The database.
    pub database: DatabaseId,
    /// The name of the table.
    pub table: String,
    /// The URL of the Iceberg table.
    pub location: String,
    /// The number of the publication.
    pub number: u64,
    /// Whether this run has published a new state.
    pub is_new: bool,
    /// The number of published sections.
    pub sections: usize,
    /// The number of their rows.
    pub rows: u64,
    /// The number of sections that are not published, because they are not settled.
    pub unsettled_sections: usize,
    /// The number of their rows.
    pub unsettled_rows: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_select_databases_and_tables() {
        let has = |names: &[&str], database, table| {
            let names = names.iter().map(ToString::to_string).collect();
            PublishedTables { names }.has(database, table)
        };
        assert!(has(&[], "garden", "soil"));
        assert!(has(&["garden"], "garden", "soil"));
        assert!(!has(&["garden"], "garden2", "soil"));
        assert!(has(&["home", "garden/soil"], "garden", "soil"));
        assert!(!has(&["garden/soil"], "garden", "air"));
        assert!(has(&["db/rp/a table/x"], "db/rp", "a table/x"));
        let names = ["garden", "gardn", "home/soil", "home/air"].map(str::to_owned);
        let names = PublishedTables { names: names.into() };
        let tables = [("garden", "soil"), ("home", "air")];
        assert_eq!(names.without_table(&tables), ["gardn", "home/soil"]);
    }
}
