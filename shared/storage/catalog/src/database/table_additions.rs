//! Additions of tables and columns to a database.

use std::sync::Arc;

use neap_schema::{ColumnType, TableId, validate_table_name};

use super::DatabaseCatalog;
use crate::{CatalogError, CatalogLimits, LimitError, Table, limits::exceeded_limit};

/// The columns that a write needs in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableAddition {
    /// The table, created if it is missing.
    pub table: String,
    /// The columns without `time`. Missing ones are added in this order.
    pub columns: Vec<(String, ColumnType)>,
}

impl DatabaseCatalog {
    /// Adds missing tables and columns. Returns whether any was missing. `elsewhere` is the number of tables in other
    /// databases.
    pub(crate) fn add(
        &mut self,
        additions: &[TableAddition],
        elsewhere: usize,
        limits: &CatalogLimits,
    ) -> Result<bool, CatalogError> {
        let new_tables = additions
            .iter()
            .filter(|addition| self.table(&addition.table).is_none())
            .count();
        self.check_limit(new_tables, elsewhere, limits)?;
        let mut changed = false;
        for addition in additions {
            let (id, created) = match self.table(&addition.table) {
                Some(table) => (table.id(), false),
                None => (self.add_table(&addition.table)?, true),
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

    /// Adds a column to a table. Returns the name of the table.
    pub(crate) fn add_column(
        &mut self,
        table: &str,
        column: &str,
        column_type: ColumnType,
        limits: &CatalogLimits,
    ) -> Result<String, CatalogError> {
        let id = self.table(table).map(|table| table.id());
        let changed = id
            .and_then(|id| self.tables.get_mut(&id))
            .map(Arc::make_mut)
            .ok_or_else(|| CatalogError::NotFound { name: table.to_owned() })?;
        if changed.add_column(column, column_type, limits)? {
            Ok(changed.name().to_owned())
        } else {
            let name = column.to_owned();
            Err(CatalogError::AlreadyExists { name })
        }
    }

    /// Adds a table with the single column `time`.
    fn add_table(&mut self, name: &str) -> Result<TableId, CatalogError> {
        validate_table_name(name)?;
        let id = self.next_table;
        let no_more = CatalogError::NoMoreIds { what: "table" };
        self.next_table = id.next().ok_or(no_more)?;
        let table = Table::new(id, name).with_on_duplicate(self.on_duplicate);
        self.tables.insert(id, Arc::new(table));
        self.live.insert(name, id);
        Ok(id)
    }

    pub(super) fn check_limit(
        &self,
        new_tables: usize,
        elsewhere: usize,
        limits: &CatalogLimits,
    ) -> Result<(), CatalogError> {
        if new_tables == 0 {
            return Ok(());
        }
        let own = self.tables().count();
        for (count, limit) in [(own, limits.tables_per_database), (own + elsewhere, limits.tables)]
        {
            if let Some(limit) = exceeded_limit(count + new_tables, limit) {
                return Err(LimitError::Tables { count, limit }.into());
            }
        }
        Ok(())
    }
}
