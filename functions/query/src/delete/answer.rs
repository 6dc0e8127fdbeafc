//! The answer to a `DELETE` statement.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, UInt64Array},
    datatypes::{DataType, Field, Schema},
};
use neap_bucket::Stamp;

use crate::{QueryError, Rows};

/// Returns the columns of the answer to a delete.
pub(crate) fn deleted_schema() -> Schema {
    Schema::new(vec![Field::new("stamp", DataType::UInt64, false)])
}

/// Returns the answer to a delete: one row with its stamp.
pub(crate) fn deleted(stamp: Stamp) -> Result<Rows, QueryError> {
    let column = Arc::new(UInt64Array::from_value(stamp.as_u64(), 1));
    let rows = RecordBatch::try_new(Arc::new(deleted_schema()), vec![column])
        .map_err(|error| QueryError::Execution(error.into()))?;
    Ok(Rows { deleted_at: Some(stamp), ..Rows::from_batch(rows) })
}
