//! The schema at the start of a stream of rows.
//!
//! The message of a schema takes about half as long to build as those of a hundred rows. Tables of a request mostly share few schemas,
//! so that each thread keeps the last messages.

use std::{cell::RefCell, collections::VecDeque, sync::Arc};

use arrow_array::ArrayRef;
use arrow_ipc::{
    MetadataVersion,
    writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, write_message},
};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use neap_schema::{ColumnType, TIME_COLUMN, TableId};

use crate::EncodeError;

/// The alignment of buffers in a stream, in bytes. The minimum that Arrow allows, because a write of a few rows would
/// otherwise be mostly padding.
pub(crate) const ALIGNMENT_BYTES: usize = 8;

/// The version of the metadata of messages.
pub(crate) const METADATA_VERSION: MetadataVersion = MetadataVersion::V5;

/// Maximum number of schemas that a thread keeps.
const MAX_SCHEMAS: usize = 16;

/// Maximum size of the message of a schema that is kept, in bytes.
const MAX_KEPT_BYTES: usize = 8 << 10;

/// The types that a column may have.
const COLUMN_TYPES: [ColumnType; 7] = [
    ColumnType::Tag,
    ColumnType::Time,
    ColumnType::Float,
    ColumnType::Integer,
    ColumnType::UInteger,
    ColumnType::String,
    ColumnType::Boolean,
];

thread_local! {
    /// The schemas that this thread encoded last.
    static RECENT: RefCell<VecDeque<StreamSchema>> = RefCell::default();
}

/// The schema of a stream whose columns segments support, with its message. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct StreamSchema {
    /// The schema of the rows in memory.
    of_rows: SchemaRef,
    /// The same columns, some of them with narrower types.
    schema: SchemaRef,
    message: Arc<[u8]>,
    /// The number of columns with a dictionary.
    dictionaries: usize,
}

impl StreamSchema {
    /// Checks the schema of rows, and encodes the one of a stream with these columns, which may be narrower. Returns a known one if the
    /// schema of the rows is the same object.
    /// Fails with `Column`: segments do not support the type of a column. `Arrow`: Arrow cannot encode the schema.
    pub(crate) fn try_new(
        table: TableId,
        of_rows: &SchemaRef,
        columns: &[ArrayRef],
    ) -> Result<Self, EncodeError> {
        let is_known = |known: &&Self| Arc::ptr_eq(&known.of_rows, of_rows) && known.fits(columns);
        let known = RECENT.with_borrow(|recent| recent.iter().find(is_known).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        for field in of_rows.fields() {
            check_column(table, field)?;
        }
        let encoded = Self::encode(of_rows, columns)
            .map_err(|source| EncodeError::Arrow { table, source })?;
        if encoded.message.len() <= MAX_KEPT_BYTES {
            RECENT.with_borrow_mut(|recent| {
                recent.truncate(MAX_SCHEMAS - 1);
                recent.push_front(encoded.clone());
            });
        }
        Ok(encoded)
    }

    /// Whether the stream has columns of these types.
    fn fits(&self, columns: &[ArrayRef]) -> bool {
        let mut fields = self.schema.fields().iter().zip(columns);
        fields.all(|(field, column)| field.data_type() == column.data_type())
    }

    fn encode(of_rows: &SchemaRef, columns: &[ArrayRef]) -> Result<Self, ArrowError> {
        let fields: Vec<_> = of_rows
            .fields()
            .iter()
            .zip(columns)
            .map(|(field, column)| match column.data_type() {
                same if same == field.data_type() => Arc::clone(field),
                narrower => Arc::new(field.as_ref().clone().with_data_type(narrower.clone())),
            })
            .collect();
        let of_stream = Schema::new_with_metadata(fields, of_rows.metadata().clone());
        let schema: SchemaRef = Arc::new(of_stream);
        let options = schema_options()?;
        let mut dictionaries = DictionaryTracker::new(false);
        let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
            &schema,
            &mut dictionaries,
            &options,
        );
        let mut message = Vec::new();
        write_message(&mut message, encoded, &options)?;
        Ok(Self {
            of_rows: Arc::clone(of_rows),
            schema,
            message: message.into(),
            dictionaries: dictionaries.dict_id().len(),
        })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The message of the schema as it is at the start of a stream.
    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }

