//! The setting of a database that limits which tables and columns writes create.
//!
//! The commit that adds them checks the setting against the catalog that it replaces. So nothing is created after the
//! setting is committed, however old the catalog is with which an instance has validated a write. A setting that allows
//! more takes effect in other instances when they read the catalog again, so its change is answered after that.

use neap_schema::{AutoCreate, CreationRefused, DatabaseId};

use crate::{Catalog, CatalogError, DatabaseCatalog, TableAddition};

/// The permission by which a request creates a table or a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablePermission {
    /// The permission to create tables and columns.
    Create,
    /// The permission to write, which suffices for what writes may create.
    Write,
}

impl Catalog {
    /// Sets what writes to a database may create. Returns after every instance uses the setting.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn set_auto_create(
        &self,
        database: DatabaseId,
        auto_create: AutoCreate,
    ) -> Result<(), CatalogError> {
        let set = |catalog: &mut DatabaseCatalog| {
            Ok(std::mem::replace(&mut catalog.auto_create, auto_create) != auto_create)
        };
        self.change_setting(database, "set auto-create", auto_create.as_str(), set)
            .await
    }
}

impl DatabaseCatalog {
    /// Returns what writes may create.
    pub fn auto_create(&self) -> AutoCreate {
        self.auto_create
    }

    /// Checks whether a write may create what is missing of these tables and columns.
    pub(crate) fn check_auto_create(
        &self,
        additions: &[TableAddition],
    ) -> Result<(), CreationRefused> {
        let auto_create = self.auto_create;
        for addition in additions {
            let refused =
                |column| CreationRefused { table: addition.table.clone(), column, auto_create };
            let Some(table) = self.table(&addition.table) else {
                if auto_create.allows_tables() {
                    continue;
                }
                return Err(refused(None));
            };
            let mut columns = addition.columns.iter();
            let missing = columns.find(|(name, _)| table.column(name).is_none());
            if let Some((name, _)) = missing
                && !auto_create.allows_columns()
            {
                return Err(refused(Some(name.clone())));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use neap_bucket::MAX_CATALOG_AGE;
    use neap_schema::ColumnType;

    use super::*;
    use crate::tests::CatalogFixture;

    fn addition(table: &str, column: &str) -> TableAddition {
        TableAddition {
            table: table.to_owned(),
            columns: vec![(column.to_owned(), ColumnType::Float)],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_with_an_old_catalog_creates_nothing_in_a_locked_database() {
        let stage = CatalogFixture::new();
        let (one, other) = (stage.instance(), stage.instance());
        let id = one.create_database("db", None).await.unwrap();
        let fields = [("v".to_owned(), ColumnType::Float)];
        one.create_table(id, "t", &[], &fields).await.unwrap();
        let known = other.database(id, Duration::ZERO).await.unwrap();
        for (setting, creates_table, creates_column) in [
            (AutoCreate::None, false, false),
            (AutoCreate::Columns, false, true),
            (AutoCreate::All, true, true),
        ] {
            one.set_auto_create(id, setting).await.unwrap();
            let table = other.add(id, known.clone(), &[addition("u", "v")]).await;
            assert_eq!(table.is_ok(), creates_table, "{setting}");
            let column = other.add(id, known.clone(), &[addition("t", "w")]).await;
            assert_eq!(column.is_ok(), creates_column, "{setting}");
            let existing = other.add(id, known.clone(), &[addition("t", "v")]).await;
            assert!(existing.is_ok(), "{setting}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_answered_after_other_instances_see_it() {
        let stage = CatalogFixture::new();
        let (one, other) = (stage.instance(), stage.instance());
        let id = one.create_database("db", None).await.unwrap();
        one.set_auto_create(id, AutoCreate::None).await.unwrap();
        other.database(id, MAX_CATALOG_AGE).await.unwrap();
        one.set_auto_create(id, AutoCreate::All).await.unwrap();
        let catalog = other.database(id, MAX_CATALOG_AGE).await.unwrap();
        assert_eq!(catalog.value.auto_create(), AutoCreate::All);
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_in_a_locked_database_requires_the_permission_to_create_it() {
        let (catalog, id) = CatalogFixture::with_database().await;
        catalog.set_auto_create(id, AutoCreate::Columns).await.unwrap();
        let create = async |permission| {
            let created = catalog.create_permitted_table(id, permission, "t", &[], &[], None);
            created.await.map(drop)
        };
        let refused = create(TablePermission::Write).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "table 't' does not exist, and writes to this database create no tables (auto-create: columns)"
        );
        create(TablePermission::Create).await.unwrap();
        let exists = create(TablePermission::Write).await;
        assert!(matches!(exists, Err(CatalogError::AlreadyExists { .. })));
    }

    #[test]
    fn the_setting_is_serialized_only_if_it_was_set() {
        let mut catalog = DatabaseCatalog::default();
        let json = serde_json::to_value(&catalog).unwrap();
        assert_eq!(json.get("auto_create"), None);
        catalog.auto_create = AutoCreate::None;
        let json = serde_json::to_value(&catalog).unwrap();
        assert_eq!(json["auto_create"], "none");
        let read: DatabaseCatalog = serde_json::from_value(json).unwrap();
        assert_eq!(read.auto_create(), AutoCreate::None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_only_write_adds_no_columns_to_a_locked_database() {
        let (catalog, id) = CatalogFixture::with_database().await;
        catalog
            .create_table(id, "t", &[], &[("v".to_owned(), ColumnType::Float)])
            .await
            .unwrap();
        catalog.set_auto_create(id, AutoCreate::None).await.unwrap();
        let add = |permission| catalog.add_column(id, permission, "t", "new", ColumnType::Float);
        let refused = add(TablePermission::Write).await.unwrap_err();
        assert!(matches!(refused, CatalogError::CreationRefused(_)), "{refused}");
        add(TablePermission::Create).await.unwrap();
    }
}
