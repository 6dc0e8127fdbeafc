//! The database catalog: the tables of a database and its retention.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use neap_bucket::{ObjectFormat, RegisterValue, StoreTime, WriteOrder, formats};
use neap_schema::{
    AutoCreate, CacheId, ColumnType, OnDuplicate, TableId, TriggerId, ViewId, validate_table_name,
};
use serde::{Deserialize, Serialize};

use crate::{
    AuditEntry, CatalogError, CatalogLimits, ColdStorage, HardDelete, LimitError, MaterializedView,
    PurgeState, RecordedRegisters, RuleGroups, Table, Trigger, ViewReference,
    audit::AuditLog,
    cache_definitions,
    default_value::is_default,
    deletion::{DroppedEntry, delete, find_dropped, note_purge},
    limits::exceeded_limit,
    name_index::NameIndex,
    triggers, views,
};

/// The columns that a write needs in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableAddition {
    /// The table, created if it is missing.
    pub table: String,
    /// The columns without `time`. Missing ones are added in this order.
    pub columns: Vec<(String, ColumnType)>,
}

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

    /// Returns the retention of a table: its own, otherwise that of the database. `None`: rows are kept forever, or the
    /// table does not exist.
    pub fn retention_of(&self, table: TableId) -> Option<Duration> {
        let table = self.tables.get(&table)?;
        table.retention().or(self.retention())
    }

    /// Returns the time before which rows of a table have expired at a time of the store, in nanoseconds since the Unix
    /// epoch; `None`: rows never expire.
    pub fn cutoff_of(&self, table: TableId, now: StoreTime) -> Option<i64> {
        let retention = self.retention_of(table)?;
        Some(now.nanos_before(retention))
    }

    /// Returns the times before which rows have expired at a time of the store, by table. Tables that views read come
    /// last, because a manifest remembers the latest expiries only.
    pub fn cutoffs(&self, now: StoreTime) -> Vec<(TableId, i64)> {
        let sources: BTreeSet<_> = self
            .views()
            .filter_map(|view| self.table(&view.source))
            .map(|table| table.id())
            .collect();
        let tables = self.tables().map(|table| table.id());
        let mut cutoffs: Vec<_> =
            tables.filter_map(|table| Some((table, self.cutoff_of(table, now)?))).collect();
        cutoffs.sort_by_key(|(table, _)| sources.contains(table));
        cutoffs
    }

    /// Returns the retention of tables without their own; `None`: rows are kept forever.
    pub fn retention(&self) -> Option<Duration> {
        self.retention_ns.map(Duration::from_nanos)
    }

    /// Whether rows of some table expire.
    pub fn has_retention(&self) -> bool {
        let mut tables = self.tables.keys();
        self.retention_ns.is_some() || tables.any(|table| self.retention_of(*table).is_some())
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

    /// Returns the dropped tables whose removal should start or continue at this time of the store, by id.
    /// See [`Catalog::begin_table_purge`](crate::Catalog::begin_table_purge).
    pub fn due_tables(&self, now: StoreTime) -> impl Iterator<Item = TableId> {
        let due = self.all_tables().filter(move |table| {
            let deletion = table.deletion();
            deletion.is_some_and(|deletion| deletion.is_due(now))
        });
        due.map(|table| table.id())
    }

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
        let changed =
            id.and_then(|id| self.tables.get_mut(&id)).map(Arc::make_mut).ok_or_else(|| {
                CatalogError::NotFound {
                    name: table.to_owned(),
                }
            })?;
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

    fn check_limit(
        &self,
        new_tables: usize,
        elsewhere: usize,
        limits: &CatalogLimits,
    ) -> Result<(), CatalogError> {
        if new_tables == 0 {
            return Ok(());
        }
        let own = self.tables().count();
        for (count, limit) in [
            (own, limits.tables_per_database),
            (own + elsewhere, limits.tables),
        ] {
            if let Some(limit) = exceeded_limit(count + new_tables, limit) {
                return Err(LimitError::Tables { count, limit }.into());
            }
        }
        Ok(())
    }

    /// Drops a table, or changes the deletion time of a dropped one.
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

    /// Returns a table, to change its names.
    pub(crate) fn table_names_mut(&mut self, id: TableId) -> Option<&mut Table> {
        self.live.reset();
        self.tables.get_mut(&id).map(Arc::make_mut)
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
            changed |= noted.ok_or_else(|| CatalogError::NotFound {
                name: format!("deleted table {id}"),
            })?;
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

    /// Sets the retention of a table, which overrides that of the database. Returns whether this changes the catalog.
    pub(crate) fn set_table_retention(
        &mut self,
        table: TableId,
        retention: Option<Duration>,
    ) -> Result<bool, CatalogError> {
        Ok(self.live_table_mut(table)?.set_retention(nanos(retention)))
    }

    /// Returns a table that is not dropped, to change it.
    pub(crate) fn live_table_mut(&mut self, table: TableId) -> Result<&mut Table, CatalogError> {
        let found = self.tables.get_mut(&table).filter(|table| table.deletion().is_none());
        let live = found.ok_or_else(|| CatalogError::NotFound {
            name: format!("table {table}"),
        })?;
        Ok(Arc::make_mut(live))
    }

    /// Sets the retention of the database. Returns whether this changes the catalog.
    pub(crate) fn set_retention(&mut self, retention: Option<Duration>) -> bool {
        let nanos = nanos(retention);
        std::mem::replace(&mut self.retention_ns, nanos) != nanos
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

/// Converts a retention to nanoseconds; at most 584 years.
fn nanos(retention: Option<Duration>) -> Option<u64> {
    retention.map(|retention| u64::try_from(retention.as_nanos()).unwrap_or(u64::MAX))
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
        assert!(catalog.add(&additions, 0, &CatalogLimits::default()).unwrap());
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
              },
              "original_name": "old"
            }
          },
          "retention_ns": 60000000000
        }
        "#);
    }

    #[test]
    fn format_of_tables_with_a_retention_and_with_a_begun_removal() {
        let mut catalog = catalog();
        let (cpu, old) = (TableId::new(1), TableId::new(2));
        let hour = Duration::from_secs(3600);
        assert!(catalog.set_table_retention(cpu, Some(hour)).unwrap());
        let name = "old-20250910T132505";
        let now = StoreTime::from_micros(1_757_510_800_000_000);
        catalog.delete_table(name, now, HardDelete::NOW).unwrap();
        let due = now.plus(hour);
        assert_eq!(catalog.due_tables(due).collect::<Vec<_>>(), [old]);
        assert!(catalog.note_purge(&[old], PurgeState::Begun, due).unwrap());
        let json = serde_json::to_value(&catalog).unwrap();
        let mut tables = json["tables"].clone();
        for table in ["1", "2"] {
            tables[table].as_object_mut().unwrap().remove("columns");
        }
        insta::assert_json_snapshot!(tables, @r#"
        {
          "1": {
            "id": 1,
            "name": "cpu",
            "next_column": 3,
            "retention_ns": 3600000000000
          },
          "2": {
            "deletion": {
              "deleted_at": 1757510705000000,
              "hard_delete_at": 1757510800000000,
              "purge": "begun"
            },
            "id": 2,
            "name": "old-20250910T132505",
            "next_column": 1,
            "original_name": "old"
          }
        }
        "#);
        let read: DatabaseCatalog = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
    }

    #[test]
    fn retention_of_a_table_overrides_that_of_its_database() {
        let mut catalog = catalog();
        let table = TableId::new(1);
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        assert_eq!(catalog.retention_of(table), Some(minute));
        assert!(catalog.set_table_retention(table, Some(hour)).unwrap());
        assert!(!catalog.set_table_retention(table, Some(hour)).unwrap());
        assert_eq!(catalog.retention_of(table), Some(hour));
        catalog.set_retention(None);
        assert_eq!(catalog.retention_of(table), Some(hour));
        catalog.set_table_retention(table, None).unwrap();
        assert_eq!(catalog.retention_of(table), None);
        let dropped = catalog.set_table_retention(TableId::new(2), None);
        assert!(matches!(dropped, Err(CatalogError::NotFound { .. })));
    }

    #[test]
    fn a_table_is_undeleted_under_its_name_or_a_new_one() {
        let limits = CatalogLimits::default();
        let now = StoreTime::from_micros(1_757_510_800_000_000);
        let undelete = |catalog: &mut DatabaseCatalog, dropped: &str, name: Option<&str>| {
            catalog.undelete_table(dropped, name, now, 0, &limits)
        };
        let id = TableId::new(2);
        let mut catalog_with_room = catalog();
        let restored = undelete(&mut catalog_with_room, "old", None).unwrap();
        assert_eq!(restored, (id, "old".to_owned()));
        assert_eq!(catalog_with_room.table("old").unwrap().id(), id);

        let mut catalog = catalog();
        catalog.add(&[addition("old", &[])], 0, &limits).unwrap();
        let taken = undelete(&mut catalog, "old-20250910T132505", None);
        assert!(matches!(taken, Err(CatalogError::AlreadyExists { .. })));
        let restored = undelete(&mut catalog, "old-20250910T132505", Some("back")).unwrap();
        assert_eq!(restored, (id, "back".to_owned()));
        let live = undelete(&mut catalog, "back", None);
        assert!(matches!(live, Err(CatalogError::NotFound { .. })));
    }

    #[test]
    fn adding_existing_columns_changes_nothing() {
        let mut catalog = catalog();
        let known = [addition("cpu", &[("usage", ColumnType::Float)])];
        assert!(!catalog.add(&known, 0, &CatalogLimits::default()).unwrap());
    }

    #[test]
    fn ids_of_dropped_tables_are_not_reused() {
        let mut catalog = catalog();
        assert!(catalog.table("old").is_none());
        catalog.add(&[addition("old", &[])], 0, &CatalogLimits::default()).unwrap();
        assert_eq!(catalog.table("old").unwrap().id(), TableId::new(3));
        let dropped = catalog.table_by_id(TableId::new(2)).unwrap();
        assert_eq!(dropped.name(), "old-20250910T132505");
    }

    #[test]
    fn limit_errors_match_influxdb() {
        let error = |limits: CatalogLimits, columns: &[(&str, ColumnType)], elsewhere| {
            let mut catalog = catalog();
            let added = catalog.add(&[addition("new", columns)], elsewhere, &limits);
            added.unwrap_err().to_string()
        };
        let limits = CatalogLimits {
            tables: Some(4),
            columns_per_table: Some(2),
            tags_per_table: Some(1),
            ..CatalogLimits::default()
        };
        assert_eq!(
            error(limits, &[], 3),
            "Update to schema would exceed number of tables limit: attempted to create table but already have 4 table(s) (limit: 4)"
        );
        let own = CatalogLimits {
            tables: Some(4),
            tables_per_database: Some(1),
            ..CatalogLimits::default()
        };
        assert_eq!(
            error(own, &[], 0),
            "Update to schema would exceed number of tables limit: attempted to create table but already have 1 table(s) (limit: 1)"
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
