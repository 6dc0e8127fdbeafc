//! Materialized views: queries over windows of time whose rows are stored in a table.
//!
//! A continuous query of InfluxQL is a materialized view, too.

use std::time::Duration;

use neap_bucket::StoreTime;
use neap_schema::{DatabaseId, ViewId};
use serde::{Deserialize, Serialize};

use crate::{Actor, CatalogError};

/// The language of the query of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewLanguage {
    /// SQL: `CREATE MATERIALIZED VIEW`.
    Sql,
    /// InfluxQL: `CREATE CONTINUOUS QUERY`.
    InfluxQl,
}

impl ViewLanguage {
    /// Returns the name in `system.materialized_views`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::InfluxQl => "influxql",
        }
    }
}

/// The table whose rows a view stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewTarget {
    /// The database; `None`: the database of the view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<ViewTargetDatabase>,
    /// The name of the table.
    pub table: String,
}

/// The database of the table of a view, if it is not that of the view. A database that is created later with the same name
/// is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewTargetDatabase {
    /// The id.
    pub id: DatabaseId,
    /// The name, by which a restored database takes the place of a dropped one.
    pub name: String,
}

/// The windows of a view. A window begins at a multiple of the length after the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewWindows {
    /// The length in nanoseconds, above zero.
    pub length_ns: i64,
    /// The start of one window, in nanoseconds since the Unix epoch.
    pub origin_ns: i64,
}

impl ViewWindows {
    /// Returns windows of this length, one of which starts at the Unix epoch.
    pub const fn since_epoch(length_ns: i64) -> Self {
        Self { length_ns, origin_ns: 0 }
    }
}

/// A materialized view of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterializedView {
    /// The id, never reused.
    pub id: ViewId,
    /// The name, unique in the database.
    pub name: String,
    /// The database in which the view was created. In a restored database, the view has another one.
    pub created_in: DatabaseId,
    /// When it was created, by the store's clock.
    pub created: StoreTime,
    /// The token or user that created it. A view writes to another database only as long as its creator may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Actor>,
    /// The language of the query.
    pub language: ViewLanguage,
    /// The query, without the clauses that define its target and schedule.
    pub query: String,
    /// The name of the table that the query reads.
    pub source: String,
    /// The table that gets the rows.
    pub target: ViewTarget,
    /// The windows by which the query groups.
    pub windows: ViewWindows,
    /// The tags of the rows; `None`: those by which the query groups when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Minimum time between two refreshes (`RESAMPLE EVERY`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// The period of `RESAMPLE FOR`, which `SHOW CONTINUOUS QUERIES` shows. It has no effect, because a view computes
    /// all windows whose rows change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resampled_period: Option<Duration>,
}

impl MaterializedView {
    /// Returns the table in the same database that gets the rows; `None` if it is in another database.
    pub(crate) fn local_target(&self) -> Option<&str> {
        match &self.target.database {
            None => Some(&self.target.table),
            Some(_) => None,
        }
    }

    /// Returns the approximate memory size, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let tags = self.tags.iter().flatten().map(String::len);
        let database = match &self.target.database {
            Some(database) => database.name.len(),
            None => 0,
        };
        size_of::<Self>()
            + self.name.len()
            + self.query.len()
            + self.source.len()
            + self.target.table.len()
            + database
            + tags.sum::<usize>()
    }
}

/// A view of another database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewReference {
    /// The database of the view.
    pub database: DatabaseId,
    /// The name of the view, unique in its database.
    pub view: String,
}

impl ViewReference {
    /// Returns the error of another view with the same table. It does not name this view or its database, because the
    /// creator of the other one may not know them.
    pub(crate) fn conflict(&self, table: &str) -> CatalogError {
        CatalogError::InvalidView {
            reason: format!(
                "table '{table}' gets the rows of a continuous query of another database"
            ),
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.view.len()
    }
}

/// Returns the id of the first view in a database.
pub(crate) fn first_id() -> ViewId {
    ViewId::new(1)
}

pub(crate) fn is_first_id(id: &ViewId) -> bool {
    *id == first_id()
}
