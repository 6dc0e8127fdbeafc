//! A database as a schema, for the tests of all inputs.

use std::{collections::BTreeMap, sync::Arc};

use neap_schema::ColumnType;

use crate::line_protocol::{ParsedBody, SchemaView, TableView};

/// The tables of a database. They grow with the bodies that are written.
#[derive(Debug, Default)]
pub(crate) struct TestDatabase {
    tables: BTreeMap<String, Vec<(String, ColumnType)>>,
}

impl SchemaView for TestDatabase {
    fn table(&self, name: &str) -> Option<Arc<TableView>> {
        let columns = self.tables.get(name)?;
        Some(Arc::new(TableView::new(columns.iter().cloned())))
    }
}

impl TestDatabase {
    /// Creates a database with one table.
    pub(crate) fn with_table(name: &str, columns: &[(&str, ColumnType)]) -> Self {
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Self { tables: BTreeMap::from([(name.to_owned(), columns)]) }
    }

    /// Applies the schema changes of a body, and checks that they are marked as new.
    pub(crate) fn apply(&mut self, parsed: &ParsedBody) {
        for table in &parsed.tables {
            assert_eq!(table.is_new, !self.tables.contains_key(&table.name));
            let columns = self.tables.entry(table.name.clone()).or_default();
            for (name, kind) in &table.new_columns {
                assert!(columns.iter().all(|(known, _)| known != name), "{name} is not new");
                columns.push((name.clone(), *kind));
            }
        }
    }
}
