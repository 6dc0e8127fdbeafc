//! Columns of a table, and the names under which they are stored.
//!
//! ```text
//!   column 1   load                    stored as load
//!     |-- rename to usage ---------->  stored as load         load is an alias
//!     |-- drop ---------------------->                        load is never the stored name of another column
//!   column 4   load                    stored as load~4
//! ```
//!
//! Segments, sections and row deletes have stored names. Within a table, a stored name means one column for ever.

use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, Schema, SchemaRef};
use neap_schema::{ColumnId, ColumnType, ORDER_COLUMN, TIME_COLUMN, validate_column_name};
use serde::{Deserialize, Serialize};

use crate::{CatalogError, LimitError, former_names};

/// Maximum number of dropped columns of a table. The catalog keeps their stored names.
pub const MAX_DROPPED_COLUMNS: usize = 1_000;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The id, unique in the table.
    pub id: ColumnId,
    /// The name.
    pub name: String,
    /// The type. An integer can become a float.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// The type before it became a float. Stored values of both types may exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    widened_from: Option<ColumnType>,
    /// The former names that still stand for the column, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    /// The name in stored rows, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored_name: Option<String>,
}

impl Column {
    /// Creates a column that is stored under a name that no other column of its table ever had.
    pub(crate) fn new(
        id: ColumnId,
        name: &str,
        column_type: ColumnType,
        stored_name: &str,
    ) -> Self {
        Self {
            id,
            name: name.to_owned(),
            column_type,
            widened_from: None,
            aliases: Vec::new(),
            stored_name: (stored_name != name).then(|| stored_name.to_owned()),
        }
    }

    /// Returns the name in stored rows, which never changes.
    pub fn stored_name(&self) -> &str {
        self.stored_name.as_deref().unwrap_or(&self.name)
    }

    /// Returns whether the column is stored under its name.
    pub fn has_stored_name(&self) -> bool {
        self.stored_name.is_none()
    }

    /// Returns whether the column was an integer and is a float now.
    pub fn is_widened(&self) -> bool {
        self.widened_from.is_some()
    }

    /// Returns whether stored values may have an Arrow type.
    pub fn stores(&self, data_type: &DataType) -> bool {
        let mut types = self.widened_from.into_iter().chain([self.column_type]);
        types.any(|column_type| column_type.data_type() == *data_type)
    }

    /// Returns whether the column can become one of floats.
    pub(crate) fn can_widen(&self) -> bool {
        matches!(self.column_type, ColumnType::Integer | ColumnType::UInteger)
    }

    /// Makes a float of an integer. Returns whether this is possible.
    pub(crate) fn widen(&mut self) -> bool {
        let can_widen = self.can_widen();
        if can_widen {
            self.widened_from = Some(self.column_type);
            self.column_type = ColumnType::Float;
        }
        can_widen
    }

    /// Returns the former names that still stand for the column, oldest first.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Returns the column with its stored name as its only name.
    pub(crate) fn as_stored(&self) -> Self {
        Self {
            name: self.stored_name().to_owned(),
            aliases: Vec::new(),
            stored_name: None,
            ..self.clone()
        }
    }

    /// Renames the column. The present name becomes an alias.
    pub(crate) fn rename(&mut self, name: &str) -> Result<(), LimitError> {
        let stored = self.stored_name().to_owned();
        former_names::rename(&mut self.name, &mut self.aliases, name)?;
        self.stored_name = (stored != self.name).then_some(stored);
        Ok(())
    }

    /// Removes an alias. Returns whether it was one.
    pub(crate) fn remove_alias(&mut self, alias: &str) -> bool {
        former_names::remove(&mut self.aliases, alias)
    }

    /// Returns the memory size of the names, in bytes, without that of the name itself.
    pub(crate) fn further_names_bytes(&self) -> usize {
        let aliases = self.aliases.iter().map(String::len).sum::<usize>();
        aliases + self.stored_name.as_ref().map_or(0, String::len)
    }
}

