//! `system.generation_durations` of `_internal`: has the columns of InfluxDB 3 and no rows.
//!
//! Neap does not divide files into generations of a fixed duration. The compactor selects the files to merge by their
//! data.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
};
use datafusion::common::Result;

/// Returns the durations of the generations: no rows.
pub(super) fn generation_durations() -> Result<RecordBatch> {
    let columns = [("level", DataType::UInt8), ("duration_seconds", DataType::UInt64)];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, false));
    Ok(RecordBatch::new_empty(Arc::new(Schema::new(fields.to_vec()))))
}
