//! The root catalog: the databases of a cluster and the settings that its instances agree on.

use std::collections::BTreeMap;

use neap_bucket::{Format, Margins, RegisterValue, StoreTime};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::{
    CatalogError, Deletion, HardDelete, LimitReached, Limits, deletion::deleted_name,
    index::NameIndex, limits::beyond,
};

/// A database as the root catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseEntry {
    /// The name; of a dropped database, the name that it was given then.
    pub name: String,
    /// When it was created, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<StoreTime>,
    /// Set when it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
}

/// The register of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RootCatalog {
    cluster: String,
    margins: Margins,
    next_database: DatabaseId,
    #[serde(default)]
    databases: BTreeMap<DatabaseId, DatabaseEntry>,
    #[serde(skip)]
    live: NameIndex<DatabaseId>,
}

impl RegisterValue for RootCatalog {
    const FORMAT: Format = Format {
        magic: *b"NRCT",
        kind: "root catalog",
        version: 1,
    };
}

impl Default for RootCatalog {
    fn default() -> Self {
        Self::new(String::new(), Margins::NETWORK)
    }
}

impl RootCatalog {
    /// The root catalog of a new cluster.
    pub(crate) fn new(cluster: String, margins: Margins) -> Self {
        Self {
            cluster,
            margins,
            next_database: DatabaseId::new(1),
            databases: BTreeMap::new(),
            live: NameIndex::default(),
        }
    }

    /// The UUID of the cluster, drawn when its bucket was first used.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The margins of the storage protocol, fixed when the cluster was created.
    pub fn margins(&self) -> Margins {
        self.margins
    }

    /// All databases, the dropped ones too, by id.
    pub fn databases(&self) -> &BTreeMap<DatabaseId, DatabaseEntry> {
        &self.databases
    }

    /// The databases that are not dropped, by id.
    pub fn live_databases(&self) -> impl Iterator<Item = (DatabaseId, &DatabaseEntry)> {
        let databases = self.databases.iter().map(|(id, entry)| (*id, entry));
        databases.filter(|(_, entry)| entry.deletion.is_none())
    }

    /// The database of a name, unless it is dropped.
    pub fn database(&self, name: &str) -> Option<DatabaseId> {
        self.live.get(name, || {
            let live = self.live_databases();
            live.map(|(id, entry)| (entry.name.as_str(), id))
        })
    }

    /// The dropped database of a name such as `db-20250910T132505`; of several, the latest.
    pub fn deleted_database(&self, name: &str) -> Option<DatabaseId> {
        let mut databases = self.databases.iter().rev();
        let found = databases.find(|(_, entry)| entry.deletion.is_some() && entry.name == name);
        found.map(|(id, _)| *id)
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        created: Option<StoreTime>,
        limits: &Limits,
    ) -> Result<DatabaseId, CatalogError> {
        if let Some(limit) = beyond(self.live_databases().count() + 1, limits.databases) {
            return Err(LimitReached::Databases { limit }.into());
        }
        let id = self.next_database;
        let no_more = CatalogError::NoMoreIds { what: "database" };
        self.next_database = id.next().ok_or(no_more)?;
        let entry = DatabaseEntry {
            name: name.to_owned(),
            created,
            deletion: None,
        };
        self.databases.insert(id, entry);
        self.live.insert(name, id);
        Ok(id)
    }

    /// Drops a database, or sets another time for the data of one that is dropped.
    pub(crate) fn delete(
        &mut self,
        name: &str,
        now: StoreTime,
        hard_delete: HardDelete,
    ) -> Result<DatabaseId, CatalogError> {
        let not_found = || CatalogError::NotFound {
            name: name.to_owned(),
        };
        let id = self
            .database(name)
            .or_else(|| self.deleted_database(name))
            .ok_or_else(not_found)?;
        let entry = self.databases.get_mut(&id).ok_or_else(not_found)?;
        let (name, deletion) = delete(&entry.name, entry.deletion, now, hard_delete)?;
        entry.name = name;
        entry.deletion = Some(deletion);
        self.live.reset();
        Ok(id)
    }
}

