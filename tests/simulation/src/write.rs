//! The requests of clients: writes, sent as line protocol through the write function, and row deletes.

use std::time::Duration;

use neap_bucket::{Stamp, WriteOrder};
use neap_catalog::ANY_AGE;
use neap_row_delete::{
    Condition, DeleteRowsError, DeleteRowsErrorKind, Predicate, RowDelete, RowDeleter,
};
use neap_schema::DatabaseId;
use neap_write::{
    DeleteFailure, DeleteOptions, Precision, RowSelection, WriteFailure, WriteOptions,
};

use crate::{
    instance::{DATABASE, DATABASE_NAME, Instance},
    rows::{Fields, Row, TABLE, TAG, WITNESS, WITNESSES, shared_point, witness_time},
};

/// The content of a write: rows of the shared points, and its witness.
#[derive(Clone, Debug)]
pub(crate) struct GeneratedWrite {
    pub(crate) request: u64,
    /// The table of the shared points.
    pub(crate) table: &'static str,
    /// Shared points and fields; the values are unique.
    pub(crate) cells: Vec<(usize, &'static str)>,
    /// Whether the write adds a new column.
    pub(crate) new_column: bool,
    pub(crate) order: WriteOrder,
}

impl GeneratedWrite {
    /// Returns a write of one cell.
    pub(crate) fn new(request: u64, point: usize, field: &'static str) -> Self {
        Self {
            request,
            table: TABLE,
            cells: vec![(point, field)],
            new_column: false,
            order: WriteOrder::Clock,
        }
    }

    pub(crate) fn value(&self, cell: usize) -> i64 {
        100 * i64::try_from(self.request).unwrap() + i64::try_from(cell).unwrap()
    }

    /// Returns the rows, each with its table.
    pub(crate) fn rows(&self) -> Vec<(&'static str, Row)> {
        let mut rows: Vec<(&'static str, Row)> = Vec::new();
        for (cell, (point, field)) in self.cells.iter().enumerate() {
            let mut fields = Fields::from([((*field).to_owned(), self.value(cell))]);
            if self.new_column && cell == 0 {
                fields.insert(format!("f{}", self.request), self.value(cell));
            }
            rows.push((self.table, (shared_point(*point), fields)));
        }
        rows.push((WITNESSES, witness(self.request, self.value(0))));
        rows
    }

    /// Returns the rows as line protocol.
    fn body(&self) -> String {
        let rows = self.rows();
        rows.iter().map(|(table, row)| line(table, row)).collect()
    }
}

/// Returns a row as a line of line protocol.
pub(crate) fn line(table: &str, ((host, time), fields): &Row) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}i")).collect();
    format!("{table},{TAG}={host} {} {time}\n", fields.join(","))
}

/// Returns the witness of a request, with this value.
pub(crate) fn witness(request: u64, value: i64) -> Row {
    let point = (WITNESS.to_owned(), witness_time(request));
    (point, Fields::from([("id".to_owned(), value)]))
}

/// The prefix of a host that identifies the request of a delete. No row has such a host.
const DELETE_HOST_PREFIX: &str = "erased by ";

/// Returns the host that identifies the request of a delete.
pub(crate) fn deleting_host(request: u64) -> String {
    format!("{DELETE_HOST_PREFIX}{request}")
}

/// The rows that a client deletes.
#[derive(Clone, Debug)]
pub(crate) struct GeneratedDelete {
    pub(crate) request: u64,
    /// The table; `None` deletes from all tables with the tag, with one stamp.
    pub(crate) table: Option<&'static str>,
    pub(crate) hosts: Vec<&'static str>,
    /// The first and the last time, both included.
    pub(crate) times: (i64, i64),
}

impl GeneratedDelete {
    /// Returns the values of the tag: the hosts, and the value that identifies the request.
    fn names(&self) -> impl Iterator<Item = String> + '_ {
        let hosts = self.hosts.iter().map(|host| (*host).to_owned());
        hosts.chain([deleting_host(self.request)])
    }

    /// Returns the rows as the planned condition of an SQL `DELETE`.
    fn condition(&self) -> Condition {
        let host = |value: String| Condition::Tag { name: TAG.to_owned(), value: Some(value) };
        let (min, max) = self.times;
        Condition::All(vec![
            Condition::Time { min, max },
            Condition::Any(self.names().map(host).collect()),
        ])
    }

    /// Returns the rows as the selection of a request to the delete endpoints.
    fn selection(&self) -> RowSelection {
        let hosts: Vec<_> = self.names().map(|name| format!("{TAG} = '{name}'")).collect();
        let (min_time, max_time) = self.times;
        RowSelection {
            table: self.table.map(str::to_owned),
            predicate: Predicate::parse(&hosts.join(" OR ")).unwrap(),
            min_time,
            max_time,
        }
    }
}

