//! Columns in types that every reader of Arrow knows.
//!
//! Not all readers know the string views that DataFusion returns for a few expressions, and batches of one result have different
//! dictionaries. The metadata of the columns still tells which are tags.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};

/// The columns of a result with plain types.
#[derive(Clone, Debug)]
pub struct PlainColumns {
    schema: SchemaRef,
    /// Whether any column must be converted.
    converts: bool,
}

impl PlainColumns {
    /// Returns these columns without dictionaries and views.
    pub fn from_columns(columns: &Schema) -> Self {
        Self::new(columns, false)
    }

    /// Returns these columns without views, for a writer that knows dictionaries.
    pub fn with_dictionaries(columns: &Schema) -> Self {
        Self::new(columns, true)
    }

    fn new(columns: &Schema, keeps_dictionaries: bool) -> Self {
        let fields = columns.fields().iter().map(|field| plain_field(field, keeps_dictionaries));
        let metadata = columns.metadata().clone();
        let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata);
        Self {
            converts: schema.fields() != columns.fields(),
            schema: Arc::new(schema),
        }
    }

    /// The schema, with the metadata of the original columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns rows with plain types.
    ///
    /// # Errors
    /// The batch has other columns.
    pub fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        if !self.converts {
            return Ok(batch.clone());
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

fn plain_field(field: &FieldRef, keeps_dictionaries: bool) -> FieldRef {
    let plain = plain_type(field.data_type(), keeps_dictionaries);
    if plain == *field.data_type() {
        Arc::clone(field)
    } else {
        Arc::new(Field::clone(field).with_data_type(plain))
    }
}

fn plain_type(data_type: &DataType, keeps_dictionaries: bool) -> DataType {
    let plain = |field: &FieldRef| plain_field(field, keeps_dictionaries);
    match data_type {
        DataType::Dictionary(_, values) if !keeps_dictionaries => plain_type(values, false),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) => DataType::List(plain(field)),
        DataType::LargeList(field) => DataType::LargeList(plain(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(plain(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
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
        let dictionary =
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View));
        let fields = vec![
            Field::new("v", DataType::Utf8View, true),
            Field::new("i", DataType::Int64, true).with_metadata(metadata.clone().into()),
            Field::new_list("l", Field::new_list_field(DataType::Utf8View, true), true),
            Field::new("d", dictionary.clone(), true),
        ];
        let columns = Schema::new_with_metadata(fields, metadata.clone().into());
        let plain = PlainColumns::with_dictionaries(&columns);
        let schema = plain.schema();
        assert_eq!(schema.metadata(), &metadata.clone().into());
        assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
        assert_eq!(schema.field(1).metadata(), &metadata.into());
        let list = DataType::new_list(DataType::Utf8, true);
        assert_eq!(schema.field(2).data_type(), &list);
        assert_eq!(schema.field(3).data_type(), &dictionary);
        let without = PlainColumns::from_columns(&columns);
        assert_eq!(without.schema().field(3).data_type(), &DataType::Utf8);
    }

    #[test]
    fn values_stay_the_same() {
        let columns: [(&str, ArrayRef); 2] = [
            ("v", Arc::new(StringViewArray::from(vec![Some("a"), None]))),
            ("i", Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let plain = PlainColumns::from_columns(batch.schema_ref());
        let converted = plain.convert(&batch).unwrap();
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        assert_eq!(converted.column(0), &texts);
    }
}
