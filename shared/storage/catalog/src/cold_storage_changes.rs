//! The setting of a database or a table that moves old rows to a cheaper storage class.
//!
//! Merges of the compact function read the setting. It decides on the class of sections that are written later; sections
//! that are cold already stay where they are.

use std::time::Duration;

use neap_schema::{DatabaseId, TableId};

use crate::{ANY_AGE, Catalog, CatalogError, ColdStorage, DatabaseCatalog};

/// Formats a setting for the audit log.
fn shown(cold: Option<ColdStorage>) -> String {
    match cold {
        None => "none".to_owned(),
        Some(cold) => format!("{} after {} s", cold.class(), cold.after().as_secs_f64()),
    }
}

impl Catalog {
    /// Sets the cold storage of a database, or of one of its tables, which overrides that of the database. `None`: of a
    /// table, the setting of the database applies; of a database, no rows become cold.
    ///
    /// # Errors
    /// `InvalidColdStorage`, `NotFound`, or an error of the commit.
    pub async fn set_cold_storage(
        &self,
        database: DatabaseId,
        table: Option<TableId>,
        cold: Option<ColdStorage>,
    ) -> Result<(), CatalogError> {
        let classes = self.bucket().storage_classes();
        // The new value must override earlier changes by other instances, so it is compared with a fresh catalog.
        let known = self.database(database, Duration::ZERO).await?;
        let root = self.root(ANY_AGE).await?;
        let name = root.value.databases().get(&database).map(|entry| entry.name.as_str());
        let change = |catalog: &mut DatabaseCatalog| {
            if let Some(cold) = cold {
                let retention = match table {
                    Some(table) => catalog.retention_of(table),
                    None => catalog.retention(),
                };
                cold.check(classes, retention)?;
            }
            let changed = catalog.set_cold_storage(table, cold)?;
            if changed {
                let of_table = table.and_then(|table| catalog.table_by_id(table));
                let target = of_table.map(|table| table.name().to_owned());
                let action = if table.is_some() {
                    "set table cold storage"
                } else {
                    "set cold storage"
                };
                let target_name = target.as_deref().or(name).unwrap_or_default();
                catalog.note(self.now()?, action, target_name, Some(shown(cold)));
            }
            Ok((changed, ()))
        };
        self.change(database, Some(known), change).await?;
        Ok(())
    }
}

impl DatabaseCatalog {
    /// Returns the cold storage of tables without their own; `None`: their rows do not become cold.
    pub fn cold_storage(&self) -> Option<ColdStorage> {
        self.cold
    }

    /// Returns the cold storage of a table: its own, otherwise that of the database. `None`: its rows do not become
    /// cold, or the table does not exist.
    pub fn cold_storage_of(&self, table: TableId) -> Option<ColdStorage> {
        self.tables.get(&table)?.cold.or(self.cold)
    }

