//! The parser's view of existing tables.

use std::{fmt, sync::Arc};

use hashbrown::HashMap;
use neap_schema::ColumnType;

/// The existing tables of a database.
pub trait SchemaView {
    /// Returns the columns of a table, or `None` if there is no such table.
    ///
    /// Called once for each table that a body names.
    fn table(&self, name: &str) -> Option<Arc<TableView>>;
}

/// The columns of a table.
pub struct TableView {
    columns: HashMap<Box<[u8]>, ExistingColumn, ahash::RandomState>,
    tags: usize,
    fields: usize,
}

/// A column of an existing table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExistingColumn {
    /// The position of the column in the catalog's order.
    pub(crate) position: usize,
    pub(crate) column_type: ColumnType,
}

impl TableView {
    /// Creates a view of columns, given in the catalog's order. The time column may be included or not.
    pub fn new<N: AsRef<str>>(columns: impl IntoIterator<Item = (N, ColumnType)>) -> Self {
        let mut view = Self {
            columns: HashMap::default(),
            tags: 0,
            fields: 0,
        };
        for (position, (name, column_type)) in columns.into_iter().enumerate() {
            match column_type {
                ColumnType::Time => continue,
                ColumnType::Tag => view.tags += 1,
                _ => view.fields += 1,
            }
            view.columns.insert(
                name.as_ref().as_bytes().into(),
                ExistingColumn {
                    position,
                    column_type,
                },
            );
        }
        view
    }

    /// Returns the type of a tag or field.
    pub fn column_type(&self, name: &str) -> Option<ColumnType> {
        self.column(name.as_bytes())
            .map(|column| column.column_type)
    }

    /// Returns the position of a tag or field in the catalog's order.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.column(name.as_bytes()).map(|column| column.position)
    }

    pub(crate) fn column(&self, name: &[u8]) -> Option<ExistingColumn> {
        self.columns.get(name).copied()
    }

    /// Returns the number of tags.
    pub fn tags(&self) -> usize {
        self.tags
    }

    /// Returns the number of tags and fields.
    pub fn columns(&self) -> usize {
        self.tags + self.fields
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
