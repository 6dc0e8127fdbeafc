//! Encodes the rows of an answer.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    compute::cast,
    datatypes::{Field, Schema, SchemaRef},
};
use bytes::BytesMut;
use futures::{StreamExt, stream::Fuse};
use neap_query::{BatchStream, Rows};
use neap_schema::COLUMN_TYPE_METADATA_KEY;
use neap_sql_changes::{SqlError, SqlState};
use pgwire::{
    api::results::FieldInfo,
    error::PgWireResult,
    messages::{copy::MESSAGE_TYPE_BYTE_COPY_DATA, data::MESSAGE_TYPE_BYTE_DATA_ROW},
};
use tokio_util::sync::CancellationToken;

use crate::{
    column_encoder::{ColumnEncoder, put_row},
    columns::{columns, plain_list},
    copy_out::CopyEncoder,
    error_response::encoding_error,
    wire::Wire,
};

/// The messages in which rows are sent, one for each row: clients take each message of a `COPY` for a row, too.
#[derive(Debug)]
pub(crate) enum RowMessages<'a> {
    /// The rows of a query.
    Data,
    /// The rows of a `COPY`.
    Copy(&'a mut CopyEncoder),
}

impl RowMessages<'_> {
    fn message_type(&self) -> u8 {
        match self {
            Self::Data => MESSAGE_TYPE_BYTE_DATA_ROW,
            Self::Copy(_) => MESSAGE_TYPE_BYTE_COPY_DATA,
        }
    }

    fn put_row(
        &mut self,
        columns: &[ColumnEncoder<'_>],
        row: usize,
        output: &mut BytesMut,
    ) -> PgWireResult<()> {
        match self {
            Self::Data => put_row(columns, row, output),
            Self::Copy(encoder) => encoder.put_row(columns, row, output),
        }
    }
}

/// The rows of a query that a client has not received yet.
#[derive(derive_more::Debug)]
#[debug("OpenRows {{ schema: {schema:?}, .. }}")]
pub(crate) struct OpenRows {
    pub(crate) fields: Arc<Vec<FieldInfo>>,
    pub(crate) schema: SchemaRef,
    /// The columns as they are encoded.
    encoded_fields: Vec<Field>,
    batches: Fuse<BatchStream>,
    current: Option<CurrentBatch>,
    /// Cancelled when a client cancels the statement that receives the rows.
    pub(crate) cancelled: CancellationToken,
}

/// The batch in progress.
struct CurrentBatch {
    columns: Vec<ArrayRef>,
    rows: usize,
    next_row: usize,
}

impl OpenRows {
    /// Begins to encode rows.
    ///
    /// # Errors
    /// PostgreSQL has no type for a column, or the number of formats is wrong.
    pub(crate) fn new(
        rows: Rows,
        formats: &[i16],
        cancelled: CancellationToken,
    ) -> Result<Self, SqlError> {
        Ok(Self {
            fields: columns(&rows.schema, formats)?,
            encoded_fields: encoded_fields(&rows.schema),
            schema: rows.schema,
            batches: rows.batches.fuse(),
            current: None,
            cancelled,
        })
    }

    /// Changes the formats of the next rows.
    pub(crate) fn set_formats(&mut self, formats: &[i16]) -> Result<(), SqlError> {
        self.fields = columns(&self.schema, formats)?;
        Ok(())
    }

    /// Waits for the next rows. Returns whether there are any.
    ///
    /// # Errors
    /// The query failed or was cancelled.
    pub(crate) async fn wait(&mut self) -> Result<bool, SqlError> {
        while self.current.as_ref().is_none_or(|batch| batch.next_row == batch.rows) {
            self.current = None;
            let Some(batch) = self.next_batch().await? else {
                return Ok(false);
            };
            self.current = Some(CurrentBatch {
                columns: encoded_columns(&self.encoded_fields, &batch)?,
                rows: batch.num_rows(),
                next_row: 0,
            });
        }
        Ok(true)
    }

