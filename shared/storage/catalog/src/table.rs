//! A table: its columns in order of creation, its caches, and the Arrow schema derived from the columns.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arrow_schema::SchemaRef;
use neap_schema::{ColumnId, ColumnType, OnDuplicate, TIME_COLUMN, TableId, TableView};
use serde::{Deserialize, Serialize};

use crate::{
    CatalogError, CatalogLimits, ColdStorage, Column, Deletion, DistinctCacheDefinition,
    DroppedColumn, LastCacheDefinition, LimitError, MAX_DROPPED_COLUMNS,
    columns::{check_new_name, column_conflict, reserved, schema_of, stored_name_of_new},
    default_value::is_default,
    former_names,
    limits::exceeded_limit,
};

/// A table. Every table has the column `time`, with id 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    id: TableId,
    name: String,
    columns: Vec<Column>,
    next_column: ColumnId,
    /// Never changes, because rows are merged at any time.
    #[serde(default, skip_serializing_if = "is_default")]
    on_duplicate: OnDuplicate,
    /// The columns that were dropped, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dropped_columns: Vec<DroppedColumn>,
    /// The number of changes of columns other than additions.
    #[serde(default, skip_serializing_if = "is_default")]
    column_changes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletion: Option<Deletion>,
    /// The name of a dropped table before its drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_name: Option<String>,
    /// The former names that still stand for the table, oldest first. Those of a dropped table stand for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cold: Option<ColdStorage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) last_caches: Vec<Arc<LastCacheDefinition>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) distinct_caches: Vec<Arc<DistinctCacheDefinition>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) file_index: Vec<String>,
    #[serde(skip)]
    view: OnceLock<Arc<TableView>>,
    #[serde(skip)]
    schema: OnceLock<SchemaRef>,
    /// The schema with the stored names of the columns.
    #[serde(skip)]
    stored_schema: OnceLock<SchemaRef>,
}

impl Table {
    /// Creates a table with the single column `time`.
    pub(crate) fn new(id: TableId, name: &str) -> Self {
        let id_of_time = ColumnId::default();
        let time = Column::new(id_of_time, TIME_COLUMN, ColumnType::Time, TIME_COLUMN);
        Self {
            id,
            name: name.to_owned(),
            columns: vec![time],
            next_column: ColumnId::new(1),
            on_duplicate: OnDuplicate::default(),
            dropped_columns: Vec::new(),
            column_changes: 0,
            deletion: None,
            original_name: None,
            aliases: Vec::new(),
            retention_ns: None,
            cold: None,
            last_caches: Vec::new(),
            distinct_caches: Vec::new(),
            file_index: Vec::new(),
            view: OnceLock::new(),
            schema: OnceLock::new(),
            stored_schema: OnceLock::new(),
        }
    }

    /// Sets what rows do to earlier ones. For a table that is being created.
    pub(crate) fn with_on_duplicate(self, on_duplicate: OnDuplicate) -> Self {
        Self { on_duplicate, ..self }
    }

    /// Returns what a row does to an earlier one with the same tags and time.
    pub fn on_duplicate(&self) -> OnDuplicate {
        self.on_duplicate
    }

    /// Returns the id, unique in the database and never reused.
    pub fn id(&self) -> TableId {
        self.id
    }

