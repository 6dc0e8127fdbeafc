//! The rows of an answer in QuestDB's JSON.
//!
//! ```text
//!   {"query":"…","columns":[{"name":"…","type":"…"},…],"timestamp":-1,"dataset":[[…],…],"count":2}
//! ```
//!
//! Rows are encoded while the query runs. A chunk has at most [`CHUNK_ROWS`] rows.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
    error::ArrowError,
    json::writer::{EncoderOptions, make_encoder},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use neap_bucket::World;
use neap_http::{ApiError, Kind};
use neap_query::{BatchStream, Rows};
use serde_json::{Value, json};

use super::params::ExecParams;
use crate::column_types::type_name;

/// Maximum number of rows of a chunk.
const CHUNK_ROWS: usize = 1024;

/// The name of the column with the times of the rows of a table.
const TIME: &str = "time";

/// The smallest and the largest integers that are exact in JavaScript.
const EXACT_INTEGERS: std::ops::RangeInclusive<i64> = -(1 << 53)..=(1 << 53);

/// The times of the steps of a query.
#[derive(Clone, Debug)]
pub(crate) struct QueryTimings {
    world: World,
    started_at: Duration,
    planned: Duration,
}

impl QueryTimings {
    /// Begins with the first step.
    pub(crate) fn begin(world: World) -> Self {
        let started_at = world.clock.monotonic();
        Self { world, started_at, planned: started_at }
    }

    /// Records the end of planning.
    pub(crate) fn record_plan(&mut self) {
        self.planned = self.world.clock.monotonic();
    }

    fn show(&self) -> Value {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let now = self.world.clock.monotonic();
        json!({
            "authentication": 0,
            "compiler": nanos(self.planned.saturating_sub(self.started_at)),
            "execute": nanos(now.saturating_sub(self.planned)),
            "count": 0,
        })
    }
}

/// An answer that is being encoded.
struct AnswerStream {
    batches: BatchStream,
    schema: Arc<Schema>,
    options: EncoderOptions,
    unwritten: Option<RecordBatch>,
    /// The number of rows that the query has returned and that are not in `unwritten`.
    seen: u64,
    /// The text before the next rows.
    prefix: Vec<u8>,
    has_rows: bool,
    params: ExecParams,
    timings: QueryTimings,
}

/// Encodes rows as chunks of a body.
pub(crate) fn stream_answer(
    rows: Rows,
    params: &ExecParams,
    timings: QueryTimings,
) -> impl Stream<Item = Result<Bytes, ApiError>> + Send + use<> {
    let answer = AnswerStream {
        prefix: head(&rows.schema, params).into_bytes(),
        batches: rows.batches,
        schema: rows.schema,
        options: encoder_options(),
        unwritten: None,
        seen: 0,
        has_rows: false,
        params: params.clone(),
        timings,
    };
    answer.into_chunks()
}

fn encoder_options() -> EncoderOptions {
    EncoderOptions::default()
        .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.9fZ".to_owned())
        .with_timestamp_tz_format("%Y-%m-%dT%H:%M:%S%.9f%:z".to_owned())
        .with_date_format("%Y-%m-%dT00:00:00.000Z".to_owned())
}

