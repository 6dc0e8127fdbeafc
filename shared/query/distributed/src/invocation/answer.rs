//! The bytes of an answer: the rows of all partitions of a task, its metrics, and an end mark.
//!
//! ```text
//!   answer   "NEAPTSK1" frame frame ... end
//!   frame    kind (1 byte)  partition (4 bytes)  length (4 bytes)  payload
//!
//!   kind 1   rows      a piece of the Arrow IPC stream of this partition
//!   kind 2   metrics   JSON
//!   kind 3   end       the number of rows of all partitions (8 bytes); nothing follows
//!   kind 4   count     a number of rows without columns (8 bytes)
//! ```
//!
//! Numbers are little-endian. A partition without rows has no frames.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    buffer::Buffer,
    datatypes::Schema,
    error::ArrowError,
};
use arrow_ipc::{
    CompressionType,
    reader::StreamDecoder,
    writer::{IpcWriteOptions, StreamEncoder},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use datafusion_distributed::TaskMetrics;
use neap_operators::release_unused_values;

use super::metrics::TaskMetricsDocument;

/// The first bytes of an answer.
const MAGIC: &[u8; 8] = b"NEAPTSK1";

/// Size of the head of a frame in bytes.
const HEAD_BYTES: usize = 9;

const ROWS: u8 = 1;
const METRICS: u8 = 2;
const END: u8 = 3;
const COUNT: u8 = 4;

/// Error: an answer can't be written or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// The rows can't be encoded or decoded.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// The metrics can't be encoded or decoded.
    #[error("the metrics of a task are damaged: {0}")]
    Metrics(#[from] serde_json::Error),
    /// A record batch has more than 4 GiB.
    #[error("a record batch of a task is too large")]
    BatchTooLarge,
    /// It is not an answer, or it is damaged.
    #[error("the answer of a task is damaged: {0}")]
    Damaged(&'static str),
    /// The end mark is missing.
    #[error("the answer of a task broke off after {rows} rows")]
    BrokenOff {
        /// The rows so far.
        rows: u64,
    },
}

/// Returns the first bytes of an answer.
pub(super) fn begin_answer() -> Bytes {
    Bytes::from_static(MAGIC)
}

/// Encodes the metrics, if there are any, and the end mark of an answer with this number of rows.
pub(super) fn finish_answer(
    rows: u64,
    metrics: Option<&TaskMetrics>,
) -> Result<Bytes, AnswerError> {
    let mut bytes = BytesMut::new();
    if let Some(metrics) = metrics {
        let json = serde_json::to_vec(&TaskMetricsDocument::new(metrics))?;
        let mut frame = begin_frame(METRICS, 0, json.len())?;
        frame.put_slice(&json);
        bytes.unsplit(frame);
    }
    let mut end = begin_frame(END, 0, size_of::<u64>())?;
    end.put_u64_le(rows);
    bytes.unsplit(end);
    Ok(bytes.freeze())
}

/// Encodes the rows of a partition.
pub(super) struct PartitionEncoder {
    /// The number of the partition, counted from 0.
    partition: usize,
    /// Created with the first batch.
    encoder: Option<StreamEncoder>,
    rows: u64,
}

impl PartitionEncoder {
    pub(super) fn new(partition: usize) -> Self {
        Self { partition, encoder: None, rows: 0 }
    }

    /// The number of rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Encodes a batch. A batch without rows has no bytes.
    pub(super) fn encode(&mut self, batch: RecordBatch) -> Result<Bytes, AnswerError> {
        let rows = batch.num_rows() as u64;
        self.rows = self.rows.saturating_add(rows);
        if rows == 0 {
            return Ok(Bytes::new());
        }
        if batch.num_columns() == 0 {
            let mut frame = begin_frame(COUNT, self.partition, size_of::<u64>())?;
            frame.put_u64_le(rows);
            return Ok(frame.freeze());
        }
        let batch = release_unused_values(batch)?;
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => {
                let options =
                    IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
                none.insert(StreamEncoder::try_new_with_options(&batch.schema(), options)?)
            }
        };
        let buffers = encoder.encode(&batch)?;
        let bytes: usize = buffers.iter().map(Buffer::len).sum();
        let mut frame = begin_frame(ROWS, self.partition, bytes)?;
        for buffer in buffers {
            frame.put_slice(&buffer);
        }
        Ok(frame.freeze())
    }
}

fn begin_frame(kind: u8, partition: usize, bytes: usize) -> Result<BytesMut, AnswerError> {
    let number = |value: usize| u32::try_from(value).map_err(|_| AnswerError::BatchTooLarge);
    let mut frame = BytesMut::with_capacity(bytes.saturating_add(HEAD_BYTES));
    frame.put_u8(kind);
    frame.put_u32_le(number(partition)?);
    frame.put_u32_le(number(bytes)?);
    Ok(frame)
}

#[derive(Debug)]
pub(super) enum AnswerPart {
    /// Rows of a partition, counted from 0.
    Rows(usize, RecordBatch),
    Metrics(TaskMetrics),
}

/// Reads an answer from pieces of any size.
#[derive(Debug)]
pub(super) struct AnswerDecoder {
    bytes: BytesMut,
    has_magic: bool,
    partitions: Vec<StreamDecoder>,
    decoded: VecDeque<AnswerPart>,
    rows: u64,
    is_complete: bool,
}

impl AnswerDecoder {
    /// Reads an answer with this number of partitions.
    pub(super) fn new(partitions: &Range<usize>) -> Self {
        Self {
            bytes: BytesMut::new(),
            has_magic: false,
            partitions: partitions.clone().map(|_| StreamDecoder::new()).collect(),
            decoded: VecDeque::new(),
            rows: 0,
            is_complete: false,
        }
    }

    /// Appends bytes of the answer.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next part; `None` if more bytes are needed, or the answer is complete.
    pub(super) fn next(&mut self) -> Result<Option<AnswerPart>, AnswerError> {
        loop {
            if let Some(part) = self.decoded.pop_front() {
                return Ok(Some(part));
            }
            if !self.read_frame()? {
                return Ok(None);
            }
        }
    }

    /// Checks that the answer is complete.
    pub(super) fn finish(&self) -> Result<(), AnswerError> {
        if self.is_complete {
            Ok(())
        } else {
            Err(AnswerError::BrokenOff { rows: self.rows })
        }
    }

    /// Reads a frame; false if it is not complete.
    fn read_frame(&mut self) -> Result<bool, AnswerError> {
        if !self.has_magic {
            let Some((magic, _)) = self.bytes.split_first_chunk::<8>() else {
                return Ok(false);
            };
            if magic != MAGIC {
                return Err(AnswerError::Damaged("it has an unknown format"));
            }
            self.bytes.advance(MAGIC.len());
            self.has_magic = true;
        }
        if self.is_complete {
            return if self.bytes.is_empty() {
                Ok(false)
            } else {
                Err(AnswerError::Damaged("bytes follow its end"))
            };
        }
        let Some(mut head) = self.bytes.get(..HEAD_BYTES) else {
            return Ok(false);
        };
        let (kind, partition) = (head.get_u8(), head.get_u32_le());
        let length = usize::try_from(head.get_u32_le()).map_err(|_| AnswerError::BatchTooLarge)?;
        if self.bytes.len() - HEAD_BYTES < length {
            return Ok(false);
        }
        self.bytes.advance(HEAD_BYTES);
        let payload = self.bytes.split_to(length).freeze();
        match kind {
            ROWS => self.read_rows(partition, payload)?,
            COUNT => self.read_count(partition, &payload)?,
            METRICS => {
                let document: TaskMetricsDocument = serde_json::from_slice(&payload)?;
                let metrics = AnswerPart::Metrics(document.into_metrics());
                self.decoded.push_back(metrics);
            }
            END => self.read_end(&payload)?,
            _ => return Err(AnswerError::Damaged("a frame has an unknown kind")),
        }
        Ok(true)
    }

    /// Returns the partition of a frame, counted from 0, and its decoder.
    fn partition(&mut self, number: u32) -> Result<(usize, &mut StreamDecoder), AnswerError> {
        let unknown = || AnswerError::Damaged("it has rows of another partition");
        let number = usize::try_from(number).map_err(|_| unknown())?;
        let decoder = self.partitions.get_mut(number).ok_or_else(unknown)?;
        Ok((number, decoder))
    }

    fn read_rows(&mut self, partition: u32, payload: Bytes) -> Result<(), AnswerError> {
        let (partition, decoder) = self.partition(partition)?;
        let mut batches = Vec::new();
        let mut buffer = Buffer::from(payload);
        while !buffer.is_empty() {
            batches.extend(decoder.decode(&mut buffer)?);
        }
        for batch in batches {
            self.add_rows(partition, batch);
        }
        Ok(())
    }

    fn read_count(&mut self, partition: u32, payload: &[u8]) -> Result<(), AnswerError> {
        let (partition, _) = self.partition(partition)?;
        let rows = number(payload)
            .and_then(|rows| usize::try_from(rows).ok())
            .ok_or(AnswerError::Damaged("a frame is too short"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::new(Schema::empty());
        let batch = RecordBatch::try_new_with_options(schema, Vec::new(), &options)?;
        self.add_rows(partition, batch);
        Ok(())
    }

    fn add_rows(&mut self, partition: usize, batch: RecordBatch) {
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        self.decoded.push_back(AnswerPart::Rows(partition, batch));
    }

    fn read_end(&mut self, payload: &[u8]) -> Result<(), AnswerError> {
        if number(payload) != Some(self.rows) {
            return Err(AnswerError::Damaged("its number of rows is wrong"));
        }
        for partition in &mut self.partitions {
            partition.finish()?;
        }
        self.is_complete = true;
        Ok(())
    }
}

fn number(payload: &[u8]) -> Option<u64> {
    payload.first_chunk::<8>().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Array, DictionaryArray, Int64Array, StringViewArray},
        datatypes::{DataType, Field, Int32Type},
    };
    use datafusion::physical_plan::metrics::MetricsSet;
    use proptest::prelude::*;

    use super::*;

    fn batch(values: &[i64]) -> RecordBatch {
        let texts: Vec<String> = values.iter().map(|value| format!("tag {}", value % 3)).collect();
        let tags: DictionaryArray<Int32Type> = texts.iter().map(String::as_str).collect();
        let views =
            values.iter().map(|value| format!("a text that is longer than a view, {value}"));
        let schema = Schema::new(vec![
            Field::new("tag", tags.data_type().clone(), false),
            Field::new("text", DataType::Utf8View, false),
            Field::new("value", DataType::Int64, false),
        ]);
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(tags),
                Arc::new(StringViewArray::from_iter_values(views)),
                Arc::new(Int64Array::from(values.to_vec())),
            ],
        )
        .unwrap()
    }

    fn metrics() -> TaskMetrics {
        TaskMetrics {
            pre_order_plan_metrics: vec![MetricsSet::new()],
            task_metrics: MetricsSet::new(),
        }
    }

    fn encode(batches: &[(usize, RecordBatch)], partitions: usize) -> Vec<u8> {
        let mut encoders: Vec<_> = (0..partitions).map(PartitionEncoder::new).collect();
        let mut bytes = begin_answer().to_vec();
        for (partition, batch) in batches {
            bytes.extend(encoders[*partition].encode(batch.clone()).unwrap());
        }
        let rows = encoders.iter().map(PartitionEncoder::rows).sum();
        bytes.extend(finish_answer(rows, Some(&metrics())).unwrap());
        bytes
    }

    fn decode(
        bytes: &[u8],
        step: usize,
        partitions: usize,
    ) -> Result<Vec<(usize, RecordBatch)>, AnswerError> {
        let mut decoder = AnswerDecoder::new(&(0..partitions));
        let mut batches = Vec::new();
        for piece in bytes.chunks(step) {
            decoder.push(piece);
            while let Some(part) = decoder.next()? {
                match part {
                    AnswerPart::Rows(partition, batch) => batches.push((partition, batch)),
                    AnswerPart::Metrics(metrics) => {
                        assert_eq!(metrics.pre_order_plan_metrics.len(), 1);
                    }
                }
            }
        }
        decoder.finish()?;
        Ok(batches)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn rows_survive_in_their_partitions_and_a_cut_answer_is_an_error(
            batches in proptest::collection::vec((0_usize..3, proptest::collection::vec(any::<i64>(), 1..40)), 0..6),
            step in 1_usize..400,
            cut in 0.0..1.0_f64,
        ) {
            let batches: Vec<_> = batches.into_iter().map(|(partition, values)| (partition, batch(&values))).collect();
            let bytes = encode(&batches, 3);
            prop_assert_eq!(decode(&bytes, step, 3).unwrap(), batches);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the length")]
            let cut = (bytes.len() as f64 * cut) as usize;
            prop_assert!(decode(&bytes[..cut], step, 3).is_err());
        }
    }

    #[test]
    fn damaged_answers_are_errors() {
        let whole = encode(&[(0, batch(&[1, 2]))], 1);
        let text =
            |bytes: &[u8], partitions| decode(bytes, 1_000, partitions).unwrap_err().to_string();
        let broken = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = whole.clone();
            change(&mut bytes);
            text(&bytes, 1)
        };
        let count = whole.len() - 8;
        for (said, expected) in [
            (broken(&|bytes| bytes[0] = 0), "it has an unknown format"),
            (broken(&|bytes| bytes[8] = 9), "a frame has an unknown kind"),
            (broken(&|bytes| bytes[count] = 3), "its number of rows is wrong"),
            (broken(&|bytes| bytes.push(0)), "bytes follow its end"),
            (text(&whole, 0), "it has rows of another partition"),
            (text(&whole[..count], 1), "the answer of a task broke off after 2 rows"),
        ] {
            assert!(said.ends_with(expected), "{said}");
        }
    }

    #[test]
    fn rows_without_columns_are_counted_and_empty_batches_are_left_out() {
        let options = RecordBatchOptions::new().with_row_count(Some(7));
        let counted =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        let batches = [(0, batch(&[])), (1, counted.clone())];
        let decoded = decode(&encode(&batches, 2), 1_000, 2).unwrap();
        assert_eq!(decoded, [(1, counted)]);
    }

    #[test]
    fn unused_values_do_not_travel() {
        let many: Vec<i64> = (0..10_000).collect();
        let few = batch(&many).slice(0, 2);
        assert!(encode(&[(0, few)], 1).len() < 4_000);
    }
}
