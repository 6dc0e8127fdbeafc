//! A database catalog: the tables of a database, and how long it keeps data.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_bucket::{Format, RegisterValue, StoreTime};
use neap_schema::{ColumnType, TableId};
use serde::{Deserialize, Serialize};

use crate::{
    CatalogError, HardDelete, LimitReached, Limits, Table, index::NameIndex, limits::beyond, root,
};

/// Columns that a write needs in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableAddition {
    /// The table, created if it is missing.
    pub table: String,
    /// The columns without `time`, added in this order where they are missing.
    pub columns: Vec<(String, ColumnType)>,
}

/// The register of a database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DatabaseCatalog {
    next_table: TableId,
    #[serde(default)]
    tables: BTreeMap<TableId, Arc<Table>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention_ns: Option<u64>,
    #[serde(skip)]
    live: NameIndex<TableId>,
}

impl RegisterValue for DatabaseCatalog {
    const FORMAT: Format = Format {
        magic: *b"NDCT",
        kind: "database catalog",
        version: 1,
    };
}

impl Default for DatabaseCatalog {
    fn default() -> Self {
        Self {
            next_table: TableId::new(1),
            tables: BTreeMap::new(),
            retention_ns: None,
            live: NameIndex::default(),
        }
    }
}

impl DatabaseCatalog {
    /// How long rows are kept; `None`: for ever.
    pub fn retention(&self) -> Option<Duration> {
        self.retention_ns.map(Duration::from_nanos)
    }

