//! Copies the catalog of a database into a new database, for a restore.
//!
//! ```text
//!   restore                                     store
//!     |-- root catalog: a hidden database --------> |   crash after: it is removed like a dropped database
//!     |-- its catalog: that of the source --------> |   the same
//!     |-- pin, manifest (by other modules) -------> |   the same
//!     |-- root catalog: undelete it --------------> |   it has its name and all of its data
//! ```
//!
//! The copy accepts no writes and no queries until it is complete.

use std::{sync::Arc, time::Duration};

use neap_bucket::{RegisterChange, StoreTime, VersionedValue};
use neap_schema::{DatabaseId, TableId};

use crate::{
    Catalog, CatalogError, DatabaseCatalog, HardDelete, PurgeState, RecordedRegisters, Table,
    audit::AuditLog, catalog::commit_result, validate_database_name,
};

/// Maximum time from the creation of a copy to its publication.
pub(crate) const MAX_COPY_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Options of a database copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// The copy has the state of the source as of this time, including tables that were dropped later.
    pub as_of: Option<StoreTime>,
    /// The copy has the retention of the source. Otherwise it keeps rows forever, because the restored rows may be
    /// older than the retention.
    pub keep_retention: bool,
    /// The copy has the views whose rows go to other databases. Otherwise it lacks them, because those databases get the
    /// rows of the source's views.
    pub keep_views_into_other_databases: bool,
}

/// An unpublished copy of a database.
#[derive(Clone, Debug)]
pub struct DatabaseCopy {
    /// The id.
    pub id: DatabaseId,
    /// The name of the copy until it is published.
    pub hidden_name: String,
    /// The catalog of the copy.
    pub catalog: VersionedValue<DatabaseCatalog>,
}

impl Catalog {
    /// Creates a database with the tables of `source`, which may be dropped. The copy is hidden until
    /// [`publish_copy`](Self::publish_copy), and is removed if that does not happen.
    ///
    /// # Errors
    /// `InvalidName`, `NotFound` when there is no such source, `AlreadyExists`, `NameIsAlias`, `Limit`,
    /// or an error of the commit.
    pub async fn create_copy(
        &self,
        source: DatabaseId,
        name: &str,
        options: CopyOptions,
    ) -> Result<DatabaseCopy, CatalogError> {
        validate_database_name(name)?;
        let known = self.database(source, Duration::ZERO).await?;
        let copy = known.value.copied(options, self.now()?)?;
        let (id, hidden_name) = self
            .change_root(|root| {
                let entry = root
                    .databases()
                    .get(&source)
                    .ok_or_else(|| CatalogError::NotFound { name: format!("database {source}") })?;
                if entry.deletion.is_some_and(|it| it.purge != PurgeState::Waiting) {
                    let name = entry.name.clone();
                    return Err(CatalogError::Purged { name });
                }
                if let Some(conflict) = root.name_conflict(name) {
                    return Err(conflict);
                }
                let now = self.now()?;
                let id = root.add_hidden(name, now, MAX_COPY_TIME, &self.limits)?;
                if copy.triggers().next().is_some() {
                    root.set_has_triggers(id)?;
                }
                let detail = format!("from database {source}, hidden until it is whole");
                root.note(now, "restore database", name, Some(detail));
                let hidden = root.databases().get(&id).map(|entry| entry.name.clone());
                Ok((true, (id, hidden.unwrap_or_default())))
            })
            .await?;
        let change = |_: &VersionedValue<DatabaseCatalog>| {
            Ok::<_, CatalogError>(RegisterChange::Put(copy.clone(), ()))
        };
        let (catalog, ()) = commit_result(self.register(id).commit(None, change).await?)?;
        Ok(DatabaseCopy { id, hidden_name, catalog })
    }

    /// Publishes a complete copy under the name that it was created for.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken in the meantime: the copy can still be undeleted under another name.
    /// `Purged` after a day, `NotFound`, `Limit`, or an error of the commit.
    pub async fn publish_copy(&self, copy: DatabaseId) -> Result<String, CatalogError> {
        let name = self
            .change_root(|root| {
                let now = self.now()?;
                let name = root.undelete(copy, None, now, &self.limits)?;
                root.note(now, "publish restored database", &name, None);
                Ok((true, name))
            })
            .await?;
        self.settle().await;
        Ok(name)
    }
}

impl DatabaseCatalog {
    /// Returns the catalog of a copy.
    pub(crate) fn copied(
        &self,
        options: CopyOptions,
        now: StoreTime,
    ) -> Result<Self, CatalogError> {
        let mut copy = self.clone();
        copy.audit = AuditLog::default();
        copy.registers = RecordedRegisters::default();
        copy.foreign_views.clear();
        // Plugins would run twice, and request paths would be ambiguous.
        copy.disable_all_triggers();
        if !options.keep_views_into_other_databases {
            copy.remove_views_into_other_databases();
            copy.remove_rules();
        }
        if !options.keep_retention {
            copy.set_retention(None);
        }
        for table in copy.tables.values_mut().map(Arc::make_mut) {
            if !options.keep_retention {
                table.set_retention(None);
            }
            // The copy has the data from before the removal.
            if let Some(deletion) = table.deletion_mut() {
                deletion.purge = PurgeState::Waiting;
                deletion.purged_at = None;
            }
        }
        let Some(time) = options.as_of else {
            return Ok(copy);
        };
        let dropped_later =
            |table: &&Arc<Table>| table.deletion().is_some_and(|it| it.deleted_at > time);
        for table in self.all_tables().filter(dropped_later) {
            copy.restore_as_of(table.id(), table.original_name(), now)?;
        }
        Ok(copy)
    }

