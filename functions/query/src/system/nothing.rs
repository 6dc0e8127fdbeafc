//! Tables that have the columns of InfluxDB 3 and no rows: what they list does not exist here.
//!
//! Files are not cut into generations of a fixed length: what is merged with what follows from the data.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
};
use datafusion::common::Result;

/// How much time the files of each generation span.
pub(super) fn generation_durations() -> Result<RecordBatch> {
    let columns = [
        ("level", DataType::UInt8),
        ("duration_seconds", DataType::UInt64),
    ];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, false));
    Ok(RecordBatch::new_empty(Arc::new(Schema::new(
        fields.to_vec(),
    ))))
}
