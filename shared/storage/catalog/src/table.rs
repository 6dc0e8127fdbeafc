//! A table: its columns in order of creation, its caches, and the Arrow schema derived from the columns.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arrow_schema::{FieldRef, Schema, SchemaRef};
use neap_schema::{ColumnId, ColumnType, ORDER_COLUMN, TIME_COLUMN, TableId, TableView};
use serde::{Deserialize, Serialize};

use crate::{
    CatalogError, CatalogLimits, Deletion, DistinctCacheDefinition, LastCacheDefinition,
    LimitError, former_names, limits::exceeded_limit,
};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The id, unique in the table.
    pub id: ColumnId,
    /// The name.
    pub name: String,
    /// The type, which never changes.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
}

/// A table. Every table has the column `time`, with id 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    id: TableId,
    name: String,
    columns: Vec<Column>,
    next_column: ColumnId,
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
}

impl Table {
    /// Creates a table with the single column `time`.
    pub(crate) fn new(id: TableId, name: &str) -> Self {
        let time = Column {
            id: ColumnId::default(),
            name: TIME_COLUMN.to_owned(),
            column_type: ColumnType::Time,
        };
        Self {
            id,
            name: name.to_owned(),
            columns: vec![time],
            next_column: ColumnId::new(1),
            deletion: None,
            original_name: None,
            aliases: Vec::new(),
            retention_ns: None,
            last_caches: Vec::new(),
            distinct_caches: Vec::new(),
            file_index: Vec::new(),
            view: OnceLock::new(),
            schema: OnceLock::new(),
        }
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

    /// Returns the column with this name.
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
            Arc::new(TableView::new(columns))
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
        let build = || {
            let mut columns: Vec<_> = self.columns.iter().collect();
            columns.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            let fields =
                columns.into_iter().map(|column| column.column_type.arrow_field(&column.name));
            Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
        };
        Arc::clone(self.schema.get_or_init(build))
    }

    /// Adds a column. Returns false if it already exists.
    pub(crate) fn add_column(
        &mut self,
        name: &str,
        wanted: ColumnType,
        limits: &CatalogLimits,
    ) -> Result<bool, CatalogError> {
        let reserved = || CatalogError::ReservedColumn {
            column: name.to_owned(),
        };
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
        if name.is_empty() {
            return Err(CatalogError::EmptyName { what: "column" });
        }
        if name == ORDER_COLUMN || wanted == ColumnType::Time {
            return Err(reserved());
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
        self.next_column = id.next().ok_or(no_more)?;
        if let Some(view) = self.view.get_mut() {
            Arc::make_mut(view).add(name, self.columns.len(), wanted);
        }
        self.columns.push(Column {
            id,
            name: name.to_owned(),
            column_type: wanted,
        });
        self.schema = OnceLock::new();
        Ok(true)
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

    /// Removes an alias.
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
        let names: usize = self.columns.iter().map(|column| 3 * column.name.len()).sum();
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
        assert_eq!(
            add("__chunk_order", ColumnType::Float),
            "'__chunk_order' is a reserved column"
        );
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
