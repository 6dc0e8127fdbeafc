//! Reads the rows of a stream, or some of its columns.
//!
//! The buffers of columns that are not wanted are not decompressed.

use std::{collections::HashMap, panic};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::{
    Message, MessageHeader,
    convert::fb_to_schema,
    reader::{RecordBatchDecoder, read_dictionary},
    root_as_message,
};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use bytes::Bytes;

use crate::{narrow_columns::with_wide_keys, stream_messages::CONTINUATION_MARKER};

/// Which columns of a stream are read, by their names.
pub(crate) type WantedColumns<'a> = &'a dyn Fn(&str) -> bool;

/// Decodes a stream that has exactly one batch. The columns that are wanted keep their order. Integers have the types of the stream,
/// which may be narrower than in the table.
/// Fails if the stream is not well-formed, or has another number of batches.
pub(crate) fn read_stream(
    stream: Bytes,
    wanted: WantedColumns<'_>,
) -> Result<RecordBatch, ArrowError> {
    // Arrow's decoder panics if a message lacks some parts.
    let read = panic::AssertUnwindSafe(|| RowStreamReader::new(stream, wanted).read());
    let decoded = panic::catch_unwind(read);
    decoded.unwrap_or_else(|_| Err(malformed("the stream is malformed")))
}

fn malformed(reason: &str) -> ArrowError {
    ArrowError::IpcError(reason.to_owned())
}

struct RowStreamReader<'a> {
    rest: Buffer,
    wanted: WantedColumns<'a>,
    dictionaries: HashMap<i64, ArrayRef>,
}

/// The schema of a stream, and the positions of the wanted columns.
struct WantedSchema {
    schema: SchemaRef,
    columns: Vec<usize>,
    /// Whether a wanted column has a dictionary.
    has_dictionary: bool,
}

impl<'a> RowStreamReader<'a> {
    fn new(stream: Bytes, wanted: WantedColumns<'a>) -> Self {
        Self {
            rest: Buffer::from(stream),
            wanted,
            dictionaries: HashMap::new(),
        }
    }

    fn read(mut self) -> Result<RecordBatch, ArrowError> {
        let mut schema = None;
        let mut rows = None;
        while let Some(metadata) = self.next_metadata()? {
            let message =
                root_as_message(&metadata).map_err(|error| malformed(&error.to_string()))?;
            let length = usize::try_from(message.bodyLength())
                .map_err(|_| malformed("a message of the stream has no length"))?;
            let body = self.take(length)?;
            match (message.header_type(), &schema) {
                (MessageHeader::Schema, None) => schema = Some(self.schema(&message)?),
                (MessageHeader::DictionaryBatch, Some(schema)) => {
                    self.dictionary(&message, &body, schema)?;
                }
                (MessageHeader::RecordBatch, Some(schema)) if rows.is_none() => {
                    rows = Some(self.rows(&message, &body, schema)?);
                }
                (MessageHeader::RecordBatch, Some(_)) => {
                    return Err(malformed("the stream has more than one batch"));
                }
                _ => return Err(malformed("the stream has an unexpected message")),
            }
        }
        rows.ok_or_else(|| malformed("the stream has no rows"))
    }