    /// Undeletes a table that had `name` at the time of the copy. Called in order of age for tables of the same name.
    fn restore_as_of(
        &mut self,
        id: TableId,
        name: &str,
        now: StoreTime,
    ) -> Result<(), CatalogError> {
        self.free_alias(name);
        let holder = self.table(name).map(|table| table.id());
        if holder.is_some_and(|holder| holder > id) {
            // The holder was created after the drop, so it did not exist at that time.
            self.delete_table(name, now, HardDelete::DEFAULT)?;
        }
        let mut name = name.to_owned();
        if holder.is_some_and(|holder| holder < id) {
            let own = self.table_by_id(id).map(|table| table.name().to_owned());
            name = own.unwrap_or(name);
        }
        if self.table(&name).is_none() {
            self.restore_table(id, name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CatalogLimits, TableAddition};

    fn at(seconds: i64) -> StoreTime {
        StoreTime::from_micros((1_757_510_000 + seconds) * 1_000_000)
    }

    fn add(catalog: &mut DatabaseCatalog, name: &str) {
        let addition = TableAddition { table: name.to_owned(), columns: Vec::new() };
        catalog.add(&[addition], 0, &CatalogLimits::default()).unwrap();
    }

    fn live(catalog: &DatabaseCatalog) -> Vec<(TableId, String)> {
        let tables = catalog.tables();
        tables.map(|table| (table.id(), table.name().to_owned())).collect()
    }

    #[test]
    fn a_copy_as_of_a_time_has_the_tables_dropped_since_then() {
        let mut catalog = DatabaseCatalog::default();
        for name in ["kept", "early", "late", "replaced"] {
            add(&mut catalog, name);
        }
        let mut drop = |name: &str, time| {
            catalog.delete_table(name, time, HardDelete::NOW).unwrap();
        };
        drop("early", at(1));
        drop("late", at(20));
        drop("replaced", at(20));
        let id = TableId::new(4);
        catalog.note_purge(&[id], PurgeState::Begun, at(100)).unwrap();
        add(&mut catalog, "replaced");
        add(&mut catalog, "new");
        let options = CopyOptions { as_of: Some(at(10)), ..CopyOptions::default() };
        let copy = catalog.copied(options, at(200)).unwrap();
        let named = |id, name: &str| (TableId::new(id), name.to_owned());
        assert_eq!(
            live(&copy),
            [named(1, "kept"), named(3, "late"), named(4, "replaced"), named(6, "new")]
        );
        let hidden = copy.table_by_id(TableId::new(5)).unwrap();
        assert_eq!(hidden.original_name(), "replaced");
        let early = copy.table_by_id(TableId::new(2)).unwrap();
        assert_eq!(early.deletion().unwrap().deleted_at, at(1));

        let options = CopyOptions { keep_retention: true, ..CopyOptions::default() };
        let now = catalog.copied(options, at(200)).unwrap();
        assert_eq!(live(&now), live(&catalog));
        let purge = now.table_by_id(id).unwrap().deletion().unwrap().purge;
        assert_eq!(purge, PurgeState::Waiting);
    }

    #[test]
    fn of_two_dropped_tables_of_a_name_the_first_gets_it_back() {
        let mut catalog = DatabaseCatalog::default();
        for time in [20, 30] {
            add(&mut catalog, "t");
            catalog.delete_table("t", at(time), HardDelete::NOW).unwrap();
        }
        let options = CopyOptions { as_of: Some(at(10)), ..CopyOptions::default() };
        let copy = catalog.copied(options, at(40)).unwrap();
        assert_eq!(copy.table("t").unwrap().id(), TableId::new(1));
        let other = copy.table_by_id(TableId::new(2)).unwrap();
        assert_eq!(other.deletion(), None);
        assert_eq!(other.name(), "t-20250910T131350");
    }

    #[test]
    fn a_copy_has_no_retention_by_default() {
        let mut catalog = DatabaseCatalog::default();
        add(&mut catalog, "t");
        let (id, day) = (TableId::new(1), Duration::from_secs(86_400));
        catalog.set_retention(Some(day));
        catalog.set_table_retention(id, Some(day / 2)).unwrap();
        for (keep_retention, expected) in [(false, None), (true, Some(day / 2))] {
            let options = CopyOptions { keep_retention, ..CopyOptions::default() };
            let copy = catalog.copied(options, at(0)).unwrap();
            assert_eq!(copy.retention_of(id), expected);
            assert_eq!(copy.retention().is_some(), keep_retention);
        }
        let cutoffs = catalog.cutoffs(at(0));
        assert_eq!(cutoffs, [(id, at(0).nanos_before(day / 2))]);
    }
}
