//! The messages with the rows of a stream whose buffers are not compressed.
//!
//! A write of Prometheus or OpenTelemetry has hundreds of tables with a few rows each. Arrow's writer builds the data of each
//! array several times, which takes most of the time of such a stream. This writer knows only the types that segments
//! support, and writes the same bytes.

use std::borrow::Cow;

use arrow_array::{
    Array,
    cast::AsArray,
    types::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt64Type},
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, ScalarBuffer};
use arrow_ipc::{
    Buffer, DictionaryBatchBuilder, FieldNode, MessageBuilder, MessageHeader, RecordBatchBuilder,
};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use flatbuffers::FlatBufferBuilder;

use crate::stream_schema::{ALIGNMENT_BYTES, METADATA_VERSION};

/// The start of a message, before the length of its metadata.
pub(crate) const CONTINUATION_MARKER: [u8; 4] = [0xff; 4];

/// The bytes before the metadata of a message: the marker and the length.
const PREFIX_BYTES: usize = 8;

/// The buffers of a message.
#[derive(Debug, Default)]
pub(crate) struct MessageBody<'a> {
    /// The number of values and of nulls of each column.
    nodes: Vec<FieldNode>,
    places: Vec<Buffer>,
    buffers: Vec<Cow<'a, [u8]>>,
    /// The length of the buffers with their padding, in bytes.
    length: usize,
}

impl<'a> MessageBody<'a> {
    pub(crate) fn add_column(&mut self, column: &'a dyn Array) -> Result<(), ArrowError> {
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        let null_count = nulls.map_or(0, |nulls| nulls.null_count());
        self.nodes.push(FieldNode::new(column.len() as i64, null_count as i64));
        match nulls {
            Some(nulls) => self.add_bits(nulls.inner()),
            None => self.add(Cow::Borrowed(&[])),
        }
        match column.data_type() {
            DataType::Dictionary(..) => {
                self.add_values(column.as_dictionary::<Int32Type>().keys().values());
            }
            DataType::Float64 => self.add_values(column.as_primitive::<Float64Type>().values()),
            DataType::Int64 => self.add_values(column.as_primitive::<Int64Type>().values()),
            DataType::UInt64 => self.add_values(column.as_primitive::<UInt64Type>().values()),
            DataType::Timestamp(TimeUnit::Nanosecond, None) => {
                self.add_values(column.as_primitive::<TimestampNanosecondType>().values());
            }
            DataType::Boolean => self.add_bits(column.as_boolean().values()),
            DataType::Utf8 => {
                let texts = column.as_string::<i32>();
                self.add_texts(texts.offsets().inner(), texts.value_data());
            }
            other => {
                let message = format!("segments have no columns of type {other}");
                return Err(ArrowError::NotYetImplemented(message));
            }
        }
        Ok(())
    }

    fn add_values<T: ArrowNativeType>(&mut self, values: &'a ScalarBuffer<T>) {
        self.add(Cow::Borrowed(values.inner().as_slice()));
    }

    fn add_bits(&mut self, bits: &BooleanBuffer) {
        self.add(Cow::Owned(bits.sliced().to_vec()));
    }

    /// Adds texts. Those of a slice have offsets that do not begin at 0.
    fn add_texts(&mut self, offsets: &'a ScalarBuffer<i32>, bytes: &'a [u8]) {
        let [start, .., end] = **offsets else {
            // No text has one offset. That of an empty slice may be any.
            self.add(Cow::Borrowed(&[0; size_of::<i32>()]));
            return self.add(Cow::Borrowed(&[]));
        };
        if start == 0 {
            self.add_values(offsets);
        } else {
            let moved = offsets.iter().flat_map(|offset| (offset - start).to_le_bytes());
            self.add(Cow::Owned(moved.collect()));
        }
        let range =
            usize::try_from(start).unwrap_or_default()..usize::try_from(end).unwrap_or_default();
        self.add(Cow::Borrowed(bytes.get(range).unwrap_or_default()));
    }

    fn add(&mut self, buffer: Cow<'a, [u8]>) {
        self.places.push(Buffer::new(self.length as i64, buffer.len() as i64));
        self.length += buffer.len().next_multiple_of(ALIGNMENT_BYTES);
        self.buffers.push(buffer);
    }

    /// Appends the message: the values of a dictionary, or else rows.
    pub(crate) fn append_to(
        &self,
        stream: &mut Vec<u8>,
        builder: &mut FlatBufferBuilder<'_>,
        rows: usize,
        dictionary: Option<i64>,
    ) {
        // The order of these calls is that of Arrow's writer, so that the bytes are the same.
        let places = builder.create_vector(&self.places);
        let nodes = builder.create_vector(&self.nodes);
        let mut batch = RecordBatchBuilder::new(builder);
        batch.add_length(rows as i64);
        batch.add_nodes(nodes);
        batch.add_buffers(places);
        let batch = batch.finish();
        let (kind, header) = match dictionary {
            None => (MessageHeader::RecordBatch, batch.as_union_value()),
            Some(id) => {
                let mut dictionary = DictionaryBatchBuilder::new(builder);
                dictionary.add_id(id);
                dictionary.add_data(batch);
                dictionary.add_isDelta(false);
                let dictionary = dictionary.finish();
                (MessageHeader::DictionaryBatch, dictionary.as_union_value())
            }
        };
        let mut message = MessageBuilder::new(builder);
        message.add_version(METADATA_VERSION);
        message.add_header_type(kind);
        message.add_bodyLength(self.length as i64);
        message.add_header(header);
        let message = message.finish();
        builder.finish(message, None);
        append_metadata(stream, builder.finished_data());
        builder.reset();
        for buffer in &self.buffers {
            stream.extend_from_slice(buffer);
            pad(stream, buffer.len());
        }
    }
}

fn append_metadata(stream: &mut Vec<u8>, metadata: &[u8]) {
    let padded = (PREFIX_BYTES + metadata.len()).next_multiple_of(ALIGNMENT_BYTES) - PREFIX_BYTES;
    stream.extend_from_slice(&CONTINUATION_MARKER);
    // Metadata have some hundred bytes for each column.
    stream.extend_from_slice(&u32::try_from(padded).unwrap_or(u32::MAX).to_le_bytes());
    stream.extend_from_slice(metadata);
    pad(stream, metadata.len());
}

/// Appends zeros after something of this length.
fn pad(stream: &mut Vec<u8>, length: usize) {
    let padding = length.next_multiple_of(ALIGNMENT_BYTES) - length;
    stream.resize(stream.len() + padding, 0);
}