    /// Encodes rows that have arrived into the answer, until it is large. Returns their number, at most `max_rows`.
    ///
    /// # Errors
    /// A value can't be encoded. The answer has the rows before.
    pub(crate) fn put(
        &mut self,
        max_rows: usize,
        messages: &mut RowMessages<'_>,
        wire: &mut Wire,
    ) -> Result<usize, SqlError> {
        let Some(batch) = &mut self.current else {
            return Ok(0);
        };
        let encoders = encoders(&batch.columns, &self.encoded_fields, &self.fields);
        let start = batch.next_row;
        let end = batch.rows.min(start.saturating_add(max_rows));
        while batch.next_row < end && !wire.is_large() {
            wire.put_encoded(messages.message_type(), |output| {
                let encoded = messages.put_row(&encoders, batch.next_row, output);
                encoded.map_err(encoding_error)
            })?;
            batch.next_row += 1;
        }
        Ok(batch.next_row - start)
    }

    /// Returns the next batch of rows; `None` at the end.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        let next = tokio::select! {
            biased;
            () = self.cancelled.cancelled() => return Err(canceled()),
            next = self.batches.next() => next,
        };
        Ok(next.transpose()?)
    }
}

/// Returns the error of a statement that a client has cancelled.
pub(crate) fn canceled() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

/// Returns the columns as the encoder takes them. Lists of tags are lists of texts. Fields have no metadata of InfluxDB,
/// because the encoder looks for its own in that of the field of each value.
fn encoded_fields(schema: &Schema) -> Vec<Field> {
    let fields = schema.fields().iter().map(|field| {
        let mut encoded = field.as_ref().clone();
        encoded.metadata_mut().remove(COLUMN_TYPE_METADATA_KEY);
        if let Some(list) = plain_list(field.data_type()) {
            encoded.set_data_type(list);
        }
        encoded
    });
    fields.collect()
}

/// Returns the columns of a batch in the types in which they are encoded.
fn encoded_columns(fields: &[Field], batch: &RecordBatch) -> Result<Vec<ArrayRef>, SqlError> {
    let columns = batch.columns().iter().zip(fields).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            Ok(Arc::clone(column))
        } else {
            cast(column, field.data_type()).map_err(SqlError::from)
        }
    });
    columns.collect()
}

