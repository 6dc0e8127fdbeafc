//! Checks of messages before they are decoded.

use std::collections::BTreeMap;

use arrow::ipc::root_as_message;
use arrow_flight::FlightData;
use neap_rows::columnar::{MessageLimitError, decompressed_bytes};
use tonic::Status;

/// Refuses a message whose rows would take too much memory.
///
/// # Errors
/// `InvalidArgument`: the message is malformed or too large.
pub(crate) fn check_message(data: &FlightData, max_bytes: usize) -> Result<(), Status> {
    DictionarySizes::default().check(data, max_bytes)
}

/// The sizes of the dictionaries that the decoder of a stream keeps, by id.
#[derive(Debug, Default)]
pub(crate) struct DictionarySizes(BTreeMap<i64, usize>);

impl DictionarySizes {
    /// Refuses the next message of a stream if its rows, or all dictionaries together, would take too much memory.
    ///
    /// # Errors
    /// `InvalidArgument`: the message is malformed, too large, or adds to a dictionary.
    pub(crate) fn check(&mut self, data: &FlightData, max_bytes: usize) -> Result<(), Status> {
        if data.data_header.is_empty() {
            return Ok(());
        }
        let message = root_as_message(&data.data_header).map_err(|error| {
            Status::invalid_argument(format!("malformed Arrow message: {error}"))
        })?;
        let invalid = |error: MessageLimitError| Status::invalid_argument(error.to_string());
        if let Some(batch) = message.header_as_record_batch() {
            decompressed_bytes(&batch, &data.data_body, max_bytes).map_err(invalid)?;
        }
        let Some(dictionary) = message.header_as_dictionary_batch() else {
            return Ok(());
        };
        if dictionary.isDelta() {
            let text = "dictionaries that are sent in parts are not supported";
            return Err(Status::invalid_argument(text));
        }
        let Some(batch) = dictionary.data() else {
            return Ok(());
        };
        let size = decompressed_bytes(&batch, &data.data_body, max_bytes).map_err(invalid)?;
        self.0.insert(dictionary.id(), size);
        if self.0.values().sum::<usize>() > max_bytes {
            Err(invalid(MessageLimitError::Bytes(max_bytes)))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, RecordBatch},
        ipc::{CompressionType, writer::IpcWriteOptions},
    };
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use futures::{TryStreamExt, stream};

    use super::*;

    async fn messages(rows: usize, compression: Option<CompressionType>) -> Vec<FlightData> {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![0; rows]));
        let batch = RecordBatch::try_from_iter([("i", column)]).unwrap();
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let encoder = FlightDataEncoderBuilder::new().with_options(options);
        let messages = encoder.build(stream::iter([Ok(batch)]));
        messages.try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn the_decompressed_size_counts() {
        for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
            for message in messages(100_000, compression).await {
                assert!(check_message(&message, 1 << 20).is_ok());
            }
            let refused = messages(100_000, compression).await;
            let refused = check_message(&refused[1], 700_000).unwrap_err();
            assert!(refused.message().contains("send smaller batches"), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_buffer_that_expands_beyond_its_size_is_refused() {
        let [_, message]: [FlightData; 2] =
            messages(100_000, Some(CompressionType::LZ4_FRAME)).await.try_into().unwrap();
        let mut body = message.data_body.to_vec();
        let size = 800_000_i64.to_le_bytes();
        let at = body.windows(8).position(|bytes| bytes == size).unwrap();
        body[at..at + 8].copy_from_slice(&8_i64.to_le_bytes());
        let message = FlightData { data_body: body.into(), ..message };
        let refused = check_message(&message, 64 << 20).unwrap_err();
        assert!(refused.message().contains("wrong size"), "{refused}");
    }

    #[tokio::test]
    async fn a_size_that_a_buffer_claims_is_not_believed() {
        let [_, message]: [FlightData; 2] =
            messages(1_000, Some(CompressionType::ZSTD)).await.try_into().unwrap();
        let mut body = message.data_body.to_vec();
        let claimed = i64::MAX.to_le_bytes();
        let own_size = 8_000_i64.to_le_bytes();
        let at = body.windows(8).position(|bytes| bytes == own_size).unwrap();
        body[at..at + 8].copy_from_slice(&claimed);
        let message = FlightData { data_body: body.into(), ..message };
        assert!(check_message(&message, 64 << 20).is_err());
    }
}
