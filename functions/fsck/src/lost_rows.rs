//! The rows that are lost with damaged objects.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use neap_catalog::DatabaseCatalog;
use neap_manifest::LostRows;
use neap_schema::DatabaseId;
use serde::Serialize;

use crate::references::table_names;

/// The lost rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostTable {
    /// The name of the table.
    pub table: String,
    /// Number of rows.
    pub rows: u64,
    /// The earliest time of a row, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time of a row, in nanoseconds since the Unix epoch.
    pub max_time: i64,
}

impl LostTable {
    pub(crate) fn new(rows: &LostRows, catalog: &DatabaseCatalog) -> Self {
        Self {
            table: table_names(catalog, rows),
            rows: rows.rows,
            min_time: rows.min_time,
            max_time: rows.max_time,
        }
    }
}

impl fmt::Display for LostTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, last] = [self.min_time, self.max_time].map(|time| {
            DateTime::from_timestamp_nanos(time).to_rfc3339_opts(SecondsFormat::AutoSi, true)
        });
        let (rows, table) = (self.rows, &self.table);
        write!(f, "{rows} rows of table {table:?} from {first} to {last}")
    }
}

/// A damaged object and the rows that are lost with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostObject {
    /// The database.
    pub database: String,
    /// The id of the database.
    #[serde(skip)]
    pub id: DatabaseId,
    /// The object, with the first byte for a section or page.
    pub object: String,
    /// The lost rows by table.
    pub tables: Vec<LostTable>,
    /// Whether the rows are taken from the damaged header of a segment. Such a segment may also have contained row
    /// deletes.
    pub is_claim: bool,
    /// Whether the object is quarantined now.
    pub quarantined: bool,
}

impl LostObject {
    /// Describes the lost rows.
    pub fn rows(&self) -> String {
        let tables: Vec<_> = self.tables.iter().map(ToString::to_string).collect();
        match (self.is_claim, tables.is_empty()) {
            (true, true) => "all of its rows, which its damaged header does not list".to_owned(),
            (true, false) => {
                format!("all of its rows, according to its damaged header {}", tables.join(", "))
            }
            (false, _) => tables.join(", "),
        }
    }
}

impl fmt::Display for LostObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.quarantined {
            "quarantined"
        } else {
            "damaged"
        };
        let (object, database) = (&self.object, &self.database);
        write!(f, "{state} {object} ({database:?}): lost are {}", self.rows())
    }
}
