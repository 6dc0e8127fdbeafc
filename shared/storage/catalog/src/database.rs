//! The database catalog: the tables of a database and its retention.

mod retention;
mod table_additions;
mod table_drops;

use std::{collections::BTreeMap, sync::Arc};

use neap_bucket::{ObjectFormat, RegisterValue, StoreTime, WriteOrder, formats};
use neap_schema::{AutoCreate, CacheId, OnDuplicate, TableId, TriggerId, ViewId};
use serde::{Deserialize, Serialize};

pub use self::table_additions::TableAddition;
use crate::{
    AuditEntry, CatalogError, ColdStorage, MaterializedView, RecordedRegisters, RuleGroups, Table,
    Trigger, ViewReference, audit::AuditLog, cache_definitions, default_value::is_default,
    name_index::NameIndex, triggers, views,
};

/// The register of a database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DatabaseCatalog {
    next_table: TableId,
    pub(crate) tables: BTreeMap<TableId, Arc<Table>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cold: Option<ColdStorage>,
    #[serde(default, skip_serializing_if = "is_default")]
    write_order: WriteOrder,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) auto_create: AutoCreate,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) on_duplicate: OnDuplicate,
    /// The id of the next cache. Absent if the database never had a cache.
    #[serde(
        default = "cache_definitions::first_id",
        skip_serializing_if = "cache_definitions::is_first_id"
    )]
    pub(crate) next_cache: CacheId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) file_index: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) triggers: BTreeMap<TriggerId, Arc<Trigger>>,
    /// The id of the next trigger. Absent if the database never had a trigger.
    #[serde(
        default = "triggers::first_id",
        skip_serializing_if = "triggers::is_first_id"
    )]
    pub(crate) next_trigger: TriggerId,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) views: BTreeMap<ViewId, Arc<MaterializedView>>,
    /// The id of the next materialized view. Absent if the database never had a view.
    #[serde(
        default = "views::first_id",
        skip_serializing_if = "views::is_first_id"
    )]
    pub(crate) next_view: ViewId,
    /// The views of other databases whose rows go to tables of this one, by the name of the table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) foreign_views: BTreeMap<String, ViewReference>,
    /// The groups of rules by namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) rules: BTreeMap<String, RuleGroups>,
    #[serde(default, skip_serializing_if = "AuditLog::is_empty")]
    pub(crate) audit: AuditLog,
    /// The registers of the database that were created, if that is recorded.
    #[serde(default, skip_serializing_if = "RecordedRegisters::is_empty")]
    pub registers: RecordedRegisters,
    #[serde(skip)]
    live: NameIndex<TableId>,
}

impl RegisterValue for DatabaseCatalog {
    const FORMAT: ObjectFormat = formats::DATABASE_CATALOG;
}

impl Default for DatabaseCatalog {
    fn default() -> Self {
        Self {
            next_table: TableId::new(1),
            tables: BTreeMap::new(),
            retention_ns: None,
            cold: None,
            write_order: WriteOrder::default(),
            auto_create: AutoCreate::default(),
            on_duplicate: OnDuplicate::default(),
            next_cache: cache_definitions::first_id(),
            file_index: Vec::new(),
            triggers: BTreeMap::new(),
            next_trigger: triggers::first_id(),
            views: BTreeMap::new(),
            next_view: views::first_id(),
            foreign_views: BTreeMap::new(),
            rules: BTreeMap::new(),
            audit: AuditLog::default(),
            registers: RecordedRegisters::default(),
            live: NameIndex::default(),
        }
    }
}

impl DatabaseCatalog {
    /// Returns the latest administrative changes of this register, oldest first.
    pub fn audit(&self) -> impl DoubleEndedIterator<Item = &AuditEntry> {
        self.audit.entries()
    }

    /// Adds an entry to the audit log, to be committed with the change that it describes.
    pub(crate) fn note(
        &mut self,
        now: StoreTime,
        action: &'static str,
        target: &str,
        detail: Option<String>,
    ) {
        self.audit.add(now, action, target, detail);
    }

    /// Returns the write order of requests that do not specify one. It is strict if earlier rows are kept, because the clocks
    /// of two instances do not tell which row was there first.
    pub fn write_order(&self) -> WriteOrder {
        match self.on_duplicate {
            OnDuplicate::Replace => self.write_order,
            OnDuplicate::Keep => WriteOrder::Strict,
        }
    }

    /// Sets the write order. Returns whether this changes the catalog.
    pub(crate) fn set_write_order(&mut self, order: WriteOrder) -> bool {
        std::mem::replace(&mut self.write_order, order) != order
    }

    /// Returns the table with this id, also if it is dropped.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables.get(&id)
    }

    /// Returns the table that is not dropped and has this name or alias.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        let id = self.live.get(name, || {
            self.tables()
                .flat_map(|table| table.names().map(move |name| (name, table.id())))
        })?;
        self.tables.get(&id)
    }

    /// Returns the tables that are not dropped, by id.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.all_tables().filter(|table| table.deletion().is_none())
    }

    /// Returns all tables by id, including dropped ones.
    pub fn all_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// Returns a table, to change its names.
    pub(crate) fn table_names_mut(&mut self, id: TableId) -> Option<&mut Table> {
        self.live.reset();
        self.tables.get_mut(&id).map(Arc::make_mut)
    }

    /// Returns a table that is not dropped, to change it.
    pub(crate) fn live_table_mut(&mut self, table: TableId) -> Result<&mut Table, CatalogError> {
        let found = self.tables.get_mut(&table).filter(|table| table.deletion().is_none());
        let live =
            found.ok_or_else(|| CatalogError::NotFound { name: format!("table {table}") })?;
        Ok(Arc::make_mut(live))
    }

    /// Returns the approximate memory size of the catalog, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let tables = self.tables.values().map(|table| table.size_bytes());
        let triggers = self.triggers.values().map(|trigger| trigger.size_bytes());
        let views = self.views.values().map(|view| view.size_bytes());
        let foreign_views =
            self.foreign_views.iter().map(|(table, view)| table.len() + view.size_bytes());
        tables.sum::<usize>()
            + triggers.sum::<usize>()
            + views.sum::<usize>()
            + foreign_views.sum::<usize>()
            + self.rules_size_bytes()
            + self.audit.size_bytes()
    }
}

#[cfg(test)]
mod tests;