    /// Returns whether this changes the catalog.
    fn set_cold_storage(
        &mut self,
        table: Option<TableId>,
        cold: Option<ColdStorage>,
    ) -> Result<bool, CatalogError> {
        let setting = match table {
            Some(table) => &mut self.live_table_mut(table)?.cold,
            None => &mut self.cold,
        };
        Ok(std::mem::replace(setting, cold) != cold)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use neap_bucket::{Bucket, MemoryStore, ProtocolMargins, StorageClass, World};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn catalog_on(classes: &'static [StorageClass]) -> Catalog {
        let world = World::system();
        let store = MemoryStore::new(Arc::clone(&world.clock)).with_storage_classes(classes);
        let bucket = Bucket::new(Arc::new(store), world);
        Catalog::new(bucket, ProtocolMargins::LOCAL, None)
    }

    async fn with_table(catalog: &Catalog) -> (DatabaseId, TableId) {
        let database = catalog.create_database("db", None).await.unwrap();
        let created = catalog.create_table(database, "cpu", &[], &[]).await.unwrap();
        let table = created.value.table("cpu").map(|table| table.id());
        (database, table.unwrap())
    }

    fn refusal(set: Result<(), CatalogError>) -> String {
        match set {
            Err(CatalogError::InvalidColdStorage { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_setting_of_a_table_overrides_that_of_its_database() {
        let catalog = catalog_on(StorageClass::S3);
        let (database, table) = with_table(&catalog).await;
        let of_table = async || {
            let read = catalog.database(database, Duration::ZERO).await.unwrap();
            read.value.cold_storage_of(table)
        };
        assert_eq!(of_table().await, None);
        let ia = ColdStorage::new(DAY * 30, StorageClass::StandardIa);
        catalog.set_cold_storage(database, None, Some(ia)).await.unwrap();
        assert_eq!(of_table().await, Some(ia));
        let glacier = ColdStorage::new(DAY * 90, StorageClass::GlacierIr);
        catalog.set_cold_storage(database, Some(table), Some(glacier)).await.unwrap();
        assert_eq!(of_table().await, Some(glacier));
        catalog.set_cold_storage(database, Some(table), None).await.unwrap();
        assert_eq!(of_table().await, Some(ia));
        let read = catalog.database(database, Duration::ZERO).await.unwrap().value;
        let audit = read.audit().map(|entry| {
            let detail = entry.detail.as_deref().unwrap_or("-");
            format!("{} '{}' ({detail})", entry.action, entry.target)
        });
        assert_eq!(
            audit.skip(1).collect::<Vec<_>>(),
            [
                "set cold storage 'db' (STANDARD_IA after 2592000 s)",
                "set table cold storage 'cpu' (GLACIER_IR after 7776000 s)",
                "set table cold storage 'cpu' (none)",
            ]
        );
    }

    #[tokio::test]
    async fn a_store_without_the_class_refuses_the_setting_and_says_what_it_has() {
        const NONE: &[StorageClass] = &[];
        let glacier = ColdStorage::new(DAY * 90, StorageClass::GlacierIr);
        for (classes, expected) in [
            (
                NONE,
                "the store of this cluster has no storage classes: cold data needs a general-purpose bucket of S3, Google \
                 Cloud Storage or Azure Blob Storage",
            ),
            (
                StorageClass::AZURE,
                "the store of this cluster has no storage class GLACIER_IR, but Cool, Cold",
            ),
        ] {
            let catalog = catalog_on(classes);
            let (database, _) = with_table(&catalog).await;
            let set = catalog.set_cold_storage(database, None, Some(glacier)).await;
            assert_eq!(refusal(set), expected);
            catalog.set_cold_storage(database, None, None).await.unwrap();
        }
    }

    #[tokio::test]
    async fn rows_that_expire_before_they_are_cold_are_refused() {
        let catalog = catalog_on(StorageClass::S3);
        let (database, table) = with_table(&catalog).await;
        catalog.set_retention(database, Some(DAY * 30)).await.unwrap();
        let ia = Some(ColdStorage::new(DAY * 30, StorageClass::StandardIa));
        for target in [None, Some(table)] {
            let set = catalog.set_cold_storage(database, target, ia).await;
            assert_eq!(refusal(set), "rows expire after 2592000 s, before they are cold");
        }
        catalog.set_table_retention(database, table, Some(DAY * 31)).await.unwrap();
        catalog.set_cold_storage(database, Some(table), ia).await.unwrap();
    }

    #[tokio::test]
    async fn the_setting_is_sparse_in_the_catalog_and_has_nanoseconds() {
        let catalog = catalog_on(StorageClass::GOOGLE);
        let (database, _) = with_table(&catalog).await;
        let read = catalog.database(database, Duration::ZERO).await.unwrap();
        let json = serde_json::to_value(&*read.value).unwrap();
        assert!(json.get("cold").is_none());
        let nearline = ColdStorage::new(DAY, StorageClass::Nearline);
        catalog.set_cold_storage(database, None, Some(nearline)).await.unwrap();
        let changed = catalog.database(database, Duration::ZERO).await.unwrap();
        let json = serde_json::to_value(&*changed.value).unwrap();
        let expected = serde_json::json!({"after_ns": 86_400_000_000_000_u64, "class": "NEARLINE"});
        assert_eq!(json["cold"], expected);
        let decoded: DatabaseCatalog = serde_json::from_value(json).unwrap();
        assert_eq!(decoded.cold_storage(), Some(nearline));
    }
}
