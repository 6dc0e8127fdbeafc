//! Columns in types that every client of Arrow reads.
//!
//! Some clients don't know the string views that DataFusion returns for a few expressions. Dictionaries are hydrated by
//! the encoder, as in InfluxDB 3.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};

/// Converts batches of one schema.
#[derive(Clone, Debug)]
pub(crate) struct PlainTypes {
    schema: SchemaRef,
    /// Whether any column must be converted.
    converts: bool,
}

impl PlainTypes {
    /// Plans the conversion of batches with these columns.
    pub(crate) fn new(columns: &SchemaRef) -> Self {
        let fields = columns.fields().iter().map(plain_field);
        let schema =
            Schema::new_with_metadata(fields.collect::<Vec<_>>(), columns.metadata().clone());
        Self {
            converts: schema.fields() != columns.fields(),
            schema: Arc::new(schema),
        }
    }

    /// The converted columns, with the metadata of the original ones.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Converts a batch.
    ///
    /// # Errors
    /// The batch has other columns.
    pub(crate) fn convert(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        if !self.converts {
            return Ok(batch);
        }
        let columns = batch.columns().iter().zip(self.schema.fields()).map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast(column, field.data_type())
            }
        });
        RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_, _>>()?)
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
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) => DataType::List(plain_field(field)),
        DataType::LargeList(field) => DataType::LargeList(plain_field(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(plain_field(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray, StringViewArray};

    use super::*;

    #[test]
    fn views_become_plain_columns_and_metadata_stay() {
        let metadata = [("k".to_owned(), "v".to_owned())];
        let fields = vec![
            Field::new("v", DataType::Utf8View, true),
            Field::new("i", DataType::Int64, true).with_metadata(metadata.clone().into()),
            Field::new_list("l", Field::new_list_field(DataType::Utf8View, true), true),
        ];
        let columns = Arc::new(Schema::new_with_metadata(fields, metadata.clone().into()));
        let plain = PlainTypes::new(&columns);
        let schema = plain.schema();
        assert_eq!(schema.metadata(), &metadata.clone().into());
        assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
        assert_eq!(schema.field(1).metadata(), &metadata.into());
        let list = DataType::new_list(DataType::Utf8, true);
        assert_eq!(schema.field(2).data_type(), &list);
    }

    #[test]
    fn values_stay_the_same() {
        let columns: [(&str, ArrayRef); 2] = [
            ("v", Arc::new(StringViewArray::from(vec![Some("a"), None]))),
            ("i", Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let plain = PlainTypes::new(batch.schema_ref());
        let converted = plain.convert(batch).unwrap();
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        assert_eq!(converted.column(0), &texts);
    }
}
