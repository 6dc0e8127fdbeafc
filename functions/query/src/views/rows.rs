//! Collects the rows of views within a memory limit.

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
    error::ArrowError,
};
use futures::StreamExt;
use neap_formats::series::GroupKey;
use neap_rollup::{ViewDataError, ViewRows, normalize};
use neap_schema::TIME_COLUMN;

use crate::{BatchStream, QueryError};

/// Maximum size of the rows of one step of a refresh, in bytes.
const MAX_BYTES: usize = 32 << 20;

/// Maximum number of rows of one step of a refresh.
const MAX_ROWS: usize = 250_000;

/// Returns all rows of a query.
pub(super) async fn collect(mut batches: BatchStream) -> Result<Vec<RecordBatch>, ViewDataError> {
    let mut collected = Vec::new();
    let (mut bytes, mut rows) = (0_usize, 0_usize);
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| read_error(&error))?;
        bytes = bytes.saturating_add(batch.get_array_memory_size());
        rows = rows.saturating_add(batch.num_rows());
        if bytes > MAX_BYTES || rows > MAX_ROWS {
            return Err(ViewDataError::TooLarge);
        }
        if batch.num_rows() > 0 {
            collected.push(batch);
        }
    }
    Ok(collected)
}

/// Converts the error of a query.
pub(super) fn read_error(error: &QueryError) -> ViewDataError {
    match error {
        QueryError::TooManyRows { .. } | QueryError::Timeout(_) => ViewDataError::TooLarge,
        error if error.is_out_of_memory() => ViewDataError::TooLarge,
        error => ViewDataError::Failed(error.to_string()),
    }
}

/// Returns rows with these tags.
pub(super) fn view_rows(
    batches: &[RecordBatch],
    tags: Vec<String>,
) -> Result<ViewRows, ViewDataError> {
    let batches = batches
        .iter()
        .map(|batch| normalize(batch, &tags))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(&error))?;
    Ok(ViewRows { tags, batches })
}

/// Returns rows of a table. Its tags are the columns with dictionaries.
pub(super) fn stored_rows(batches: &[RecordBatch]) -> Result<ViewRows, ViewDataError> {
    let is_tag = |field: &&std::sync::Arc<Field>| matches!(field.data_type(), DataType::Dictionary(_, values) if values.is_string());
    let schema = batches.first().map(RecordBatch::schema);
    let fields = schema.iter().flat_map(|schema| schema.fields().iter());
    let tags = fields.filter(is_tag).map(|field| field.name().clone());
    view_rows(batches, tags.collect())
}

/// Returns the rows of an InfluxQL query as points: tags get the names that `GROUP BY` gives them.
pub(super) fn grouped_rows(
    batches: &[RecordBatch],
    key: &GroupKey,
) -> Result<ViewRows, ViewDataError> {
    let tags = key.tag_key_columns.iter().map(|tag| tag.tag_key.clone());
    let batches = batches
        .iter()
        .map(|batch| renamed(batch, key))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(&error))?;
    view_rows(&batches, tags.collect())
}

fn renamed(batch: &RecordBatch, key: &GroupKey) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (index, (field, values)) in
        batch.schema_ref().fields().iter().zip(batch.columns()).enumerate()
    {
        let mut tags = key.tag_key_columns.iter();
        let tag = tags.find(|tag| tag.column_index as usize == index);
        let name = match tag {
            Some(tag) => &tag.tag_key,
            None if index == key.measurement_column_index as usize => continue,
            None => field.name(),
        };
        // Without GROUP BY time(), a row has no time.
        let is_time = name == TIME_COLUMN;
        let is_nullable = !is_time;
        fields.push(Field::new(name, values.data_type().clone(), is_nullable));
        columns.push(std::sync::Arc::clone(values));
    }
    RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns)
}

fn failed(error: &ArrowError) -> ViewDataError {
    ViewDataError::Failed(error.to_string())
}