    /// Returns the name; a dropped table has the name that the drop gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the former names that stand for the table unless it is dropped, oldest first.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Returns the name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.aliases).map(String::as_str)
    }

    /// Returns whether the table is not dropped and has this name or alias.
    pub fn is_named(&self, name: &str) -> bool {
        self.deletion.is_none() && self.names().any(|own| own == name)
    }

    /// Returns the definition without its caches, for readers of its rows alone.
    #[must_use]
    pub fn without_caches(&self) -> Self {
        Self {
            last_caches: Vec::new(),
            distinct_caches: Vec::new(),
            file_index: Vec::new(),
            ..self.clone()
        }
    }

    /// Returns the definition with the names of the columns in segments and sections, for everything that reads or writes
    /// them. Those of aliases are left out.
    #[must_use]
    pub fn stored(self: &Arc<Self>) -> Arc<Self> {
        if self.column_changes == 0 {
            return Arc::clone(self);
        }
        let columns: Vec<Column> = self.columns.iter().map(Column::as_stored).collect();
        let schema = self.stored_schema.get_or_init(|| schema_of(&columns));
        Arc::new(Self {
            schema: OnceLock::from(Arc::clone(schema)),
            view: OnceLock::new(),
            columns,
            ..Self::clone(self)
        })
    }

    /// Returns whether each column is stored under its name.
    pub fn has_stored_names(&self) -> bool {
        self.column_changes == 0 || self.columns.iter().all(Column::has_stored_name)
    }

    /// Returns whether a column has an alias.
    pub fn has_column_aliases(&self) -> bool {
        self.column_changes > 0 && self.shared_view().has_aliases()
    }

    /// Returns whether a name or an alias is that of a tag.
    pub fn is_tag(&self, name: &str) -> bool {
        self.column(name).is_some_and(|column| column.column_type == ColumnType::Tag)
    }

    /// Returns the name in stored rows of a column, given by its name or an alias. Another name is returned unchanged.
    pub fn stored_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.column(name).map_or(name, Column::stored_name)
    }

    /// Returns the stored name that a column has, or would have if it were created now.
    pub fn expected_stored_name(&self, name: &str) -> String {
        match self.column(name) {
            Some(column) => column.stored_name().to_owned(),
            None => self.stored_name_of_new(name),
        }
    }

    fn stored_name_of_new(&self, name: &str) -> String {
        stored_name_of_new(self.next_column, name, |stored| {
            self.is_dropped_name(stored) || self.columns.iter().any(|it| it.stored_name() == stored)
        })
    }

    /// Returns the columns that were dropped, by id.
    pub fn dropped_columns(&self) -> &[DroppedColumn] {
        &self.dropped_columns
    }

    /// Returns whether a column that was dropped has this name in stored rows.
    pub fn is_dropped_name(&self, stored_name: &str) -> bool {
        self.dropped_columns.iter().any(|it| it.stored_name == stored_name)
    }

    /// Returns a number that increases with each change of the columns.
    pub fn columns_version(&self) -> u32 {
        u32::from(self.next_column.get()).saturating_add(self.column_changes)
    }

    /// Returns the columns in order of creation.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Returns the deletion state, if the table is dropped.
    pub fn deletion(&self) -> Option<Deletion> {
        self.deletion
    }

    /// Returns the name; of a dropped table, the name before its drop.
    pub fn original_name(&self) -> &str {
        self.original_name.as_deref().unwrap_or(&self.name)
    }

    /// Returns the retention of the table, if it has its own. The effective one is
    /// [`DatabaseCatalog::retention_of`](crate::DatabaseCatalog::retention_of).
    pub fn retention(&self) -> Option<Duration> {
        self.retention_ns.map(Duration::from_nanos)
    }

    /// Returns the column with this name or alias.
    pub fn column(&self, name: &str) -> Option<&Column> {
        // The view has only tags and fields.
        if name == TIME_COLUMN {
            return self.column_by_id(ColumnId::default());
        }
        self.columns.get(self.shared_view().position(name)?)
    }

    /// Returns the tags and fields by name, built on first use.
    pub fn view(&self) -> Arc<TableView> {
        Arc::clone(self.shared_view())
    }

    fn shared_view(&self) -> &Arc<TableView> {
        self.view.get_or_init(|| {
            let columns = self.columns.iter().map(|column| (&column.name, column.column_type));
            let mut view = TableView::new(columns);
            for column in &self.columns {
                for alias in column.aliases() {
                    view.add_alias(alias, &column.name);
                }
            }
            Arc::new(view)
        })
    }

    /// Returns the column with this id.
    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        let place = self.columns.binary_search_by_key(&id, |column| column.id);
        self.columns.get(place.ok()?)
    }

    /// Returns the tags in the order of the series key, which is their order of creation.
    pub fn tags(&self) -> impl Iterator<Item = &Column> {
        let columns = self.columns.iter();
        columns.filter(|column| column.column_type == ColumnType::Tag)
    }

    /// Returns the names of the tags, in the order of the series key.
    pub fn tag_names(&self) -> Vec<String> {
        self.tags().map(|tag| tag.name.clone()).collect()
    }

    /// Returns the Arrow schema of all columns, sorted by name as in SQL of InfluxDB 3.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(self.schema.get_or_init(|| schema_of(&self.columns)))
    }

    /// Adds a column. Returns false if it already exists.
    pub(crate) fn add_column(
        &mut self,
        name: &str,
        wanted: ColumnType,
        limits: &CatalogLimits,
    ) -> Result<bool, CatalogError> {
        if let Some(column) = self.column(name) {
            if column.column_type == wanted {
                return Ok(false);
            }
            return Err(CatalogError::TypeConflict {
                table: self.name.clone(),
                column: name.to_owned(),
                existing: column.column_type,
                wanted,
            });
        }
        check_new_name(name)?;
        if wanted == ColumnType::Time {
            return Err(reserved(name));
        }
        // `time` is not counted: of n columns, n - 1 are tags and fields, and the new one is added to them.
        if let Some(limit) = exceeded_limit(self.columns.len(), limits.columns_per_table) {
            return Err(LimitError::Columns { limit }.into());
        }
        if wanted == ColumnType::Tag
            && limits.tags_per_table.is_some()
            && let Some(limit) = exceeded_limit(self.tags().count() + 1, limits.tags_per_table)
        {
            return Err(LimitError::Tags { limit }.into());
        }
        let id = self.next_column;
        let no_more = CatalogError::NoMoreIds { what: "column" };
        let stored_name = self.stored_name_of_new(name);
        self.next_column = id.next().ok_or(no_more)?;
        if let Some(view) = self.view.get_mut() {
            Arc::make_mut(view).add(name, self.columns.len(), wanted);
        }
        self.columns.push(Column::new(id, name, wanted, &stored_name));
        self.schema = OnceLock::new();
        self.stored_schema = OnceLock::new();
        Ok(true)
    }

    /// Renames a column, given by its id. Its present name becomes an alias. Returns whether this changes the table.
    pub(crate) fn rename_column(
        &mut self,
        id: ColumnId,
        new_name: &str,
    ) -> Result<bool, CatalogError> {
        check_new_name(new_name)?;
        match self.column(new_name) {
            Some(holder) if holder.id == id && holder.name == new_name => return Ok(false),
            Some(holder) if holder.id != id => return Err(column_conflict(holder, new_name)),
            _ => {}
        }
        let renamed = self.columns.iter_mut().find(|column| column.id == id);
        let Some(column) = renamed else {
            return Ok(false);
        };
        let before = column.name.clone();
        column.rename(new_name)?;
        let indexed = self.file_index.iter_mut().filter(|name| **name == before);
        indexed.for_each(|name| new_name.clone_into(name));
        self.note_column_change();
        Ok(true)
    }

    pub(crate) fn remove_column_alias(&mut self, alias: &str) {
        for column in &mut self.columns {
            column.remove_alias(alias);
        }
        self.note_column_change();
    }

    /// Removes a column, and keeps its stored name from being used again.
    pub(crate) fn drop_column(&mut self, id: ColumnId) -> Result<(), LimitError> {
        if self.dropped_columns.len() >= MAX_DROPPED_COLUMNS {
            let limit = MAX_DROPPED_COLUMNS;
            return Err(LimitError::DroppedColumns { limit });
        }
        if let Some(place) = self.columns.iter().position(|column| column.id == id) {
            let column = self.columns.remove(place);
            self.file_index.retain(|name| *name != column.name);
            let dropped = DroppedColumn { id, stored_name: column.stored_name().to_owned() };
            let after = self.dropped_columns.partition_point(|other| other.id < id);
            self.dropped_columns.insert(after, dropped);
            self.note_column_change();
        }
        Ok(())
    }

    /// Makes a float of an integer column.
    pub(crate) fn widen_column(&mut self, id: ColumnId) {
        let mut columns = self.columns.iter_mut();
        if columns.any(|column| column.id == id && column.widen()) {
            self.note_column_change();
        }
    }

    fn note_column_change(&mut self) {
        self.column_changes = self.column_changes.saturating_add(1);
        self.view = OnceLock::new();
        self.schema = OnceLock::new();
        self.stored_schema = OnceLock::new();
    }

    /// Drops the table under a new name, or changes the deletion state of a dropped one.
    pub(crate) fn delete(&mut self, name: String, deletion: Deletion) {
        let before = std::mem::replace(&mut self.name, name);
        if self.deletion.replace(deletion).is_none() {
            self.original_name = Some(before);
        }
    }

    /// Undeletes the table. `aliases` are those that no other table has.
    pub(crate) fn undelete(&mut self, name: String, aliases: Vec<String>) {
        self.name = name;
        self.aliases = aliases;
        self.deletion = None;
        self.original_name = None;
    }

    /// Renames the table. The present name becomes an alias.
    pub(crate) fn rename(&mut self, name: &str) -> Result<(), LimitError> {
        former_names::rename(&mut self.name, &mut self.aliases, name)
    }

    pub(crate) fn remove_alias(&mut self, alias: &str) {
        former_names::remove(&mut self.aliases, alias);
    }

    pub(crate) fn deletion_mut(&mut self) -> Option<&mut Deletion> {
        self.deletion.as_mut()
    }

    /// Sets the retention in nanoseconds. Returns whether this changes the table.
    pub(crate) fn set_retention(&mut self, nanos: Option<u64>) -> bool {
        std::mem::replace(&mut self.retention_ns, nanos) != nanos
    }

    /// Returns the approximate memory size of the table and its derived parts, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        // Memory of a column: the column itself, its index entry, and its Arrow field with metadata.
        const COLUMN_BYTES: usize = 500;
        let live = self.columns.iter().map(|it| 3 * (it.name.len() + it.further_names_bytes()));
        let of_dropped = |it: &DroppedColumn| size_of::<DroppedColumn>() + it.stored_name.len();
        let dropped = self.dropped_columns.iter().map(of_dropped);
        let names = live.chain(dropped).sum::<usize>();
        let caches = self.last_caches.iter().map(|cache| cache.size_bytes());
        let distinct = self.distinct_caches.iter().map(|cache| cache.size_bytes());
        let caches: usize = caches.chain(distinct).sum();
        let indexed = self.file_index.iter().map(String::len).sum::<usize>();
        let aliases = self.aliases.iter().map(String::len).sum::<usize>();
        self.name.len()
            + aliases
            + names
            + (self.columns.len() + 1) * COLUMN_BYTES
            + caches
            + indexed
    }
}