/// Returns the text before the first row.
fn head(schema: &Schema, params: &ExecParams) -> String {
    if params.without_metadata {
        return r#"{"dataset":["#.to_owned();
    }
    let columns: Value = schema.fields().iter().map(|field| column(field)).collect();
    let is_time = |field: &Arc<Field>| {
        field.name() == TIME && matches!(field.data_type(), DataType::Timestamp(_, _))
    };
    let time = schema
        .fields()
        .iter()
        .position(is_time)
        .map_or_else(|| "-1".to_owned(), |index| index.to_string());
    let query = json!(params.query);
    format!(r#"{{"query":{query},"columns":{columns},"timestamp":{time},"dataset":["#)
}

/// Describes a column.
fn column(field: &Field) -> Value {
    let name = field.name();
    match field.data_type() {
        DataType::List(element) | DataType::LargeList(element) => {
            json!({ "name": name, "type": "ARRAY", "dim": 1, "elemType": type_name(element.data_type()) })
        }
        data_type => json!({ "name": name, "type": type_name(data_type) }),
    }
}

impl AnswerStream {
    fn into_chunks(self) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
        stream::try_unfold(Some(self), |answer| async move {
            let Some(mut answer) = answer else {
                return Ok(None);
            };
            let (chunk, is_last) = answer.next_chunk().await?;
            Ok(Some((chunk, (!is_last).then_some(answer))))
        })
    }

    /// Returns the next bytes, and whether they are the last ones.
    async fn next_chunk(&mut self) -> Result<(Bytes, bool), ApiError> {
        loop {
            if self.is_complete() {
                return Ok((self.finish(), true));
            }
            let batch = match self.unwritten.take() {
                Some(batch) => batch,
                None => match self.batches.next().await.transpose()? {
                    Some(batch) => batch,
                    None => return Ok((self.finish(), true)),
                },
            };
            if let Some(chunk) = self.encode_some(batch)? {
                return Ok((chunk, false));
            }
        }
    }

    /// Returns whether no further row is of interest.
    fn is_complete(&self) -> bool {
        !self.params.counts_all && self.params.stop.is_some_and(|stop| self.seen >= stop)
    }

    /// Encodes the first rows of a batch; `None` if none of them is returned.
    fn encode_some(&mut self, batch: RecordBatch) -> Result<Option<Bytes>, ApiError> {
        let rows = batch.num_rows().min(CHUNK_ROWS);
        let some = batch.slice(0, rows);
        if rows < batch.num_rows() {
            self.unwritten = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        let begin = self.seen;
        self.seen += rows as u64;
        let within =
            |row: u64| usize::try_from(row.saturating_sub(begin)).unwrap_or(rows).min(rows);
        let first = within(self.params.skip);
        let end = self.params.stop.map_or(rows, within);
        if first >= end {
            return Ok(None);
        }
        let mut chunk = std::mem::take(&mut self.prefix);
        let unencodable = |error: ArrowError| ApiError::text(Kind::Internal, error.to_string());
        self.encode(&some.slice(first, end - first), &mut chunk).map_err(unencodable)?;
        Ok(Some(chunk.into()))
    }

    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let fields = self.schema.fields();
        let columns = fields.iter().zip(batch.columns());
        let mut encoders = columns
            .map(|(field, array)| make_encoder(field, array, &self.options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            if self.has_rows {
                out.push(b',');
            }
            self.has_rows = true;
            out.push(b'[');
            for (index, encoder) in encoders.iter_mut().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                let begin = out.len();
                if encoder.is_null(row) {
                    out.extend_from_slice(b"null")
                } else {
                    encoder.encode(row, out)
                }
                if self.params.quotes_large_numbers {
                    quote_large_number(out, begin);
                }
            }
            out.push(b']');
        }
        Ok(())
    }

    /// Returns the text after the last row.
    fn finish(&mut self) -> Bytes {
        let mut chunk = std::mem::take(&mut self.prefix);
        let count = match self.params.stop {
            Some(stop) if !self.params.counts_all => self.seen.min(stop),
            _ => self.seen,
        };
        chunk.extend_from_slice(format!(r#"],"count":{count}"#).as_bytes());
        if self.params.with_timings {
            chunk.extend_from_slice(format!(r#","timings":{}"#, self.timings.show()).as_bytes());
        }
        chunk.push(b'}');
        chunk.into()
    }
}

/// Puts the value at the end into quotes if it is an integer that is not exact in JavaScript.
fn quote_large_number(out: &mut Vec<u8>, begin: usize) {
    let value = out.get(begin..).unwrap_or_default();
    let is_integer = value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
    let is_large = number.is_none_or(|number| !EXACT_INTEGERS.contains(&number));
    if is_integer && is_large && !value.is_empty() {
        out.insert(begin, b'"');
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests;
