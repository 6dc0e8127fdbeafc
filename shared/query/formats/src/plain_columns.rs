//! Columns without dictionaries and views, for readers outside of Neap.
//!
//! Batches of one result have different dictionaries, and not all readers know views. The metadata of the columns still
//! tells which are tags.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};

/// The columns of a result with plain types.
#[derive(Clone, Debug)]
pub(crate) struct PlainColumns(SchemaRef);

impl PlainColumns {
    /// Returns these columns with plain types.
    pub(crate) fn from_columns(columns: &Schema) -> Self {
        let fields: Vec<_> = columns.fields().iter().map(plain_field).collect();
        let schema = Schema::new_with_metadata(fields, columns.metadata().clone());
        Self(Arc::new(schema))
    }

    /// The schema.
    pub(crate) fn schema(&self) -> &Schema {
        &self.0
    }

    /// Returns rows with plain types.
    ///
    /// # Errors
    /// The batch has other columns.
    pub(crate) fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.0.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(Arc::clone(column))
                } else {
                    cast(column, field.data_type())
                }
            })
            .collect::<Result<_, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.0), columns)
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let plain = plain_type(field.data_type());
    if plain == *field.data_type() {
        Arc::clone(field)
    } else {
        Arc::new(Field::clone(field).with_data_type(plain))
    }
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) => DataType::List(plain_field(field)),
        DataType::LargeList(field) => DataType::LargeList(plain_field(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(plain_field(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}
