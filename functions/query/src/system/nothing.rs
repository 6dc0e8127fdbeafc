//! Tables that have the columns of InfluxDB 3 and no rows: what they list does not exist here.
//!
//! There are no plugins yet. And files are not cut into generations of a fixed length: what is merged with what
//! follows from the data.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use datafusion::common::Result;

fn empty<const N: usize>(columns: [(&str, DataType); N]) -> Result<RecordBatch> {
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, false));
    Ok(RecordBatch::new_empty(Arc::new(Schema::new(
        fields.to_vec(),
    ))))
}

/// The triggers of a database.
pub(super) fn triggers() -> Result<RecordBatch> {
    empty([
        ("trigger_name", DataType::Utf8),
        ("plugin_filename", DataType::Utf8),
        ("trigger_specification", DataType::Utf8),
        ("disabled", DataType::Boolean),
        ("error_behavior", DataType::Utf8),
    ])
}

/// What the triggers of a database are called with.
pub(super) fn trigger_arguments() -> Result<RecordBatch> {
    empty([
        ("trigger_name", DataType::Utf8),
        ("argument_key", DataType::Utf8),
        ("argument_value", DataType::Utf8),
    ])
}

/// What plugins logged.
pub(super) fn logs() -> Result<RecordBatch> {
    empty([
        (
            "event_time",
            DataType::Timestamp(TimeUnit::Nanosecond, None),
        ),
        ("trigger_name", DataType::Utf8),
        ("log_level", DataType::Utf8),
        ("log_text", DataType::Utf8),
    ])
}

/// The files of plugins.
pub(super) fn plugin_files() -> Result<RecordBatch> {
    empty([
        ("plugin_name", DataType::Utf8),
        ("file_name", DataType::Utf8),
        ("file_path", DataType::Utf8),
        ("size_bytes", DataType::Int64),
        ("last_modified", DataType::Int64),
    ])
}

/// How much time the files of each generation span.
pub(super) fn generation_durations() -> Result<RecordBatch> {
    empty([
        ("level", DataType::UInt8),
        ("duration_seconds", DataType::UInt64),
    ])
}
