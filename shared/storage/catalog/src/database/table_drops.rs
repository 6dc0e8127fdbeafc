//! Drops of tables, undeletions, and removals of dropped tables.

use std::sync::Arc;

use neap_bucket::StoreTime;
use neap_schema::{TableId, validate_table_name};

use super::DatabaseCatalog;
use crate::{
    CatalogError, CatalogLimits, HardDelete, PurgeState, Table,
    deletion::{DroppedEntry, delete, find_dropped, note_purge},
};

impl DatabaseCatalog {
    /// Returns the dropped tables whose removal should start or continue at this time of the store, by id.
    /// See [`Catalog::begin_table_purge`](crate::Catalog::begin_table_purge).
    pub fn due_tables(&self, now: StoreTime) -> impl Iterator<Item = TableId> {
        let due = self.all_tables().filter(move |table| {
            let deletion = table.deletion();
            deletion.is_some_and(|deletion| deletion.is_due(now))
        });
        due.map(|table| table.id())
    }

    /// Drops a table, or changes the deletion time of a dropped one.
    pub(crate) fn delete_table(
        &mut self,
        name: &str,
        now: StoreTime,
        hard_delete: HardDelete,
    ) -> Result<TableId, CatalogError> {
        let not_found = || CatalogError::NotFound { name: name.to_owned() };
        let dropped = || {
            let mut tables = self.tables.values().rev();
            tables.find(|table| table.deletion().is_some() && table.name() == name)
        };
        let table = self.table(name).or_else(dropped).ok_or_else(not_found)?;
        let (id, before) = (table.id(), table.deletion());
        if table.name() != name {
            return Err(self.name_conflict(id, name));
        }
        let (name, deletion) = delete(name, before, now, hard_delete)?;
        if let Some(table) = self.tables.get_mut(&id) {
            Arc::make_mut(table).delete(name, deletion);
        }
        self.live.reset();
        Ok(id)
    }

    /// Undeletes a table, under another name if one is given. Returns its id and name.
    pub(crate) fn undelete_table(
        &mut self,
        dropped: &str,
        name: Option<&str>,
        now: StoreTime,
        elsewhere: usize,
        limits: &CatalogLimits,
    ) -> Result<(TableId, String), CatalogError> {
        let all = self.all_tables().filter_map(|table| {
            Some(DroppedEntry {
                id: table.id(),
                name: table.name(),
                original_name: table.original_name(),
                deletion: table.deletion()?,
            })
        });
        let id = find_dropped(all, dropped, now)?;
        let original = self.tables.get(&id).map(|table| table.original_name());
        name.map_or(Ok(()), validate_table_name)?;
        let name = name.or(original).unwrap_or_default().to_owned();
        if let Some(holder) = self.table(&name).map(|table| table.id()) {
            return Err(self.name_conflict(holder, &name));
        }
        self.check_limit(1, elsewhere, limits)?;
        self.restore_table(id, name.clone());
        Ok((id, name))
    }

    /// Undeletes a table without any checks.
    pub(crate) fn restore_table(&mut self, id: TableId, name: String) {
        // Aliases that others have got since the drop are none any more.
        let of_table = self.tables.get(&id).map(|table| table.aliases().to_vec());
        let mut aliases = of_table.unwrap_or_default();
        aliases.retain(|alias| *alias != name && self.table(alias).is_none());
        if let Some(table) = self.table_names_mut(id) {
            table.undelete(name, aliases);
        }
    }

    /// Records the progress of the removal of dropped tables. Returns whether this changes the catalog.
    /// Fails with `NotFound`: a table does not exist, is not dropped, or is not due for removal yet.
    pub(crate) fn note_purge(
        &mut self,
        tables: &[TableId],
        purge: PurgeState,
        now: StoreTime,
    ) -> Result<bool, CatalogError> {
        let mut changed = false;
        for id in tables {
            let table = self.tables.get_mut(id).map(Arc::make_mut);
            let deletion = table.and_then(Table::deletion_mut);
            let noted = note_purge(deletion, purge, now);
            changed |= noted
                .ok_or_else(|| CatalogError::NotFound { name: format!("deleted table {id}") })?;
        }
        Ok(changed)
    }

    /// Removes the entries of the obsolete ones among these tables. Returns whether this changes the catalog. Their ids
    /// are not reused.
    pub(crate) fn remove_obsolete(&mut self, tables: &[TableId], now: StoreTime) -> bool {
        let before = self.tables.len();
        self.tables.retain(|id, table| {
            let deletion = table.deletion();
            !tables.contains(id) || !deletion.is_some_and(|it| it.is_obsolete(now))
        });
        self.live.reset();
        self.tables.len() < before
    }
}
