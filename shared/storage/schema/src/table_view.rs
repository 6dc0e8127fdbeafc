//! The columns of a table by name.

use std::fmt;

use hashbrown::HashMap;

use crate::ColumnType;

/// The tags and fields of a table, which are found by their names and aliases.
///
/// # Examples
///
/// ```
/// use neap_schema::{ColumnType, TableView};
///
/// let view = TableView::new([
///     ("host", ColumnType::Tag),
///     ("load", ColumnType::Float),
///     ("time", ColumnType::Time),
/// ]);
/// assert_eq!(view.column_type("load"), Some(ColumnType::Float));
/// assert_eq!(view.position("load"), Some(1));
/// assert_eq!((view.tags(), view.columns()), (1, 2));
/// ```
#[derive(Clone, Default)]
pub struct TableView {
    columns: HashMap<Box<[u8]>, ColumnView, ahash::RandomState>,
    /// The present name of the column of each alias.
    aliases: HashMap<Box<[u8]>, Box<str>, ahash::RandomState>,
    tags: usize,
}

/// A tag or a field of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnView {
    /// The position of the column in the catalog's order.
    pub position: usize,
    /// The type.
    pub column_type: ColumnType,
}

impl TableView {
    /// Creates a view of columns, given in the catalog's order. The time column may be included or not.
    pub fn new<N: AsRef<str>>(columns: impl IntoIterator<Item = (N, ColumnType)>) -> Self {
        let mut view = Self::default();
        for (position, (name, column_type)) in columns.into_iter().enumerate() {
            view.add(name.as_ref(), position, column_type);
        }
        view
    }

    /// Adds a new column at a position of the catalog's order. The time column is left out.
    pub fn add(&mut self, name: &str, position: usize, column_type: ColumnType) {
        if column_type == ColumnType::Time {
            return;
        }
        self.tags += usize::from(column_type == ColumnType::Tag);
        let column = ColumnView { position, column_type };
        self.columns.insert(name.as_bytes().into(), column);
    }

    /// Adds a former name of a column, which still stands for it.
    pub fn add_alias(&mut self, alias: &str, name: &str) {
        self.aliases.insert(alias.as_bytes().into(), name.into());
    }

    /// Returns whether a column has an alias.
    pub fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// Returns the present name of the column that has this alias; `None` if it is none.
    pub fn present_name(&self, alias: &[u8]) -> Option<&str> {
        self.aliases.get(alias).map(|name| &**name)
    }

    /// Returns a tag or field by its name or an alias. A name that is not UTF-8 has none.
    pub fn column(&self, name: &[u8]) -> Option<ColumnView> {
        let known = self.columns.get(name);
        let aliased = || self.columns.get(self.present_name(name)?.as_bytes());
        known.or_else(aliased).copied()
    }

    /// Returns the type of a tag or field.
    pub fn column_type(&self, name: &str) -> Option<ColumnType> {
        self.column(name.as_bytes()).map(|column| column.column_type)
    }

    /// Returns the position of a tag or field in the catalog's order.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.column(name.as_bytes()).map(|column| column.position)
    }

    /// Returns the number of tags.
    pub fn tags(&self) -> usize {
        self.tags
    }

    /// Returns the number of tags and fields.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }
}

impl fmt::Debug for TableView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut columns: Vec<_> = self.columns.iter().collect();
        columns.sort_by_key(|(_, column)| column.position);
        f.debug_map()
            .entries(
                columns
                    .iter()
                    .map(|(name, column)| (String::from_utf8_lossy(name), column.column_type)),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_stands_for_its_column_and_is_not_counted() {
        let mut view = TableView::new([("load", ColumnType::Float)]);
        view.add_alias("usage", "load");
        assert_eq!(view.column(b"usage"), view.column(b"load"));
        assert_eq!(view.present_name(b"usage"), Some("load"));
        assert_eq!((view.present_name(b"load"), view.columns()), (None, 1));
    }
}