    /// Returns the metadata of the next message, which its body follows; `None` at the end of the stream.
    fn next_metadata(&mut self) -> Result<Option<Buffer>, ArrowError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if *self.take(CONTINUATION_MARKER.len())? != CONTINUATION_MARKER {
            return Err(malformed("a message of the stream has no marker"));
        }
        let length = self
            .take(size_of::<u32>())?
            .first_chunk()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if length == 0 {
            return if self.rest.is_empty() {
                Ok(None)
            } else {
                Err(malformed("there are bytes after the end of the stream"))
            };
        }
        self.take(length as usize).map(Some)
    }

    /// Takes the next bytes.
    fn take(&mut self, length: usize) -> Result<Buffer, ArrowError> {
        if length > self.rest.len() {
            return Err(malformed("the stream is truncated"));
        }
        let taken = self.rest.slice_with_length(0, length);
        self.rest.advance(length);
        Ok(taken)
    }

    fn schema(&self, message: &Message<'_>) -> Result<WantedSchema, ArrowError> {
        let encoded = message
            .header_as_schema()
            .ok_or_else(|| malformed("the stream has no schema"))?;
        let schema = fb_to_schema(encoded);
        let fields = schema.fields().iter().enumerate();
        let wanted = fields.filter(|(_, field)| (self.wanted)(field.name()));
        let (columns, fields): (Vec<usize>, Vec<_>) = wanted.unzip();
        let is_dictionary = |data_type: &DataType| matches!(data_type, DataType::Dictionary(..));
        Ok(WantedSchema {
            has_dictionary: fields.iter().any(|field| is_dictionary(field.data_type())),
            columns,
            schema: schema.into(),
        })
    }

    /// Reads the values of a dictionary, unless no wanted column has a dictionary.
    fn dictionary(
        &mut self,
        message: &Message<'_>,
        body: &Buffer,
        schema: &WantedSchema,
    ) -> Result<(), ArrowError> {
        if !schema.has_dictionary {
            return Ok(());
        }
        let batch = message
            .header_as_dictionary_batch()
            .ok_or_else(|| malformed("a dictionary of the stream has no values"))?;
        let version = message.version();
        read_dictionary(body, batch, &schema.schema, &mut self.dictionaries, &version)
    }

    fn rows(
        &self,
        message: &Message<'_>,
        body: &Buffer,
        wanted: &WantedSchema,
    ) -> Result<RecordBatch, ArrowError> {
        let batch = message
            .header_as_record_batch()
            .ok_or_else(|| malformed("the stream has no rows"))?;
        let schema = SchemaRef::clone(&wanted.schema);
        let version = message.version();
        let decoder =
            RecordBatchDecoder::try_new(body, batch, schema, &self.dictionaries, &version)?;
        let is_whole = wanted.columns.len() == wanted.schema.fields().len();
        let columns = (!is_whole).then_some(wanted.columns.as_slice());
        with_wide_keys(decoder.with_projection(columns).read_record_batch()?)
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::TableId;

    use super::*;
    use crate::{EncodedRows, test_world::batch_of_times};

    fn stream_of(batch: &RecordBatch) -> Bytes {
        let rows = EncodedRows::encode(TableId::new(1), batch).unwrap();
        rows.stream().clone()
    }

    #[test]
    fn columns_that_are_not_wanted_are_not_decompressed() {
        let batch = batch_of_times(&(0..10_000).collect::<Vec<_>>());
        let mut stream = stream_of(&batch).to_vec();
        // The values of the times are the last buffer before the end of the stream.
        let last = stream.len() - 64;
        for byte in stream.iter_mut().skip(last - 1_000).take(1_000) {
            *byte = !*byte;
        }
        let read = |wanted: &dyn Fn(&str) -> bool| read_stream(stream.clone().into(), wanted);
        assert!(read(&|_| true).is_err());
        let tags = read(&|name| name != "time").unwrap();
        assert_eq!(tags, batch.project(&[0]).unwrap());
        let none = read(&|_| false).unwrap();
        assert_eq!((none.num_rows(), none.num_columns()), (10_000, 0));
    }

    #[test]
    fn a_stream_is_refused_if_it_is_truncated_or_has_more_than_one_batch() {
        let stream = stream_of(&batch_of_times(&[1, 2]));
        let read = |stream: Bytes| read_stream(stream, &|_| true);
        assert!(read(stream.clone()).is_ok());
        // Earlier writers may have left out the end.
        let end = stream.len() - 8;
        for length in (0..stream.len()).filter(|length| *length != end) {
            assert!(read(stream.slice(..length)).is_err(), "{length}");
        }
        assert!(read(stream.slice(..end)).is_ok());
        assert!(read([&stream[..], &stream[..]].concat().into()).is_err());
        assert!(read([&stream[..end], &stream[..]].concat().into()).is_err());
        let schema =
            usize::try_from(u32::from_le_bytes(*stream[4..].first_chunk().unwrap())).unwrap();
        let twice = [&stream[..end], &stream[8 + schema..]].concat();
        assert!(read(twice.into()).unwrap_err().to_string().contains("more than one batch"));
    }
}