/// A column that was dropped, whose values may still be in segments and sections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedColumn {
    /// The id, which is not reused.
    pub id: ColumnId,
    /// The name in stored rows.
    pub stored_name: String,
}

/// Returns the stored name of a new column. `is_used` tells whether a column has or had a stored name.
pub(crate) fn stored_name_of_new(
    id: ColumnId,
    name: &str,
    is_used: impl Fn(&str) -> bool,
) -> String {
    let mut stored = name.to_owned();
    while is_used(&stored) {
        stored = format!("{stored}~{id}");
    }
    stored
}

/// Returns the Arrow schema of columns, sorted by name.
pub(crate) fn schema_of(columns: &[Column]) -> SchemaRef {
    let mut sorted: Vec<_> = columns.iter().collect();
    sorted.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let fields = sorted.into_iter().map(|column| column.column_type.arrow_field(&column.name));
    Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
}

/// Refuses a name that no tag or field may have.
pub(crate) fn check_new_name(name: &str) -> Result<(), CatalogError> {
    match name {
        "" => Err(CatalogError::EmptyName { what: "column" }),
        ORDER_COLUMN | TIME_COLUMN => Err(reserved(name)),
        _ => Ok(validate_column_name(name)?),
    }
}

pub(crate) fn reserved(column: &str) -> CatalogError {
    let column = column.to_owned();
    CatalogError::ReservedColumn { column }
}

/// Returns the error of a name that a column has, as its name or as an alias.
pub(crate) fn column_conflict(holder: &Column, name: &str) -> CatalogError {
    let (name, present_name) = (name.to_owned(), holder.name.clone());
    if name == present_name {
        CatalogError::AlreadyExists { name }
    } else {
        CatalogError::NameIsAlias { name, present_name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_keeps_its_stored_name_when_its_name_changes() {
        let mut column = Column::new(ColumnId::new(1), "a", ColumnType::Float, "a");
        assert!(column.has_stored_name());
        column.rename("b").unwrap();
        assert_eq!(
            (column.name.as_str(), column.stored_name(), column.aliases()),
            ("b", "a", &["a".to_owned()][..])
        );
        let json = serde_json::to_string(&column).unwrap();
        assert_eq!(serde_json::from_str::<Column>(&json).unwrap(), column);
        let stored = column.as_stored();
        assert_eq!((stored.name.as_str(), stored.aliases().len()), ("a", 0));
        assert_eq!(stored.as_stored(), stored);
        column.rename("a").unwrap();
        assert!(column.has_stored_name() && column.remove_alias("b"));
        let json = serde_json::to_string(&column).unwrap();
        assert_eq!(json, r#"{"id":1,"name":"a","type":"float"}"#);
    }

    #[test]
    fn integers_become_floats_and_nothing_else_does() {
        for column_type in [ColumnType::Integer, ColumnType::UInteger] {
            let mut column = Column::new(ColumnId::new(1), "a", column_type, "a");
            assert!(column.widen() && column.is_widened());
            assert_eq!(column.column_type, ColumnType::Float);
            assert!(column.stores(&column_type.data_type()) && column.stores(&DataType::Float64));
            assert!(!column.stores(&DataType::Utf8) && !column.widen());
        }
        for column_type in [ColumnType::Tag, ColumnType::String, ColumnType::Float] {
            let mut column = Column::new(ColumnId::new(1), "a", column_type, "a");
            assert!(!column.widen() && !column.is_widened());
        }
    }

    #[test]
    fn a_stored_name_is_used_once() {
        let used = ["a", "a~7"];
        let stored = |name: &str| {
            stored_name_of_new(ColumnId::new(7), name, |stored| used.contains(&stored))
        };
        assert_eq!(stored("b"), "b");
        assert_eq!(stored("a"), "a~7~7");
    }
}