fn encoders<'a>(
    columns: &'a [ArrayRef],
    encoded_fields: &'a [Field],
    fields: &'a [FieldInfo],
) -> Vec<ColumnEncoder<'a>> {
    let described = columns.iter().zip(encoded_fields).zip(fields);
    described
        .map(|((column, encoded_field), field)| ColumnEncoder::new(column, encoded_field, field))
        .collect()
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{
            DictionaryArray, Float64Array, Int8Array, IntervalMonthDayNanoArray, ListArray,
            StringArray, TimestampNanosecondArray, UInt64Array,
        },
        buffer::OffsetBuffer,
        datatypes::{
            Float64Type, Int32Type, Int64Type, IntervalMonthDayNano, TimestampNanosecondType,
        },
    };

    use super::*;

    /// Returns the values of the rows; `None` is null.
    fn encoded(rows: &[(&str, ArrayRef)], formats: &[i16]) -> Vec<Vec<Option<Vec<u8>>>> {
        let batch = RecordBatch::try_from_iter_with_nullable(
            rows.iter().map(|(name, column)| (*name, Arc::clone(column), true)),
        )
        .unwrap();
        let fields = columns(batch.schema_ref(), formats).unwrap();
        let encoded_fields = encoded_fields(batch.schema_ref());
        let arrays = encoded_columns(&encoded_fields, &batch).unwrap();
        let encoders = encoders(&arrays, &encoded_fields, &fields);
        (0..batch.num_rows())
            .map(|row| {
                let mut output = BytesMut::new();
                put_row(&encoders, row, &mut output).unwrap();
                let (count, encoded) = output.split_at(2);
                let values: Vec<_> = crate::copy_out::values(encoded)
                    .map(|value| value.map(<[u8]>::to_vec))
                    .collect();
                assert_eq!(count, [0, u8::try_from(values.len()).unwrap()]);
                values
            })
            .collect()
    }

    #[test]
    fn values_are_text_or_binary() {
        let time = TimestampNanosecondArray::from(vec![Some(1_500_000), None]);
        let host = DictionaryArray::<Int32Type>::from_iter([Some("a"), None]);
        let day = IntervalMonthDayNano::new(0, 1, 0);
        let days = IntervalMonthDayNanoArray::from(vec![Some(day), None]);
        let values = [Some(vec![Some(1), None]), None];
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(values);
        let rows = [
            ("time", Arc::new(time) as ArrayRef),
            ("v", Arc::new(Float64Array::from(vec![Some(1.5), None])) as ArrayRef),
            ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])) as ArrayRef),
            ("host", Arc::new(host) as ArrayRef),
            ("s", Arc::new(StringArray::from(vec![Some("é"), None])) as ArrayRef),
            ("i", Arc::new(days) as ArrayRef),
            ("l", Arc::new(lists) as ArrayRef),
            ("small", Arc::new(Int8Array::from(vec![Some(-2), None])) as ArrayRef),
        ];
        let text = encoded(&rows, &[]);
        let shown: Vec<String> = text[0]
            .iter()
            .map(|value| String::from_utf8(value.clone().unwrap()).unwrap())
            .collect();
        assert_eq!(shown[0], "1970-01-01 00:00:00.0015");
        assert_eq!(&shown[1..5], ["1.5", "18446744073709551615", "a", "é"]);
        assert_eq!(&shown[6..], ["{1,NULL}", "-2"]);
        let binary = encoded(&rows, &[1]);
        assert_eq!(binary[0][1].as_deref(), Some(&1.5_f64.to_be_bytes()[..]));
        let micros: i64 = 1_500 - 946_684_800_000_000;
        assert_eq!(binary[0][0].as_deref(), Some(&micros.to_be_bytes()[..]));
        // 18446744073709551615 to the base 10,000.
        let numeric = [0, 5, 0, 4, 0, 0, 0, 0, 7, 52, 26, 88, 2, 225, 3, 187, 6, 79];
        assert_eq!(binary[0][2].as_deref(), Some(&numeric[..]));
        // Microseconds, days and months.
        let day = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(binary[0][5].as_deref(), Some(&day[..]));
        // One dimension, with nulls, of the type 20, from the index 1 on.
        let list = [
            &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 1][..],
            &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255],
        ];
        assert_eq!(binary[0][6].as_deref(), Some(&list.concat()[..]));
        assert_eq!(binary[0][7].as_deref(), Some(&[255, 254][..]));
        for encoded in [text, binary] {
            assert!(encoded[1].iter().all(Option::is_none));
        }
    }

    #[test]
    fn lists_of_tags_are_lists_of_texts() {
        let hosts = DictionaryArray::<Int32Type>::from_iter([Some("a"), None, Some("a")]);
        let field = Arc::new(Field::new_list_field(hosts.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([2, 1]);
        let lists = ListArray::new(field, offsets, Arc::new(hosts), None);
        let text = encoded(&[("l", Arc::new(lists) as ArrayRef)], &[]);
        let shown = text.concat().into_iter().map(|list| String::from_utf8(list.unwrap()).unwrap());
        assert_eq!(shown.collect::<Vec<_>>(), ["{a,NULL}", "{a}"]);
    }

    #[test]
    fn lists_of_floats_and_times_are_written_as_postgresql_does() {
        let floats = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(2.0), None])]);
        let second = [Some([Some(1_000_000_000)])];
        let times = ListArray::from_iter_primitive::<TimestampNanosecondType, _, _>(second);
        let rows =
            [("floats", Arc::new(floats) as ArrayRef), ("times", Arc::new(times) as ArrayRef)];
        let shown = encoded(&rows, &[])
            .concat()
            .into_iter()
            .map(|list| String::from_utf8(list.unwrap()).unwrap());
        let expected = ["{2,NULL}", "{\"1970-01-01 00:00:01\"}"];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }
}
