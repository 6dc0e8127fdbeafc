//! The setting of a database that decides which of several values of a field counts, and who may append rows therefore.
//!
//! Flushes, merges and queries merge the versions of a point at any time, and all of them must give the same result. So the
//! setting of a table never changes, and that of a database changes only before its first table is created.

use neap_schema::{DatabaseId, OnDuplicate};

use crate::{Catalog, CatalogError, DatabaseAction, DatabaseCatalog};

impl Catalog {
    /// Sets what rows do to earlier ones with the same tags and time. Returns after every instance uses the setting.
    ///
    /// # Errors
    /// `HasTables`, or an error of the commit.
    pub async fn set_on_duplicate(
        &self,
        database: DatabaseId,
        on_duplicate: OnDuplicate,
    ) -> Result<(), CatalogError> {
        let set = |catalog: &mut DatabaseCatalog| catalog.set_on_duplicate(on_duplicate);
        self.change_setting(database, "set on-duplicate", on_duplicate.as_str(), set)
            .await
    }

    /// Checks the permission to store rows in a database. To append suffices if earlier rows are kept: otherwise, appended rows
    /// would replace others.
    ///
    /// # Errors
    /// `Forbidden`, `AppendRefused`, or the catalog can't be read.
    pub async fn check_row_permission(
        &self,
        database: DatabaseId,
        may: impl Fn(DatabaseAction) -> bool + Send,
    ) -> Result<(), CatalogError> {
        if may(DatabaseAction::Write) {
            return Ok(());
        }
        if !may(DatabaseAction::Append) {
            return Err(CatalogError::Forbidden);
        }
        let catalog = self.database(database, self.max_age()).await?;
        match catalog.value.on_duplicate {
            OnDuplicate::Keep => Ok(()),
            OnDuplicate::Replace => Err(CatalogError::AppendRefused),
        }
    }
}

impl DatabaseCatalog {
    /// Returns what rows do to earlier ones with the same tags and time.
    pub fn on_duplicate(&self) -> OnDuplicate {
        self.on_duplicate
    }

    /// Sets what rows do to earlier ones. Returns whether this changes the catalog.
    fn set_on_duplicate(&mut self, on_duplicate: OnDuplicate) -> Result<bool, CatalogError> {
        if self.on_duplicate == on_duplicate {
            return Ok(false);
        }
        if !self.tables.is_empty() || !self.views.is_empty() || !self.foreign_views.is_empty() {
            return Err(CatalogError::HasTables);
        }
        self.on_duplicate = on_duplicate;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use neap_bucket::WriteOrder;
    use neap_schema::ColumnType;

    use super::*;
    use crate::{NewDistinctCache, TableAddition, tests::CatalogFixture};

    const FIELD: &str = "v";

    #[tokio::test(start_paused = true)]
    async fn tables_have_the_setting_of_their_database_whoever_creates_them() {
        let stage = CatalogFixture::new();
        let (one, other) = (stage.instance(), stage.instance());
        let id = one.create_database("db", None).await.unwrap();
        let known = other.database(id, Duration::ZERO).await.unwrap();
        one.set_on_duplicate(id, OnDuplicate::Keep).await.unwrap();
        // The other instance has validated a write against the catalog from before.
        let addition = TableAddition {
            table: "t".to_owned(),
            columns: vec![(FIELD.to_owned(), ColumnType::Float)],
        };
        let added = other.add(id, known, &[addition]).await.unwrap().value;
        let table = added.table("t").unwrap();
        assert_eq!(table.on_duplicate(), OnDuplicate::Keep);
        assert_eq!(table.stored().on_duplicate(), OnDuplicate::Keep);
        assert_eq!(table.without_caches().on_duplicate(), OnDuplicate::Keep);
        assert_eq!(added.write_order(), WriteOrder::Strict);
        let text = serde_json::to_string(&*added).unwrap();
        let read: DatabaseCatalog = serde_json::from_str(&text).unwrap();
        assert_eq!(read.on_duplicate(), OnDuplicate::Keep);
        assert_eq!(read.table("t").unwrap().on_duplicate(), OnDuplicate::Keep);
    }

    #[tokio::test(start_paused = true)]
    async fn the_setting_is_fixed_by_the_first_table_even_if_that_is_dropped() {
        let (_stage, catalog) = CatalogFixture::with_instance();
        let id = catalog.create_database("db", None).await.unwrap();
        for setting in [OnDuplicate::Keep, OnDuplicate::Replace] {
            catalog.set_on_duplicate(id, setting).await.unwrap();
        }
        let fields = [(FIELD.to_owned(), ColumnType::Float)];
        catalog.create_table(id, "t", &[], &fields).await.unwrap();
        catalog.delete_table(id, "t", crate::HardDelete::Never).await.unwrap();
        let refused = catalog.set_on_duplicate(id, OnDuplicate::Keep).await;
        assert!(matches!(refused, Err(CatalogError::HasTables)));
        catalog.set_on_duplicate(id, OnDuplicate::Replace).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_only_appends_stores_rows_where_earlier_ones_are_kept() {
        let (_stage, catalog) = CatalogFixture::with_instance();
        let replaced = catalog.create_database("replaced", None).await.unwrap();
        let kept = catalog.create_database("kept", None).await.unwrap();
        catalog.set_on_duplicate(kept, OnDuplicate::Keep).await.unwrap();
        let check = async |database: DatabaseId, action: DatabaseAction| {
            catalog.check_row_permission(database, |asked| asked == action).await
        };
        assert!(check(replaced, DatabaseAction::Write).await.is_ok());
        assert!(check(kept, DatabaseAction::Write).await.is_ok());
        assert!(check(kept, DatabaseAction::Append).await.is_ok());
        let refused = check(replaced, DatabaseAction::Append).await;
        assert!(matches!(refused, Err(CatalogError::AppendRefused)));
        let forbidden = check(kept, DatabaseAction::Delete).await;
        assert!(matches!(forbidden, Err(CatalogError::Forbidden)));
    }

    #[tokio::test(start_paused = true)]
    async fn tables_that_keep_earlier_rows_have_no_caches() {
        let (_stage, catalog) = CatalogFixture::with_instance();
        let id = catalog.create_database("db", None).await.unwrap();
        catalog.set_on_duplicate(id, OnDuplicate::Keep).await.unwrap();
        catalog.create_table(id, "t", &["room".to_owned()], &[]).await.unwrap();
        let new = NewDistinctCache {
            table: "t".to_owned(),
            name: None,
            columns: vec!["room".to_owned()],
            max_cardinality: 10,
            max_age_s: 60,
        };
        let refused = catalog.create_distinct_cache(id, &new).await;
        assert!(matches!(refused, Err(CatalogError::InvalidCache { .. })));
    }
}
