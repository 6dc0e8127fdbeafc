//! Encodes the rows of an answer.

use std::sync::Arc;

use arrow::{
    array::{Array, RecordBatch},
    datatypes::SchemaRef,
};
use arrow_pg::encoder::encode_value;
use futures::{StreamExt, stream::Fuse};
use neap_query::{BatchStream, Rows};
use neap_sql_changes::{SqlError, SqlState};
use pgwire::{
    api::results::{DataRowEncoder, FieldInfo},
    messages::data::DataRow,
    types::format::FormatOptions,
};
use tokio_util::sync::CancellationToken;

use crate::{columns::columns, error_response::encoding_error};

/// The rows of a query that a client has not received yet.
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

impl std::fmt::Debug for OpenRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenRows").field("schema", &self.schema).finish_non_exhaustive()
    }
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
    ///
    /// # Errors
    /// The number of formats is wrong.
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
            self.current = self.next_batch().await?.map(|batch| (batch, 0));
            if self.current.is_none() {
                return Ok(None);
            }
        }
    }

    /// Returns the next batch of rows; `None` at the end.
    ///
    /// # Errors
    /// The query failed or was cancelled.
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

fn encode_row(
    encoder: &mut DataRowEncoder,
    fields: &[FieldInfo],
    batch: &RecordBatch,
    row: usize,
) -> Result<(), SqlError> {
    let arrow_fields = batch.schema_ref().fields();
    for ((column, arrow_field), field) in batch.columns().iter().zip(arrow_fields).zip(fields) {
        // The encoder of intervals takes nulls for values.
        if column.is_null(row) {
            let options = FormatOptions::default();
            encoder
                .encode_field_with_type_and_format(
                    &None::<bool>,
                    field.datatype(),
                    field.format(),
                    &options,
                )
                .map_err(encoding_error)?;
        } else {
            encode_value(encoder, column, row, arrow_field, field).map_err(encoding_error)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{
            ArrayRef, DictionaryArray, Float64Array, IntervalMonthDayNanoArray, ListArray,
            StringArray, TimestampNanosecondArray, UInt64Array,
        },
        datatypes::{Int32Type, Int64Type, IntervalMonthDayNano},
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
        ];
        let text = encoded(&rows, &[]);
        let shown: Vec<String> = text[0]
            .iter()
            .map(|value| String::from_utf8(value.clone().unwrap()).unwrap())
            .collect();
        assert_eq!(shown[0], "1970-01-01 00:00:00.001500");
        assert_eq!(&shown[1..5], ["1.5", "18446744073709551615", "a", "é"]);
        assert_eq!(shown[6], "{1,NULL}");
        let binary = encoded(&rows, &[1]);
        assert_eq!(binary[0][1].as_deref(), Some(&1.5_f64.to_be_bytes()[..]));
        let micros: i64 = 1_500 - 946_684_800_000_000;
        assert_eq!(binary[0][0].as_deref(), Some(&micros.to_be_bytes()[..]));
        for encoded in [text, binary] {
            assert!(encoded[1].iter().all(Option::is_none));
        }
    }
}
