//! Checks the sizes that the messages of an Arrow file state, before memory of these sizes is allocated.

use arrow_ipc::root_as_message;
use arrow_schema::ArrowError;
use neap_rows::columnar::{MessageLimitError, decompressed_bytes};

use crate::{ReadError, arrow_file::skip_file_start};

const CONTINUATION: [u8; 4] = [0xff; 4];

/// Checks that all messages are as long as they state, and that their decompressed buffers have at most `limit` bytes
/// together. Content that is not a message is left to the reader to refuse.
pub(crate) fn check_arrow_limits(file: &[u8], limit: u64) -> Result<(), ReadError> {
    let mut messages = ArrowMessages { rest: skip_file_start(file) };
    let mut bytes = 0u64;
    while let Some(length) = messages.metadata_length() {
        let too_long = || malformed("a message is longer than the file".to_owned());
        let metadata = messages.take(length).ok_or_else(too_long)?;
        let Ok(message) = root_as_message(metadata) else {
            break;
        };
        let body_length = usize::try_from(message.bodyLength()).map_err(|_| too_long())?;
        let body = messages.take(body_length).ok_or_else(too_long)?;
        let dictionary = message.header_as_dictionary_batch();
        let batch = message
            .header_as_record_batch()
            .or_else(|| dictionary.and_then(|dictionary| dictionary.data()));
        let Some(batch) = batch else {
            continue;
        };
        let max_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        let size = match decompressed_bytes(&batch, body, max_bytes) {
            Ok(size) => size,
            Err(MessageLimitError::Bytes(_)) => return Err(ReadError::TooLarge { limit }),
            Err(error) => return Err(malformed(error.to_string())),
        };
        bytes = bytes.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        if bytes > limit {
            return Err(ReadError::TooLarge { limit });
        }
    }
    Ok(())
}

fn malformed(reason: String) -> ReadError {
    ReadError::Arrow { row: 0, error: ArrowError::IpcError(reason) }
}

struct ArrowMessages<'a> {
    rest: &'a [u8],
}

impl<'a> ArrowMessages<'a> {
    /// Reads the length of the metadata of the next message; `None` at the end.
    fn metadata_length(&mut self) -> Option<usize> {
        let mut length = *self.take(4)?.first_chunk::<4>()?;
        if length == CONTINUATION {
            length = *self.take(4)?.first_chunk::<4>()?;
        }
        usize::try_from(i32::from_le_bytes(length)).ok().filter(|length| *length > 0)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}
