//! Stores rows of record batches for other functions.

use async_trait::async_trait;
use neap_bucket::Stamp;
use neap_columnar::{ColumnarRows, RowWriteError, RowWriter, StoredRows};
use neap_line_protocol::{Precision, RowSource};
use neap_schema::DatabaseId;

use crate::{WriteFailure, WriteOptions, WriteService};

#[async_trait]
impl RowWriter for WriteService {
    async fn store_rows(
        &self,
        name: &str,
        database: DatabaseId,
        rows: &ColumnarRows,
        after: Option<Stamp>,
    ) -> Result<StoredRows, RowWriteError> {
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            accept_partial: false,
            after,
            only: Some(database),
            ..WriteOptions::default()
        };
        let reservation = self.reserve(rows.size_bytes()).await?;
        let accepted = self.write_rows(reservation, name, rows, options).await?;
        Ok(StoredRows {
            rows: accepted.rows,
            stamp: accepted.stamp,
        })
    }
}

impl From<WriteFailure> for RowWriteError {
    fn from(failure: WriteFailure) -> Self {
        Self {
            message: failure.to_string(),
            retry_after: failure.retry_after(),
        }
    }
}