/// Returns the type of a field by its name in the API that creates tables: `utf8`, `int64`, `uint64`, `float64` or
/// `bool` (InfluxDB 3 `POST /api/v3/configure/table`).
pub fn field_type(name: &str) -> Option<ColumnType> {
    Some(match name {
        "utf8" => ColumnType::String,
        "int64" => ColumnType::Integer,
        "uint64" => ColumnType::UInteger,
        "float64" => ColumnType::Float,
        "bool" => ColumnType::Boolean,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(TableId::new(7), "cpu");
        for (name, column_type) in [
            ("zone", ColumnType::Tag),
            ("usage", ColumnType::Float),
            ("host", ColumnType::Tag),
        ] {
            assert!(table.add_column(name, column_type, &CatalogLimits::default()).unwrap());
        }
        table
    }

    #[test]
    fn schema_is_sorted_by_name_and_tags_by_creation() {
        let table = table();
        let schema = table.arrow_schema();
        let names: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
        assert_eq!(names, ["host", "time", "usage", "zone"]);
        let tags: Vec<_> = table.tags().map(|tag| tag.name.as_str()).collect();
        assert_eq!(tags, ["zone", "host"]);
    }

    #[test]
    fn derived_parts_follow_an_added_column() {
        let mut table = table();
        assert!(table.column("new").is_none());
        assert_eq!(table.arrow_schema().fields().len(), 4);
        table.add_column("new", ColumnType::Boolean, &CatalogLimits::default()).unwrap();
        assert_eq!(table.arrow_schema().fields().len(), 5);
        let column = table.column("new").unwrap();
        assert_eq!(table.column_by_id(column.id), Some(column));
        let time = table.column("time").unwrap();
        assert_eq!(time.column_type, ColumnType::Time);
    }

    #[test]
    fn a_view_that_others_have_keeps_its_columns() {
        let mut table = table();
        let before = table.view();
        let kept = table.clone();
        table.add_column("new", ColumnType::Tag, &CatalogLimits::default()).unwrap();
        assert_eq!((before.columns(), before.tags()), (3, 2));
        assert_eq!(kept.view().column_type("new"), None);
        let after = table.view();
        assert_eq!((after.columns(), after.tags()), (4, 3));
        assert_eq!(after.position("new"), Some(4));
        assert!(Arc::ptr_eq(&after, &table.clone().view()));
    }

    #[test]
    fn errors_for_reserved_names_and_type_conflicts_match_influxdb() {
        let mut table = table();
        let mut add = |name: &str, wanted| {
            let error = table.add_column(name, wanted, &CatalogLimits::default());
            error.unwrap_err().to_string()
        };
        assert_eq!(add("__chunk_order", ColumnType::Float), "'__chunk_order' is a reserved column");
        assert_eq!(
            add("time", ColumnType::Float),
            "invalid column type for column 'time', expected iox::column_type::timestamp, got iox::column_type::field::float"
        );
        assert_eq!(
            add("host", ColumnType::Integer),
            "invalid column type for column 'host', expected iox::column_type::tag, got iox::column_type::field::integer"
        );
    }
}