    /// Returns the dictionaries of a stream after the message of the schema.
    pub(crate) fn dictionaries(&self) -> DictionaryTracker {
        let mut dictionaries = DictionaryTracker::new(false);
        for _ in 0..self.dictionaries {
            dictionaries.next_dict_id();
        }
        dictionaries
    }
}

/// Returns the options of streams whose buffers are not compressed. The message of a schema does not depend on that.
pub(crate) fn schema_options() -> Result<IpcWriteOptions, ArrowError> {
    IpcWriteOptions::try_new(ALIGNMENT_BYTES, false, METADATA_VERSION)
}

fn check_column(table: TableId, field: &Field) -> Result<(), EncodeError> {
    let fits = |kind: &ColumnType| {
        kind.is_named_by(field)
            && *field.data_type() == kind.data_type()
            && (*kind == ColumnType::Time) == (field.name() == TIME_COLUMN)
    };
    if COLUMN_TYPES.iter().any(fits) {
        return Ok(());
    }
    let column = field.name().clone();
    Err(EncodeError::Column { table, column })
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int8Array, new_empty_array};

    use super::*;

    fn schema(columns: &[(&str, ColumnType)]) -> SchemaRef {
        let fields = columns.iter().map(|(name, kind)| kind.arrow_field(name));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn encoded(table: TableId, schema: &SchemaRef) -> Result<StreamSchema, EncodeError> {
        let fields = schema.fields().iter();
        let columns = fields.map(|field| new_empty_array(field.data_type()));
        StreamSchema::try_new(table, schema, &columns.collect::<Vec<_>>())
    }

    #[test]
    fn the_message_of_the_same_schema_is_built_once() {
        let table = TableId::new(1);
        let time = ("time", ColumnType::Time);
        let one = schema(&[("host", ColumnType::Tag), ("rack", ColumnType::Tag), time]);
        let first = encoded(table, &one).unwrap();
        let other = encoded(table, &schema(&[("v", ColumnType::Float), time])).unwrap();
        assert_ne!(first.message(), other.message());
        let again = encoded(table, &one).unwrap();
        assert!(Arc::ptr_eq(&again.message, &first.message));
        assert_eq!(again.dictionaries().dict_id(), [0, 1]);
        assert!(other.dictionaries().dict_id().is_empty());
    }

    #[test]
    fn the_same_rows_may_have_several_streams() {
        let table = TableId::new(1);
        let schema = schema(&[("v", ColumnType::Integer)]);
        let wide = encoded(table, &schema).unwrap();
        let columns: [ArrayRef; 1] = [Arc::new(Int8Array::from(vec![1]))];
        let narrow = StreamSchema::try_new(table, &schema, &columns).unwrap();
        assert_ne!(narrow.message(), wide.message());
        assert_eq!(narrow.schema().field(0).metadata(), schema.field(0).metadata());
        for (columns, first) in [
            (&columns[..], &narrow),
            (&[new_empty_array(wide.schema().field(0).data_type())], &wide),
        ] {
            let again = StreamSchema::try_new(table, &schema, columns).unwrap();
            assert!(Arc::ptr_eq(&again.message, &first.message));
        }
    }

    #[test]
    fn few_schemas_and_no_large_ones_are_kept() {
        let table = TableId::new(1);
        let long = "a".repeat(MAX_KEPT_BYTES);
        encoded(table, &schema(&[(&long, ColumnType::Float)])).unwrap();
        assert_eq!(RECENT.with_borrow(VecDeque::len), 0);
        for number in 0..100 {
            let name = number.to_string();
            encoded(table, &schema(&[(&name, ColumnType::Float)])).unwrap();
        }
        assert_eq!(RECENT.with_borrow(VecDeque::len), MAX_SCHEMAS);
    }

    #[test]
    fn a_column_of_an_unknown_type_is_refused() {
        let table = TableId::new(1);
        let schema = schema(&[("other", ColumnType::Time)]);
        assert!(matches!(
            encoded(table, &schema),
            Err(EncodeError::Column { column, .. }) if column == "other"
        ));
    }
}
