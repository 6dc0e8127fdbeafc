//! What clients write, as line protocol through the write function.

use neap_bucket::Stamp;
use neap_write::{Precision, WriteFailure, WriteOptions};

use crate::{
    instance::{DATABASE_NAME, Instance},
    rows::{Fields, Row, TAG, WITNESS, shared_point, witness_time},
};

/// The only table.
pub(crate) const TABLE: &str = "t";

/// What a client sends: one or two rows of the shared points, and its witness.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) request: u64,
    /// Shared points and fields; the values are unique.
    pub(crate) cells: Vec<(usize, &'static str)>,
    /// A column that nobody had before.
    pub(crate) new_column: bool,
}

impl Content {
    /// Rows of one cell.
    pub(crate) fn of(request: u64, point: usize, field: &'static str) -> Self {
        Self {
            request,
            cells: vec![(point, field)],
            new_column: false,
        }
    }

    /// The value of a cell.
    pub(crate) fn value(&self, cell: usize) -> i64 {
        10 * i64::try_from(self.request).unwrap() + i64::try_from(cell).unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for (cell, (point, field)) in self.cells.iter().enumerate() {
            let mut fields = Fields::from([((*field).to_owned(), self.value(cell))]);
            if self.new_column && cell == 0 {
                fields.insert(format!("f{}", self.request), self.value(cell));
            }
            rows.push((shared_point(*point), fields));
        }
        let witness = (WITNESS.to_owned(), witness_time(self.request));
        rows.push((witness, Fields::from([("id".to_owned(), self.value(0))])));
        rows
    }

    /// The rows as line protocol.
    fn body(&self) -> String {
        let line = |((host, time), fields): Row| {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{name}={value}i"))
                .collect();
            format!("{TABLE},{TAG}={host} {} {time}\n", fields.join(","))
        };
        self.rows().into_iter().map(line).collect()
    }
}

impl Instance {
    /// Writes, ordered after a stamp if one is given.
    pub(crate) async fn write(
        &self,
        content: &Content,
        after: Option<Stamp>,
    ) -> Result<Stamp, WriteFailure> {
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            after,
            ..WriteOptions::default()
        };
        let accepted = self
            .writer
            .write(DATABASE_NAME, content.body().into(), options)
            .await?;
        Ok(accepted.stamp.unwrap())
    }
}
