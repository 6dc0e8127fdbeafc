//! Encodes the rows of an answer.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{Int8Type, Schema, SchemaRef},
};
use arrow_pg::encoder::encode_value;
use futures::{StreamExt, stream::Fuse};
use neap_query::{BatchStream, Rows};
use neap_schema::COLUMN_TYPE_METADATA_KEY;
use neap_sql_changes::{SqlError, SqlState};
use pgwire::{
    api::results::{DataRowEncoder, FieldFormat, FieldInfo},
    messages::data::DataRow,
};
use tokio_util::sync::CancellationToken;

use crate::{
    columns::{columns, plain_list},
    error_response::encoding_error,
    value_text::{list_texts, value_text},
};

/// The rows of a query that a client has not received yet.
#[derive(derive_more::Debug)]
#[debug("OpenRows {{ schema: {schema:?}, .. }}")]
pub(crate) struct OpenRows {
    pub(crate) fields: Arc<Vec<FieldInfo>>,
    pub(crate) schema: SchemaRef,
    batches: Fuse<BatchStream>,
    /// The batch in progress, and its next row.
    current: Option<(RecordBatch, usize)>,
    encoder: DataRowEncoder,
    /// Cancelled when a client cancels the statement that receives the rows.
    pub(crate) cancelled: CancellationToken,
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
        let fields = columns(&rows.schema, formats)?;
        Ok(Self {
            encoder: DataRowEncoder::new(Arc::clone(&fields)),
            fields,
            schema: rows.schema,
            batches: rows.batches.fuse(),
            current: None,
            cancelled,
        })
    }

    /// Changes the formats of the next rows.
    pub(crate) fn set_formats(&mut self, formats: &[i16]) -> Result<(), SqlError> {
        self.fields = columns(&self.schema, formats)?;
        self.encoder = DataRowEncoder::new(Arc::clone(&self.fields));
        Ok(())
    }

    /// Returns the next row; `None` at the end.
    ///
    /// # Errors
    /// The query failed or was cancelled, or a value can't be encoded.
    pub(crate) async fn next(&mut self) -> Result<Option<DataRow>, SqlError> {
        loop {
            if let Some((batch, row)) = &mut self.current
                && *row < batch.num_rows()
            {
                encode_row(&mut self.encoder, &self.fields, batch, *row)?;
                *row += 1;
                return Ok(Some(self.encoder.take_row()));
            }
            let Some(batch) = self.next_batch().await? else {
                self.current = None;
                return Ok(None);
            };
            self.current = Some((encodable(batch)?, 0));
        }
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
    SqlError::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}

/// Returns rows as the encoder takes them. Lists of tags are lists of texts. Fields have no metadata of InfluxDB, because the
/// encoder looks for its own in that of the field of each value.
fn encodable(batch: RecordBatch) -> Result<RecordBatch, SqlError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut arrays = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let mut field = field.as_ref().clone();
        field.metadata_mut().remove(COLUMN_TYPE_METADATA_KEY);
        match plain_list(field.data_type()) {
            Some(list) => {
                arrays.push(cast(column, &list)?);
                field.set_data_type(list);
            }
            None => arrays.push(Arc::clone(column)),
        }
        fields.push(field);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}

fn encode_row(
    encoder: &mut DataRowEncoder,
    fields: &[FieldInfo],
    batch: &RecordBatch,
    row: usize,
) -> Result<(), SqlError> {
    let arrow_fields = batch.schema_ref().fields();
    for ((column, arrow_field), field) in batch.columns().iter().zip(arrow_fields).zip(fields) {
        let (data_type, format) = (field.datatype(), field.format());
        let options = field.format_options();
        // The encoder of intervals takes nulls for values, and that of small numbers writes one byte, not two.
        let encoded = if column.is_null(row) {
            encoder.encode_field_with_type_and_format(&None::<bool>, data_type, format, options)
        } else if let Some(numbers) = column.as_primitive_opt::<Int8Type>() {
            let number = i16::from(numbers.value(row));
            encoder.encode_field_with_type_and_format(&number, data_type, format, options)
        } else if format == FieldFormat::Text
            && let Some(text) = value_text(column, row)
        {
            encoder.encode_field_with_type_and_format(&text, data_type, format, options)
        } else if format == FieldFormat::Text
            && let Some(texts) = list_texts(column, row)
        {
            encoder.encode_field_with_type_and_format(&texts, data_type, format, options)
        } else {
            encode_value(encoder, column, row, arrow_field, field)
        };
        encoded.map_err(encoding_error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{
            ArrayRef, DictionaryArray, Float64Array, Int8Array, IntervalMonthDayNanoArray,
            ListArray, StringArray, TimestampNanosecondArray, UInt64Array,
        },
        buffer::OffsetBuffer,
        datatypes::{
            Field, Float64Type, Int32Type, Int64Type, IntervalMonthDayNano, TimestampNanosecondType,
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
        let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
        (0..batch.num_rows())
            .map(|row| {
                encode_row(&mut encoder, &fields, &batch, row).unwrap();
                crate::copy_out::values(&encoder.take_row())
                    .map(|value| value.map(<[u8]>::to_vec))
                    .collect()
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
            (
                "v",
                Arc::new(Float64Array::from(vec![Some(1.5), None])) as ArrayRef,
            ),
            (
                "u",
                Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])) as ArrayRef,
            ),
            ("host", Arc::new(host) as ArrayRef),
            (
                "s",
                Arc::new(StringArray::from(vec![Some("é"), None])) as ArrayRef,
            ),
            ("i", Arc::new(days) as ArrayRef),
            ("l", Arc::new(lists) as ArrayRef),
            (
                "small",
                Arc::new(Int8Array::from(vec![Some(-2), None])) as ArrayRef,
            ),
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
        let column = ("l", Arc::new(lists) as ArrayRef);
        let batch = encodable(RecordBatch::try_from_iter([column]).unwrap()).unwrap();
        let text = encoded(&[("l", Arc::clone(batch.column(0)))], &[]);
        let shown = text.concat().into_iter().map(|list| String::from_utf8(list.unwrap()).unwrap());
        assert_eq!(shown.collect::<Vec<_>>(), ["{a,NULL}", "{a}"]);
    }

    #[test]
    fn lists_of_floats_and_times_are_written_as_postgresql_does() {
        let floats = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(2.0), None])]);
        let second = [Some([Some(1_000_000_000)])];
        let times = ListArray::from_iter_primitive::<TimestampNanosecondType, _, _>(second);
        let rows = [
            ("floats", Arc::new(floats) as ArrayRef),
            ("times", Arc::new(times) as ArrayRef),
        ];
        let shown = encoded(&rows, &[])
            .concat()
            .into_iter()
            .map(|list| String::from_utf8(list.unwrap()).unwrap());
        let expected = ["{2,NULL}", "{\"1970-01-01 00:00:01\"}"];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }
}