/// The name and deletion of something that is dropped now, or was before and gets another time.
pub(crate) fn delete(
    name: &str,
    before: Option<Deletion>,
    now: StoreTime,
    hard_delete: HardDelete,
) -> Result<(String, Deletion), CatalogError> {
    let hard_delete_at = hard_delete.time(now);
    let name = name.to_owned();
    match before {
        None => {
            let deletion = Deletion {
                deleted_at: now,
                hard_delete_at,
            };
            Ok((deleted_name(&name, now), deletion))
        }
        Some(before) if before.hard_delete_at == hard_delete_at => {
            Err(CatalogError::AlreadyDeleted { name })
        }
        Some(before) => {
            let deletion = Deletion {
                hard_delete_at,
                ..before
            };
            Ok((name, deletion))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> RootCatalog {
        let mut catalog = RootCatalog::new("c0ffee".to_owned(), Margins::LOCAL);
        let created = Some(StoreTime::from_micros(1_000_000));
        let limits = Limits::default();
        catalog.add("one", created, &limits).unwrap();
        catalog.add("two/rp", created, &limits).unwrap();
        let now = StoreTime::from_micros(1_757_510_705_000_000);
        catalog.delete("one", now, HardDelete::DEFAULT).unwrap();
        catalog
    }

    #[test]
    fn format() {
        insta::assert_json_snapshot!(catalog(), @r#"
        {
          "cluster": "c0ffee",
          "margins": {
            "acknowledgement_limit_ms": 2000,
            "flush_lag_ms": 8000
          },
          "next_database": 3,
          "databases": {
            "1": {
              "name": "one-20250910T132505",
              "created": 1000000,
              "deletion": {
                "deleted_at": 1757510705000000,
                "hard_delete_at": 1757769905000000
              }
            },
            "2": {
              "name": "two/rp",
              "created": 1000000
            }
          }
        }
        "#);
    }

    #[test]
    fn json_of_the_first_release_is_read() {
        let old = r#"{"cluster":"x","margins":{"acknowledgement_limit_ms":5000,"flush_lag_ms":20000},"next_database":2,
            "databases":{"1":{"name":"db"}}}"#;
        let catalog: RootCatalog = serde_json::from_str(old).unwrap();
        assert_eq!(catalog.database("db"), Some(DatabaseId::new(1)));
        let again: RootCatalog =
            serde_json::from_str(&serde_json::to_string(&catalog).unwrap()).unwrap();
        assert_eq!(again.databases(), catalog.databases());
    }

    #[test]
    fn a_dropped_name_is_free_at_once_and_its_id_is_not_given_again() {
        let mut catalog = catalog();
        assert_eq!(catalog.database("one"), None);
        let id = catalog.add("one", None, &Limits::default()).unwrap();
        assert_eq!(id, DatabaseId::new(3));
        assert_eq!(catalog.database("one"), Some(id));
        assert_eq!(
            catalog.deleted_database("one-20250910T132505"),
            Some(DatabaseId::new(1))
        );
    }

    #[test]
    fn dropping_again_sets_another_time_but_not_the_same() {
        let mut catalog = catalog();
        let now = StoreTime::from_micros(1_757_510_800_000_000);
        let name = "one-20250910T132505";
        let id = catalog.delete(name, now, HardDelete::Never).unwrap();
        let entry = &catalog.databases()[&id];
        assert_eq!(entry.name, name);
        assert_eq!(entry.deletion.unwrap().hard_delete_at, None);
        let error = catalog.delete(name, now, HardDelete::Never).unwrap_err();
        assert_eq!(
            error.to_string(),
            "attempted to modify resource that was already deleted: one-20250910T132505"
        );
    }
}
