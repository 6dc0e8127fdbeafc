//! The limits on new tables and columns, and on the cells of a request.

use neap_schema::{AutoCreate, ColumnType, CreationRefused};
use thiserror::Error;

use crate::line_protocol::TableView;

/// The columns that a table may have, including existing columns, and the tables and columns that may be new.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchemaLimits {
    /// Maximum number of tags and fields together; `time` does not count. `None` is no limit.
    pub max_columns_per_table: Option<usize>,
    /// Maximum number of tags; `None` is no limit.
    pub max_tags_per_table: Option<usize>,
    /// The tables and columns that may be created.
    pub auto_create: AutoCreate,
}

impl SchemaLimits {
    /// Checks whether a table that does not exist may be created.
    pub(crate) fn check_new_table(
        &self,
        table: impl FnOnce() -> String,
    ) -> Result<(), CreationRefused> {
        if self.auto_create.allows_tables() {
            return Ok(());
        }
        Err(CreationRefused { table: table(), column: None, auto_create: self.auto_create })
    }

    /// Checks whether a column may be added to an existing table.
    pub(crate) fn check_new_column(
        &self,
        table: impl FnOnce() -> String,
        column: impl FnOnce() -> String,
    ) -> Result<(), CreationRefused> {
        if self.auto_create.allows_columns() {
            return Ok(());
        }
        Err(CreationRefused {
            table: table(),
            column: Some(column()),
            auto_create: self.auto_create,
        })
    }
}

/// A limit on the number of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimit {
    /// The number of existing tables, including those of other databases.
    pub count: usize,
    /// The maximum number of tables.
    pub limit: usize,
}

impl TableLimit {
    /// Checks whether a request that creates `new_tables` may create another one.
    pub(crate) fn check(self, new_tables: usize) -> Result<(), LimitExceeded> {
        let (count, limit) = (self.count + new_tables, self.limit);
        if count >= limit {
            return Err(LimitExceeded::Tables { count, limit });
        }
        Ok(())
    }
}

/// A limit that a row exceeds. The texts are those of InfluxDB 3, except for the last one.
#[derive(Clone, Debug, PartialEq, Error)]
pub(crate) enum LimitExceeded {
    #[error("Update to schema would exceed number of columns per table limit of {0} columns")]
    Columns(usize),
    #[error("Update to schema would exceed number of tag columns per table limit of {0} columns")]
    Tags(usize),
    #[error(
        "Update to schema would exceed number of tables limit: attempted to create table but already have {count} table(s) (limit: {limit})"
    )]
    Tables { count: usize, limit: usize },
    #[error(
        "Update would exceed the limit of {0} cells (rows times columns) per write, use smaller writes"
    )]
    Cells(usize),
}

/// The numbers of columns that a request adds to a table.
#[derive(Debug, Default)]
pub(crate) struct NewColumns {
    columns: usize,
    tags: usize,
}

impl NewColumns {
    pub(crate) fn add(&mut self, column_type: ColumnType) {
        self.columns += 1;
        self.tags += usize::from(column_type == ColumnType::Tag);
    }

    pub(crate) fn remove(&mut self, column_type: ColumnType) {
        self.columns -= 1;
        self.tags -= usize::from(column_type == ColumnType::Tag);
    }

    /// Checks whether one more column may be added. `view` is the existing table.
    pub(crate) fn check(
        &self,
        view: Option<&TableView>,
        column_type: ColumnType,
        limits: &SchemaLimits,
    ) -> Result<(), LimitExceeded> {
        let (columns, tags) = view.map_or((0, 0), |view| (view.columns(), view.tags()));
        if let Some(limit) = limits.max_columns_per_table
            && columns + self.columns >= limit
        {
            return Err(LimitExceeded::Columns(limit));
        }
        if let Some(limit) = limits.max_tags_per_table
            && column_type == ColumnType::Tag
            && tags + self.tags >= limit
        {
            return Err(LimitExceeded::Tags(limit));
        }
        Ok(())
    }
}