    /// The table of an id, a dropped one too.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables.get(&id)
    }

    /// The table of a name, unless it is dropped.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        let id = self.live.get(name, || {
            self.tables().map(|table| (table.name(), table.id()))
        })?;
        self.tables.get(&id)
    }

    /// The tables that are not dropped, by id.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.all_tables().filter(|table| table.deletion().is_none())
    }

    /// All tables, the dropped ones too, by id.
    pub fn all_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// Adds what is missing; whether anything was. `elsewhere` is the number of tables in other databases.
    pub(crate) fn add(
        &mut self,
        additions: &[TableAddition],
        elsewhere: usize,
        limits: &Limits,
    ) -> Result<bool, CatalogError> {
        let mut changed = false;
        for addition in additions {
            let (id, created) = match self.table(&addition.table) {
                Some(table) => (table.id(), false),
                None => (self.add_table(&addition.table, elsewhere, limits)?, true),
            };
            changed |= created;
            let Some(table) = self.tables.get_mut(&id) else {
                continue;
            };
            for (name, column_type) in &addition.columns {
                let there = table.column(name);
                if there.is_none_or(|column| column.column_type != *column_type) {
                    changed |= Arc::make_mut(table).add_column(name, *column_type, limits)?;
                }
            }
        }
        Ok(changed)
    }

    /// Adds a table with nothing but `time`.
    pub(crate) fn add_table(
        &mut self,
        name: &str,
        elsewhere: usize,
        limits: &Limits,
    ) -> Result<TableId, CatalogError> {
        if name.is_empty() {
            return Err(CatalogError::EmptyName { what: "table" });
        }
        if limits.tables.is_some() {
            let count = self.tables().count() + elsewhere;
            if let Some(limit) = beyond(count + 1, limits.tables) {
                return Err(LimitReached::Tables { count, limit }.into());
            }
        }
        let id = self.next_table;
        let no_more = CatalogError::NoMoreIds { what: "table" };
        self.next_table = id.next().ok_or(no_more)?;
        self.tables.insert(id, Arc::new(Table::new(id, name)));
        self.live.insert(name, id);
        Ok(id)
    }

    /// Drops a table, or sets another time for the data of one that is dropped.
    pub(crate) fn delete_table(
        &mut self,
        name: &str,
        now: StoreTime,
        hard_delete: HardDelete,
    ) -> Result<TableId, CatalogError> {
        let not_found = || CatalogError::NotFound {
            name: name.to_owned(),
        };
        let dropped = || {
            let mut tables = self.tables.values().rev();
            tables.find(|table| table.deletion().is_some() && table.name() == name)
        };
        let table = self.table(name).or_else(dropped).ok_or_else(not_found)?;
        let (id, before) = (table.id(), table.deletion());
        let (name, deletion) = root::delete(name, before, now, hard_delete)?;
        if let Some(table) = self.tables.get_mut(&id) {
            Arc::make_mut(table).delete(name, deletion);
        }
        self.live.reset();
        Ok(id)
    }

    /// Sets how long rows are kept; whether that is a change.
    pub(crate) fn set_retention(&mut self, retention: Option<Duration>) -> bool {
        let nanos =
            retention.map(|retention| u64::try_from(retention.as_nanos()).unwrap_or(u64::MAX));
        std::mem::replace(&mut self.retention_ns, nanos) != nanos
    }

    /// About how many bytes of memory the catalog takes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.tables.values().map(|table| table.size_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addition(table: &str, columns: &[(&str, ColumnType)]) -> TableAddition {
        let columns = columns.iter();
        TableAddition {
            table: table.to_owned(),
            columns: columns
                .map(|(name, column_type)| ((*name).to_owned(), *column_type))
                .collect(),
        }
    }

    fn catalog() -> DatabaseCatalog {
        let mut catalog = DatabaseCatalog::default();
        let additions = [
            addition(
                "cpu",
                &[("host", ColumnType::Tag), ("usage", ColumnType::Float)],
            ),
            addition("old", &[]),
        ];
        assert!(catalog.add(&additions, 0, &Limits::default()).unwrap());
        let now = StoreTime::from_micros(1_757_510_705_000_000);
        catalog.delete_table("old", now, HardDelete::Never).unwrap();
        catalog.set_retention(Some(Duration::from_secs(60)));
        catalog
    }

    #[test]
    fn format() {
        insta::assert_json_snapshot!(catalog(), @r#"
        {
          "next_table": 3,
          "tables": {
            "1": {
              "id": 1,
              "name": "cpu",
              "columns": [
                {
                  "id": 0,
                  "name": "time",
                  "type": "time"
                },
                {
                  "id": 1,
                  "name": "host",
                  "type": "tag"
                },
                {
                  "id": 2,
                  "name": "usage",
                  "type": "float"
                }
              ],
              "next_column": 3
            },
            "2": {
              "id": 2,
              "name": "old-20250910T132505",
              "columns": [
                {
                  "id": 0,
                  "name": "time",
                  "type": "time"
                }
              ],
              "next_column": 1,
              "deletion": {
                "deleted_at": 1757510705000000
              }
            }
          },
          "retention_ns": 60000000000
        }
        "#);
    }

    #[test]
    fn json_of_the_first_release_is_read() {
        let old = r#"{"next_table":2,"tables":{"1":{"id":1,"name":"cpu","columns":[{"id":0,"name":"time","type":"time"},
            {"id":1,"name":"n","type":"uinteger"}],"next_column":2}}}"#;
        let catalog: DatabaseCatalog = serde_json::from_str(old).unwrap();
        let column = catalog.table("cpu").unwrap().column("n").unwrap();
        assert_eq!(column.column_type, ColumnType::UInteger);
        assert_eq!(catalog.retention(), None);
    }

    #[test]
    fn adding_what_is_there_changes_nothing() {
        let mut catalog = catalog();
        let known = [addition("cpu", &[("usage", ColumnType::Float)])];
        assert!(!catalog.add(&known, 0, &Limits::default()).unwrap());
    }

    #[test]
    fn ids_of_dropped_tables_are_not_given_again() {
        let mut catalog = catalog();
        assert!(catalog.table("old").is_none());
        catalog
            .add(&[addition("old", &[])], 0, &Limits::default())
            .unwrap();
        assert_eq!(catalog.table("old").unwrap().id(), TableId::new(3));
        let dropped = catalog.table_by_id(TableId::new(2)).unwrap();
        assert_eq!(dropped.name(), "old-20250910T132505");
    }

    #[test]
    fn limits_speak_in_the_words_of_influxdb() {
        let error = |limits: Limits, columns: &[(&str, ColumnType)], elsewhere| {
            let mut catalog = catalog();
            let added = catalog.add(&[addition("new", columns)], elsewhere, &limits);
            added.unwrap_err().to_string()
        };
        let limits = Limits {
            tables: Some(4),
            columns_per_table: Some(2),
            tags_per_table: Some(1),
            ..Limits::default()
        };
        assert_eq!(
            error(limits, &[], 3),
            "Update to schema would exceed number of tables limit: attempted to create table but already have 4 table(s) (limit: 4)"
        );
        let columns = ["a", "b", "c"].map(|name| (name, ColumnType::Float));
        assert_eq!(
            error(limits, &columns, 2),
            "Update to schema would exceed number of columns per table limit of 2 columns"
        );
        let tags = ["a", "b"].map(|name| (name, ColumnType::Tag));
        assert_eq!(
            error(limits, &tags, 0),
            "Update to schema would exceed number of tag columns per table limit of 1 columns"
        );
    }
}
