//! Stores rows of record batches for other functions.

use async_trait::async_trait;
use neap_bucket::{ClockReading, Stamp};
use neap_rows::{
    columnar::{ColumnarRows, RowWriteError, RowWriter, StoredRows},
    line_protocol::{Precision, RowSource},
};
use neap_schema::DatabaseId;

use crate::{AcceptedWrite, WriteFailure, WriteOptions, WriteService};

#[async_trait]
impl RowWriter for WriteService {
    async fn store_rows(
        &self,
        name: &str,
        database: DatabaseId,
        rows: &ColumnarRows,
        after: Option<Stamp>,
    ) -> Result<StoredRows, RowWriteError> {
        let reservation = self.reserve(rows.size_bytes()).await?;
        let options = options(database, after);
        let accepted = self.write_rows(reservation, name, rows, options).await?;
        Ok(stored(accepted))
    }

    async fn store_arrived_rows(
        &self,
        name: &str,
        database: DatabaseId,
        rows: &ColumnarRows,
        after: Option<Stamp>,
        arrived: ClockReading,
    ) -> Result<StoredRows, RowWriteError> {
        let reservation = self.reserve(rows.size_bytes()).await?;
        let options = options(database, after);
        let accepted = self.write_arrived_rows(reservation, arrived, name, rows, options);
        Ok(stored(accepted.await?))
    }
}

/// Returns the options of writes to a database, all rows of which must be accepted.
fn options(database: DatabaseId, after: Option<Stamp>) -> WriteOptions {
    WriteOptions {
        precision: Precision::Nanosecond,
        accept_partial: false,
        after,
        only: Some(database),
        ..WriteOptions::default()
    }
}

fn stored(accepted: AcceptedWrite) -> StoredRows {
    StoredRows { rows: accepted.rows, stamp: accepted.stamp }
}

impl From<WriteFailure> for RowWriteError {
    fn from(failure: WriteFailure) -> Self {
        Self {
            message: failure.to_string(),
            retry_after: failure.retry_after(),
        }
    }
}