/// Returns the request that sent this delete.
pub(crate) fn deleting_request(condition: &Condition) -> Option<u64> {
    match condition {
        Condition::Time { .. } => None,
        Condition::Tag { value, .. } => {
            value.as_deref()?.strip_prefix(DELETE_HOST_PREFIX)?.parse().ok()
        }
        Condition::All(parts) | Condition::Any(parts) => parts.iter().find_map(deleting_request),
    }
}

impl Instance {
    /// Writes to the first database, ordered after a stamp if one is given.
    pub(crate) async fn write(
        &self,
        content: &GeneratedWrite,
        after: Option<Stamp>,
    ) -> Result<Stamp, WriteFailure> {
        self.write_to(DATABASE_NAME, content, after).await
    }

    /// Writes to a database.
    pub(crate) async fn write_to(
        &self,
        database: &str,
        content: &GeneratedWrite,
        after: Option<Stamp>,
    ) -> Result<Stamp, WriteFailure> {
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            after,
            order: content.order,
            ..WriteOptions::default()
        };
        let accepted = self.writer.write(database, content.body().into(), options).await?;
        Ok(accepted.stamp.unwrap())
    }

    /// Deletes rows, ordered after a stamp if one is given. Returns `None` if the table or its tag does not exist: a
    /// concurrent write that adds a column recreates a dropped table with only that column, and adds the others in a
    /// second commit.
    pub(crate) async fn erase(
        &self,
        erasure: &GeneratedDelete,
        after: Option<Stamp>,
    ) -> Result<Option<Stamp>, DeleteRowsError> {
        let database = (DATABASE, DATABASE_NAME.to_owned());
        self.erase_from(&database, erasure, after).await
    }

    /// Deletes rows of a database. Every other request addresses the database by name, as the delete endpoints do; the
    /// others by id, as SQL does.
    pub(crate) async fn erase_from(
        &self,
        (database, name): &(DatabaseId, String),
        erasure: &GeneratedDelete,
        after: Option<Stamp>,
    ) -> Result<Option<Stamp>, DeleteRowsError> {
        if erasure.request.is_multiple_of(2) {
            return self.erase_by_id(*database, erasure, after).await;
        }
        let selection = erasure.selection();
        let options = DeleteOptions { after, ..DeleteOptions::default() };
        match self.writer.delete_rows(name, &selection, options).await {
            Ok(deleted) => Ok(deleted.stamp),
            Err(DeleteFailure::NoTable(_) | DeleteFailure::NoTag { .. }) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn erase_by_id(
        &self,
        database: DatabaseId,
        erasure: &GeneratedDelete,
        after: Option<Stamp>,
    ) -> Result<Option<Stamp>, DeleteRowsError> {
        let arrived = self.bucket.world().clock_reading();
        // `None` means all tables that exist when the request arrives.
        let max_age = match erasure.table {
            Some(_) => ANY_AGE,
            None => Duration::ZERO,
        };
        let catalog =
            self.catalog
                .database(database, max_age)
                .await
                .map_err(|error| DeleteRowsError {
                    message: error.to_string(),
                    kind: DeleteRowsErrorKind::Unavailable,
                    retry_after: None,
                    stamp: None,
                })?;
        let tables = catalog
            .value
            .tables()
            .filter(|table| erasure.table.is_none_or(|name| table.is_named(name)));
        let deletes: Vec<_> = tables
            .filter(|table| table.column(TAG).is_some())
            .map(|table| RowDelete { table: table.id(), condition: erasure.condition() })
            .collect();
        if deletes.is_empty() {
            return Ok(None);
        }
        // The trait method for conditions, not the service's own method for selections.
        let deleter: &dyn RowDeleter = &*self.writer;
        let stamp = deleter.delete_rows(database, deletes, arrived, after);
        Ok(Some(stamp.await?))
    }
}
